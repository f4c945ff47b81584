"""Who may do what with a job: Vidispine's jobs have no rights of their own, so a policy decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from callsheet._errors import Denied, NotFound
from callsheet._models import Action, Job
from callsheet.abc import Provider
from callsheet.providers.vidispine._server import Server
from callsheet.providers.vidispine._shape import entries

__all__ = ["ItemPolicy", "Policy", "PolicyCalls"]

ADMINISTRATOR = "_administrator"

_LEVELS = {level: rank for rank, level in enumerate(["NONE", "READ", "WRITE", "ALL", "OWNER"])}


class Policy(Protocol):
    """Decides what `jobs.allows` answers; a function with these arguments will do."""

    async def __call__(self, provider: Any, job: Job, action: Action, user: str) -> bool:
        """Tell whether the user may do that with the job; `provider.request(...)` asks Vidispine."""
        ...


class ItemPolicy:
    """The policy by default: administrators and a job's own user may do all; others what its item grants.

    Viewing a job takes READ on the item, everything else WRITE. Of a job without an item, others may do
    nothing.
    """

    async def __call__(self, provider: Any, job: Job, action: Action, user: str) -> bool:
        """Tell whether the user may do that with the job."""
        server: Server = provider._server
        if job.user == user or await _is_administrator(server, user):
            return True
        needed = "READ" if action == "view" else "WRITE"
        return job.item is not None and await _is_granted(server, job.item, user, needed)


class PolicyCalls(Provider):
    """Asks a policy."""

    _policy: Policy

    async def allows(self, job_id: str, action: Action, user: str) -> bool:
        """Tell what the policy says of it.

        Raises:
            NotFound: There is no such job.
        """
        (job,) = await self.get_jobs([job_id])
        if job is None:
            raise NotFound(f"there is no job {job_id!r}", provider=self.name)
        return await self._policy(self, job, action, user)


async def _is_administrator(server: Server, user: str) -> bool:
    try:
        roles = await server.read("user", user, "roles")
    except (Denied, NotFound):
        return False  # no such user, or one whose roles are not ours to see
    return ADMINISTRATOR in _texts(roles)


async def _is_granted(server: Server, item: str, user: str, needed: str) -> bool:
    query = [("username", user), ("type", "GENERIC"), ("permission", needed)]
    try:
        merged = await server.read("item", item, "merged-access", query=query)
    except (Denied, NotFound):
        return False
    return any(
        entry.get("matches") is True
        and _LEVELS.get(str(entry.get("effectivePermission") or entry.get("permission")), 0)
        >= _LEVELS[needed]
        for entry in entries(merged.get("access"))
    )


def _texts(document: Any) -> set[str]:
    """Return all texts in a document: roles come as names, or as documents with a name."""
    if isinstance(document, str):
        return {document}
    inner = document.values() if isinstance(document, Mapping) else document
    return set().union(*map(_texts, inner)) if isinstance(document, Mapping | list) else set()

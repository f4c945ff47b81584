"""What every namespace does before a call reaches the provider, and to every error that comes back."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs
from anyio.lowlevel import current_token

from callsheet import _checks
from callsheet._errors import CallsheetError, InvalidRequest, Unsupported
from callsheet._models import Job, JobFilter, NewJob
from callsheet.abc import Provider

__all__ = ["Door", "new_key"]

logger = logging.getLogger("callsheet")


def new_key() -> str:
    """Return an idempotency key that was never used."""
    return str(uuid.uuid4())


class Door:
    """The way to one provider, shared by the namespaces of a client."""

    def __init__(self, provider: Provider | None) -> None:
        self._provider = provider
        self.is_open = False
        self.parent: Door | None = None
        self._loop: object = None

    @property
    def provider(self) -> Provider:
        """The provider; until a client of `connect()` is open, there is none."""
        if self._provider is None:
            raise InvalidRequest("the client is not open: use it inside `async with`")
        return self._provider

    def enter(self, provider: Provider) -> None:
        """Lead to this provider from now on."""
        self._provider = provider

    def settle(self) -> None:
        """Belong to the event loop that runs: locks and connections work in one only."""
        self._loop = current_token().native_token

    def check_loop(self) -> None:
        """Raise `InvalidRequest` in another event loop than that in which the client was opened."""
        owner = self
        while owner.parent is not None:
            owner = owner.parent
        if owner._loop not in {None, current_token().native_token}:
            raise InvalidRequest("the client was opened in another event loop; open one in each")

    def check_open(self) -> None:
        """Raise `InvalidRequest` unless the client, and the one it was made from, is open."""
        if not self.is_open or (self.parent is not None and not self.parent.is_open):
            raise InvalidRequest("the client is not open: use it inside `async with`")

    def require(self, call: str, *arguments: str, of: str | None = None) -> None:
        """Raise `Unsupported` unless the tracker has the call, and takes each argument that was given.

        `of` is the call whose arguments they are, where another call takes the same.
        """
        self.check_open()
        provider = self.provider
        for word in (call, *(f"{of or call}({argument}=)" for argument in arguments)):
            if word not in provider.capabilities:
                hint = provider.hints.get(word) or provider.hints.get(word.partition("(")[0], "")
                raise Unsupported(word, hint=hint, provider=provider.name)

    def new_job(self, new: NewJob, call: str, *, key: str | None = None) -> NewJob:
        """Return the job to be made, checked, with its own idempotency key, else the given or a new one."""
        checked = _checks.new_job(new)
        defaults = attrs.fields_dict(NewJob)
        given = [
            field
            for field, value in attrs.asdict(checked, recurse=False).items()
            if field != "name" and value is not None and value != defaults[field].default
        ]
        self.require(call, *given, of="create")
        return attrs.evolve(checked, idempotency_key=checked.idempotency_key or key or new_key())

    def filter(self, call: str, **conditions: Any) -> JobFilter:
        """Return the filter of a listing, or of a call that takes the same conditions."""
        known = attrs.fields_dict(JobFilter)
        unknown = conditions.keys() - known.keys()
        if unknown:
            there = ", ".join(field for field in known if field != "newest_first")
            raise InvalidRequest(f"{call}: there is no filter {min(unknown)!r}; there are {there}")
        wanted = _checks.job_filter(**conditions)
        given = [*wanted.conditions(), *([] if wanted.newest_first else ["newest_first"])]
        self.require(call, *given, of="list")
        return wanted

    def job_id(self, job: Job | str) -> str:
        """Return the id of a job of this tracker."""
        return _checks.job_id(job, self.provider.tracker)

    @contextmanager
    def calling(self, key: str | None = None) -> Iterator[None]:
        """Give each error its provider and key; log the key if the call is cancelled half way."""
        try:
            self.check_loop()
            yield
        except CallsheetError as error:
            error.provider = error.provider or self.provider.name
            error.idempotency_key = error.idempotency_key or key
            raise
        except Exception:
            raise
        except BaseException:
            if key is not None:
                logger.warning("cancelled half way; to repeat it safely, use idempotency_key=%r", key)
            raise

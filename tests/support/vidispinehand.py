"""The hand of Vidispine's own people, who can do to a job what no client of the API can."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import anyio.to_thread
import attrs

from callsheet import Job, JobState, NewJob, NotFound
from callsheet.abc import CAPABILITIES, JobChanges
from callsheet.providers.vidispine import VidispineProvider
from callsheet.providers.vidispine._creating import draft_of
from callsheet.sandbox import Sandbox

__all__ = ["VidispineHand"]

STATUSES: Mapping[JobState, str] = {
    JobState.QUEUED: "READY",
    JobState.RUNNING: "STARTED",
    JobState.PAUSED: "HOLD",
    JobState.DONE: "FINISHED",
    JobState.FAILED: "FAILED_TOTAL",
    JobState.CANCELLED: "ABORTED",
}
PRIORITIES = {10: "LOWEST", 30: "LOW", 50: "MEDIUM", 70: "HIGH", 90: "HIGHEST", 100: "IMMEDIATE"}


class VidispineHand(VidispineProvider):
    """Changes jobs of a sandbox as its server's own programs would, in every field."""

    capabilities: ClassVar[frozenset[str]] = VidispineProvider.capabilities | {
        word for word in CAPABILITIES if word.startswith("update(") or word == "create(state=)"
    }
    sandbox: Sandbox

    async def create_jobs(self, new: Sequence[NewJob]) -> list[Job]:
        """Let there be the jobs, in order, each in the state that is wanted."""
        if any(one.files for one in new):
            return await super().create_jobs(new)
        await anyio.to_thread.run_sync(self._make_all, new)
        newest = self.jobs(number=len(new), include_steps=True, metadata=True, page_size=1000)
        return (await newest.collect())[::-1]

    def _make_all(self, new: Sequence[NewJob]) -> None:
        for one in new:
            draft = draft_of(
                attrs.evolve(one, state=None), user=one.user or self.user, default_type=self._default_type
            )
            data = dict(pair.split("=", 1) for name, pair in draft.query if name == "jobmetadata")
            self.sandbox.act(
                "vidispine",
                "new",
                number=1,
                type=draft.type,
                user=draft.user,
                status=STATUSES[one.state or JobState.QUEUED],
                priority=dict(draft.query).get("priority", "MEDIUM"),
                data=data,
            )

    async def update_jobs(self, ids: Sequence[str], changes: JobChanges) -> list[Job]:
        """Change the jobs."""
        self.sandbox.act("vidispine", "jobs", ids=list(ids), **acted(changes.given()))
        found = [job for job in await self.get_jobs(ids) if job is not None]
        if len(found) < len(ids):
            raise NotFound("a job is gone")
        return found


def acted(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the changes in the sandbox's words."""
    data = {f"callsheet_{name}": given[name] for name in ("name", "description") if name in given}
    words: dict[str, Any] = {"data": data | dict(given.get("attributes", {}))}
    if "state" in given:
        words["status"] = STATUSES[given["state"]]
    if "priority" in given:
        words["priority"] = PRIORITIES[given["priority"]]
    if given.get("problem") is not None:
        words["errorMessage"] = given["problem"]
    if given.get("progress") is not None:
        told = {"value": given["progress"] * 100, "total": 100, "unit": "percent"}
        words["totalSteps"] = 1
        words["step"] = {"step": 100, "status": "STARTED", "attempts": 0, "progress": told}
    if given.get("message") is not None:
        words["currentStep"] = {"description": given["message"], "number": 1, "status": "STARTED"}
    return words

"""mirror(): a job of one tracker, shown on another for as long as it goes on, with its outputs at its end."""

from __future__ import annotations

import logging
import math
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio
import attrs

from callsheet._copying import Copying
from callsheet._door import Door
from callsheet._errors import (
    AttachError,
    CallsheetError,
    Conflict,
    NotFound,
    Outcome,
    RateLimited,
    WaitTimeout,
)
from callsheet._models import UNSET, Component, Job, JobChanges, JobState, NewJob, Unset
from callsheet._watching import MAX_PAUSE, PASSING, Sweeper, Watch

__all__ = ["Mirroring", "mirror_key"]

logger = logging.getLogger("callsheet")

R = TypeVar("R")

PAUSES = (0.5, 1, 2, 4, 8, 8, 8)
"""Seconds between the tries to copy the outputs and to write the end."""

GONE = "source gone"

MAX_TEXT = 100_000
"""Characters of a text that goes over."""

ENDS = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED})


def mirror_key(tracker: str, job_id: str) -> str:
    """Return the idempotency key of a job's mirror, wherever and by whomever it is mirrored."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{tracker}#{job_id}"))


class Mirroring:
    """One job on its way from its tracker to another.

    Attributes:
        key: Of the mirror.
        seen: The source as last seen, if it was.
        mirror: The job that shows it, as last seen, once there is one.
    """

    def __init__(
        self, source: Door, sweeper: Sweeper, job_id: str, target: Door, *, user: str | None, files: bool
    ) -> None:
        self._source = source
        self._sweeper = sweeper
        self._job_id = job_id
        self._target = target
        self._user = user
        self._files = files
        self._is_new = False
        self._troubles = 0
        self._attached: dict[str, Component] = {}
        self.key = mirror_key(source.provider.tracker, job_id)
        self.seen: Job | None = None
        self.mirror: Job | None = None

    async def run(self, limit: float | None) -> Job:
        """Follow the source to its end, and return the mirror as it ended.

        Raises:
            WaitTimeout: The source has not ended, or its outputs are not copied, after `limit` seconds; with
                0, after one look and one report.
        """
        try:
            with anyio.move_on_after(limit or math.inf):
                return await self._run(once=limit == 0)
            raise self._late(limit or 0.0) from self._sweeper.trouble
        except CallsheetError as error:
            error.idempotency_key = self.key
            raise

    async def _run(self, *, once: bool) -> Job:
        seen = await self._begin()
        mirror = self.mirror = await self._found_or_made(seen)
        if seen is not None and not seen.ended:
            seen = await self._follow(seen, mirror.id, once=once)
        if seen is not None:
            return await self._end(seen, mirror.id)
        if self.mirror.ended:
            return self.mirror
        return await self._write(mirror.id, JobChanges(state=JobState.FAILED, problem=GONE))

    # -- the beginning ---------------------------------------------------------------------------------------

    async def _begin(self) -> Job | None:
        with self._source.calling():
            (seen,) = await self._source.provider.get_jobs([self._job_id])
        self.seen = seen
        return seen

    async def _found_or_made(self, seen: Job | None) -> Job:
        """Return the mirror, from an earlier call or new.

        Raises:
            NotFound: There is neither a source nor a mirror.
            Conflict: There was a mirror, which has been deleted.
        """
        target = self._target.provider
        with self._target.calling():
            found = await target.made_job(self.key)
            if found is not None:
                return found
            if seen is None:
                raise NotFound(f"there is no job {self._job_id!r}", provider=self._source.provider.name)
            try:
                (made,) = await target.create_jobs([self._new(seen)])
            except Conflict:
                # Another process was faster, and saw the source in another state.
                found = await target.made_job(self.key)
                if found is None:
                    raise
                return found
        self._is_new = True
        return made

    def _new(self, seen: Job) -> NewJob:
        state = JobState.RUNNING if seen.ended else _shown(seen)
        return NewJob(
            name=_text(seen.name).strip() or seen.id,
            user=self._user,
            state=None if isinstance(state, Unset) else state,
            description=_text(seen.description),
            priority=seen.priority,
            attributes={"source": {"tracker": seen.tracker, "id": seen.id}},
            idempotency_key=self.key,
            source_id=seen.id,
        )

    # -- while the source goes on ----------------------------------------------------------------------------

    async def _follow(self, seen: Job, mirror_id: str, *, once: bool) -> Job | None:
        """Report what is new until the source has ended, and return it, or `None` if it is gone.

        What changes faster than the target likes to hear is left out: the latest wins.
        """
        watch = Watch(self._sweeper, ids=[self._job_id])
        interval = self._target.provider.progress_interval
        following: Job | None = seen
        while following is not None and not following.ended:
            again = await self._report(following, mirror_id)
            if once:
                raise self._late(0.0)
            await anyio.sleep(interval)
            with anyio.move_on_after(again):
                following = await self._next(watch)
                # A target in trouble has its rest, whatever news there are, until the last.
                while again < math.inf and following is not None and not following.ended:
                    following = await self._next(watch)
        return following

    async def _next(self, watch: Watch) -> Job | None:
        _, news = await watch.take()
        if isinstance(news, NotFound) or news.current is None:
            return None
        self.seen = news.current
        return news.current

    async def _report(self, seen: Job, mirror_id: str) -> float:
        """Write what is new; return the seconds after which to try it again, if need be."""
        changes = self._changes(seen, _shown(seen))
        if not changes.given():
            return math.inf
        try:
            with self._target.calling():
                (self.mirror,) = await self._target.provider.update_jobs([mirror_id], changes)
        except PASSING as error:
            if not self._troubles:
                logger.warning("job %s cannot be mirrored: %s; going on", self._job_id, error)
            self._troubles += 1
            pause: float = self._target.provider.progress_interval * 2 ** min(self._troubles, 16)
            return max(min(MAX_PAUSE, pause), _asked(error))
        self._troubles = 0
        return math.inf

    def _changes(self, seen: Job, state: JobState | Unset) -> JobChanges:
        """Return what the mirror does not show yet, as far as the source has told and the target takes it."""
        assert self.mirror is not None
        told: dict[str, Any] = {
            "state": state,
            "progress": seen.progress,
            "description": _text(seen.description),
        }
        told |= {name: _optional_text(getattr(seen, name)) for name in ("message", "problem")}
        new = {
            name: value
            for name, value in told.items()
            if value is not UNSET
            and value != getattr(self.mirror, name)
            and name not in seen.missing
            and f"update({name}=)" in self._target.provider.capabilities
        }
        return JobChanges(**new)

    # -- the end ---------------------------------------------------------------------------------------------

    async def _end(self, seen: Job, mirror_id: str) -> Job:
        """Copy the outputs, then write the end, whatever became of them."""
        seen = await self._whole(seen)
        failed: dict[Component, Exception] = {}
        trouble: CallsheetError | None = None
        if self._files:
            try:
                failed = await self._copied(mirror_id)
            except CallsheetError as error:
                trouble = error
        state = seen.state if seen.state in ENDS else JobState.FAILED
        changes = self._changes(seen, state)
        ended = await self._write(mirror_id, changes) if changes.given() else self.mirror
        assert ended is not None
        if failed:
            trouble = self._failed(failed)
        if trouble is not None:
            raise trouble
        return ended

    async def _whole(self, seen: Job) -> Job:
        """Return the ended source with all that can be known of it; its end is shown in any case."""
        source = self._source.provider
        problem = None
        try:
            if seen.missing:
                (found,) = await self._insist(lambda: source.get_jobs([self._job_id]))
                seen = found if found is not None and found.ended else seen
            if seen.state is not JobState.DONE and "problem" in source.capabilities:
                # It may tell more than the job itself does.
                problem = await self._insist(lambda: source.job_problem(self._job_id))
        except CallsheetError as error:
            logger.warning("job %s: not all can be known of how it ended: %s", self._job_id, error)
        problem = problem or seen.problem
        if seen.state not in ENDS:
            problem = problem or f"ended as {seen.vendor_state!r}"
        return attrs.evolve(seen, problem=problem, missing=seen.missing - {"problem"})

    async def _copied(self, mirror_id: str) -> dict[Component, Exception]:
        """Copy the outputs, and try it again for as long as only trouble that passes is in the way."""
        failed: dict[Component, Exception] = {}

        async def copy() -> None:
            nonlocal failed
            copying = Copying(
                source=self._source,
                job_id=self._job_id,
                target=self._target,
                mirror_id=mirror_id,
                key=self.key,
                anew=self._is_new,
                attached=self._attached,
            )
            self._is_new = False
            failed = await copying.run()
            passing = [error for error in failed.values() if isinstance(error, PASSING)]
            if passing:
                raise passing[0]

        try:
            await self._insist(copy)
        except PASSING:
            if not failed:
                raise
        return failed

    async def _write(self, mirror_id: str, changes: JobChanges) -> Job:
        with self._target.calling():
            (ended,) = await self._insist(lambda: self._target.provider.update_jobs([mirror_id], changes))
        self.mirror = ended
        return ended

    async def _insist(self, call: Callable[[], Awaitable[R]]) -> R:
        """Return what the call returns, and ride out trouble that passes within half a minute."""
        for pause in PAUSES:
            try:
                return await call()
            except PASSING as error:
                logger.warning("job %s cannot be mirrored to its end yet: %s", self._job_id, error)
                await anyio.sleep(max(pause, min(MAX_PAUSE, _asked(error))))
        return await call()

    # -- errors ----------------------------------------------------------------------------------------------

    def _late(self, limit: float) -> WaitTimeout:
        is_copying = self.seen is not None and self.seen.ended
        what = "its outputs are not copied" if is_copying else "it has not ended"
        where = "" if self.mirror is None else f"; its mirror {self.mirror.id} stays as it is"
        error = WaitTimeout(
            f"job {self._job_id}: {what} after {limit:g} s{where}",
            job=self.seen,
            jobs=[self.seen],
            provider=self._source.provider.name,
        )
        error.outcome = Outcome.UNKNOWN
        return error

    def _failed(self, failed: dict[Component, Exception]) -> AttachError:
        first, why = next(iter(failed.items()))
        outcomes = {error.outcome for error in failed.values() if isinstance(error, CallsheetError)}
        return AttachError(
            f"{len(failed)} outputs of job {self._job_id} could not be copied, the first is {first.name}:"
            f" {why}",
            attached=list(self._attached.values()),
            failed=failed,
            outcome=Outcome.UNKNOWN if Outcome.UNKNOWN in outcomes else Outcome.DONE,
            provider=self._target.provider.name,
        )


def _asked(error: CallsheetError) -> float:
    """Return the seconds that a tracker asks to be left alone."""
    return (isinstance(error, RateLimited) and error.retry_after) or 0.0


def _shown(seen: Job) -> JobState | Unset:
    """Return the state to be shown of a job that goes on: its own, unless that would be an end."""
    return UNSET if seen.state in ENDS or seen.state is JobState.UNKNOWN else seen.state


def _text(text: str) -> str:
    """Return a text that any tracker can store."""
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\0")[:MAX_TEXT]


def _optional_text(text: str | None) -> str | None:
    return None if text is None else _text(text)

"""track(): a block of work that shows as a job, from running to done, failed or cancelled."""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, ExitStack, suppress
from types import TracebackType
from typing import Any, Literal, TypeAlias, Unpack

import anyio
import anyio.lowlevel
import attrs
from anyio.abc import TaskGroup

from callsheet import _checks
from callsheet._door import Door
from callsheet._errors import CallsheetError, InvalidRequest, JobCancelled, LeaseLost, Timeout
from callsheet._keywords import Changes
from callsheet._models import UNSET, Component, Job, JobChanges, JobState, NewJob, Unset
from callsheet._otel import Span, span
from callsheet._transfers import OnProgress
from callsheet._watching import PASSING
from callsheet.abc import Claim, Provider

__all__ = ["OnCancel", "TrackOptions", "Tracked", "Tracking"]

logger = logging.getLogger("callsheet")

OnCancel: TypeAlias = Literal["cancel", "ignore"]
Attach: TypeAlias = Callable[..., Awaitable[list[Component]]]

PROBLEM_LINES = 12
"""Lines of a traceback that become the problem text."""


@attrs.frozen(kw_only=True)
class TrackOptions:
    """How a block is tracked: times in seconds.

    Attributes:
        lease: How long the job stays ours without a beat.
        beat: Between two beats.
        grace: After the lease, before the job counts as lost.
        final_timeout: How long to go on trying to write the end state.
        on_cancel: Whether a cancellation from elsewhere stops the block.
    """

    lease: float = 60.0
    beat: float = 15.0
    grace: float = 15.0
    final_timeout: float = 30.0
    on_cancel: OnCancel = "cancel"


class Tracked:
    """A job while its block runs.

    Attributes:
        job: The job as last seen; after the block, as it ended.
    """

    def __init__(self, provider: Provider, claim: Claim, attach: Attach) -> None:
        self.job: Job = claim.job
        self._provider = provider
        self._claim = claim
        self._attach = attach
        self._has_ended = False
        self._is_over = False
        self._setting: JobState | Unset = UNSET
        self._pending = JobChanges()
        self._overtaken: set[str] = set()
        self._changing = threading.Lock()
        self._wake = anyio.Event()
        self._loop = anyio.lowlevel.current_token()
        self._thread = threading.get_ident()

    def progress(self, value: float | None, message: str | None = None) -> None:
        """Report how far the work is, from 0.0 to 1.0, and what it is doing; may be called from any thread.

        Returns at once. Reports are sent in the background, the latest wins; the first and the last are
        always sent. Without a message the last one stands. Trouble in sending is logged, never raised.

        Raises:
            InvalidRequest: The value is not a number from 0 to 1.
        """
        given: dict[str, Any] = {"progress": value}
        if message is not None:
            given["message"] = message
        report = _checks.job_changes(given).given()
        with self._changing:
            self._pending = attrs.evolve(self._pending, **report)
        if threading.get_ident() == self._thread:
            self._wake.set()
        else:
            self._wake_soon()

    async def attach(
        self,
        files: Iterable[Any],
        *,
        location: str | None = None,
        concurrency: int | None = None,
        on_progress: OnProgress | None = None,
    ) -> list[Component]:
        """Attach files to the job, as `jobs.attach` does."""
        return await self._attach(
            self.job, files, location=location, concurrency=concurrency, on_progress=on_progress
        )

    async def update(self, **changes: Unpack[Changes]) -> Job:
        """Change the job, as `jobs.update` does; an ended state set here stands when the block ends.

        After the block it is changed, too.

        Raises:
            LeaseLost: The job is another worker's by now.
        """
        checked = _checks.job_changes(changes)
        if self._is_over or (self._has_ended and checked.state is UNSET):
            # The lease went back with the end; what is told afterwards needs none.
            (self.job,) = await self._provider.update_jobs([self.job.id], checked)
            return self.job
        overtaken = self._overtake(set(checked.given()))
        self._setting = checked.state
        try:
            self.job = await self._provider.beat_job(self._claim, checked)
        except CallsheetError:
            # What was reported before stands, as what was to replace it did not get there.
            self._restore(overtaken)
            raise
        finally:
            self._setting = UNSET
        self._has_ended = self.job.ended and (self._has_ended or checked.state is self.job.state)
        return self.job

    def _wake_up(self) -> None:
        self._wake.set()

    def _wake_soon(self) -> None:
        # anyio.from_thread waits for the loop, which may itself be waiting for this thread.
        native: Any = self._loop.native_token
        soon = getattr(native, "call_soon_threadsafe", None) or native.run_sync_soon
        # A loop that has ended, and the block with it, has nobody to wake.
        with suppress(RuntimeError):
            soon(self._wake_up)

    def _overtake(self, newer: set[str]) -> JobChanges:
        """Take back what was reported before of these fields: it must not be sent after what is newer."""
        with self._changing:
            self._overtaken |= newer
            reported, self._pending = self._pending, _without(self._pending, newer)
        return JobChanges(**{name: value for name, value in reported.given().items() if name in newer})

    def _restore(self, overtaken: JobChanges) -> None:
        with self._changing:
            self._pending = attrs.evolve(overtaken, **self._pending.given())

    def _take(self) -> JobChanges:
        with self._changing:
            taken, self._pending = self._pending, JobChanges()
            self._overtaken.clear()
        return taken

    def _put_back(self, sent: JobChanges) -> None:
        # What is newer wins over what could not be sent.
        with self._changing:
            kept = _without(sent, self._overtaken)
            self._pending = attrs.evolve(kept, **self._pending.given())


class Tracking(AbstractAsyncContextManager[Tracked]):
    """The block itself: makes or adopts the job, beats while the body runs, and writes how it ended."""

    def __init__(
        self,
        door: Door,
        job: NewJob | str,
        attach: Attach,
        options: TrackOptions,
        *,
        changes: JobChanges | None = None,
    ) -> None:
        self._door = door
        self._changes = changes
        self._provider = door.provider
        self._new = job
        self._attach = attach
        self._options = options
        self._scope: anyio.CancelScope
        self._reporting: anyio.CancelScope
        self._reported = anyio.Event()
        self._stopped: CallsheetError | None = None
        self._in_trouble = False
        self._was_entered = False
        self._spans = ExitStack()
        self._span: Span
        self._tasks: TaskGroup
        self._tracked: Tracked

    async def __aenter__(self) -> Tracked:
        if self._was_entered:
            raise InvalidRequest("track: this block was entered before; call track() again for another")
        self._was_entered = True
        # Not before: the block may be made where no loop runs.
        self._scope, self._reporting = anyio.CancelScope(), anyio.CancelScope()
        await anyio.lowlevel.checkpoint_if_cancelled()
        options = self._options
        key = self._new.idempotency_key if isinstance(self._new, NewJob) else None
        # Shielded: a claim that is thrown away leaves a job running that nobody works on. It ends by the
        # provider's own deadline.
        claim: Claim | None = None
        with self._door.calling(key), anyio.CancelScope(shield=True):
            claim = await self._provider.claim_job(self._new, lease=options.lease, grace=options.grace)
        assert claim is not None  # nobody cancels the shield itself
        self._tracked = Tracked(self._provider, claim, self._attach)
        try:
            await anyio.lowlevel.checkpoint_if_cancelled()
            if self._changes is not None:
                with self._door.calling():
                    self._tracked.job = await self._provider.beat_job(claim, self._changes)
        except BaseException as error:
            # The job is ours by now, and nobody else would end it.
            with anyio.move_on_after(options.final_timeout, shield=True):
                await self._write(self._end(error))
            raise
        facts = {"callsheet.provider": self._provider.name, "callsheet.job": claim.job.id}
        self._span = self._spans.enter_context(span("track", facts))
        self._tasks = await anyio.create_task_group().__aenter__()
        self._tasks.start_soon(self._report)
        self._scope.__enter__()
        return self._tracked

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        ours = self._scope.__exit__(kind, error, trace)
        try:
            await self._finish(None if ours else error)
        finally:
            # Who has lost the job writes nothing more.
            self._tracked._is_over = not isinstance(self._stopped, LeaseLost)
            self._span.set("callsheet.state", self._tracked.job.state.value)
            failure = self._stopped if ours else error
            # Context managers give an exception back the traceback that they are told.
            told = (type(failure), failure, failure.__traceback__) if failure else (None, None, None)
            self._spans.__exit__(*told)
            # The group gets no exception, so that the body's own goes on unwrapped; it waits under a shield,
            # since the reporter has been told to stop.
            self._tasks.cancel_scope.shield = True
            self._tasks.cancel_scope.cancel()
            await self._tasks.__aexit__(None, None, None)
        if self._stopped is not None and (ours or error is None):
            raise self._stopped
        return False

    # -- while the body runs ---------------------------------------------------------------------------------

    async def _report(self) -> None:
        """Beat, and send progress no more often than the tracker likes."""
        tracked, options = self._tracked, self._options
        rest = min(self._provider.progress_interval, options.beat)
        try:
            with self._reporting:
                while self._stopped is None:
                    with anyio.move_on_after(options.beat):
                        await tracked._wake.wait()
                    tracked._wake = anyio.Event()
                    if not tracked.job.ended:
                        await self._beat()
                    # A beat has seen it, or an update of the block.
                    if self._stopped is None and self._is_cancelled_from_elsewhere():
                        words = f"job {tracked.job.id} was cancelled from elsewhere"
                        self._stop(JobCancelled(words, provider=self._provider.name))
                    await anyio.sleep(rest)
        finally:
            self._reported.set()

    async def _beat(self) -> None:
        tracked = self._tracked
        sent = tracked._take()
        try:
            seen = await self._provider.beat_job(tracked._claim, sent)
            # An end that the block has set meanwhile is newer.
            tracked.job = tracked.job if tracked._has_ended else seen
        except LeaseLost as error:
            self._stop(error)
        except CallsheetError as error:
            tracked._put_back(sent)
            if not self._in_trouble:
                logger.warning("job %s cannot be reported on: %s; the work goes on", tracked.job.id, error)
            self._in_trouble = True
        except anyio.get_cancelled_exc_class():
            # By the end of the block, or from around it: whether it was written is unknown.
            tracked._put_back(sent)
            raise
        else:
            self._in_trouble = False

    def _is_cancelled_from_elsewhere(self) -> bool:
        tracked = self._tracked
        own = tracked._has_ended or tracked._setting is JobState.CANCELLED
        return tracked.job.state is JobState.CANCELLED and self._options.on_cancel == "cancel" and not own

    def _stop(self, error: CallsheetError) -> None:
        self._stopped = error
        self._scope.cancel()

    # -- when it has ended -----------------------------------------------------------------------------------

    async def _finish(self, error: BaseException | None) -> None:
        """Write the end state, or leave one ERROR line; the body's outcome stands either way."""
        tracked, limit = self._tracked, self._options.final_timeout
        end: JobChanges | None = None
        trouble: CallsheetError | None = Timeout(f"no answer within {limit:g} s")
        with anyio.move_on_after(limit, shield=True):
            # A beat under way must not come after the end.
            self._reporting.cancel()
            await self._reported.wait()
            if tracked._has_ended:
                return
            end = attrs.evolve(tracked._pending, **self._end(error).given())
            trouble = self._stopped if isinstance(self._stopped, LeaseLost) else await self._write(end)
        if trouble is not None:
            state = (end or self._end(error)).state
            logger.error("job %s ended %s, which could not be written: %s", tracked.job.id, state, trouble)
        if isinstance(trouble, LeaseLost):
            self._stopped = trouble

    def _end(self, error: BaseException | None) -> JobChanges:
        if isinstance(self._stopped, JobCancelled):
            return JobChanges(state=JobState.CANCELLED)
        if error is None or (isinstance(error, SystemExit) and not error.code):
            return JobChanges(state=JobState.DONE, progress=1.0)
        if _is_cancellation(error):
            return JobChanges(state=JobState.CANCELLED)
        return JobChanges(state=JobState.FAILED, problem=_last_lines(error))

    async def _write(self, end: JobChanges) -> CallsheetError | None:
        pause = 0.1
        while True:
            try:
                self._tracked.job = await self._provider.beat_job(self._tracked._claim, end)
            except PASSING as trouble:
                logger.warning("job %s: its end cannot be written yet: %s", self._tracked.job.id, trouble)
                await anyio.sleep(pause)
                pause = min(2 * pause, 5.0)
            except CallsheetError as trouble:
                return trouble
            else:
                return None


def _is_cancellation(error: BaseException) -> bool:
    """Tell whether the block was cancelled or interrupted; trio's nurseries wrap that in groups."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(_is_cancellation, error.exceptions))
    return isinstance(error, anyio.get_cancelled_exc_class() | KeyboardInterrupt)


def _without(changes: JobChanges, names: set[str]) -> JobChanges:
    return attrs.evolve(changes, **dict.fromkeys(names, UNSET))


def _last_lines(error: BaseException) -> str:
    text = "".join(traceback.format_exception(error)).rstrip()[-8000:]
    # A lone surrogate (a file name, say) or a NUL must not keep the tracker from showing the rest.
    clean = text.encode(errors="backslashreplace").decode().replace("\0", "\\0")
    return "\n".join(clean.splitlines()[-PROBLEM_LINES:])[-8000:]

"""Tells a tracker of a command at work. Whatever becomes of the tracker, the command does not notice."""

from __future__ import annotations

import glob
import itertools
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import attrs

from callsheet import (
    CallsheetError,
    Client,
    ConfigError,
    File,
    InvalidRequest,
    JobCancelled,
    JobState,
    Tracked,
    Unsupported,
)
from callsheet._cli._log_files import LogFiles
from callsheet._cli._messages import readable, say
from callsheet._cli._work import Work

__all__ = ["Report"]

LOOK = 0.25
"""Seconds between two looks at the command's progress: no line of output costs a task switch."""
SHORTEST_PAUSE, FIRST_PAUSE, LONGEST_PAUSE = 0.5, 2.0, 60.0
"""Seconds between attempts to make the job while the tracker cannot be reached."""
LAST_ATTEMPT = 30.0
"""Seconds for the attempts after the command's end."""

HOPELESS = (ConfigError, InvalidRequest, Unsupported)
"""Errors that another attempt would only repeat."""


class CommandFailed(Exception):
    """The command failed, and the tracker did not take that at first."""


@attrs.define(kw_only=True)
class Report:
    """What the tracker is told of one command.

    Attributes:
        connect: Returns a client of the tracker, not yet open.
        job: Arguments of `jobs.track`.
        attach: Patterns of files to attach at the end.
        log: Where its output is kept, to be attached as well.
    """

    work: Work
    connect: Callable[[], Client[Any]]
    job: Mapping[str, Any]
    attach: Sequence[str] = ()
    log: LogFiles | None = None
    _said: tuple[float | None, str | None] = (None, None)
    _is_tracked: bool = False
    _has_warned: bool = False

    async def run(self) -> None:
        """Report from now until the command has ended and the tracker knows how, or cannot be told."""
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._limit, scope)
                await self._attempts()
                tasks.cancel_scope.cancel()

    async def _limit(self, scope: anyio.CancelScope) -> None:
        await self.work.ended.wait()
        await anyio.sleep(LAST_ATTEMPT)
        if not self._is_tracked:
            scope.cancel()

    async def _attempts(self) -> None:
        # One key for all: an attempt whose answer was lost is not made twice.
        job = {"idempotency_key": str(uuid.uuid4()), **self.job}
        pause = FIRST_PAUSE
        for number in itertools.count():
            is_last = number > 0 and self.work.ended.is_set()
            if await self._attempt(job) or is_last:
                return
            await anyio.sleep(SHORTEST_PAUSE)
            with anyio.move_on_after(pause):
                await self.work.ended.wait()
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _attempt(self, job: Mapping[str, Any]) -> bool:
        """Return whether there is nothing more to try."""
        try:
            async with self.connect() as client:
                await self._track(client, job)
        except JobCancelled as error:
            say(f"{error}; the command was stopped")
        except CommandFailed:
            pass  # the tracker was told, or the log says why it was not
        except HOPELESS as error:
            self._warn(error)
        except Exception as error:  # noqa: BLE001 - reporting never fails the work
            self._warn(error)
            return self._is_tracked
        return True

    async def _track(self, client: Client[Any], job: Mapping[str, Any]) -> None:
        with anyio.CancelScope() as scope:
            async with client.jobs.track(**job) as tracked:
                self._is_tracked = True
                await self._follow(tracked)
                await self._attach(tracked)
                if self.work.stopped:
                    scope.cancel()  # a tracked block that is cancelled leaves its job cancelled
                    await anyio.lowlevel.checkpoint()
                elif self.work.result.problem is not None:
                    await self._fail(tracked, self.work.result.problem)

    async def _follow(self, tracked: Tracked) -> None:
        """Pass progress on until the command has ended; stop it if its job is cancelled from elsewhere."""
        try:
            while True:
                has_ended = self.work.ended.is_set()
                self._pass_on_progress(tracked)
                if has_ended:
                    return
                with anyio.move_on_after(LOOK):
                    await self.work.ended.wait()
        except anyio.get_cancelled_exc_class():
            if tracked.job.state is JobState.CANCELLED:
                with anyio.CancelScope(shield=True):
                    self.work.stop()
                    await self.work.ended.wait()
                    await self._attach(tracked)
            raise

    def _pass_on_progress(self, tracked: Tracked) -> None:
        latest = self.work.latest
        said = (latest.value, latest.message)
        if said != self._said:
            self._said = said
            tracked.progress(*said)

    async def _attach(self, tracked: Tracked) -> None:
        files = self.log.close() if self.log else []
        if self.log and self.log.trouble:
            say(f"the log is not whole: {self.log.trouble}")
        for pattern in self.attach:
            names = {pattern, *glob.glob(pattern, recursive=True)}  # noqa: PTH207 - Path.glob takes no absolute ones
            found = [path for path in map(Path, sorted(names)) if path.is_file()]
            files += [path for path in found if path not in files]
            if not found:
                say(f"nothing to attach: no file matches {pattern}")
        if not files:
            return
        with self.work.leavable():
            try:
                await tracked.attach([File(path, name=readable(path.name)) for path in files])
            except (CallsheetError, OSError) as error:
                say(f"warning: {error}")

    async def _fail(self, tracked: Tracked, problem: str) -> None:
        latest = self.work.latest
        words = [problem, latest.failure, self.work.tail.text()]
        text = "\n".join(word for word in words if word)
        given: dict[str, Any] = {"progress": latest.value, "message": latest.message}
        known = {name: value for name, value in given.items() if value is not None}
        try:
            await tracked.update(state=JobState.FAILED, problem=text, **known)
        except CallsheetError as error:
            # Goes on to be written, for as long as a tracked block tries.
            raise CommandFailed(text) from error

    def _warn(self, error: Exception) -> None:
        if not self._has_warned:
            name = "" if isinstance(error, CallsheetError) else f"{type(error).__name__}: "
            say(f"warning: {name}{error}; the command goes on without its job")
        self._has_warned = True

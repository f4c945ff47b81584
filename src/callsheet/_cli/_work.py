"""A command at work: its process, its output on the way to ours, and the signals that we hand on."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from callsheet._cli._child import Child, Ended, NotStarted
from callsheet._cli._messages import say
from callsheet._cli._progress_lines import Latest, ProgressLines
from callsheet._cli._pump import Pump
from callsheet._cli._tail import Tail

__all__ = ["Work", "handed_on"]

STOPS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT})
"""Signals that ask for the work to end."""
PASSED = frozenset({signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT})
"""Signals that mean something to the command only."""

DRAIN = 1.0
"""Seconds after the command's end in which processes it has left behind may still write."""


def handed_on() -> list[signal.Signals]:
    """Return the signals to take over: not those that we were started to ignore (nohup)."""
    taken = STOPS | PASSED | {signal.SIGTSTP}
    return [number for number in taken if signal.getsignal(number) != signal.SIG_IGN]


class Work:
    """One command, from its start to its end.

    Args:
        kill_after: Seconds from a request to stop until what has not stopped is killed.
        pattern: The user's own form of progress, instead of `Progress: 40%`.

    Attributes:
        latest: What it says of its own progress.
        tail: Its last lines.
        stopped: Whether we have asked it to stop.
        ended: Set when it has ended, and its output is passed on.
        result: How it ended.
    """

    def __init__(self, *, kill_after: float, pattern: re.Pattern[bytes] | None = None) -> None:
        self.latest = Latest()
        self.tail = Tail()
        self.stopped = False
        self.ended = anyio.Event()
        self.result: Ended
        self._kill_after = kill_after
        self._pattern = pattern
        self._child: Child
        self._tasks: TaskGroup
        self._interrupts = 0
        self._streams = 0
        self._streams_ended = anyio.Event()
        self._after_end: anyio.CancelScope | None = None
        self._was_hurried = False

    def start(self, command: Sequence[str], tasks: TaskGroup, log: Callable[[bytes], None] | None) -> None:
        """Start the command, with tasks for its output and its end; if that fails, that is its end."""
        self._tasks = tasks
        try:
            self._child = Child.start(command)
        except NotStarted as error:
            say(str(error))
            self.result = error.ended
            self.ended.set()
            return
        pumps = []
        for source, target in self._child.streams:
            lines = ProgressLines(self.latest, self._pattern)
            takers = [lines.feed, self.tail.stream(), *([log] if log else [])]
            pumps.append(Pump(source, target, takers))
            tasks.start_soon(self._carry, pumps[-1], lines)
        self._streams = len(pumps)
        tasks.start_soon(self._see_end, pumps)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Ask the command and all it started to stop; what has not stopped in time is killed."""
        self.stopped = True
        self._child.signal(number)
        self._tasks.start_soon(self._kill_later)

    async def relay(self, signals: AsyncIterator[signal.Signals]) -> None:
        """Hand each signal on as it comes; once the command has ended, those to stop are for us."""
        async for number in signals:
            if self.ended.is_set():
                if number in STOPS:
                    self._hurry()
            elif number == signal.SIGTSTP:
                self._pause()
            elif number in PASSED:
                self._child.signal(number)
            elif number == signal.SIGINT:
                self._interrupt()
            else:
                self.stop(number)

    @contextmanager
    def leavable(self) -> Iterator[None]:
        """Let a signal end this block, which is about a command that has ended."""
        with anyio.CancelScope() as self._after_end:
            try:
                yield
            finally:
                self._after_end = None

    # -- steps -----------------------------------------------------------------------------------------------

    def _interrupt(self) -> None:
        # Programs for people may take their time to end on Ctrl-C, or ask; a second one is an order.
        self.stopped = True
        self._interrupts += 1
        if self._interrupts == 1:
            self._child.signal(signal.SIGINT)
            say("stopping the command; Ctrl-C once more kills it")
        elif self._interrupts == 2:
            self._child.signal(signal.SIGKILL)
        else:
            _leave(128 + signal.SIGKILL)

    def _pause(self) -> None:
        # With no parent in its session, SIGTSTP would not stop the command (setpgid(2), orphaned groups).
        self._child.signal(signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGSTOP)
        self._child.signal(signal.SIGCONT)

    def _hurry(self) -> None:
        # Whoever presses Ctrl-C twice, and the second time too late, still wants the job to be cancelled.
        if self._after_end is not None:
            self._after_end.cancel()
            self._after_end = None
        elif self._was_hurried:
            _leave(self.result.code)
        else:
            say("the tracker is being told how the command ended; Ctrl-C once more leaves")
        self._was_hurried = True

    async def _kill_later(self) -> None:
        await anyio.sleep(self._kill_after)
        self._child.signal(signal.SIGKILL)

    async def _carry(self, pump: Pump, lines: ProgressLines) -> None:
        await anyio.to_thread.run_sync(pump.run)
        lines.finish()
        if pump.trouble is not None:
            say(f"output could not be passed on: {pump.trouble.strerror}; the command went on")
        self._streams -= 1
        if not self._streams:
            self._streams_ended.set()

    async def _see_end(self, pumps: list[Pump]) -> None:
        self.result = await anyio.to_thread.run_sync(self._child.wait)
        with anyio.move_on_after(self._kill_after if self.stopped else DRAIN):
            await self._streams_ended.wait()
        if self.stopped:
            self._child.signal(signal.SIGKILL)
        for pump in pumps:
            pump.stop()
        await self._streams_ended.wait()
        for pump in pumps:
            pump.close()
        self.ended.set()


def _leave(code: int) -> None:
    # Nothing else ends a thread that waits for a reader of our output, or for a tracker.
    say("left before the tracker was told how the command ended")
    os._exit(code)

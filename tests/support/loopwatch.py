"""Measures the CPU time of every step of an event loop, on asyncio and on trio.

A step is what runs between two looks of the loop at the world: one callback on asyncio, one task's run to its
next checkpoint on trio. While it runs nothing else does, so a long one is felt by every other task. CPU time
of the loop's own thread is measured, never the clock: a busy machine cannot fail a test. The pauses of the
garbage collector are taken off, since they strike whoever happens to allocate. So is what other virtual
machines took of this one's processors: Linux counts it as CPU of the thread that was running.
"""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import trio

__all__ = ["LoopWatch", "SlowStep"]

TICK = 0.01
"""Seconds in which Linux counts what was stolen; to ask more often tells nothing new, and takes time."""


@attrs.frozen
class SlowStep:
    """One step that held the loop for too long."""

    name: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.seconds * 1000:.0f} ms of CPU in one step of {self.name}"


class LoopWatch(trio.abc.Instrument):
    """Collects the steps that took more than `limit` seconds of CPU in the thread that made the watch."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.slow: list[SlowStep] = []
        self._stolen = _stolen()
        self._asked = time.perf_counter()
        self._thread = threading.get_ident()
        self._collecting = 0.0
        self._collected = 0.0
        self._stepping: Any = None
        self._from: list[tuple[str, int]] = []
        self._began = 0.0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch every asyncio loop that runs inside; on trio add the watch as an instrument as well."""
        run = asyncio.events.Handle._run

        def timed_run(handle: asyncio.Handle) -> None:
            if threading.get_ident() != self._thread:
                run(handle)
                return
            callback = handle._callback  # type: ignore[attr-defined]  # a cancelled handle forgets it
            owner = getattr(callback, "__self__", None)
            self._begin(owner.get_coro() if isinstance(owner, asyncio.Task) else callback)
            try:
                run(handle)
            finally:
                self._end()

        gc.callbacks.append(self._on_collection)
        asyncio.events.Handle._run = timed_run  # type: ignore[assignment,method-assign]  # asyncio has no such hook
        try:
            yield
        finally:
            asyncio.events.Handle._run = run  # type: ignore[method-assign]  # the original again
            gc.callbacks.remove(self._on_collection)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Called by trio."""
        self._begin(task.coro)

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Called by trio."""
        self._end()

    def _begin(self, stepping: Any) -> None:
        self._stepping = stepping
        self._from = _calls(stepping)
        if time.perf_counter() - self._asked > TICK:
            self._stolen, self._asked = _stolen(), time.perf_counter()
        self._began = self._now()

    def _end(self) -> None:
        seconds = self._now() - self._began
        # Nothing is stepping in the step of trio that adds the instrument.
        if self._stepping is not None and seconds > self.limit:
            time.sleep(TICK)  # what was stolen is counted at the next tick
            seconds -= _stolen() - self._stolen
        if self._stepping is not None and seconds > self.limit:
            self.slow.append(SlowStep(_name(self._stepping, self._from), seconds))
        self._stepping = None

    def _now(self) -> float:
        return time.thread_time() - self._collected

    def _on_collection(self, phase: str, info: dict[str, int]) -> None:
        if threading.get_ident() != self._thread:
            return
        if phase == "start":
            self._collecting = time.thread_time()
        else:
            self._collected += time.thread_time() - self._collecting


def _stolen() -> float:
    """Return the seconds that all processors were kept from this machine, as Linux tells (`proc_stat(5)`)."""
    stat = Path("/proc/stat")
    return int(stat.read_text().split()[8]) / os.sysconf("SC_CLK_TCK") if stat.exists() else 0.0


def _name(stepping: Any, began: list[tuple[str, int]]) -> str:
    """Return the callback, or the coroutine's calls where the step began and where it ended."""
    if not hasattr(stepping, "cr_frame"):
        return f"callback {stepping!r}"
    places = (" > ".join(f"{name}:{line}" for name, line in calls) for calls in (began, _calls(stepping)))
    return "task {}, from {} to {}".format(stepping.__qualname__, *(place or "its end" for place in places))


def _calls(coro: Any) -> list[tuple[str, int]]:
    """Return name and line of the calls a suspended coroutine is in, from the outermost to the innermost."""
    calls = []
    while (frame := getattr(coro, "cr_frame", None)) is not None:
        calls.append((coro.__qualname__, frame.f_lineno))
        coro = coro.cr_await
    return calls

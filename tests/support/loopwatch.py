"""Measures the CPU time of every step of an event loop, on asyncio and on trio.

A step is what runs between two looks of the loop at the world: one callback on asyncio, one task's run to its
next checkpoint on trio. While it runs nothing else does, so a long one is felt by every other task. CPU time
of the loop's own thread is measured, never the clock: a busy machine cannot fail a test. The pauses of the
garbage collector are taken off, since they strike whoever happens to allocate.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import attrs
import trio

__all__ = ["LoopWatch", "SlowStep"]


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
        self._thread = threading.get_ident()
        self._collecting = 0.0
        self._collected = 0.0
        self._trio_step_began: float | None = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch every asyncio loop that runs inside; on trio add the watch as an instrument as well."""
        run = asyncio.events.Handle._run

        def timed_run(handle: asyncio.Handle) -> None:
            if threading.get_ident() != self._thread:
                run(handle)
                return
            callback = handle._callback  # type: ignore[attr-defined]  # a cancelled handle forgets it
            began = self._now()
            try:
                run(handle)
            finally:
                self._judge(self._now() - began, lambda: _callback_name(callback))

        gc.callbacks.append(self._on_collection)
        asyncio.events.Handle._run = timed_run  # type: ignore[assignment,method-assign]  # asyncio has no such hook
        try:
            yield
        finally:
            asyncio.events.Handle._run = run  # type: ignore[method-assign]  # the original again
            gc.callbacks.remove(self._on_collection)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Called by trio."""
        self._trio_step_began = self._now()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Called by trio."""
        # None in the step that adds the instrument.
        if self._trio_step_began is not None:
            self._judge(
                self._now() - self._trio_step_began, lambda: f"task {task.name} ({_place(task.coro)})"
            )

    def _now(self) -> float:
        return time.thread_time() - self._collected

    def _judge(self, seconds: float, name: Callable[[], str]) -> None:
        if seconds > self.limit:
            self.slow.append(SlowStep(name(), seconds))

    def _on_collection(self, phase: str, info: dict[str, int]) -> None:
        if threading.get_ident() != self._thread:
            return
        if phase == "start":
            self._collecting = time.thread_time()
        else:
            self._collected += time.thread_time() - self._collecting


def _callback_name(callback: Any) -> str:
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, asyncio.Task):
        return f"task {owner.get_name()} ({_place(owner.get_coro())})"
    return f"callback {callback!r}"


def _place(coro: Any) -> str:
    """Return the coroutine's name, and the line where it now waits if it has not ended."""
    name = getattr(coro, "__qualname__", repr(coro))
    innermost = coro
    while getattr(innermost, "cr_await", None) is not None and hasattr(innermost.cr_await, "cr_frame"):
        innermost = innermost.cr_await
    frame = getattr(innermost, "cr_frame", None)
    return f"{name}, now at {frame.f_code.co_filename}:{frame.f_lineno}" if frame else f"{name}, ended"

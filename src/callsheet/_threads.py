"""Worker threads of our own, so that callsheet never starves its host, nor its host callsheet."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.to_thread

__all__ = ["Threads"]

R = TypeVar("R")


class Threads:
    """A bounded set of worker threads; make one for each event loop."""

    def __init__(self, limit: int) -> None:
        self._limiter = anyio.CapacityLimiter(limit)
        self._lock = threading.Lock()
        self._running = 0

    async def run(self, function: Callable[..., R], *args: object, abandon: bool = False) -> R:
        """Call the function in a thread and return its result.

        A thread cannot be stopped half way. By default a cancelled caller waits until the function has
        ended, and is cancelled then. With `abandon` it leaves at once, and the function runs on unseen: only
        for functions that read, or write to temporary names.
        """

        begun = withdrawn = False

        def counted() -> R:
            nonlocal begun
            with self._lock:
                if withdrawn:
                    raise AssertionError("withdrawn before it began: nobody sees this")
                begun = True
            try:
                return function(*args)
            finally:
                with self._lock:
                    self._running -= 1

        async with self._limiter:
            with self._lock:
                self._running += 1
            try:
                # A limiter of its own for each call: the one above already bounds them, fairly.
                return await anyio.to_thread.run_sync(
                    counted, abandon_on_cancel=abandon, limiter=anyio.CapacityLimiter(1)
                )
            finally:
                with self._lock:
                    if not begun:
                        withdrawn = True
                        self._running -= 1

    async def aclose(self, grace: float = 5.0) -> bool:
        """Wait up to `grace` seconds for the threads in flight; return whether all have ended."""
        with anyio.move_on_after(grace, shield=True):
            # An abandoned thread has no task that could set an event, so it is looked for.
            while self._running:  # noqa: ASYNC110
                await anyio.sleep(0.01)
        return not self._running

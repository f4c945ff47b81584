"""Worker threads of our own, so that callsheet never starves its host's, nor its host callsheet."""

from __future__ import annotations

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

    async def run(self, function: Callable[..., R], *args: object) -> R:
        """Call the function in a thread and return its result.

        A thread cannot be stopped half way, so a cancelled caller waits until the function has ended, and
        is cancelled then: what was begun is whole, or failed, never running on unseen.
        """
        return await anyio.to_thread.run_sync(function, *args, limiter=self._limiter)

    async def aclose(self, grace: float = 5.0) -> bool:
        """Wait up to `grace` seconds for the threads in flight; return whether all have ended."""
        with anyio.move_on_after(grace, shield=True):
            while self._limiter.borrowed_tokens:
                await anyio.sleep(0.01)
        return not self._limiter.borrowed_tokens

"""A chore that outlives the call that began it: closing idle connections must not wait for traffic.

It is no task group: that would have to be closed by the very task that opened it, and would wrap the errors
of whoever happened to be inside.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import anyio

__all__ = ["Background", "in_trio"]


def in_trio() -> bool:
    """Tell whether this is a trio task; any other is asyncio's."""
    trio = sys.modules.get("trio")
    return trio is not None and bool(trio.lowlevel.in_trio_task())


class Background:
    """Runs a chore on the current loop until it returns or is asked to stop; one at a time."""

    def __init__(self) -> None:
        self._stopping = anyio.Event()
        self._ended: anyio.Event | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self, chore: Callable[[anyio.Event], Coroutine[Any, Any, None]]) -> None:
        """Start the chore, unless it runs already or was stopped; its event is set when it shall return."""
        if self._ended is not None or self._stopping.is_set():
            return
        self._ended = anyio.Event()
        if in_trio():
            sys.modules["trio"].lowlevel.spawn_system_task(self._run, chore, self._ended)
        else:
            # asyncio itself keeps only a weak reference.
            self._task = asyncio.get_running_loop().create_task(self._run(chore, self._ended))

    async def stop(self) -> None:
        """Ask the chore to return, wait until it has, and never start another."""
        self._stopping.set()
        if self._ended is not None:
            await self._ended.wait()

    async def _run(
        self, chore: Callable[[anyio.Event], Coroutine[Any, Any, None]], ended: anyio.Event
    ) -> None:
        try:
            await chore(self._stopping)
        finally:
            self._ended = self._task = None
            ended.set()

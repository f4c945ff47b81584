"""Locks by id: our own writes to one job wait for each other, since each reads `data` before it writes it."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import anyio

__all__ = ["Locks"]


class Locks:
    """A lock for each id, there for as long as somebody holds it.

    Not of `anyio.Lock`, as it takes trio the longer to release one the more of them a task holds.
    """

    def __init__(self) -> None:
        self._turns: dict[str, deque[anyio.Event]] = {}  # of those who wait, by the ids that are held

    @asynccontextmanager
    async def holding(self, ids: Iterable[str]) -> AsyncIterator[None]:
        """Hold the locks of all the ids."""
        held: list[str] = []
        try:
            # In one order everywhere, so that no two wait for each other.
            for id_ in sorted(set(ids)):
                await self._acquire(id_)
                held.append(id_)
            yield
        finally:
            for id_ in held:
                self._release(id_)

    async def _acquire(self, id_: str) -> None:
        if id_ not in self._turns:
            self._turns[id_] = deque()
            return
        turn = anyio.Event()
        self._turns[id_].append(turn)
        try:
            await turn.wait()
        except BaseException:
            if turn.is_set():  # it was handed over before the cancellation arrived
                self._release(id_)
            else:
                self._turns[id_].remove(turn)
            raise

    def _release(self, id_: str) -> None:
        if waiting := self._turns[id_]:
            waiting.popleft().set()
        else:
            del self._turns[id_]

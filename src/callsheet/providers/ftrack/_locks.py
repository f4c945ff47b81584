"""Locks by id: our own writes to one job wait for each other, since each reads `data` before it writes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager

import anyio

__all__ = ["Locks"]


class Locks:
    """A lock for each id, there for as long as somebody holds or wants it."""

    def __init__(self) -> None:
        self._locks: dict[str, anyio.Lock] = {}
        self._wanted: Counter[str] = Counter()

    @asynccontextmanager
    async def holding(self, ids: Iterable[str]) -> AsyncIterator[None]:
        """Hold the locks of all the ids."""
        # In one order everywhere, so that no two wait for each other.
        ordered = sorted(set(ids))
        self._wanted.update(ordered)
        try:
            async with AsyncExitStack() as stack:
                for id_ in ordered:
                    await stack.enter_async_context(
                        self._locks.setdefault(id_, anyio.Lock(fast_acquire=True))
                    )
                yield
        finally:
            self._wanted.subtract(ordered)
            for id_ in ordered:
                if not self._wanted[id_]:
                    del self._wanted[id_]
                    self._locks.pop(id_, None)

"""Several requests at once, where Vidispine has no call for many."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from callsheet._together import together

__all__ = ["each"]

T = TypeVar("T")

AT_ONCE = 8
"""Requests of one call that are in flight at a time."""


async def each(things: Sequence[T], do: Callable[[T], Awaitable[None]]) -> None:
    """Do something to each thing, a few at a time; the first error ends it all, and is raised as it is."""
    waiting = iter(things)

    async def work() -> None:
        for thing in waiting:
            await do(thing)

    await together([work] * min(AT_ONCE, len(things)))

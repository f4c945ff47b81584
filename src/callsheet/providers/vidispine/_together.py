"""Several requests at once, where Vidispine has no call for many."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio

__all__ = ["each"]

T = TypeVar("T")

AT_ONCE = 8
"""Requests of one call that are in flight at a time."""


async def each(things: Sequence[T], do: Callable[[T], Awaitable[None]]) -> None:
    """Do something to each thing, a few at a time; the first error ends it all, and is raised as it is."""
    if len(things) == 1:
        return await do(things[0])
    waiting = iter(things)
    failed: list[Exception] = []

    async def work() -> None:
        for thing in waiting:
            try:
                await do(thing)
            except Exception as error:  # noqa: BLE001 - raised below, outside the group
                failed.append(error)
                tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        for _ in range(min(AT_ONCE, len(things))):
            tasks.start_soon(work)
    if failed:
        raise failed[0]
    return None

"""Much to do at once, without keeping anybody else waiting."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import anyio
from anyio.lowlevel import checkpoint

from callsheet._errors import CallsheetError

__all__ = ["in_steps", "together"]

T = TypeVar("T")
R = TypeVar("R")

STEP = 200
"""Small things done before others on the loop get their turn."""


async def in_steps(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Return the function's result for each item; with many, others on the loop get their turn in between."""
    done: list[R] = []
    for item in items:
        done.append(function(item))
        if len(done) % STEP == 0:
            await checkpoint()
    return done


async def together(jobs: Iterable[Callable[[], Awaitable[None]]]) -> None:
    """Run all at once; when one fails, end the others and raise its error as it is, in no group."""
    errors: list[Exception] = []

    async def run(job: Callable[[], Awaitable[None]], scope: anyio.CancelScope) -> None:
        try:
            await job()
        except (CallsheetError, OSError) as error:
            errors.append(error)
            scope.cancel()

    async with anyio.create_task_group() as tasks:
        for job in jobs:
            tasks.start_soon(run, job, tasks.cancel_scope)
    if errors:
        raise errors[0]

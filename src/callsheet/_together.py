"""Several things at once, as one: the first that fails ends the others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

import anyio

__all__ = ["together"]


async def together(jobs: Iterable[Callable[[], Awaitable[None]]]) -> None:
    """Run all at once; when one fails, end the others and raise its error as it is, in no group."""
    errors: list[Exception] = []

    async def run(job: Callable[[], Awaitable[None]], scope: anyio.CancelScope) -> None:
        try:
            await job()
        except Exception as error:  # noqa: BLE001 - raised below, outside the group
            errors.append(error)
            scope.cancel()

    async with anyio.create_task_group() as tasks:
        for job in jobs:
            tasks.start_soon(run, job, tasks.cancel_scope)
    if errors:
        raise errors[0]

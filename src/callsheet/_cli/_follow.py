"""`callsheet jobs watch` and `wait`: follow jobs until they have ended."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import anyio

from callsheet import CallsheetError, Client, InvalidRequest, Job, JobState
from callsheet._cli import _values
from callsheet._cli._exits import Exit
from callsheet._cli._output import line, record, terminal, write_jobs
from callsheet._cli._session import SHOWN, WHERE, Shown, Where

__all__ = ["has_failed", "shown_meanwhile", "wait", "watch"]


async def watch(
    jobs: tuple[str, ...] = (),
    /,
    *,
    state: tuple[JobState, ...] = (),
    type: tuple[str, ...] = (),  # noqa: A002 - the option's name
    user: str | None = None,
    item: str | None = None,
    attribute: _values.Attributes = (),
    since: _values.Moment | None = None,
    json: bool = False,
    where: Where = WHERE,
) -> None:
    """Follow jobs: named ones until all have ended, or, until Ctrl-C, whatever matches the options.

    Args:
        jobs: Their ids.
        state: Jobs in this state; may be repeated.
        type: Jobs of this type; may be repeated.
        user: This user's jobs.
        item: Jobs that work on this asset.
        attribute: Jobs with this attribute, NAME=VALUE; may be repeated.
        since: Jobs made since then: 2h (ago; s, m, h, d, w) or 2026-03-01T12:00.
        json: Write a JSON line for each change, as is done anyway when standard output is no terminal.
    """
    filters: dict[str, Any] = {
        "states": state or None,
        "types": type or None,
        "user": user,
        "item": item,
        "attributes": _values.attributes(attribute) or None,
        "created_after": since,
    }
    if not jobs and not any(filters.values()):
        raise InvalidRequest("say which jobs to watch: their ids, or an option such as --state running")
    async with where.client() as client:
        if json or not sys.stdout.isatty():
            async for change in client.jobs.watch(*jobs, **filters):
                sides = {"previous": change.previous, "current": change.current}
                line({name: job and record(job) for name, job in sides.items()})
        else:
            await _show(client, jobs, filters, stderr=False)


async def wait(
    jobs: tuple[str, ...],
    /,
    *,
    timeout: float | None = None,
    until: tuple[JobState, ...] = (),
    shown: Shown = SHOWN,
) -> Exit:
    """Wait until all the jobs have ended, and show them. Exits with 4 if one failed or was cancelled.

    Args:
        jobs: Their ids.
        timeout: Seconds after which to give up, with exit code 124; by default never.
        until: A state that is enough, besides an end; may be repeated.
    """
    async with shown.client() as client:
        async with shown_meanwhile(client, jobs):
            ended = await client.jobs.wait_all(jobs, timeout=timeout, until=until or None)
    write_jobs(ended, shown)
    return Exit.ENDED_BADLY if any(has_failed(job) and job.state not in until for job in ended) else Exit.OK


@asynccontextmanager
async def shown_meanwhile(client: Client[Any], jobs: tuple[str, ...]) -> AsyncIterator[None]:
    """Show jobs as bars on standard error, if that is a terminal, until the block is left."""
    async with AsyncExitStack() as stack:
        if sys.stderr.isatty():
            await stack.enter_async_context(_beside(_show_meanwhile, client, jobs))
        yield


def has_failed(job: Job) -> bool:
    """Tell whether a job that has ended did not end well."""
    return job.state in {JobState.FAILED, JobState.CANCELLED}


@asynccontextmanager
async def _beside(work: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> AsyncIterator[None]:
    """Run some work until the block is left."""
    trouble: Exception | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work, *args)
        try:
            yield
        except CallsheetError as error:
            trouble = error  # raised below, where the group does not wrap it
        tasks.cancel_scope.cancel()
    if trouble is not None:
        raise trouble


async def _show_meanwhile(client: Client[Any], jobs: tuple[str, ...]) -> None:
    with suppress(CallsheetError):  # the wait itself raises it
        await _show(client, jobs, {}, stderr=True)


async def _show(client: Client[Any], jobs: tuple[str, ...], filters: dict[str, Any], *, stderr: bool) -> None:
    from callsheet._cli._bars import job_bars

    # What goes to standard error is there meanwhile only; the result follows on standard output.
    with job_bars(terminal(stderr=stderr), leaves_lines=not stderr) as bars:
        async with _beside(bars.move):
            async for change in client.jobs.watch(*jobs, **filters):
                bars.see(change)

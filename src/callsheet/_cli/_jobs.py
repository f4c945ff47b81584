"""`callsheet jobs`: list, show, create, update, cancel, rerun."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from callsheet import CallsheetError, Job, JobState, Unsupported
from callsheet._cli import _values
from callsheet._cli._exits import Exit, explained
from callsheet._cli._messages import say
from callsheet._cli._output import write_job, write_jobs
from callsheet._cli._session import SHOWN, Shown

__all__ = ["cancel", "create", "list_", "rerun", "show", "update"]

USUAL_LIMIT = 100


async def list_(
    *,
    state: tuple[JobState, ...] = (),
    type: tuple[str, ...] = (),  # noqa: A002 - the option's name
    user: str | None = None,
    item: str | None = None,
    attribute: _values.Attributes = (),
    since: _values.Moment | None = None,
    until: _values.Moment | None = None,
    oldest_first: bool = False,
    limit: Annotated[int | None, Parameter(validator=Number(gte=0))] = None,
    shown: Shown = SHOWN,
) -> None:
    """List jobs, newest first.

    Args:
        state: Only jobs in this state; may be repeated.
        type: Only jobs of this type; may be repeated.
        user: Only this user's jobs.
        item: Only jobs that work on this asset.
        attribute: Only jobs with this attribute, NAME=VALUE; may be repeated.
        since: Only jobs made since then: 2h (ago; s, m, h, d, w) or 2026-03-01T12:00.
        until: Only jobs made before then.
        oldest_first: The other way round.
        limit: The most jobs to list, by default 100; 0 for all.
    """
    most = USUAL_LIMIT if limit is None else limit
    async with shown.client() as client:
        listing = client.jobs.list(
            states=state or None,
            types=type or None,
            user=user,
            item=item,
            attributes=_values.attributes(attribute) or None,
            created_after=since,
            created_before=until,
            newest_first=not oldest_first,
            page_size=most + 1 if most else None,
        )
        jobs = await listing.collect(limit=most + 1 if most else None)
    write_jobs(jobs[:most] if most else jobs, shown)
    if limit is None and len(jobs) > most:
        say(f"there are more than these {most} jobs; --limit 0 lists all")


async def show(job: str, /, *, shown: Shown = SHOWN) -> None:
    """Show a job with all its fields, and its files.

    Args:
        job: Its id.
    """
    async with shown.client() as client:
        found = await client.jobs.get(job)
        try:
            files = await client.components.list(job=found).collect()
        except Unsupported:
            files = []
    write_job(found, files, shown)


async def create(
    name: str,
    /,
    *,
    user: str | None = None,
    type: str | None = None,  # noqa: A002 - the option's name
    state: JobState | None = None,
    description: str = "",
    priority: int | None = None,
    item: str | None = None,
    attribute: _values.Attributes = (),
    file: tuple[Path, ...] = (),
    template: Path | None = None,
    parameter: _values.Attributes = (),
    output: tuple[Path, ...] = (),
    idempotency_key: str | None = None,
    shown: Shown = SHOWN,
) -> None:
    """Make a job.

    Args:
        name: What people see.
        user: Whose it is; by default yours.
        type: The tracker's own kind of job.
        state: Its first state; by default the tracker's own, such as queued.
        description: More for people.
        priority: 0 to 100.
        item: The asset that it works on.
        attribute: Data of your own, NAME=VALUE; may be repeated. A VALUE that is JSON is taken as such.
        file: A file that belongs to it from the start; may be repeated.
        template: What a tracker that runs jobs is to do: a template's file, or a job bundle's folder.
        parameter: A value for a parameter of the template, NAME=VALUE; may be repeated.
        output: A folder whose new files it collects; may be repeated.
        idempotency_key: Repeating the command with the same key makes no second job.
    """
    async with shown.client() as client:
        job = await client.jobs.create(
            name,
            user=user,
            type=type,
            state=state,
            description=description,
            priority=priority,
            item=item,
            attributes=_values.attributes(attribute) or None,
            files=file,
            template=template,
            parameters=_values.texts(parameter) or None,
            outputs=output,
            idempotency_key=idempotency_key,
        )
    write_jobs([job], shown)


async def update(
    jobs: tuple[str, ...],
    /,
    *,
    state: JobState | None = None,
    progress: _values.Share | None = None,
    message: str | None = None,
    problem: str | None = None,
    description: str | None = None,
    priority: int | None = None,
    name: str | None = None,
    attribute: _values.Attributes = (),
    shown: Shown = SHOWN,
) -> None:
    """Change jobs: all of them alike, or none if one does not exist.

    Args:
        jobs: Their ids.
        state: The new state.
        progress: How far they are: 40% or 0.4.
        message: What they are doing.
        problem: Why they failed.
        description: More for people.
        priority: 0 to 100.
        name: What people see.
        attribute: Data of your own, NAME=VALUE, instead of all that is there; may be repeated.
    """
    given: dict[str, Any] = {
        "state": state,
        "progress": progress,
        "message": message,
        "problem": problem,
        "description": description,
        "priority": priority,
        "name": name,
        "attributes": _values.attributes(attribute) or None,
    }
    changes = {field: value for field, value in given.items() if value is not None}
    async with shown.client() as client:
        write_jobs(await client.jobs.update_many(jobs, **changes), shown)


async def cancel(jobs: tuple[str, ...], /, *, shown: Shown = SHOWN) -> Exit:
    """Ask jobs to stop; those that have ended stay as they are.

    Args:
        jobs: Their ids.
    """
    async with shown.client() as client:
        return await _each(jobs, client.jobs.cancel, shown)


async def rerun(jobs: tuple[str, ...], /, *, shown: Shown = SHOWN) -> Exit:
    """Run jobs again, and show the new ones.

    Args:
        jobs: The ids of the old ones.
    """
    async with shown.client() as client:
        return await _each(jobs, client.jobs.rerun, shown)


async def _each(jobs: tuple[str, ...], change: Callable[[str], Awaitable[Job]], shown: Shown) -> Exit:
    """Change one after the other; one that cannot be does not keep the others from it."""
    done = []
    code = Exit.OK
    for job in jobs:
        try:
            done.append(await change(job))
        except CallsheetError as error:
            code, text = explained(error)
            say(f"error: {text}")
    write_jobs(done, shown)
    return code

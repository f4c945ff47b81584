"""attach: upload many, link once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from callsheet._door import new_key
from callsheet._errors import AttachError, CallsheetError, NotFound, Outcome
from callsheet._models import Component
from callsheet._transfers import OnProgress, as_file, checked_options, upload_all
from callsheet.abc import Provider

__all__ = ["attach"]


async def attach(
    provider: Provider,
    job_id: str,
    given: Sequence[Any],
    *,
    location: str | None,
    concurrency: int | None,
    on_progress: OnProgress | None,
) -> list[Component]:
    """Upload what is not yet there, link all that arrived in one request, and tell what failed."""
    files = [as_file(one) for one in given]
    checked_options(location, concurrency, on_progress)
    if (await provider.get_jobs([job_id]))[0] is None:
        raise NotFound(f"there is no job {job_id!r}", provider=provider.name)
    new = {index: file for index, file in enumerate(files) if not isinstance(file, Component)}
    sent, troubles = await upload_all(
        provider,
        list(new.values()),
        location=location,
        keys=[new_key() for _ in new],
        concurrency=concurrency,
        on_progress=on_progress,
    )
    there = {index: file for index, file in enumerate(files) if isinstance(file, Component)}
    there |= {index: done for index, done in zip(new, sent, strict=True) if done is not None}
    arrived = [there[index] for index in sorted(there)]
    errors = {index: troubles[number] for number, index in enumerate(new) if number in troubles}
    try:
        attached = await provider.link(job_id, arrived) if arrived else []
    except CallsheetError as error:
        errors |= dict.fromkeys(there, error)
        # What was uploaded stands there as its component: nothing need be sent twice.
        failed = {there.get(index, given[index]): errors[index] for index in sorted(errors)}
        raise _error(provider, len(errors), len(files), [], failed, error.outcome) from error
    if errors:
        failed = {given[index]: errors[index] for index in sorted(errors)}
        raise _error(provider, len(errors), len(files), attached, failed, Outcome.NOT_DONE)
    return attached


def _error(
    provider: Provider,
    number: int,
    total: int,
    attached: list[Component],
    failed: dict[Any, Exception],
    outcome: Outcome,
) -> AttachError:
    what, why = next(iter(failed.items()))
    name = what.name if isinstance(what, Component) else str(what)
    outcomes = {outcome, *(error.outcome for error in failed.values() if isinstance(error, CallsheetError))}
    return AttachError(
        f"{number} of {total} files could not be attached, the first is {name}: {why}",
        attached=attached,
        failed=failed,
        outcome=Outcome.UNKNOWN if Outcome.UNKNOWN in outcomes else Outcome.DONE if attached else outcome,
        provider=provider.name,
    )

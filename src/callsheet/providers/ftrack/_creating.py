"""Jobs that begin with files: the files are uploaded first, each under a key of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from callsheet._errors import AttachError, Outcome
from callsheet._models import Component, NewJob
from callsheet._transfers import as_file, upload_all
from callsheet.abc import Provider
from callsheet.providers.ftrack._drafts import Inputs

__all__ = ["uploaded"]


async def uploaded(provider: Provider, new: Sequence[NewJob], *, known: Sequence[bool]) -> list[Inputs]:
    """Upload the files of the jobs, many at once, and return them job by job.

    Args:
        provider: Takes the files.
        new: The jobs, each with its key.
        known: Which of them are there already: their files are left alone.

    Raises:
        AttachError: A file could not be uploaded. Those that could are found again under the same keys.
    """
    given = [[as_file(file) for file in job.files] for job in new]
    wanted = [
        (file, f"{job.idempotency_key}/{index}", job.files[index])
        for job, files, is_known in zip(new, given, known, strict=True)
        for index, file in enumerate(files)
        if not is_known and not isinstance(file, Component)
    ]
    keys = [key for _, key, _ in wanted]
    done, failed = await upload_all(provider, [file for file, _, _ in wanted], location=None, keys=keys)
    if failed:
        raise _error(provider, new, {wanted[index][2]: error for index, error in failed.items()}, len(wanted))
    made = {key: component.id for key, component in zip(keys, done, strict=True) if component is not None}
    return [
        Inputs([_name(file) for file in files], [] if is_known else _ids(job, files, made))
        for job, files, is_known in zip(new, given, known, strict=True)
    ]


def _ids(job: NewJob, files: Sequence[Any], made: dict[str, str]) -> list[str]:
    ids = [
        file.id if isinstance(file, Component) else made[f"{job.idempotency_key}/{index}"]
        for index, file in enumerate(files)
    ]
    return list(dict.fromkeys(ids))


def _name(file: Any) -> str:
    return f"component {file.id}" if isinstance(file, Component) else file.name


def _error(
    provider: Provider, new: Sequence[NewJob], failed: dict[Any, Exception], total: int
) -> AttachError:
    what, why = next(iter(failed.items()))
    return AttachError(
        f"{len(failed)} of {total} files could not be uploaded, so no job was made;"
        f" the first is {what}: {why}",
        attached=[],
        failed=failed,
        outcome=Outcome.NOT_DONE,
        idempotency_key=new[0].idempotency_key if len(new) == 1 else None,
        provider=provider.name,
    )

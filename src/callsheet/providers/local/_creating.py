"""Jobs that begin with files: first the files, each under a key of its own, then the jobs with them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, TypeAlias

from callsheet._errors import AttachError, Outcome
from callsheet._files import File, FrameSequence
from callsheet._models import Component, NewJob
from callsheet._transfers import as_file, upload_all
from callsheet.abc import Provider
from callsheet.providers.local import _keys
from callsheet.providers.local._making import Order
from callsheet.providers.local._store import Store

__all__ = ["order"]

Given: TypeAlias = File | FrameSequence | Component


async def order(provider: Provider, store: Store, new: Sequence[NewJob]) -> Order:
    """Upload the files of the jobs, and return what is to be written.

    Raises:
        AttachError: A file could not be stored. Those that could are found again under the same keys.
    """
    if not any(job.files for job in new):
        return Order(new, provider.user)
    given = [[as_file(file) for file in job.files] for job in new]
    used = await store.read(_keys.used, [str(job.idempotency_key) for job in new])
    # A job that was made before is looked up by its key alone: its files are there.
    sent = [[] if job.idempotency_key in used else files for job, files in zip(new, given, strict=True)]
    there = await _upload(provider, new, sent)
    return Order(
        new,
        provider.user,
        files=[[_named(file) for file in files] for files in given],
        component_ids=[[there[id(file)].id for file in files] for files in sent],
    )


async def _upload(provider: Provider, new: Sequence[NewJob], sent: list[list[Given]]) -> dict[int, Component]:
    """Return the component of each file, by the identity of what was given."""
    there = {id(file): file for files in sent for file in files if isinstance(file, Component)}
    files: list[File | FrameSequence] = []
    keys: list[str] = []
    originals: list[Any] = []
    for job, row in zip(new, sent, strict=True):
        for index, file in enumerate(row):
            if not isinstance(file, Component):
                files.append(file)
                keys.append(str(uuid.uuid5(uuid.NAMESPACE_OID, f"{job.idempotency_key}/{index}")))
                originals.append(job.files[index])
    done, failed = await upload_all(provider, files, location=None, keys=keys)
    if failed:
        first = min(failed)
        raise AttachError(
            f"{len(failed)} of {len(files)} files could not be stored, so no job was made; the first is"
            f" {files[first].name}: {failed[first]}",
            attached=[],
            failed={originals[index]: error for index, error in failed.items()},
            outcome=Outcome.NOT_DONE,
            idempotency_key=new[0].idempotency_key if len(new) == 1 else None,
            provider=provider.name,
        )
    return there | {
        id(file): component for file, component in zip(files, done, strict=True) if component is not None
    }


def _named(file: Given) -> str:
    return f"component {file.id}" if isinstance(file, Component) else file.name

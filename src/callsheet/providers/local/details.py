"""The local tracker's own records, typed: what `job.details` and `LocalProvider.details` return."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import attrs
from cattrs import Converter

from callsheet._models import Component, Job, Location
from callsheet.providers.local._stamps import from_us

__all__ = ["LocalComponent", "LocalJob", "LocalLocation", "read_component", "read_job", "read_location"]


@attrs.frozen(kw_only=True)
class LocalJob:
    """A job as the local tracker keeps it. Times are in UTC.

    Attributes:
        seq: The number of the transaction that last changed it; later changes have larger ones.
        fence: How often its lease was given out or taken away. A worker with an older one has lost the job.
        lease_until: When it counts as lost unless its worker beats, in microseconds of the monotonic clock of
            `boot`; `None` without a lease.
        lease_length: The whole lease, with its time of grace, in microseconds.
        boot: The boot of the machine on which the lease was taken.
    """

    id: str
    name: str
    state: str
    type: str | None
    priority: int | None
    progress: float | None
    message: str | None
    description: str
    problem: str | None
    user: str
    item: str | None
    source_id: str | None
    created_at: datetime
    started_at: datetime | None
    updated_at: datetime
    finished_at: datetime | None
    attributes: dict[str, Any]
    seq: int
    fence: int
    lease_until: int | None
    lease_length: int | None
    boot: str | None


@attrs.frozen(kw_only=True)
class LocalComponent:
    """A component as the local tracker keeps it.

    Attributes:
        kind: `"file"`, `"sequence"` (its frames are components of their own), or `"frame"`.
        parent_id: The sequence that a frame belongs to.
    """

    id: str
    parent_id: str | None
    kind: str
    name: str
    size: int
    checksum: str | None
    location_id: str
    created_at: datetime
    job_id: str | None
    role: str | None


@attrs.frozen(kw_only=True)
class LocalLocation:
    """The place where the local tracker keeps bytes."""

    id: str
    name: str
    kind: str


_converter = Converter()
_converter.register_structure_hook(datetime, lambda value, _: from_us(value))


def read_job(job: Job) -> LocalJob:
    """Return the job's record, typed."""
    return _converter.structure(job.raw, LocalJob)


def read_component(component: Component) -> LocalComponent:
    """Return the component's record, typed."""
    return _converter.structure(component.raw, LocalComponent)


def read_location(location: Location) -> LocalLocation:
    """Return the location's record, typed."""
    return _converter.structure(location.raw, LocalLocation)

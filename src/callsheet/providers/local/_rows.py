"""Rows of the database as callsheet's models: plain constructors, for speed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from callsheet._models import Component, Job, JobState, Location
from callsheet.providers.local._schema import components, jobs
from callsheet.providers.local._stamps import from_us
from callsheet.providers.local.details import read_component, read_job, read_location

__all__ = ["ENDED", "LOCATION", "component_of", "job_of", "job_of_mapping", "json_text"]

ENDED = frozenset(state.value for state in (JobState.DONE, JobState.FAILED, JobState.CANCELLED))

JOB_COLUMNS = tuple(jobs.c.keys())
_COMPONENT_COLUMNS = (*components.c.keys(), "job_id", "role")
_STATES = {state.value: state for state in JobState}

LOCATION_ID = "local"


def json_text(value: Any) -> str:
    """Return the value as compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def job_of(tracker: str, row: Sequence[Any]) -> Job:
    """Return the job of a row with all columns of `jobs`, in order."""
    raw = dict(zip(JOB_COLUMNS, row, strict=True))
    (
        id_,
        name,
        state,
        type_,
        priority,
        progress,
        message,
        description,
        problem,
        user,
        item,
        source_id,
        created,
    ) = row[:13]
    started, updated, finished, attributes = row[13:17]
    raw["attributes"] = decoded = json.loads(attributes)
    return Job(
        id=id_,
        raw=raw,
        reader=read_job,
        tracker=tracker,
        name=name,
        state=_STATES.get(state, JobState.UNKNOWN),
        vendor_state=state,
        ended=state in ENDED,
        type=type_,
        priority=priority,
        progress=progress,
        message=message,
        description=description,
        problem=problem,
        user=user,
        item=item,
        source_id=source_id,
        created_at=from_us(created),
        started_at=None if started is None else from_us(started),
        updated_at=from_us(updated),
        finished_at=None if finished is None else from_us(finished),
        attributes=decoded,
    )


def job_of_mapping(tracker: str, row: Mapping[str, Any]) -> Job:
    """Return the job of a row given by column names."""
    return job_of(tracker, [row[name] for name in JOB_COLUMNS])


def component_of(row: Sequence[Any]) -> Component:
    """Return the component of a row with all columns of `components`, and a link's job and role."""
    raw = dict(zip(_COMPONENT_COLUMNS, row, strict=True))
    return Component(
        id=raw["id"],
        raw=raw,
        reader=read_component,
        name=raw["name"],
        size=raw["size"],
        checksum=raw["checksum"],
        role=raw["role"],
        job_id=raw["job_id"],
        location_id=raw["location_id"],
        created_at=from_us(raw["created_at"]),
    )


LOCATION = Location(
    id=LOCATION_ID,
    raw={"id": LOCATION_ID, "name": "local", "kind": "directory"},
    reader=read_location,
    name="local",
    kind="directory",
)
"""The one place where this tracker keeps bytes."""

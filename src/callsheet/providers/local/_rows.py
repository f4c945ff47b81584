"""Rows of the database as callsheet's models: plain constructors, for speed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from callsheet._models import Component, Job, JobState, Location
from callsheet.providers.local._schema import components, jobs
from callsheet.providers.local._stamps import from_us
from callsheet.providers.local.details import read_component, read_job, read_location

__all__ = ["ENDED", "LOCATION", "component_of", "job_of", "job_of_mapping", "json_text"]

ENDED = frozenset(state.value for state in (JobState.DONE, JobState.FAILED, JobState.CANCELLED))

JOB_COLUMNS = tuple(jobs.c.keys())
_COMPONENT_COLUMNS = (*components.c.keys(), "job_id", "role")
_PLACES = {name: place for place, name in enumerate(JOB_COLUMNS)}
_STATES = {state.value: state for state in JobState}

# What we wrote has no space around it, which `json.loads` would look for.
_DECODER = json.JSONDecoder()
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))

LOCATION_ID = "local"


def json_text(value: Any) -> str:
    """Return the value as compact JSON."""
    return _ENCODER.encode(value)


class JobRecord(Mapping[str, Any]):
    """A row of `jobs` by column names. Most are never looked at, so it is no dictionary before that."""

    __slots__ = ("_row",)

    def __init__(self, row: tuple[Any, ...]) -> None:
        self._row = row

    def __getitem__(self, name: str) -> Any:
        value = self._row[_PLACES[name]]
        return _decoded(value) if name == "attributes" else value

    def __iter__(self) -> Iterator[str]:
        return iter(JOB_COLUMNS)

    def __len__(self) -> int:
        return len(JOB_COLUMNS)

    def __repr__(self) -> str:
        return f"JobRecord({dict(self)!r})"


def job_of(tracker: str, row: tuple[Any, ...]) -> Job:
    """Return the job of a row with all columns of `jobs`, in order."""
    id_, name, state, type_, priority, progress, message, description, problem, user, item, source_id = row[
        :12
    ]
    created, started, updated, finished, attributes = row[12:17]
    created_at = from_us(created)
    return Job(
        id=id_,
        raw=JobRecord(row),
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
        created_at=created_at,
        started_at=None if started is None else from_us(started),
        updated_at=created_at if updated == created else from_us(updated),
        finished_at=None if finished is None else from_us(finished),
        attributes=_decoded(attributes),
    )


def _decoded(attributes: str) -> dict[str, Any]:
    decoded: dict[str, Any] = _DECODER.raw_decode(attributes)[0]
    return decoded


def job_of_mapping(tracker: str, row: Mapping[str, Any]) -> Job:
    """Return the job of a row given by column names, in order."""
    return job_of(tracker, tuple(row.values()))


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

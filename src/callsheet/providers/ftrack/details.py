"""ftrack's own records, typed: what `job.details` and `FtrackProvider.details` return.

Fields that an answer did not carry are `None`. What a newer server adds stays in `raw`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any, TypeVar

import attrs
from cattrs import BaseValidationError, Converter, transform_error
from cattrs.gen import make_dict_structure_fn, override

from callsheet._errors import InvalidResponse
from callsheet._models import Component, Job, Location, Record

__all__ = [
    "FtrackComponent",
    "FtrackComponentLocation",
    "FtrackJob",
    "FtrackLocation",
    "FtrackUser",
    "read_component",
    "read_job",
    "read_location",
    "read_time",
]

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class FtrackUser:
    """A person with an account."""

    id: str
    username: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None
    is_active: bool | None = None
    resource_type: str | None = None


@attrs.frozen(kw_only=True)
class FtrackJob:
    """A job as ftrack keeps it. Times are in UTC.

    Attributes:
        type: `"api_job"`, or what the server itself calls the jobs it makes.
        status: ftrack's word, whatever callsheet has marked.
        data: The text, decoded if it is a JSON object; callsheet's part is under `"callsheet"`.
    """

    id: str
    type: str
    status: str
    data: Mapping[str, Any] | str | None = None
    created_at: datetime | None = None
    finished_at: datetime | None = None
    user_id: str | None = None
    user: FtrackUser | None = None


@attrs.frozen(kw_only=True)
class FtrackComponentLocation:
    """That a location has a component's bytes.

    Attributes:
        resource_identifier: What the location calls them.
    """

    id: str | None = None
    component_id: str | None = None
    location_id: str | None = None
    resource_identifier: str | None = None


@attrs.frozen(kw_only=True)
class FtrackComponent:
    """A component as ftrack keeps it.

    Attributes:
        entity_type: `"FileComponent"`, `"SequenceComponent"` or `"ContainerComponent"`.
        file_type: The suffix, with its dot.
        container_id: The sequence or container that it is a member of.
        version_id: The asset version that it belongs to.
        metadata: Keys and values that programs have put on it; callsheet's are under `"callsheet"`.
    """

    id: str
    entity_type: str
    name: str | None = None
    file_type: str | None = None
    size: int | None = None
    system_type: str | None = None
    padding: int | None = None
    container_id: str | None = None
    version_id: str | None = None
    component_locations: tuple[FtrackComponentLocation, ...] = ()
    metadata: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class FtrackLocation:
    """A location as ftrack keeps it."""

    id: str
    name: str | None = None
    label: str | None = None
    description: str | None = None


def read_time(value: Any, zone: tzinfo) -> datetime | None:
    """Return a moment of ftrack's in UTC; one that names no zone is in that of the server.

    Raises:
        TypeError, ValueError: It is none.
    """
    if value is None:
        return None
    moment = datetime.fromisoformat(value["value"] if isinstance(value, dict) else value)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)


def _data(value: Any, _: Any) -> Any:
    try:
        decoded = json.loads(value)
    except (TypeError, ValueError, RecursionError):
        return value
    return decoded if isinstance(decoded, dict) else value


def _metadata(value: Any, _: Any) -> Mapping[str, str]:
    return {entry["key"]: entry["value"] for entry in value or () if "key" in entry}


_converter = Converter()
_converter.register_structure_hook(datetime, lambda value, _: value)
_converter.register_structure_hook(
    FtrackComponent,
    make_dict_structure_fn(
        FtrackComponent,
        _converter,
        entity_type=override(rename="__entity_type__"),
        metadata=override(struct_hook=_metadata),
    ),
)
_converter.register_structure_hook(
    FtrackJob, make_dict_structure_fn(FtrackJob, _converter, data=override(struct_hook=_data))
)


def read_job(job: Job, *, zone: tzinfo) -> FtrackJob:
    """Return the job's record, typed, of a server whose times are in that zone.

    Raises:
        InvalidResponse: A field holds nothing that can be read; the message names it. So the others.
    """
    times = {name: read_time(job.raw.get(name), zone) for name in ("created_at", "finished_at")}
    return _structured(_said(job) | times, FtrackJob)


def _said(record: Record) -> dict[str, Any]:
    # ftrack writes null for what is empty, collections among it.
    return {name: value for name, value in record.raw.items() if value is not None}


def read_component(component: Component) -> FtrackComponent:
    """Return the component's record, typed."""
    return _structured(_said(component), FtrackComponent)


def read_location(location: Location) -> FtrackLocation:
    """Return the location's record, typed."""
    return _structured(_said(location), FtrackLocation)


def _structured(said: Mapping[str, Any], kind: type[T]) -> T:
    try:
        return _converter.structure(said, kind)
    except BaseValidationError as exc:
        raise InvalidResponse("; ".join(transform_error(exc)), provider="ftrack") from exc

"""ftrack's jobs, components and locations as callsheet's models: shapes only, nothing is sent from here."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import attrs

from callsheet._models import Component, Job, Location
from callsheet.providers.ftrack._record import ENDED, Record, decoded, part, state_of
from callsheet.providers.ftrack.details import read_component, read_location, read_time

__all__ = [
    "COMPONENT",
    "JOB",
    "LOCATION",
    "SERVER_LOCATION",
    "component_of",
    "frame_number",
    "is_container",
    "job_of",
    "location_of",
    "member_of",
    "name_of",
    "note_of",
    "split_name",
    "write_time",
]

JOB = ("id", "type", "status", "data", "created_at", "finished_at", "user_id", "user.username")
"""What is asked for of a job."""

COMPONENT = (
    *("id", "name", "file_type", "size", "system_type", "container_id", "version_id"),
    *("component_locations.location_id", "component_locations.resource_identifier"),
    *("metadata.key", "metadata.value"),
)
"""What is asked for of a component."""

LOCATION = ("id", "name", "label", "description")
"""What is asked for of a location."""

SERVER_LOCATION = "3a372bde-05bc-11e4-8908-20c9d081909b"
"""The id of `ftrack.server`, the one location whose bytes the server itself keeps; the same everywhere."""

_BUILT_IN = re.compile(r"ftrack\.(origin|unmanaged|review|server|connect)")
_ONE_NUMBER = re.compile(r"(?:[^%]|%%)*%0?\d{0,2}d(?:[^%]|%%)*", re.DOTALL)
_CONTAINERS = {"SequenceComponent", "ContainerComponent"}


_NUMBERS = {int, float}


# -- times ---------------------------------------------------------------------------------------------------


def write_time(moment: datetime, zone: tzinfo, *, up: bool = False) -> str:
    """Return the moment as a query writes it: in the server's zone, in whole seconds, rounded down or up."""
    try:
        if up and moment.microsecond:
            moment += timedelta(seconds=1)
        local = moment.astimezone(zone)
    except OverflowError:  # no calendar goes on there: the last moment it has will do
        local = datetime.min if moment.year == 1 else datetime.max
    return local.replace(microsecond=0, tzinfo=None).isoformat()


# -- jobs ----------------------------------------------------------------------------------------------------


def job_of(row: Mapping[str, Any], *, tracker: str, zone: tzinfo, reader: Callable[[Job], Any]) -> Job:
    """Return the job of a row with the attributes of `JOB`."""
    data = decoded(row.get("data"))
    record = part(data)
    status = _word(row["status"])
    ended = status in ENDED
    created = read_time(row.get("created_at"), zone)
    finished = _end(read_time(row.get("finished_at"), zone), _after(created, record.get("finished")))
    user = row.get("user")
    return Job(
        id=_word(row["id"]),
        raw=row,
        reader=reader,
        tracker=tracker,
        name=name_of(row, data),
        state=state_of(status, record),
        vendor_state=status,
        ended=ended,
        type=_text(row.get("type")),
        priority=_number(record.get("priority"), 100),
        progress=_number(record.get("progress"), 1),
        message=_text(record.get("message")),
        description=_text(record.get("description")) or "",
        problem=_text(record.get("problem")),
        user=None if user is None else _text(user.get("username")),
        source_id=_text(record.get("source")),
        created_at=created,
        started_at=_after(created, record.get("started")),
        updated_at=_after(created, record.get("updated")),
        finished_at=finished if ended else None,
        attributes=_mapping(record.get("attributes")),
    )


def name_of(row: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    """Return the job's name: callsheet's, else the description that ftrack shows, else the job's type."""
    named = _text(part(data).get("name")) or _text(data.get("description")) or _text(row.get("type"))
    return named or _word(row["id"])


def _end(theirs: datetime | None, ours: datetime | None) -> datetime | None:
    # The server's is in whole seconds; if it is another one, somebody else has ended the job since.
    if theirs is None or ours is None:
        return theirs or ours
    return ours if abs(theirs - ours) < timedelta(seconds=2) else theirs


def _after(created: datetime | None, seconds: Any) -> datetime | None:
    number = _number(seconds, 1e10)
    if created is None or number is None:
        return None
    return created + timedelta(seconds=number) if number else created


def _number(value: Any, most: float) -> Any:
    # Another program may have put anything here; NaN is not within any bounds.
    return value if type(value) in _NUMBERS and 0 <= value <= most else None


def _word(value: Any) -> str:
    """Return a text that nothing can do without."""
    if type(value) is not str:
        raise TypeError(f"{value!r} where a text belongs")
    return value


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


# -- components ----------------------------------------------------------------------------------------------


def component_of(row: Mapping[str, Any], *, job_id: str | None = None, role: str | None = None) -> Component:
    """Return the component of a row with the attributes of `COMPONENT`."""
    note = note_of(row)
    places = [place.get("location_id") for place in row.get("component_locations") or ()]
    id_ = _word(row["id"])
    return Component(
        id=id_,
        raw=row,
        reader=read_component,
        name=f"{row.get('name') or ''}{row.get('file_type') or ''}" or id_,
        size=None if row.get("size") is None else int(row["size"]),
        checksum=_text(note.get("checksum")),
        role=role,
        job_id=job_id,
        location_id=SERVER_LOCATION if SERVER_LOCATION in places else next(iter(places), None),
        created_at=_moment(note.get("created")),
    )


def _moment(text: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return None if moment.tzinfo is None else moment.astimezone(UTC)


def note_of(row: Mapping[str, Any]) -> Record:
    """Return what callsheet has noted beside a component: its checksum and when it was made."""
    for entry in row.get("metadata") or ():
        if entry.get("key") == "callsheet":
            return part({"callsheet": _json(entry.get("value"))})
    return {}


def _json(text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return None


def is_container(row: Mapping[str, Any]) -> bool:
    """Tell whether the row is of a component that has members instead of bytes."""
    return row.get("__entity_type__") in _CONTAINERS


def frame_number(row: Mapping[str, Any]) -> float:
    """Return the number that a member of a sequence is named by; those without one come last."""
    name = row.get("name")
    return int(name) if isinstance(name, str) and name.isdecimal() else math.inf


def member_of(row: Mapping[str, Any], sequence: Mapping[str, Any]) -> Component:
    """Return a member of a sequence, named as its file: ftrack itself names it by its number alone."""
    member, number = component_of(row), frame_number(row)
    if sequence.get("__entity_type__") != "SequenceComponent" or number == math.inf:
        return member
    pattern = _text(note_of(sequence).get("pattern"))
    if pattern is not None and _ONE_NUMBER.fullmatch(pattern):
        name = pattern % int(number)
    else:
        name = f"{sequence.get('name')}.{row.get('name')}{row.get('file_type') or ''}"
    return attrs.evolve(member, name=name)


def split_name(name: str) -> tuple[str, str]:
    """Return a file's name as ftrack keeps it: its stem, and its suffix with the dot. Joined, they are it."""
    stem, dot, suffix = name.rpartition(".")
    return (stem, dot + suffix) if stem else (name, "")


# -- locations -----------------------------------------------------------------------------------------------


def location_of(row: Mapping[str, Any]) -> Location:
    """Return the location of a row with the attributes of `LOCATION`; its kind is its part in ftrack."""
    id_ = _word(row["id"])
    name = _text(row.get("name")) or _text(row.get("label")) or id_
    built_in = _BUILT_IN.fullmatch(name)
    return Location(
        id=id_, raw=row, reader=read_location, name=name, kind=built_in[1] if built_in else "custom"
    )

"""Arguments, checked at the door: each error names the culprit, before anything is sent."""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import attrs

from callsheet._errors import ConfigError, InvalidRequest
from callsheet._models import Job, JobChanges, JobFilter, JobState, NewJob

__all__ = [
    "MAX_TEXT",
    "identity",
    "interval",
    "iterable",
    "job_changes",
    "job_filter",
    "job_id",
    "new_job",
    "progress",
    "seconds",
    "several",
    "text",
]

MAX_TEXT = 1 << 20
"""Bytes that one text, or all attributes of a job as JSON, may have."""

TOO_LONG = f"have more than the {MAX_TEXT} bytes of JSON that are allowed"

MAX_LEVELS = 100
"""Levels of attributes. A program that is deep in calls itself could not read or compare many more."""

NUL_IN_JSON = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
"""The escape of NUL, but not a backslash followed by `u0000`."""


def text(value: Any, field: str, *, empty: bool = False) -> str:
    """Return the text, if a database and a URL can hold it.

    Raises:
        InvalidRequest: Not a text, empty, too long, or with characters that no tracker can store.
    """
    if not isinstance(value, str):
        raise InvalidRequest(f"{field} must be a text, not {type(value).__name__}")
    if not value.strip() and not empty:
        raise InvalidRequest(f"{field} must not be empty")
    if "\0" in value:
        raise InvalidRequest(f"{field} holds a NUL character")
    try:
        length = len(value.encode())
    except UnicodeEncodeError as exc:
        raise InvalidRequest(f"{field} holds a character that is not Unicode: {value!r}") from exc
    if length > MAX_TEXT:
        raise InvalidRequest(f"{field} has {length} bytes; at most {MAX_TEXT} are allowed")
    return value


def optional_text(value: Any, field: str) -> str | None:
    return None if value is None else text(value, field)


def state(value: Any, field: str = "state") -> JobState:
    try:
        known = JobState(value)
    except ValueError:
        words = ", ".join(word.value for word in JobState if word is not JobState.UNKNOWN)
        raise InvalidRequest(f"{field}: {value!r} is not a state; there are {words}") from None
    return known


def settable_state(value: Any) -> JobState:
    known = state(value)
    if known is JobState.UNKNOWN:
        raise InvalidRequest("state: 'unknown' can be read, not set")
    return known


def number(value: Any, field: str, low: float, high: float) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidRequest(f"{field} must be a number, not {value!r}")
    if not low <= value <= high:  # false for NaN, too
        raise InvalidRequest(f"{field} must be from {low:g} to {high:g}, not {value!r}")
    return value


def progress(value: Any) -> float | None:
    """Return the progress as a float from 0.0 to 1.0, or `None`."""
    return None if value is None else float(number(value, "progress", 0, 1))


def priority(value: Any) -> int | None:
    if value is not None and number(value, "priority", 0, 100) != int(value):
        raise InvalidRequest(f"priority must be a whole number, not {value!r}")
    return None if value is None else int(value)


def seconds(value: Any, field: str, *, low: float = 0.0, high: float = sys.float_info.max) -> float:
    """Return a length of time in seconds, finite, not below `low` and not above `high`."""
    known = isinstance(value, int | float) and not isinstance(value, bool)
    if not known or not low <= value <= high:  # false for NaN, too
        end = "up" if high == sys.float_info.max else f"to {high:g}"
        raise InvalidRequest(f"{field} must be a number of seconds from {low:g} {end}, not {value!r}")
    return float(value)


def interval(value: Any, setting: str) -> float:
    """Return the seconds of a setting that says how often something is done."""
    try:
        return seconds(value, setting, low=0.001)
    except InvalidRequest as exc:
        raise ConfigError(str(exc)) from None


def moment(value: Any, field: str) -> datetime | None:
    if value is None:
        return None
    if not isinstance(value, datetime):
        raise InvalidRequest(f"{field} must be a datetime, not {value!r}")
    if value.utcoffset() is None:
        raise InvalidRequest(f"{field} must carry a time zone: {value!r} is naive")
    try:
        return value.astimezone(UTC)
    except OverflowError as exc:
        raise InvalidRequest(f"{field} is not in the years 1 to 9999 of UTC: {value!r}") from exc


def json_mapping(value: Any, field: str = "attributes") -> dict[str, Any]:
    """Return a copy of the attributes as they come back from JSON."""
    if not isinstance(value, Mapping):
        raise InvalidRequest(f"{field} must be a mapping, not {type(value).__name__}")
    for name in value:
        text(name, f"{field}: the name {name!r}")
    # Encoding what is far too long would hold up the loop.
    if not _may_fit(value, field):
        raise InvalidRequest(f"{field} {TOO_LONG}")
    try:
        encoded = json.dumps(dict(value), allow_nan=False, ensure_ascii=False)
        length = len(encoded.encode())
    except (TypeError, ValueError, RecursionError) as exc:
        raise InvalidRequest(f"{field} cannot be written as JSON: {exc}") from exc
    if length > MAX_TEXT:
        raise InvalidRequest(f"{field} {TOO_LONG}")
    if NUL_IN_JSON.search(encoded):
        raise InvalidRequest(f"{field} hold a NUL character")
    decoded: dict[str, Any] = json.loads(encoded)
    return decoded


def _may_fit(value: Mapping[Any, Any], field: str) -> bool:
    """Tell whether the value may have no more bytes than allowed, each character or member being one.

    Raises:
        InvalidRequest: It has too many levels.
    """
    left = MAX_TEXT
    rest: list[tuple[Any, int]] = [(value, 1)]
    while rest and left >= 0:
        inner, level = rest.pop()
        left -= len(inner)
        if isinstance(inner, str):
            continue
        if level > MAX_LEVELS:
            raise InvalidRequest(f"{field} have more than {MAX_LEVELS} levels of mappings and lists")
        if isinstance(inner, Mapping):
            rest += [(name, 0) for name in inner if isinstance(name, str)]
            inner = inner.values()
        rest += [(one, level + 1) for one in inner if isinstance(one, str | list | tuple | Mapping)]
    return left >= 0


def iterable(given: Iterable[Any], field: str) -> Iterable[Any]:
    """Return it as it is; a single job or file where several belong is a slip worth naming."""
    if isinstance(given, str | bytes | Job) or not isinstance(given, Iterable):
        raise InvalidRequest(f"{field}: give a list, not {type(given).__name__}")
    return given


def several(given: Iterable[Any], field: str) -> list[Any]:
    """Return what is iterable as a list."""
    return list(iterable(given, field))


def job_id(job: Job | str, tracker: str) -> str:
    """Return the id of a job that belongs to this tracker."""
    if isinstance(job, Job):
        if job.tracker != tracker:
            raise InvalidRequest(f"job {job.id} belongs to {job.tracker}, not to {tracker}")
        return job.id
    return identity(job, "job")


def identity(given: Any, kind: str) -> str:
    """Return the id that was given where the thing itself was not.

    Raises:
        InvalidRequest: It is neither.
    """
    if not isinstance(given, str):
        slip = "; await it first" if inspect.isawaitable(given) else ""
        raise InvalidRequest(
            f"{kind} must be a {kind.capitalize()} or its id, not {type(given).__name__}{slip}"
        )
    return text(given, kind)


def new_job(new: Any) -> NewJob:
    """Return the job to be made, with every field checked."""
    if not isinstance(new, NewJob):
        raise InvalidRequest(f"create_many takes NewJob, not {type(new).__name__}")
    return attrs.evolve(
        new,
        name=text(new.name, "name"),
        user=optional_text(new.user, "user"),
        type=optional_text(new.type, "type"),
        state=None if new.state is None else settable_state(new.state),
        description=text(new.description, "description", empty=True),
        priority=priority(new.priority),
        item=optional_text(new.item, "item"),
        attributes=None if new.attributes is None else json_mapping(new.attributes),
        files=() if new.files is None else tuple(several(new.files, "files")),
        idempotency_key=optional_text(new.idempotency_key, "idempotency_key"),
    )


CHANGE_CHECKS: dict[str, Callable[[Any], Any]] = {
    "state": settable_state,
    "progress": progress,
    "message": lambda value: None if value is None else text(value, "message", empty=True),
    "problem": lambda value: None if value is None else text(value, "problem", empty=True),
    "description": lambda value: text(value, "description", empty=True),
    "priority": priority,
    "name": lambda value: text(value, "name"),
    "attributes": json_mapping,
}


def job_changes(given: Mapping[str, Any]) -> JobChanges:
    """Return the changes, each checked; at least one must be given."""
    unknown = given.keys() - CHANGE_CHECKS.keys()
    if unknown:
        raise InvalidRequest(f"a job has no field {min(unknown)!r} that can be changed")
    if not given:
        raise InvalidRequest(f"nothing to change: give at least one of {', '.join(CHANGE_CHECKS)}")
    return JobChanges(**{name: CHANGE_CHECKS[name](value) for name, value in given.items()})


def words(value: Any, field: str) -> frozenset[str] | None:
    if value is None:
        return None
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise InvalidRequest(f"{field} must be a set, not {value!r}")
    return frozenset(text(word, field) for word in value)


def state_set(value: Any, field: str = "states") -> frozenset[JobState] | None:
    return None if value is None else frozenset(state(word, field) for word in words(value, field) or ())


def job_filter(
    *,
    states: Any = None,
    types: Any = None,
    user: Any = None,
    item: Any = None,
    attributes: Any = None,
    created_after: Any = None,
    created_before: Any = None,
    newest_first: bool = True,
) -> JobFilter:
    """Return the filter, each condition checked."""
    return JobFilter(
        states=state_set(states),
        types=words(types, "types"),
        user=optional_text(user, "user"),
        item=optional_text(item, "item"),
        attributes=None if attributes is None else json_mapping(attributes),
        created_after=moment(created_after, "created_after"),
        created_before=moment(created_before, "created_before"),
        newest_first=bool(newest_first),
    )


def page_size(value: Any, largest: int) -> int:
    """Return the page size to ask for: the wish, cut down to the tracker's largest."""
    if value is None:
        return largest
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidRequest(f"page_size must be a number from 1 up, not {value!r}")
    return min(value, largest)

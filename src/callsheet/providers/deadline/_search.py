"""Searches for jobs: filters as far as Deadline can be asked for them, and places in a listing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from callsheet._errors import InvalidCursor, InvalidRequest, Unsupported
from callsheet._models import Job, JobFilter, JobState, Position
from callsheet.providers.deadline._states import (
    ARCHIVED,
    COMING,
    NEVER_MADE,
    OVER,
    RUN_STATUSES,
    STATES,
)

__all__ = [
    "WINDOW",
    "Place",
    "counted",
    "expression",
    "is_empty",
    "is_exact",
    "order",
    "position_after",
    "pushed",
    "write_time",
]

WINDOW = 10_000
"""The furthest that Deadline looks into a search."""

WITHIN = timedelta(microseconds=999)
"""What may be left out of the times that Deadline tells."""

Filter = dict[str, Any]
MOST = 3
"""Filters that stand side by side."""

LONGEST = 256
"""Characters of a value that is looked for."""

LIVES: Mapping[JobState, tuple[str, ...]] = {
    JobState.QUEUED: COMING,
    JobState.FAILED: NEVER_MADE,
    JobState.CANCELLED: (ARCHIVED,),
}
"""The lifecycle statuses that put a job into a state."""


def write_time(moment: datetime) -> str:
    """Return the moment as Deadline writes it, to the microsecond."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


# -- filters -------------------------------------------------------------------------------------------------


def expression(filters: Sequence[Filter]) -> Filter | None:
    """Return filters that must all be met as one; more than three are put into groups, but for groups.

    Deadline takes three side by side, and groups of three: up to six filters and a group, or nine filters.
    """
    if len(filters) > MOST:
        plain = [filter_ for filter_ in filters if "groupFilter" not in filter_]
        groups = [filter_ for filter_ in filters if "groupFilter" in filter_]
        filters = [*(_group(plain[i : i + MOST], "AND") for i in range(0, len(plain), MOST)), *groups]
    return {"filters": list(filters), "operator": "AND"} if filters else None


def pushed(wanted: JobFilter, place: Place | None = None) -> list[Filter]:
    """Return filters that all jobs pass that are wanted behind a place, and perhaps others.

    Raises:
        InvalidRequest: A value that Deadline does not look for.
        Unsupported: Only lists are looked for.
    """
    filters = [*_times(wanted, place), *_values(wanted)]
    return filters if wanted.states is None else [*filters, _states(wanted.states)]


def counted(wanted: JobFilter) -> list[list[Filter]]:
    """Return the filters of searches that together find just the jobs that are wanted, each of them once."""
    common = [*_times(wanted, None), *_values(wanted)]
    if wanted.states is None:
        return [common]
    searches = []
    was_made = _none_of("LIFECYCLE_STATUS", (*COMING, *NEVER_MADE))
    is_there = _none_of("LIFECYCLE_STATUS", (*COMING, *NEVER_MADE, ARCHIVED))
    if over := _words(wanted.states & OVER, STATES):
        searches.append([was_made, _one_of("TASK_RUN_STATUS", over)])
    if open_ := _words(wanted.states - OVER, STATES):
        searches.append([is_there, _one_of("TASK_RUN_STATUS", open_)])
    if lives := _words(wanted.states - {JobState.CANCELLED}, LIVES):
        searches.append([_one_of("LIFECYCLE_STATUS", lives)])
    if JobState.CANCELLED in wanted.states:
        left = _none_of("TASK_RUN_STATUS", _words(OVER, STATES))
        searches.append([_one_of("LIFECYCLE_STATUS", [ARCHIVED]), left])
    if JobState.UNKNOWN in wanted.states:
        searches.append([is_there, _none_of("TASK_RUN_STATUS", RUN_STATUSES)])
    return [[*common, *search] for search in searches]


def is_exact(wanted: JobFilter) -> bool:
    """Tell whether `counted` takes in all that is wanted."""
    attributes = wanted.attributes or {}
    return len(attributes) <= MOST and all(isinstance(value, str) for value in attributes.values())


def is_empty(wanted: JobFilter) -> bool:
    """Tell whether no job can be wanted: values of parameters are texts, or lists of them."""
    values = (wanted.attributes or {}).values()
    return wanted.states == frozenset() or not all(map(_is_text, values))


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(map(_is_text, value)))


def _times(wanted: JobFilter, place: Place | None) -> list[Filter]:
    since, before = wanted.created_after, wanted.created_before
    filters = []
    if place is not None and not place.newest_first and (since is None or since < place.moment):
        since = place.moment
    if since is not None:
        filters.append(_when("GREATER_THAN_EQUAL_TO", since))
    if place is not None and place.newest_first and (before is None or place.moment < before):
        # Deadline tells times to the millisecond, whatever it sorts by; has_passed() knows what was seen.
        filters.append(_when("LESS_THAN_EQUAL_TO", place.moment + WITHIN))
    elif before is not None:
        filters.append(_when("LESS_THAN", before))
    return filters


def _values(wanted: JobFilter) -> list[Filter]:
    # As many of the attributes as there is room for: all of them are looked at again here.
    texts = [(name, value) for name, value in (wanted.attributes or {}).items() if isinstance(value, str)]
    if wanted.attributes and not texts:
        hint = "a parameter that is a text; Deadline cannot look for lists"
        raise Unsupported("list(attributes=)", hint=hint, provider="deadline")
    filters = [
        _equal("parameterFilter", name, it, f"attributes: {name!r}") for name, it in sorted(texts)[:MOST]
    ]
    if wanted.user is not None:
        filters.append(_equal("stringFilter", "CREATED_BY", wanted.user, "user"))
    return filters


def _states(states: frozenset[JobState]) -> Filter:
    runs, lives = _words(states, STATES), _words(states, LIVES)
    ways = [_one_of("TASK_RUN_STATUS", runs)] if runs or not states else []
    if lives:
        ways.append(_one_of("LIFECYCLE_STATUS", lives))
    if JobState.UNKNOWN in states:
        ways.append(_none_of("TASK_RUN_STATUS", RUN_STATUSES))
    return ways[0] if len(ways) == 1 else _group(ways, "OR")


def _words(states: Iterable[JobState], words: Mapping[JobState, tuple[str, ...]]) -> list[str]:
    return [word for state in sorted(states) for word in words.get(state, ())]


def _group(filters: Sequence[Filter], operator: str) -> Filter:
    return {"groupFilter": {"filters": list(filters), "operator": operator}}


def _one_of(name: str, words: Sequence[str]) -> Filter:
    return {"stringListFilter": {"name": name, "operator": "ANY_EQUALS", "values": list(words)}}


def _none_of(name: str, words: Sequence[str]) -> Filter:
    return {"stringListFilter": {"name": name, "operator": "ALL_NOT_EQUALS", "values": list(words)}}


def _when(operator: str, moment: datetime) -> Filter:
    return {"dateTimeFilter": {"name": "CREATED_AT", "operator": operator, "dateTime": write_time(moment)}}


def _equal(kind: str, name: str, value: str, what: str) -> Filter:
    if not 0 < len(value) <= LONGEST:
        raise InvalidRequest(f"{what}: Deadline looks for texts of 1 to {LONGEST} characters, not {value!r}")
    return {kind: {"name": name, "operator": "EQUAL", "value": value}}


# -- places --------------------------------------------------------------------------------------------------


def order(*, newest_first: bool) -> list[dict[str, Any]]:
    """Return the order of a listing."""
    return [{"fieldSort": {"name": "CREATED_AT", "sortOrder": "DESCENDING" if newest_first else "ASCENDING"}}]


@attrs.frozen
class Place:
    """A place in a listing by creation: after some jobs that were made in one instant."""

    moment: datetime
    ids: frozenset[str]
    newest_first: bool

    @classmethod
    def read(cls, position: Position, *, newest_first: bool) -> Place:
        """Return the place that a position means.

        Raises:
            InvalidCursor: It means none, or one that Deadline cannot go on from.
        """
        try:
            moment = datetime.fromisoformat(position.key)
            is_whole = moment.tzinfo is not None and bool(position.ids)
            moment = (moment.astimezone(UTC) + WITHIN) - WITHIN  # there must be room for what is asked for
        except (ValueError, OverflowError) as exc:
            raise InvalidCursor("cursor: it is damaged") from exc
        if not is_whole:
            raise InvalidCursor("cursor: it is damaged")
        if len(position.ids) > WINDOW:
            raise InvalidCursor(
                f"cursor: more than {WINDOW} jobs were made in one instant; Deadline cannot go on behind them"
            )
        return cls(moment, frozenset(position.ids), newest_first)

    def has_passed(self, job: Job) -> bool:
        """Tell whether the job comes before this place."""
        assert job.created_at is not None
        if job.created_at == self.moment:
            return job.id in self.ids
        return (job.created_at > self.moment) is self.newest_first


def position_after(jobs: Sequence[Job], before: Position | None) -> Position:
    """Return the position right after jobs in order, with all that were made in the instant of the last."""
    moment = jobs[-1].created_at
    assert moment is not None
    key = moment.isoformat()
    ids = before.ids if before is not None and before.key == key else ()
    return Position(key, (*ids, *(job.id for job in jobs if job.created_at == moment)))

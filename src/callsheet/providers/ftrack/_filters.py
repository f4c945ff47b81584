"""Filters and places of job listings, as far as ftrack can be asked for them: all that match, or more."""

from __future__ import annotations

from datetime import datetime, tzinfo

from callsheet._errors import InvalidCursor
from callsheet._models import Job, JobFilter, JobState, Position
from callsheet.providers.ftrack._query import ALWAYS, Condition, all_of, any_of, field
from callsheet.providers.ftrack._record import STATES, STATUSES
from callsheet.providers.ftrack._wire import write_time

__all__ = ["behind", "is_exact", "place_of", "pushed"]

_SHARED = {JobState.QUEUED, JobState.PAUSED}, {JobState.FAILED, JobState.CANCELLED}
"""States that only the mark in a job's `data` tells apart."""


def pushed(wanted: JobFilter, zone: tzinfo) -> Condition:
    """Return the condition that ftrack is asked for; what it lets through besides is sorted out here."""
    conditions = []
    if wanted.states is not None:
        conditions.append(_states(wanted.states))
    if wanted.types is not None:
        conditions.append(field("type").one_of(sorted(wanted.types)))
    if wanted.user is not None:
        conditions.append(field("user.username").is_(wanted.user))
    if wanted.created_after is not None:
        conditions.append(field("created_at") >= write_time(wanted.created_after, zone))
    if wanted.created_before is not None:
        conditions.append(field("created_at") < write_time(wanted.created_before, zone, up=True))
    return all_of(conditions)


def _states(states: frozenset[JobState]) -> Condition:
    known = sorted({STATUSES[state] for state in states if state in STATUSES})
    ways = [field("status").one_of(known)] if known or not states else []
    if JobState.UNKNOWN in states:
        ways.append(field("status").none_of(STATES))
    return any_of(ways)


def is_exact(wanted: JobFilter) -> bool:
    """Tell whether ftrack finds just what is wanted, so that nothing need be sorted out here."""
    states = wanted.states or frozenset()
    moments = [moment for moment in (wanted.created_after, wanted.created_before) if moment is not None]
    return (
        all(len(states & shared) != 1 for shared in _SHARED)
        and wanted.user is None  # whether ftrack tells Jane from jane depends on its database
        and not any(moment.microsecond for moment in moments)
    )


def behind(after: Position | None, zone: tzinfo, *, newest_first: bool) -> Condition:
    """Return the condition of coming after a place in the order of (`created_at`, `id`).

    Raises:
        InvalidCursor: It is no such place.
    """
    if after is None:
        return ALWAYS
    try:
        place = datetime.fromisoformat(after.key)
        if place.tzinfo is None:
            raise ValueError("a moment without a zone")
        moment, id_ = write_time(place, zone), after.ids[-1]
    except (ValueError, IndexError, OverflowError) as exc:
        raise InvalidCursor("cursor: it is damaged") from exc
    created, ids = field("created_at"), field("id")
    if newest_first:
        return (created < moment) | ((created <= moment) & (ids < id_))
    return (created > moment) | ((created >= moment) & (ids > id_))


def place_of(job: Job) -> Position:
    """Return the place right after a job.

    Raises:
        ValueError: ftrack does not say when it was made.
    """
    if job.created_at is None:
        raise ValueError("a job without created_at, behind which no listing can go on")
    return Position(job.created_at.isoformat(), (job.id,))

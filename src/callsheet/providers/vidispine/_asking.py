"""What a listing of jobs is asked with: filters and places, as parameters of `GET /job`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import attrs

from callsheet._errors import InvalidCursor, Unsupported
from callsheet._models import Job, JobFilter, JobState, Position
from callsheet.providers.vidispine._server import Parameters
from callsheet.providers.vidispine._shape import floored, raised, write_time
from callsheet.providers.vidispine._words import FILTERED, is_servers

__all__ = ["Asked", "Place", "asked", "flag", "is_exact", "place_of", "placed", "words_of"]

_IN_PATH = {"user", "type", "state", "first", "number", "sort"}
"""The parameters that servers up to 4.17 read in the path."""

_OLDEST_FIRST, _NEWEST_FIRST = "startTime asc,jobId asc", "startTime desc,jobId desc"


@attrs.frozen
class Asked:
    """Parameters of a listing, in order; a name may come several times."""

    pairs: tuple[tuple[str, str], ...]

    def with_(self, *pairs: tuple[str, str]) -> Asked:
        """Return these and more parameters."""
        return Asked((*self.pairs, *pairs))

    def matrix(self, where: Parameters) -> list[tuple[str, str]]:
        """Return those that stand in the path."""
        return [] if where == "query" else [pair for pair in self.pairs if pair[0] in _IN_PATH]

    def query(self, where: Parameters) -> list[tuple[str, str]]:
        """Return those that stand in the query."""
        return [pair for pair in self.pairs if where != "matrix" or pair[0] not in _IN_PATH]


def flag(value: object) -> str:
    """Return a truth value as Vidispine reads it."""
    return "true" if value else "false"


def words_of(states: Iterable[JobState]) -> list[str]:
    """Return Vidispine's words for the states.

    Raises:
        Unsupported: UNKNOWN is among them: Vidispine lists only states that are named.
    """
    wanted = set(states)
    if JobState.UNKNOWN in wanted:
        hint = "provider.jobs(), and a look at each job's vendor_state"
        raise Unsupported("list(states=unknown)", hint=hint, provider="vidispine")
    return [word for state, words in FILTERED.items() if state in wanted for word in words]


# -- places --------------------------------------------------------------------------------------------------


@attrs.frozen
class Place:
    """A place in a listing: behind the jobs of these ids, all made at that moment."""

    moment: datetime
    ids: frozenset[str]

    def is_before(self, job: Job, *, newest_first: bool) -> bool:
        """Tell whether the job comes behind the place."""
        if job.created_at is None or job.created_at == self.moment:
            return job.id not in self.ids
        return (job.created_at < self.moment) is newest_first


def placed(after: Position | None) -> Place | None:
    """Return a position as a place.

    Raises:
        InvalidCursor: It is no such position.
    """
    if after is None:
        return None
    try:
        moment = datetime.fromisoformat(after.key)
        if moment.tzinfo is None or not after.ids:
            raise ValueError("a moment without a zone, or no job at it")
    except ValueError as exc:
        raise InvalidCursor("cursor: it is damaged") from exc
    return Place(moment, frozenset(after.ids))


def place_of(jobs: list[Job], after: Position | None) -> Position:
    """Return the position behind the last of the jobs, which came after a position.

    Raises:
        ValueError: Vidispine does not say when it was made.
    """
    last = jobs[-1].created_at
    if last is None:
        raise ValueError("a job without a start time, behind which no listing can go on")
    ids = tuple(job.id for job in jobs if job.created_at == last)
    key = last.isoformat()
    return Position(key, (*after.ids, *ids) if after is not None and after.key == key else ids)


# -- filters -------------------------------------------------------------------------------------------------


def asked(
    wanted: JobFilter,
    place: Place | None = None,
    *,
    words: Sequence[str] = (),
    ended_after: datetime | None = None,
) -> Asked | None:
    """Return the parameters that find what is wanted behind a place, and perhaps more; `None` if nothing can.

    Args:
        wanted: The filter.
        place: What is wanted comes behind it.
        words: Vidispine's own states, in place of the filter's.
        ended_after: What is wanted has ended, then or later.

    Raises:
        Unsupported: A state that Vidispine does not list by, or metadata of its own among the attributes.
    """
    pairs = [("user", flag(wanted.user is not None))]
    if wanted.types is not None:
        pairs.append(("type", ",".join(sorted(type_ for type_ in wanted.types if "," not in type_))))
    if words or wanted.states is not None:
        pairs.append(("state", ",".join(words or words_of(wanted.states or ()))))
    metadata = dict(wanted.attributes or {})
    if any(map(is_servers, metadata)):
        hint = "item=, or provider.jobs(jobmetadata=)"
        raise Unsupported(f"list(attributes={min(metadata)})", hint=hint, provider="vidispine")
    if any("=" in key or not isinstance(value, str) for key, value in metadata.items()):
        return None
    if wanted.item is not None:
        metadata["itemId"] = wanted.item
    pairs += [("jobmetadata", f"{key}={value}") for key, value in metadata.items()]
    times = _times(wanted, place)
    if times is None or any(name in {"type", "state"} and not value for name, value in pairs):
        return None
    if ended_after is not None:
        times.append(("finishtime-from", write_time(floored(ended_after))))
    sort = _NEWEST_FIRST if wanted.newest_first else _OLDEST_FIRST
    return Asked((*pairs, *times, ("sort", sort)))


def _times(wanted: JobFilter, place: Place | None) -> list[tuple[str, str]] | None:
    """Return the bounds of the start time, both inclusive; `None` if nothing can be between them."""
    lows, highs = [], []
    try:
        if wanted.created_after is not None:
            lows.append(raised(wanted.created_after))
        if wanted.created_before is not None:
            highs.append(floored(wanted.created_before - timedelta(microseconds=1)))
        if place is not None and wanted.newest_first:
            highs.append(raised(place.moment))
        elif place is not None:
            lows.append(floored(place.moment))
    except OverflowError:
        return None
    if lows and highs and max(lows) > min(highs):
        return None
    bounds = [("starttime-from", write_time(max(lows)))] if lows else []
    return bounds + ([("starttime-to", write_time(min(highs)))] if highs else [])


def is_exact(wanted: JobFilter) -> bool:
    """Tell whether Vidispine finds just what is wanted, so that nothing need be sorted out here."""
    return not any("*" in str(value) for value in [*(wanted.attributes or {}).values(), wanted.item])

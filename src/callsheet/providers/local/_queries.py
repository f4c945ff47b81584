"""Filters and places in a listing as SQL, such that a page reads no more rows than it holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice, product
from typing import Any, TypeVar

import attrs
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    false,
    func,
    or_,
    select,
    true,
    tuple_,
    union_all,
)

from callsheet._errors import InvalidCursor
from callsheet._models import Job, JobFilter, Position
from callsheet.providers.local._rows import json_text
from callsheet.providers.local._schema import jobs
from callsheet.providers.local._stamps import to_us

__all__ = ["conditions", "count", "in_chunks", "page", "place", "place_of"]

CHUNK = 500
"""Ids in one `IN (…)`: far below the fewest variables that a build of SQLite allows (999)."""

BRANCHES = 100
"""Parts of one `UNION ALL`; SQLite allows 500."""

T = TypeVar("T")


def in_chunks(items: Iterable[T], size: int = CHUNK) -> Iterator[list[T]]:
    """Yield the items in lists of at most `size`."""
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


@attrs.frozen
class Place:
    """A place in a listing of jobs: after this creation time and id."""

    created_at: int
    id: str


def place(after: Position | None) -> Place | None:
    """Return the place as the database knows it.

    Raises:
        InvalidCursor: It is none that this tracker gave out.
    """
    if after is None:
        return None
    try:
        return Place(to_us(datetime.fromisoformat(after.key)), after.ids[-1])
    except (ValueError, TypeError, IndexError, OverflowError) as exc:
        raise InvalidCursor("the cursor is not one of the local tracker", provider="local") from exc


def place_of(job: Job) -> Place:
    """Return the place right after the job."""
    assert job.created_at is not None
    return Place(to_us(job.created_at), job.id)


def page(db: Connection, wanted: JobFilter, after: Place | None, size: int) -> list[Sequence[Any]]:
    """Return the rows of at most `size` jobs that match, in order, after the place."""
    order = _order(jobs.c, wanted)
    common = [*_plain(wanted), *_between(wanted, after)]
    # An index ends the search for one state (or type) in the right order; for several at once it would
    # have to be sorted. So each gets a search of its own, cut to the page, and these few are merged.
    branches = [
        select(jobs).where(*alternative, *common).order_by(*order).limit(size)
        for alternative in product(*_alternatives(wanted))
    ]
    rows: list[Sequence[Any]] = []
    for chunk in in_chunks(branches, BRANCHES):
        rows += db.execute(_merged(chunk, wanted, size)).all()
    if len(branches) > BRANCHES:
        created_at, id_ = jobs.c.keys().index("created_at"), jobs.c.keys().index("id")
        rows.sort(key=lambda row: (row[created_at], row[id_]), reverse=wanted.newest_first)
    return rows[:size]


def count(db: Connection, wanted: JobFilter) -> int:
    """Return how many jobs match."""
    return db.execute(select(func.count()).select_from(jobs).where(*conditions(wanted))).scalar_one()


def conditions(wanted: JobFilter) -> list[ColumnElement[bool]]:
    """Return the whole filter, for queries where no order matters."""
    sets = [or_(false(), *alternatives) for alternatives in _alternatives(wanted)]
    return [*sets, *_plain(wanted), *_between(wanted, None)]


def _alternatives(wanted: JobFilter) -> list[list[ColumnElement[bool]]]:
    """Return for each condition that names several words the conditions for one word each."""
    sets = ((jobs.c.state, wanted.states), (jobs.c.type, wanted.types))
    return [[column == str(word) for word in sorted(words)] for column, words in sets if words is not None]


def _plain(wanted: JobFilter) -> Iterator[ColumnElement[bool]]:
    if wanted.user is not None:
        yield jobs.c.user == wanted.user
    if wanted.item is not None:
        yield jobs.c.item == wanted.item
    if wanted.attributes:
        yield func.has_attributes(jobs.c.attributes, json_text(wanted.attributes)) == true()


def _between(wanted: JobFilter, after: Place | None) -> Iterator[ColumnElement[bool]]:
    """Yield the conditions on time: at most one from each side, for the database starts at only one."""
    low = None if wanted.created_after is None else to_us(wanted.created_after)
    high = None if wanted.created_before is None else to_us(wanted.created_before)
    if after is not None:
        here = tuple_(jobs.c.created_at, jobs.c.id)
        there = (after.created_at, after.id)
        if wanted.newest_first and (high is None or after.created_at < high):
            high = None
            yield here < there
        if not wanted.newest_first and (low is None or after.created_at >= low):
            low = None
            yield here > there
    if low is not None:
        yield jobs.c.created_at >= low
    if high is not None:
        yield jobs.c.created_at < high


def _merged(branches: list[Select[Any]], wanted: JobFilter, size: int) -> Select[Any]:
    if len(branches) == 1:
        return branches[0]
    # In a subquery each, as SQLite takes no LIMIT inside a UNION.
    merged = union_all(*(select(branch.subquery()) for branch in branches)).subquery()
    return select(merged).order_by(*_order(merged.c, wanted)).limit(size)


def _order(columns: Any, wanted: JobFilter) -> tuple[Any, Any]:
    order = columns.created_at, columns.id
    return (order[0].desc(), order[1].desc()) if wanted.newest_first else order

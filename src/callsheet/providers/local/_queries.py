"""Filters and places in a listing as SQL, such that a page reads no more rows than it holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import islice, product
from typing import Any, TypeVar

import attrs
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Dialect,
    Select,
    Table,
    false,
    func,
    or_,
    select,
    true,
    tuple_,
)

from callsheet._errors import InvalidCursor
from callsheet._models import Job, JobFilter, JobState, Position
from callsheet.providers.local._rows import json_text
from callsheet.providers.local._schema import jobs
from callsheet.providers.local._stamps import to_us

__all__ = ["conditions", "count", "fetch_all", "in_chunks", "insert_all", "page", "place", "place_of"]

CHUNK = 500
"""Ids in one `IN (…)`: far below the fewest variables that a build of SQLite allows (999)."""

T = TypeVar("T")


def in_chunks(items: Iterable[T], size: int = CHUNK) -> Iterator[list[T]]:
    """Yield the items in lists of at most `size`."""
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


def fetch_all(db: Connection, query: Select[Any]) -> list[tuple[Any, ...]]:
    """Return all rows of a query on columns that need no conversion."""
    with db.execute(query) as result:
        assert result.cursor is not None
        # The driver's own tuples: SQLAlchemy's rows cost a listing as much again as reading them.
        return [*result.cursor.fetchall()]


def insert_all(db: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows that have all columns of the table, in their order."""
    if not rows:
        return
    text, positional = _insert(table, db.dialect)
    if positional:
        # Past SQLAlchemy, which looks through the parameters of each row: a third of an insert's cost.
        db.exec_driver_sql(text, [tuple(row.values()) for row in rows])
    else:
        db.execute(table.insert(), rows)


@lru_cache(maxsize=16)
def _insert(table: Table, dialect: Dialect) -> tuple[str, bool]:
    compiled = table.insert().compile(dialect=dialect)
    return str(compiled), compiled.positional


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


def page(db: Connection, wanted: JobFilter, after: Place | None, size: int) -> list[tuple[Any, ...]]:
    """Return the rows of at most `size` jobs that match, in order, after the place."""
    order: tuple[Any, Any] = (jobs.c.created_at, jobs.c.id)
    if wanted.newest_first:
        order = (order[0].desc(), order[1].desc())
    common = [*_attributes(wanted), *_between(wanted, after)]
    alternatives = [_steered(alternative) for alternative in product(*_words(wanted))]
    if len(alternatives) == 1:
        return fetch_all(db, select(jobs).where(*alternatives[0], *common).order_by(*order).limit(size))
    # An index has the jobs of one state (or type) in order; those of several would have to be sorted. So each
    # gets a search of its own, for no more keys than a page has, and the first of all these are the page.
    keys: list[tuple[int, str]] = []
    for alternative in alternatives:
        query = select(jobs.c.created_at, jobs.c.id).where(*alternative, *common)
        keys += [(row[0], row[1]) for row in db.execute(query.order_by(*order).limit(size))]
    keys.sort(reverse=wanted.newest_first)
    ids = [id_ for _, id_ in keys[:size]]
    rows: dict[str, tuple[Any, ...]] = {}
    for chunk in in_chunks(ids):
        rows |= {row[0]: row for row in fetch_all(db, select(jobs).where(jobs.c.id.in_(chunk)))}
    return [rows[id_] for id_ in ids]


def count(db: Connection, wanted: JobFilter) -> int:
    """Return how many jobs match."""
    return db.execute(select(func.count()).select_from(jobs).where(*conditions(wanted))).scalar_one()


def conditions(wanted: JobFilter) -> list[ColumnElement[bool]]:
    """Return the whole filter, for queries where no order matters."""
    sets = [or_(false(), *(column == word for column, word in words)) for words in _words(wanted)]
    return [*sets, *_attributes(wanted), *_between(wanted, None)]


def _words(wanted: JobFilter) -> list[list[tuple[Column[Any], str]]]:
    """Return for each condition that names words its column with each of them."""
    sets = (
        (jobs.c.item, wanted.item if wanted.item is None else [wanted.item]),
        (jobs.c.state, wanted.states),
        (jobs.c.user, wanted.user if wanted.user is None else [wanted.user]),
        (jobs.c.type, wanted.types),
    )
    return [[(column, str(word)) for word in sorted(words)] for column, words in sets if words is not None]


def _steered(alternative: Iterable[tuple[Column[Any], str]]) -> list[ColumnElement[bool]]:
    """Return the conditions such that the search goes by the index of the word that few jobs have.

    That is an item, then a state (most jobs are done, so not by that one), a user, a type. SQLite would have
    to guess, as it knows nothing of the words.
    """
    words = sorted(alternative, key=lambda one: one[0] is jobs.c.state and one[1] == JobState.DONE.value)
    searched = [column == word for column, word in words[:1]]
    # An index is of no use for what is computed.
    compared = [column.concat("") == word for column, word in words[1:]]
    return searched + compared


def _attributes(wanted: JobFilter) -> Iterator[ColumnElement[bool]]:
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

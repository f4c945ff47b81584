"""Reading, changing and deleting jobs, one plain function a transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from sqlalchemy import Connection, bindparam, select

from callsheet._errors import NotFound
from callsheet._models import Job, JobChanges, JobFilter, JobState, Position, Slice
from callsheet.providers.local import _components, _queries
from callsheet.providers.local._database import Transaction
from callsheet.providers.local._queries import in_chunks
from callsheet.providers.local._rows import ENDED, JOB_COLUMNS, job_of, job_of_mapping, json_text
from callsheet.providers.local._schema import jobs, links, tombstones

__all__ = ["Row", "cancel", "changed", "delete", "get", "missing_job", "page", "rows_by_id", "save", "update"]

Row: TypeAlias = dict[str, Any]


_BY_ID = select(jobs).where(jobs.c.id.in_(bindparam("ids", expanding=True)))


def missing_job(job_id: str) -> NotFound:
    return NotFound(f"there is no job {job_id!r}", provider="local")


# -- reading -------------------------------------------------------------------------------------------------


def get(db: Connection, tracker: str, ids: Sequence[str]) -> list[Job | None]:
    """Return the jobs in the order of their ids."""
    found: dict[str, Job] = {}
    for chunk in in_chunks(ids):
        rows = db.execute(_BY_ID, {"ids": chunk})
        found |= {row[0]: job_of(tracker, tuple(row)) for row in rows}
    return [found.get(id_) for id_ in ids]


def page(db: Connection, tracker: str, wanted: JobFilter, after: Position | None, size: int) -> Slice[Job]:
    """Return one page, and where the next begins."""
    rows = _queries.page(db, wanted, _queries.place(after), size + 1)
    listed = [job_of(tracker, row) for row in rows[:size]]
    if len(rows) <= size:
        return Slice(listed)
    last = listed[-1]
    assert last.created_at is not None
    return Slice(listed, Position(last.created_at.isoformat(), (last.id,)))


# -- changing ------------------------------------------------------------------------------------------------


def rows_by_id(db: Connection, ids: Iterable[str]) -> dict[str, Row]:
    """Return the rows of the jobs that exist, locked until the transaction ends."""
    found: dict[str, Row] = {}
    for chunk in in_chunks(sorted(set(ids))):
        # In one order everywhere, so that no two transactions wait for each other's rows.
        query = select(jobs).where(jobs.c.id.in_(chunk)).order_by(jobs.c.id).with_for_update()
        found |= {row[0]: dict(zip(JOB_COLUMNS, row, strict=True)) for row in db.execute(query)}
    return found


def changed(row: Row, changes: Mapping[str, Any], transaction: Transaction) -> None:
    """Make the changes in the row, with the times that follow from them."""
    row |= changes
    row["updated_at"], row["seq"] = transaction.now, transaction.seq
    if "attributes" in changes:
        row["attributes"] = json_text(changes["attributes"])
    if "state" not in changes:
        return
    row["state"] = state = changes["state"].value
    if state == JobState.RUNNING.value and row["started_at"] is None:
        row["started_at"] = transaction.now
    if state not in ENDED:
        row["finished_at"] = None
        return
    row["finished_at"] = row["finished_at"] or transaction.now
    row["lease_until"] = row["lease_length"] = row["boot"] = None


# What never changes is left out: each column that is written costs its indexes a look.
_FIXED = {"id", "type", "user", "item", "source_id", "created_at"}
_CHANGEABLE = [name for name in JOB_COLUMNS if name not in _FIXED]

_SAVE = (
    jobs.update()
    .where(jobs.c.id == bindparam("this_id"))
    .values({name: bindparam(f"new_{name}") for name in _CHANGEABLE})
)


def save(db: Connection, rows: Iterable[Row]) -> None:
    """Write changed rows back."""
    values = [{"this_id": row["id"]} | {f"new_{name}": row[name] for name in _CHANGEABLE} for row in rows]
    if values:
        db.execute(_SAVE, values)


def update(
    transaction: Transaction, wanted: list[tuple[Sequence[str], JobChanges]]
) -> list[list[Job] | Exception]:
    """Make each call's changes to all its jobs, or to none if one is missing."""
    rows = rows_by_id(transaction.db, (id_ for ids, _ in wanted for id_ in ids))
    touched: dict[str, Row] = {}
    answers: list[list[Job] | Exception] = []
    for ids, changes in wanted:
        gone = [id_ for id_ in ids if id_ not in rows]
        if gone:
            answers.append(missing_job(gone[0]))
            continue
        given = changes.given()
        for id_ in dict.fromkeys(ids):
            changed(rows[id_], given, transaction)
            touched[id_] = rows[id_]
        answers.append([job_of_mapping(transaction.tracker, rows[id_]) for id_ in ids])
    save(transaction.db, touched.values())
    return answers


def cancel(transaction: Transaction, wanted: list[str]) -> list[Job | Exception]:
    """Set the jobs CANCELLED that have not ended."""
    rows = rows_by_id(transaction.db, wanted)
    running = [row for row in rows.values() if row["state"] not in ENDED]
    for row in running:
        changed(row, {"state": JobState.CANCELLED}, transaction)
    save(transaction.db, running)
    return [
        job_of_mapping(transaction.tracker, rows[id_]) if id_ in rows else missing_job(id_) for id_ in wanted
    ]


def delete(transaction: Transaction, wanted: list[str]) -> list[Exception | None]:
    """Remove the jobs, with the components that only they had."""
    db = transaction.db
    found = rows_by_id(db, wanted).keys()
    for chunk in in_chunks(found):
        held = set(db.execute(select(links.c.component_id).where(links.c.job_id.in_(chunk))).scalars())
        db.execute(links.delete().where(links.c.job_id.in_(chunk)))
        db.execute(jobs.delete().where(jobs.c.id.in_(chunk)))
        _components.remove_orphans(db, held)
    if found:
        db.execute(tombstones.insert(), [{"id": id_, "seq": transaction.seq} for id_ in found])
    left = set(found)
    answers: list[Exception | None] = []
    for id_ in wanted:
        answers.append(None if id_ in left else missing_job(id_))
        left.discard(id_)
    return answers

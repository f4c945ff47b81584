"""What can be done with jobs, one plain function a transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs
from sqlalchemy import Connection, bindparam, select

from callsheet._errors import CallsheetError, Conflict, NotFound
from callsheet._models import Job, JobChanges, JobFilter, JobState, NewJob, Position, Slice
from callsheet.providers.local import _components, _queries
from callsheet.providers.local._database import Transaction
from callsheet.providers.local._keys import Keys, request_hash
from callsheet.providers.local._queries import in_chunks
from callsheet.providers.local._rows import ENDED, JOB_COLUMNS, job_of, job_of_mapping, json_text
from callsheet.providers.local._schema import jobs, links, tombstones
from callsheet.providers.local._stamps import new_ids

__all__ = [
    "NewRow",
    "cancel",
    "changed",
    "create",
    "delete",
    "get",
    "missing_job",
    "page",
    "rerun",
    "rows_by_id",
    "save",
    "update",
]

Row = dict[str, Any]


def missing_job(job_id: str) -> NotFound:
    return NotFound(f"there is no job {job_id!r}", provider="local")


# -- reading -------------------------------------------------------------------------------------------------


def get(db: Connection, tracker: str, ids: Sequence[str]) -> list[Job | None]:
    """Return the jobs in the order of their ids."""
    found: dict[str, Job] = {}
    for chunk in in_chunks(ids):
        rows = db.execute(select(jobs).where(jobs.c.id.in_(chunk)))
        found |= {row[0]: job_of(tracker, row) for row in rows}
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


# -- making --------------------------------------------------------------------------------------------------


@attrs.frozen
class NewRow:
    """A job to be made: its columns, its key with a hash of the request, and the files it begins with."""

    columns: Row
    key: str
    request: str
    component_ids: Sequence[str] = ()

    @classmethod
    def of(
        cls, new: NewJob, *, user: str, files: Sequence[str] = (), component_ids: Sequence[str] = ()
    ) -> NewRow:
        """Return the row that a `NewJob` asks for.

        Args:
            new: The job, with its key.
            user: Whose it is unless it says so.
            files: What tells its files from those of another request.
            component_ids: Its files.
        """
        assert new.idempotency_key is not None
        columns = {
            "name": new.name,
            "state": (new.state or JobState.QUEUED).value,
            "type": new.type,
            "priority": new.priority,
            "description": new.description,
            "user": new.user or user,
            "item": new.item,
            "attributes": json_text(new.attributes or {}),
        }
        request = request_hash("create", columns, list(files))
        return cls(columns, new.idempotency_key, request, component_ids)


def create(transaction: Transaction, wanted: list[list[NewRow]]) -> list[list[Job] | Exception]:
    """Make the jobs of each call, all or none of one call."""
    known = Keys(transaction.db, (new.key for call in wanted for new in call))
    rows = rows_by_id(transaction.db, known.targets())
    fresh: list[Row] = []
    answers: list[list[Job] | Exception] = []
    for call in wanted:
        try:
            made, added = _made(transaction, call, known, rows)
        except CallsheetError as exc:
            answers.append(exc)
        else:
            fresh += added
            answers.append([job_of_mapping(transaction.tracker, row) for row in made])
    insert(transaction, fresh)
    known.save()
    for call, answer in zip(wanted, answers, strict=True):
        for new, job in zip(call, answer if isinstance(answer, list) else (), strict=False):
            if new.component_ids:
                _components.link_rows(transaction.db, job.id, new.component_ids, role="input")
    return answers


def _made(
    transaction: Transaction, call: list[NewRow], known: Keys, rows: dict[str, Row]
) -> tuple[list[Row], list[Row]]:
    """Return the rows that answer the call, and those of them that are new. All keys first: all or none."""
    for new in call:
        target = known.target(new.key, new.request)
        if target is not None and target not in rows:
            raise _deleted(new.key, target)
        _components.check(transaction.db, new.component_ids)
    made: list[Row] = []
    added: list[Row] = []
    for new, id_ in zip(call, new_ids(len(call), transaction.now), strict=True):
        target = known.target(new.key, new.request)
        if target is None:
            row = new_row(transaction, id_, new.columns)
            known.use(new.key, new.request, id_)
            rows[id_] = row
            added.append(row)
            target = id_
        made.append(rows[target])
    return made, added


def _deleted(key: str, target: str) -> Conflict:
    return Conflict(
        f"the idempotency key {key!r} was used for job {target}, which has been deleted", provider="local"
    )


def new_row(transaction: Transaction, id_: str, columns: Mapping[str, Any]) -> Row:
    """Return a whole row for a job that begins now."""
    row: Row = dict.fromkeys(JOB_COLUMNS) | dict(columns)
    row |= {"id": id_, "created_at": transaction.now, "fence": 0}
    state = row["state"]
    row["state"] = JobState.QUEUED.value
    changed(row, {"state": JobState(state)}, transaction)
    return row


def insert(transaction: Transaction, rows: list[Row]) -> None:
    if rows:
        transaction.db.execute(jobs.insert(), rows)


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


def rerun(transaction: Transaction, wanted: list[tuple[str, str]]) -> list[Job | Exception]:
    """Copy each job, by id and key, into a new one that is QUEUED."""
    sources = rows_by_id(transaction.db, (id_ for id_, _ in wanted))
    calls = [[_copy(id_, key, sources[id_])] if id_ in sources else [] for id_, key in wanted]
    answers: list[Job | Exception] = []
    for (id_, _), answer in zip(wanted, create(transaction, calls), strict=True):
        if isinstance(answer, Exception):
            answers.append(answer)
        else:
            answers.append(answer[0] if answer else missing_job(id_))
    return answers


def _copy(id_: str, key: str, source: Row) -> NewRow:
    columns = {name: source[name] for name in ("name", "user", "type", "description", "priority", "item")}
    columns |= {"attributes": source["attributes"], "state": JobState.QUEUED.value, "source_id": id_}
    return NewRow(columns, key, request_hash("rerun", id_))


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

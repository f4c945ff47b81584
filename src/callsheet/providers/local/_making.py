"""Making jobs, each once for its key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
from sqlalchemy import Connection

from callsheet._errors import CallsheetError, Conflict
from callsheet._models import Job, JobState, NewJob
from callsheet.providers.local import _components
from callsheet.providers.local._database import Transaction
from callsheet.providers.local._jobs import Row, get, missing_job, rows_by_id
from callsheet.providers.local._keys import Keys, request_hash, targets
from callsheet.providers.local._queries import insert_all
from callsheet.providers.local._rows import ENDED, JOB_COLUMNS, job_of_mapping, json_text
from callsheet.providers.local._schema import jobs
from callsheet.providers.local._stamps import new_ids

__all__ = ["Order", "create", "made", "make", "rerun"]


@attrs.frozen
class NewRow:
    """A job to be made: its columns, its key with a hash of the request, and the files it begins with."""

    columns: Row
    key: str
    request: str
    component_ids: Sequence[str] = ()


@attrs.frozen
class Order:
    """Jobs to be made by one call, all or none. Their rows are worked out in the writer's thread.

    Attributes:
        new: The jobs, each with its key.
        user: Whose they are unless they say so.
        files: For each job, what tells its files from those of another request.
        component_ids: For each job, the files that it begins with.
    """

    new: Sequence[NewJob]
    user: str
    files: Sequence[Sequence[str]] | None = None
    component_ids: Sequence[Sequence[str]] | None = None

    def rows(self) -> list[NewRow]:
        """Return the rows that are wanted."""
        nothing: Sequence[Sequence[str]] = [()] * len(self.new)
        each = zip(self.new, self.files or nothing, self.component_ids or nothing, strict=True)
        return [self._row(new, files, component_ids) for new, files, component_ids in each]

    def _row(self, new: NewJob, files: Sequence[str], component_ids: Sequence[str]) -> NewRow:
        assert new.idempotency_key is not None
        columns = {
            "name": new.name,
            "state": (new.state or JobState.QUEUED).value,
            "type": new.type,
            "priority": new.priority,
            "description": new.description,
            "user": new.user or self.user,
            "item": new.item,
            "attributes": json_text(new.attributes or {}),
        }
        if new.source_id is not None:
            columns["source_id"] = new.source_id
        request = request_hash("create", columns | {"attributes": new.attributes or {}}, list(files))
        return NewRow(columns, new.idempotency_key, request, component_ids)


def made(db: Connection, tracker: str, key: str) -> Job | None:
    """Return the job that was made under the key, if it is still there."""
    return next(iter(get(db, tracker, list(targets(db, [key]).values()))), None)


def create(transaction: Transaction, wanted: list[Order]) -> list[list[Job] | Exception]:
    """Make the jobs of each call, all or none of one call."""
    return make(transaction, [order.rows() for order in wanted])


def make(transaction: Transaction, wanted: list[list[NewRow]]) -> list[list[Job] | Exception]:
    """Make the jobs of each call, all or none of one call; keys that were used stand for their old jobs."""
    known = Keys(transaction.db, (new.key for call in wanted for new in call))
    rows = rows_by_id(transaction.db, known.targets())
    added: list[Row] = []
    made: list[tuple[str, NewRow]] = []
    answers: list[list[Job] | Exception] = []
    ids = iter(new_ids(sum(map(len, wanted)), transaction.now))
    for call in wanted:
        try:
            _check(transaction, call, known, rows)
        except CallsheetError as exc:
            answers.append(exc)
            continue
        found = _found(transaction, call, known, rows, added, ids)
        made += [(row["id"], new) for row, new in zip(found, call, strict=True)]
        answers.append([job_of_mapping(transaction.tracker, row) for row in found])
    insert_all(transaction.db, jobs, added)
    known.save()
    for id_, new in made:
        if new.component_ids:
            _components.link_rows(transaction.db, id_, new.component_ids, role="input")
    return answers


def _check(transaction: Transaction, call: list[NewRow], known: Keys, rows: Mapping[str, Row]) -> None:
    """Raise the error that keeps any of the jobs from being made."""
    requests: dict[str, str] = {}
    for new in call:
        target = known.target(new.key, new.request)
        if target is not None and target not in rows:
            raise Conflict(
                f"the idempotency key {new.key!r} was used for job {target}, which has been deleted",
                provider="local",
            )
        if requests.setdefault(new.key, new.request) != new.request:
            raise Conflict(
                f"the idempotency key {new.key!r} is used for two different jobs", provider="local"
            )
        _components.check(transaction.db, new.component_ids)


def _found(
    transaction: Transaction,
    call: list[NewRow],
    known: Keys,
    rows: dict[str, Row],
    added: list[Row],
    ids: Iterator[str],
) -> list[Row]:
    """Return the rows of the jobs, made now or before; new ones come to `rows` and `added`, too."""
    found: list[Row] = []
    for new in call:
        target = known.target(new.key, new.request)
        if target is None:
            target = next(ids)
            rows[target] = _row(transaction, target, new.columns)
            added.append(rows[target])
            known.use(new.key, new.request, target)
        found.append(rows[target])
    return found


_EMPTY: Row = dict.fromkeys(JOB_COLUMNS)


def _row(transaction: Transaction, id_: str, columns: Mapping[str, Any]) -> Row:
    now, state = transaction.now, columns["state"]
    times = {
        "created_at": now,
        "started_at": now if state == JobState.RUNNING.value else None,
        "updated_at": now,
        "finished_at": now if state in ENDED else None,
    }
    return {**_EMPTY, **columns, **times, "id": id_, "seq": transaction.seq, "fence": 0}


def rerun(transaction: Transaction, wanted: list[tuple[str, str]]) -> list[Job | Exception]:
    """Copy each job, by id and key, into a new one that is QUEUED."""
    sources = rows_by_id(transaction.db, (id_ for id_, _ in wanted))
    calls = [[_copy(id_, key, sources[id_])] if id_ in sources else [] for id_, key in wanted]
    answers: list[Job | Exception] = []
    for (id_, _), answer in zip(wanted, make(transaction, calls), strict=True):
        if isinstance(answer, Exception):
            answers.append(answer)
        else:
            answers.append(answer[0] if answer else missing_job(id_))
    return answers


def _copy(id_: str, key: str, source: Row) -> NewRow:
    columns = {name: source[name] for name in ("name", "user", "type", "description", "priority", "item")}
    columns |= {"attributes": source["attributes"], "state": JobState.QUEUED.value, "source_id": id_}
    return NewRow(columns, key, request_hash("rerun", id_))

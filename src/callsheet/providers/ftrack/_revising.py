"""Jobs read, and changed by what is in them just then."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import attrs
from anyio.lowlevel import checkpoint

from callsheet._errors import CallsheetError, NotFound
from callsheet._models import Job
from callsheet.providers.ftrack import _wire
from callsheet.providers.ftrack._answers import Results
from callsheet.providers.ftrack._components import ComponentCalls
from callsheet.providers.ftrack._operations import Operation, query, update
from callsheet.providers.ftrack._query import Query, field
from callsheet.providers.ftrack._record import Record, changed, decoded, encoded, part
from callsheet.providers.ftrack._server import PAGE, in_doubt
from callsheet.providers.ftrack._together import in_steps

__all__ = ["Decide", "Edit", "Kept", "Revising", "by_id"]

ROUNDS = 5
"""How often a change is decided again because something else came in between."""

_NEEDED = {"id", "type", "status", "data", "created_at", "user"}


@attrs.frozen
class Kept:
    """A job as it was read for a change, with its `data` decoded."""

    job: Job
    data: dict[str, Any]

    @classmethod
    def of(cls, job: Job) -> Kept:
        return cls(job, decoded(job.raw.get("data")))

    @property
    def record(self) -> Record:
        """callsheet's part of the data."""
        return part(self.data)

    @property
    def text(self) -> str | None:
        """The data as ftrack has it."""
        return self.job.raw.get("data")


@attrs.frozen
class Edit:
    """What to change of a job: fields of `JobChanges` by name, and entries of callsheet's part of `data`."""

    changes: Mapping[str, Any]
    record: Mapping[str, Any] = attrs.field(factory=dict)


_Stood: TypeAlias = tuple[str, str | None]
"""A job's status and data, as they stood."""

Decide: TypeAlias = Callable[[Kept], Edit | None]
"""Says what to change of a job, if anything; raises if it must not be changed."""


@attrs.frozen
class _Write:
    """What is to be written of a job, where its status and data are believed to be what they are there."""

    job: Job
    seen: _Stood
    status: str
    text: str | None

    def operation(self) -> Operation:
        # A status that stays is not sent: another program may have set it meanwhile.
        status = {} if self.status == self.seen[0] else {"status": self.status}
        return update("Job", self.job.id, {"data": self.text, **status})


class Revising(ComponentCalls):
    """How the calls about jobs read and change them."""

    async def _jobs(self, ids: Iterable[str]) -> list[Job]:
        """Return those of the jobs that exist."""
        wanted = list(dict.fromkeys(ids))
        found: list[Job] = []
        for start in range(0, len(wanted), PAGE):
            results = await self._server.find(by_id(wanted[start : start + PAGE]))
            found += results.read(0, self._job_of)
        return found

    async def _kept(self, ids: Iterable[str]) -> dict[str, Kept]:
        """Return the jobs as they are now, by id, in the order of the ids.

        Raises:
            NotFound: One does not exist.
        """
        wanted = list(dict.fromkeys(ids))
        found = {job.id: job for job in await self._jobs(wanted)}
        for id_ in wanted:
            if id_ not in found:
                raise NotFound(f"there is no job {id_!r}", provider=self.name)
        return {id_: Kept.of(found[id_]) for id_ in wanted}

    def _job_of(self, row: Mapping[str, Any]) -> Job:
        server = self._server
        return _wire.job_of(row, tracker=server.tracker, zone=server.zone, reader=server.reader)

    async def _revise(self, ids: Iterable[str], decide: Decide) -> dict[str, Job]:
        """Change jobs as `decide` says by what is there just then; return them fresh, by id.

        `data` is one text, so whoever writes it writes all of it. Each write looks, in its own transaction,
        at what it replaces. If that is not what was decided on, because another program came in between, it
        is decided again on that, or put back.

        Raises:
            NotFound: A job does not exist; nothing was changed.
        """
        ids = list(dict.fromkeys(ids))
        async with self._server.locks.holding(ids):
            kept = await self._kept(ids)
            jobs = {id_: one.job for id_, one in kept.items()}
            decided = await in_steps(lambda one: (one, decide(one)), kept.values())
            writes = [self._write(one, edit, one) for one, edit in decided if edit is not None]
            trouble: CallsheetError | None = None
            for _ in range(ROUNDS):
                if not writes:
                    break
                written, replaced = await self._send(writes)
                jobs |= written
                writes = []
                for one in replaced:
                    edit = None
                    try:
                        edit = decide(one)
                    except CallsheetError as error:
                        trouble = error
                    writes.append(self._write(one, edit, Kept.of(jobs[one.job.id])))
        if trouble is not None:
            raise trouble
        return jobs

    def _write(self, base: Kept, edit: Edit | None, now: Kept) -> _Write:
        """Return what makes of `base` what the edit says, or just that, where `now` is what is there."""
        job, seen = base.job, (now.job.vendor_state, now.text)
        if edit is None:
            return _Write(job, seen, job.vendor_state, base.text)
        begun = {**base.data, "callsheet": {**base.record, **edit.record}}
        seconds = self._server.age_of(job)
        status, data = changed(job.vendor_state, begun, edit.changes, seconds=seconds, name=job.name)
        return _Write(job, seen, status, encoded(data))

    async def _send(self, writes: Sequence[_Write]) -> tuple[dict[str, Job], list[Kept]]:
        """Write, and return the jobs as they are then, by id, and what was replaced without being known."""
        ids = [write.job.id for write in writes]
        before = [query(_states(batch)) for batch in _batches(ids)]
        operations = [*before, *await in_steps(_Write.operation, writes)]
        try:
            jobs, results = await self._written(operations, ids, "update")
        except CallsheetError as error:
            await self._blame_the_missing(ids, error)
            raise
        there = dict(found for index in range(len(before)) for found in results.read(index, _stood))
        return jobs, [
            self._replaced(write, stood)
            for write in writes
            if (stood := there.get(write.job.id)) is not None and _differs(write, stood)
        ]

    def _replaced(self, write: _Write, stood: _Stood) -> Kept:
        status, text = stood
        return Kept.of(self._job_of({**write.job.raw, "status": status, "data": text}))

    async def _written(
        self, operations: Sequence[Operation], ids: Sequence[str], name: str
    ) -> tuple[dict[str, Job], Results]:
        """Send operations, and return the jobs as they are then, by the same request, and all results."""
        queries = [query(by_id(batch)) for batch in _batches(ids)]
        results = await self._server.call([*operations, *queries], name=f"{name} jobs")
        places = range(len(operations), len(operations) + len(queries))
        rows = [row for index in places for row in results.rows(index)]
        if len(rows) == len(ids) and all(row.keys() >= _NEEDED for row in rows):
            found: dict[str, Job] = {}
            for index in places:
                found |= {job.id: job for job in results.read(index, self._job_of)}
                await checkpoint()
        else:
            # It does not look at what the same batch has done.
            found = {job.id: job for job in await self._jobs(ids)}
        gone = next((id_ for id_ in ids if id_ not in found), None)
        if gone is not None:
            raise NotFound(f"job {gone!r} is gone", provider=self.name)
        return found, results

    async def _blame_the_missing(self, ids: Collection[str], error: CallsheetError) -> None:
        """Raise `NotFound` if a job has vanished since it was read; ftrack does not say so plainly."""
        there = await self._there(ids, error)
        gone = next((id_ for id_ in ids if id_ not in there), None)
        if gone is not None:
            raise NotFound(f"there is no job {gone!r}", outcome=error.outcome, provider=self.name) from error

    async def _there(self, ids: Collection[str], error: CallsheetError) -> dict[str, Job]:
        """Return those of the jobs that are there after an error; if that cannot be known, raise it."""
        try:
            found = {job.id: job for job in await self._jobs(ids)}
        except CallsheetError as failed:
            raise in_doubt(error, failed) from None
        return {id_: found[id_] for id_ in ids if id_ in found}


def by_id(ids: Sequence[str]) -> Query:
    """Return the query for jobs of at most 500 ids."""
    return Query("Job", _wire.JOB, where=field("id").one_of(ids), limit=PAGE)


def _states(ids: Sequence[str]) -> Query:
    return Query("Job", ["id", "status", "data"], where=field("id").one_of(ids), limit=PAGE)


def _batches(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[start : start + PAGE] for start in range(0, len(ids), PAGE)]


def _stood(row: Mapping[str, Any]) -> tuple[str, _Stood | None]:
    """Return a job's id, with its status and data as they stood before a write, if the server tells."""
    if not row.keys() >= {"status", "data"}:
        return row["id"], None
    status, text = row["status"], row["data"]
    if not isinstance(status, str) or not isinstance(text, str | None):
        raise TypeError("a status or data that is no text")
    return row["id"], (status, text)


def _differs(write: _Write, stood: _Stood) -> bool:
    # A server might look only after it has written.
    return stood not in (write.seen, (write.status, write.text))

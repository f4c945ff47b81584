"""What can be done with ftrack's jobs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import attrs
from anyio.lowlevel import checkpoint

from callsheet._errors import (
    CallsheetError,
    Denied,
    InvalidRequest,
    NotFound,
    RateLimited,
    Unsupported,
)
from callsheet._models import Job, JobChanges, JobFilter, JobState, NewJob, Position, Slice
from callsheet.providers.ftrack import _wire
from callsheet.providers.ftrack._components import ComponentCalls
from callsheet.providers.ftrack._creating import uploaded
from callsheet.providers.ftrack._drafts import JOB_TYPE, Draft, Inputs, copy_of, draft_of, unique
from callsheet.providers.ftrack._filters import behind, is_exact, place_of, pushed
from callsheet.providers.ftrack._operations import Operation, delete, query, update
from callsheet.providers.ftrack._query import Condition, Query, all_of, field
from callsheet.providers.ftrack._record import Record, changed, decoded, encoded, part
from callsheet.providers.ftrack._server import PAGE
from callsheet.providers.ftrack._together import in_steps

__all__ = ["JobCalls", "check_types"]

Row = dict[str, Any]

_NEEDED = {"id", "type", "status", "data", "created_at", "user"}


@attrs.frozen
class Kept:
    """A job as it was read for a change."""

    job: Job
    data: dict[str, Any]

    @property
    def record(self) -> Record:
        return part(self.data)


class JobCalls(ComponentCalls):
    """The calls of `callsheet.abc.Provider` that are about jobs, but for those of tracking."""

    # -- reading ---------------------------------------------------------------------------------------------

    async def get_jobs(self, ids: Sequence[str]) -> list[Job | None]:
        """Return the jobs in the order of their ids, `None` where there is none; at most 500 in one query."""
        found = {job.id: job for job in await self._jobs(ids)}
        return [found.get(id_) for id_ in ids]

    async def page_jobs(self, wanted: JobFilter, *, after: Position | None, size: int) -> Slice[Job]:
        """Return one page, by (`created_at`, `id`). It may be short: some states are told apart only here."""
        zone = self._server.zone
        newest_first = wanted.newest_first
        where = all_of([pushed(wanted, zone), behind(after, zone, newest_first=newest_first)])
        order = ["-created_at", "-id"] if newest_first else ["created_at", "id"]
        results = await self._server.find(Query("Job", _wire.JOB, where=where, order_by=order, limit=size))
        jobs = results.read(0, self._job_of)
        more = results.next_offset(0) is not None and jobs
        return Slice([job for job in jobs if wanted.matches(job)], place_of(jobs[-1]) if more else None)

    async def count_jobs(self, wanted: JobFilter) -> int:
        """Count by pages of 500: of ids alone, where ftrack can tell just what is wanted."""
        exact = is_exact(wanted)
        read = _id_of if exact else self._job_of
        where, select = pushed(wanted, self._server.zone), ["id"] if exact else _wire.JOB
        last: list[Condition] = []
        total = 0
        while True:
            page = Query("Job", select, where=all_of([where, *last]), order_by=["id"], limit=PAGE)
            results = await self._server.find(page)
            found: list[Any] = results.read(0, read)
            total += len(found) if exact else sum(map(wanted.matches, found))
            if results.next_offset(0) is None or not found:
                return total
            last = [field("id") > (found[-1] if exact else found[-1].id)]

    async def job_problem(self, job_id: str) -> str | None:
        """Return the problem that callsheet has noted with the job."""
        return (await self._kept([job_id]))[job_id].job.problem

    async def _jobs(self, ids: Iterable[str]) -> list[Job]:
        wanted = list(dict.fromkeys(ids))
        found: list[Job] = []
        for start in range(0, len(wanted), PAGE):
            results = await self._server.find(_by_id(wanted[start : start + PAGE]))
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
        return {id_: Kept(found[id_], decoded(found[id_].raw.get("data"))) for id_ in wanted}

    def _job_of(self, row: Row) -> Job:
        server = self._server
        return _wire.job_of(row, tracker=server.tracker, zone=server.zone, reader=server.reader)

    # -- making ----------------------------------------------------------------------------------------------

    async def create_jobs(self, new: Sequence[NewJob]) -> list[Job]:
        """Make the jobs in one request, all or none, and return them in the same order.

        Raises:
            InvalidRequest: A type other than `api_job`: ftrack lets programs make no other.
            NotFound: There is no such user.
            Conflict: A key was used with another request.
            AttachError: A file could not be uploaded; no job was made.
        """
        check_types(new)
        drafts = await self._drafts(new)
        made = await self._make(drafts)
        return [made[draft.id] for draft in drafts]

    async def rerun_job(self, job_id: str, *, key: str | None) -> Job:
        """Return a new, QUEUED job with the same fields and none of the files; nothing starts it.

        Raises:
            NotFound: There is no such job.
            Unsupported: ftrack itself made the job, of a type that no program can make.
        """
        kept = (await self._kept([job_id]))[job_id]
        if kept.job.type != JOB_TYPE:
            hint = f"whatever in ftrack starts a job of type {kept.job.type!r}"
            raise Unsupported("rerun", hint=hint, provider=self.name)
        assert key is not None
        draft = copy_of(kept.job.raw, kept.record, id_=self._server.id_of(key), key=key, name=kept.job.name)
        return (await self._make([draft]))[draft.id]

    async def _drafts(self, new: Sequence[NewJob], beat: Mapping[str, Any] | None = None) -> list[Draft]:
        users = await self._server.user_ids(job.user or self.user for job in new)
        ids = [self._server.id_of(str(job.idempotency_key)) for job in new]
        there = {job.id for job in await self._jobs(ids)} if any(job.files for job in new) else set()
        files = await uploaded(self, new, known=[id_ in there for id_ in ids])

        def draft(one: tuple[NewJob, str, Inputs]) -> Draft:
            job, id_, given = one
            user = job.user or self.user
            return draft_of(job, id_=id_, user=user, user_id=users[user], inputs=given, beat=beat)

        return await in_steps(draft, zip(new, ids, files, strict=True))

    async def _make(self, drafts: Sequence[Draft]) -> dict[str, Job]:
        """Make the jobs that are not there yet, and return all, by id."""
        wanted = unique(drafts)
        try:
            return await self._insert(list(wanted.values()))
        except (Denied, RateLimited):
            raise
        except CallsheetError as error:
            # Perhaps they are there: by an earlier call, or by this one, whose answer was lost.
            there = await self._there(wanted, error)
            if not there:
                raise
        for id_, job in there.items():
            wanted[id_].check(job.raw)
        missing = [draft for id_, draft in wanted.items() if id_ not in there]
        return there | (await self._insert(missing) if missing else {})

    async def _there(self, ids: Iterable[str], error: CallsheetError) -> dict[str, Job]:
        """Return those of the jobs that are there after an error; if that cannot be known, raise it."""
        try:
            return {job.id: job for job in await self._jobs(ids)}
        except CallsheetError:
            raise error from None

    async def _insert(self, drafts: Sequence[Draft]) -> dict[str, Job]:
        operations = [operation for draft in drafts for operation in draft.operations()]
        return await self._written(operations, [draft.id for draft in drafts], "create")

    # -- changing --------------------------------------------------------------------------------------------

    async def update_jobs(self, ids: Sequence[str], changes: JobChanges) -> list[Job]:
        """Make the changes to all the jobs in one request, all or none.

        `data` is read just before, so that what other programs keep there stays; what they write in between
        is lost.

        Raises:
            NotFound: A job does not exist; nothing was changed.
        """
        async with self._server.locks.holding(ids):
            kept = await self._kept(ids)
            changed = await self._change({id_: (one, changes.given()) for id_, one in kept.items()})
        return [changed[id_] for id_ in ids]

    async def cancel_job(self, job_id: str) -> Job:
        """Mark the job as cancelled, unless it has ended; to ftrack it is `failed` then."""
        async with self._server.locks.holding([job_id]):
            kept = (await self._kept([job_id]))[job_id]
            if kept.job.ended:
                return kept.job
            return (await self._change({job_id: (kept, {"state": JobState.CANCELLED})}))[job_id]

    async def delete_job(self, job_id: str) -> None:
        """Remove the job, and those of callsheet's components that only it had, in one request.

        Components that other programs made, or that belong to an asset version, stay.

        Raises:
            NotFound: There is no such job.
        """
        async with self._server.locks.holding([job_id]):
            await self._kept([job_id])
            operations = [*await self._unlinking(job_id), delete("Job", job_id)]
            await self._server.remove(operations, unless=_by_id([job_id]))

    async def _change(
        self, wanted: Mapping[str, tuple[Kept, Mapping[str, Any]]], **record: Any
    ) -> dict[str, Job]:
        """Write changes to the jobs, and `record` into callsheet's part of each; return them fresh, by id."""

        def operation(one: tuple[Kept, Mapping[str, Any]]) -> Operation:
            (kept, changes), job = one, one[0].job
            begun = {**kept.data, "callsheet": kept.record | record}
            status, data = changed(job.vendor_state, begun, changes, seconds=self._age(job), name=job.name)
            # A status that stays is not sent: another program may have set it meanwhile.
            values = {"data": encoded(data)} | ({"status": status} if status != job.vendor_state else {})
            return update("Job", job.id, values)

        operations = await in_steps(operation, wanted.values())
        try:
            return await self._written(operations, list(wanted), "update")
        except CallsheetError as error:
            await self._blame_the_missing(wanted, error)
            raise

    async def _written(self, operations: list[Operation], ids: Sequence[str], name: str) -> dict[str, Job]:
        """Send the operations, and return the jobs as they are then, in the same request."""
        batches = [ids[start : start + PAGE] for start in range(0, len(ids), PAGE)]
        queries = [query(_by_id(batch)) for batch in batches]
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
        return found

    async def _blame_the_missing(self, ids: Collection[str], error: CallsheetError) -> None:
        """Raise `NotFound` if a job has vanished since it was read; ftrack does not say so plainly."""
        there = await self._there(ids, error)
        gone = next((id_ for id_ in ids if id_ not in there), None)
        if gone is not None:
            raise NotFound(f"there is no job {gone!r}", outcome=error.outcome, provider=self.name) from error

    def _age(self, job: Job) -> float:
        if job.created_at is None:
            return 0.0
        age: float = (self._server.now() - job.created_at).total_seconds()
        return round(max(0.0, age), 3)


def _by_id(ids: Sequence[str]) -> Query:
    return Query("Job", _wire.JOB, where=field("id").one_of(ids), limit=PAGE)


def _id_of(row: Row) -> str:
    id_ = row["id"]
    if not isinstance(id_, str):
        raise TypeError("an id that is no text")
    return id_


def check_types(new: Iterable[NewJob]) -> None:
    """Raise `InvalidRequest` for a type of job that ftrack lets no program make."""
    for job in new:
        if job.type not in (None, JOB_TYPE):
            raise InvalidRequest(
                f"type must be {JOB_TYPE!r}, which is all that ftrack takes, not {job.type!r}"
            )

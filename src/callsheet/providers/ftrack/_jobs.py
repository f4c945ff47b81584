"""What can be done with ftrack's jobs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from callsheet._errors import (
    CallsheetError,
    Denied,
    InvalidRequest,
    RateLimited,
    Unsupported,
)
from callsheet._models import Job, JobChanges, JobFilter, JobState, NewJob, Position, Slice
from callsheet.providers.ftrack import _wire
from callsheet.providers.ftrack._creating import uploaded
from callsheet.providers.ftrack._drafts import JOB_TYPE, Draft, Inputs, copy_of, draft_of, unique
from callsheet.providers.ftrack._filters import behind, is_exact, place_of, pushed
from callsheet.providers.ftrack._operations import delete
from callsheet.providers.ftrack._query import Condition, Query, all_of, field
from callsheet.providers.ftrack._revising import Edit, Revising, by_id
from callsheet.providers.ftrack._server import PAGE
from callsheet.providers.ftrack._together import in_steps

__all__ = ["JobCalls", "check_types"]

Row = dict[str, Any]


class JobCalls(Revising):
    """The calls of `callsheet.abc.Provider` that are about jobs, but for those of tracking."""

    # -- reading ---------------------------------------------------------------------------------------------

    async def made_job(self, key: str) -> Job | None:
        """Return the job that was made under the key, if it is still there: its id follows from the key."""
        return (await self.get_jobs([self._server.id_of(key)]))[0]

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
                self._server.forget_users()  # perhaps theirs are other ids by now
                raise
        for id_, job in there.items():
            wanted[id_].check(job.raw)
        missing = [draft for id_, draft in wanted.items() if id_ not in there]
        return there | (await self._insert(missing) if missing else {})

    async def _insert(self, drafts: Sequence[Draft]) -> dict[str, Job]:
        operations = [operation for draft in drafts for operation in draft.operations()]
        made, _ = await self._written(operations, [draft.id for draft in drafts], "create")
        return made

    # -- changing --------------------------------------------------------------------------------------------

    async def update_jobs(self, ids: Sequence[str], changes: JobChanges) -> list[Job]:
        """Make the changes to all the jobs in one request, all or none.

        `data` is read just before, so that what other programs keep there stays; what they write in between
        is lost.

        Raises:
            NotFound: A job does not exist; nothing was changed.
        """
        edit = Edit(changes.given())
        changed = await self._revise(ids, lambda _: edit)
        return [changed[id_] for id_ in ids]

    async def cancel_job(self, job_id: str) -> Job:
        """Mark the job as cancelled, unless it has ended; to ftrack it is `failed` then."""
        edit = Edit({"state": JobState.CANCELLED})
        return (await self._revise([job_id], lambda kept: None if kept.job.ended else edit))[job_id]

    async def delete_job(self, job_id: str) -> None:
        """Remove the job, and those of callsheet's components that only it had, in one request.

        Components that other programs made, or that belong to an asset version, stay.

        Raises:
            NotFound: There is no such job.
        """
        async with self._server.locks.holding([job_id]):
            await self._kept([job_id])
            operations = [*await self._unlinking(job_id), delete("Job", job_id)]
            await self._server.remove(operations, unless=by_id([job_id]))


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

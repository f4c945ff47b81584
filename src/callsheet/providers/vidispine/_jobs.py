"""What can be done with Vidispine's jobs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import TypeVar

import attrs

from callsheet import _checks
from callsheet._errors import (
    BulkError,
    CallsheetError,
    Conflict,
    InvalidRequest,
    NotFound,
    Outcome,
)
from callsheet._http._messages import Answer
from callsheet._http._trail import done
from callsheet._models import Job, JobChanges, NewJob
from callsheet.providers.vidispine._creating import Draft, draft_of
from callsheet.providers.vidispine._listing import ListingCalls
from callsheet.providers.vidispine._once import looked_for, made_job, once
from callsheet.providers.vidispine._refusals import is_about
from callsheet.providers.vidispine._server import LARGE, address, path_of
from callsheet.providers.vidispine._together import each
from callsheet.providers.vidispine._wire import job_of, problem_text
from callsheet.providers.vidispine._words import priority_word

__all__ = ["JobCalls"]

T = TypeVar("T")


class JobCalls(ListingCalls):
    """The calls of `callsheet.abc.Provider` that are about jobs."""

    _default_type: str | None

    # -- reading ---------------------------------------------------------------------------------------------

    async def get_jobs(self, ids: Sequence[str]) -> list[Job | None]:
        """Return the jobs in the order of their ids, `None` where there is none: one request each."""
        found: dict[str, Job | None] = {}

        async def get(id_: str) -> None:
            found[id_] = await self._job_or_none(id_)

        await each(list(dict.fromkeys(ids)), get)
        return [found[id_] for id_ in ids]

    async def _job_or_none(self, id_: str) -> Job | None:
        try:
            address(id_)
        except InvalidRequest:
            return None  # what does not fit into a URL is nobody's id
        try:
            return await self._job(id_)
        except NotFound as error:
            if is_about(error, "user"):
                raise
            return None

    async def _job(self, id_: str) -> Job:
        """Return a job with all that there is to know of it."""
        answer = await self._server.call("GET", *path_of(id_), query=[("metadata", "true")])
        return await self._server.aside(len(answer.body) > LARGE, self._job_of, answer)

    def _job_of(self, answer: Answer) -> Job:
        row = answer.json()
        try:
            return job_of(row, tracker=self.tracker)
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            raise answer.unreadable(f"a job that cannot be read ({exc!r})") from exc

    async def _job_after(self, id_: str) -> Job:
        """Return a job as it is after a change, which has been made even if this fails."""
        with done():
            return await self._job(id_)

    async def job_problem(self, job_id: str) -> str | None:
        """Return why the job failed, or what it waits for."""
        job = await self._job(job_id)
        if job.vendor_state not in {"WAITING", "HOLD"}:
            return job.problem
        return problem_text(await self._server.read(*path_of(job_id), "problem")) or job.problem

    # -- making ----------------------------------------------------------------------------------------------

    async def create_jobs(self, new: Sequence[NewJob]) -> list[Job]:
        """Make the jobs, each on its own, and return them in the same order.

        A job's key is kept in its metadata, and looked for there before the job is made. That holds for one
        caller at a time: of two that use a new key at the same moment, both may make a job.

        Raises:
            InvalidRequest: A type is missing, or something that job metadata cannot hold; nothing was sent.
            Conflict: A key was used with another request.
            BulkError: Of several, some were made, some not.
        """
        drafts = [draft_of(one, user=one.user or self.user, default_type=self._default_type) for one in new]
        return await self._many(drafts, self._make, "made")

    async def _make(self, draft: Draft) -> Job:
        async with self._server.lock(draft.key):
            try:
                id_ = await looked_for(self._server, draft.key, partial(self._made, draft))
                if id_ is None:
                    id_ = await self._make_new(draft)
                elif draft.type is None:
                    server = self._server.acting_for(draft.user)
                    await self._forget_import(server, draft.new, draft.query)
                return await self._job_after(id_)
            except CallsheetError as error:
                error.idempotency_key = draft.key
                raise

    async def _make_new(self, draft: Draft) -> str:
        """Make the job, and return its id."""
        server = self._server.acting_for(draft.user)
        if draft.type is None:
            return str((await self._imported(server, draft.new, draft.query))["jobId"])
        query = [("type", draft.type), *draft.query]

        async def make() -> str:
            return _id_in(await server.call("POST", "job", query=query, key=draft.key))

        return await once(server, make, lambda: self._made(draft))

    async def _made(self, draft: Draft) -> str | None:
        """Return the id of the job that was made under the key, if there is one.

        Raises:
            Conflict: It was another request.
        """
        row = await made_job(self._server, draft.key)
        return None if row is None else draft.checked(row)

    async def rerun_job(self, job_id: str, *, key: str | None) -> Job:
        """Run it again: return the new job, which only this answer calls the old one's rerun.

        Raises:
            NotFound: There is no such job.
        """
        id_ = _id_in(await self._server.call("POST", *path_of(job_id), "re-run"))
        return attrs.evolve(await self._job_after(id_), source_id=job_id)

    # -- changing --------------------------------------------------------------------------------------------

    async def update_jobs(self, ids: Sequence[str], changes: JobChanges) -> list[Job]:
        """Set the priority of the jobs, each on its own.

        Raises:
            NotFound: There is no such job.
            BulkError: Of several, some were changed, some not.
        """
        word = priority_word(changes.given()["priority"])

        async def prioritize(id_: str) -> Job:
            await self._server.call("PUT", *path_of(id_), query=[("priority", word)], repeatable=True)
            return await self._job_after(id_)

        return await self._many(ids, prioritize, "changed")

    async def cancel_job(self, job_id: str) -> Job:
        """Ask for the job to be aborted, unless it has ended. It may take a while: look at `ended`."""
        return await self.abort(job_id)

    async def abort(self, job: Job | str, *, reason: str | None = None, cleanup: bool = True) -> Job:
        """Ask for a job to be aborted, as `jobs.cancel` does, and return it fresh.

        Args:
            job: Which.
            reason: Kept with the job, for people.
            cleanup: Let it clean up behind itself.

        Raises:
            NotFound: There is no such job.
        """
        job_id = _checks.job_id(job, self.tracker)
        query = [] if reason is None else [("reason", _checks.text(reason, "reason"))]
        query += [] if cleanup else [("cleanup", "false")]
        try:
            await self._server.call("DELETE", *path_of(job_id), query=query, repeatable=True)
        except Conflict:
            there = await self._job(job_id)
            if not there.ended:
                raise
            return there
        return await self._job_after(job_id)

    async def delete_job(self, job_id: str) -> None:
        """Remove the record of a job that has ended; the files it has made stay.

        Raises:
            NotFound: There is no such job.
            Conflict: It has not ended.
        """
        job = await self._job(job_id)
        if not job.ended:
            raise Conflict(
                f"job {job_id} has not ended ({job.vendor_state}); cancel it first", provider=self.name
            )
        try:
            await self._server.call("DELETE", "job", query=[("id", job_id)], repeatable=True)
        except NotFound:
            return  # by a request of ours whose answer was lost, or by somebody else just now

    # -- steps -----------------------------------------------------------------------------------------------

    async def _many(self, things: Sequence[T], do: Callable[[T], Awaitable[Job]], done: str) -> list[Job]:
        """Do something to each, and return the jobs in order; a single one's error is its own.

        Raises:
            BulkError: Some failed.
        """
        if len(things) == 1:
            return [await do(things[0])]
        jobs: dict[int, Job] = {}
        failed: dict[int, Exception] = {}

        async def one(index: int) -> None:
            try:
                jobs[index] = await do(things[index])
            except CallsheetError as error:
                error.provider = error.provider or self.name
                failed[index] = error
            except OSError as error:  # of its file
                failed[index] = error

        await each(range(len(things)), one)
        made = [jobs[index] for index in sorted(jobs)]
        if failed:
            first = min(failed)
            raise BulkError(
                f"{len(failed)} of {len(things)} jobs could not be {done}; the first is {first}:"
                f" {failed[first]}",
                done=made,
                failed=dict(sorted(failed.items())),
                outcome=_outcome(made, failed.values()),
                provider=self.name,
            )
        return made


def _id_in(answer: Answer) -> str:
    """Return the id of the job that an answer tells of."""
    row = answer.json()
    id_ = row.get("jobId") if isinstance(row, dict) else None
    if not isinstance(id_, str) or not id_:
        raise answer.unreadable("no job", path="$.jobId")
    return id_


def _outcome(done: Sequence[Job], errors: Iterable[Exception]) -> Outcome:
    """Return what happened, all in all, where some of many failed."""
    told = {error.outcome for error in errors if isinstance(error, CallsheetError)}
    if Outcome.UNKNOWN in told:
        return Outcome.UNKNOWN
    return Outcome.DONE if done or Outcome.DONE in told else Outcome.NOT_DONE

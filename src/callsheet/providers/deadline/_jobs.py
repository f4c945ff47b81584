"""What can be done with Deadline's jobs."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import anyio
import attrs

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
from callsheet._models import Job, JobChanges, JobFilter, JobState, NewJob, Position
from callsheet._together import together
from callsheet.abc import Sweep
from callsheet.providers.deadline._answers import CHANGED_MEANWHILE, document
from callsheet.providers.deadline._attachments import Uploads
from callsheet.providers.deadline._batches import Answers, get_batch, update_batch
from callsheet.providers.deadline._creating import Draft, copy_of, draft_of
from callsheet.providers.deadline._finding import FindCalls
from callsheet.providers.deadline._server import BATCH, new_token, token_of
from callsheet.providers.deadline._states import TARGETS
from callsheet.providers.deadline._wire import job_of

__all__ = ["JobCalls"]

PATIENCE = 5.0
"""Seconds until a job that was just made must be there: Deadline's parts learn of it one after another."""

OFTEN, SELDOM = 2.0, 15.0
"""Seconds between two looks of a watch while something happens, and when nothing has for long."""

MAX_RERUNS = 1000
"""Reruns whose requests are remembered: a repeat is the same, whatever became of the job meanwhile."""

_JOB_ID = re.compile(r"job-[0-9a-f]{32}")


@attrs.frozen
class Mark:
    """What a look saw.

    Attributes:
        listed: Of each job that a search found, a trace of what it told.
        answers: What the service said of the jobs themselves, by its hashes.
        stood: How far each of them was: its vendor's state and its progress.
    """

    listed: Mapping[str, int] = attrs.field(factory=dict)
    answers: Answers | None = None
    stood: Mapping[str, tuple[str, float | None]] = attrs.field(factory=dict)


class JobCalls(FindCalls):
    """The calls of `callsheet.abc.Provider` that are about jobs."""

    at_once: ClassVar[int] = 8
    """Jobs of one call that are made at a time."""

    _adapts: bool
    _uploads: Uploads
    _reruns: OrderedDict[tuple[str, str], Draft]
    watch_interval: float

    # -- reading ---------------------------------------------------------------------------------------------

    async def get_jobs(self, ids: Sequence[str]) -> list[Job | None]:
        """Return the jobs in the order of their ids, `None` where there is none; a hundred in one request."""
        found = await self._found(ids)
        return [found.get(id_) for id_ in ids]

    async def _found(self, ids: Iterable[str], answers: Answers | None = None) -> dict[str, Job | None]:
        # One that is no id would have all be refused.
        asked = [id_ for id_ in dict.fromkeys(ids) if _JOB_ID.fullmatch(id_)]
        if len(asked) == 1:
            return {asked[0]: await self._get(asked[0])}
        read = partial(job_of, tracker=self.tracker)
        return {**await get_batch(self._server, "job", "jobId", asked, read, answers)}

    async def _get(self, id_: str) -> Job | None:
        try:
            answer = await self._server.send("GET", self._server.path("jobs", id_), operation="GetJob")
        except NotFound:
            return None
        return self._read(answer)

    def _read(self, answer: Answer) -> Job:
        raw = document(answer)
        try:
            return job_of(raw, tracker=self.tracker)
        except Exception as exc:
            raise answer.unreadable(f"a job that cannot be read: {exc!r}") from exc

    def _check_id(self, id_: str) -> None:
        """Raise `NotFound` if there can be no such job: Deadline would call the request itself wrong."""
        if not _JOB_ID.fullmatch(id_):
            raise NotFound(f"there is no job {id_!r}", provider=self.name)

    async def _known(self, id_: str) -> Job:
        job = (await self.get_jobs([id_]))[0]
        if job is None:
            raise NotFound(f"there is no job {id_!r}", provider=self.name)
        return job

    # -- watching --------------------------------------------------------------------------------------------

    async def sweep(self, ids: Collection[str], wanted: Iterable[JobFilter], mark: Any) -> Sweep:
        """Look at all jobs named, a hundred in a request; and at those that a search finds changed.

        What a search tells lags behind, so that it only says where to look.
        """
        before = mark if isinstance(mark, Mark) else Mark()
        listed: dict[str, int] = {}
        for filter_ in wanted:
            after: Position | None = None
            while True:
                page = await self.page_jobs(filter_, after=after, size=BATCH)
                listed |= {job.id: hash(repr(job.raw)) for job in page.items}
                if page.next is None:
                    break
                after = page.next
        # In order, so that the same jobs make the same hundreds in the next look.
        asked = sorted({*ids, *(id_ for id_, trace in listed.items() if before.listed.get(id_) != trace)})
        answers = Answers(before.answers)
        found = await self._found(asked, answers)
        stood = {id_: how for id_, how in before.stood.items() if id_ in answers.again}
        stood |= {id_: (job.vendor_state, job.progress) for id_, job in found.items() if job is not None}
        self._adapt(is_calm=before is mark and stood == before.stood)
        changed = {id_: found.get(id_) for id_ in asked if id_ not in answers.again}
        return Sweep(changed, Mark(listed, answers, stood))

    def _adapt(self, *, is_calm: bool) -> None:
        """Look again soon while something happens, and ever later while nothing does."""
        if self._adapts:
            self.watch_interval = min(SELDOM, self.watch_interval * 1.5) if is_calm else OFTEN

    # -- making ----------------------------------------------------------------------------------------------

    async def create_jobs(self, new: Sequence[NewJob]) -> list[Job]:
        """Make the jobs, several at a time, and return them in the same order.

        Raises:
            InvalidRequest: No template, or something in it or its parameters makes no sense.
            BulkError: Of several, some were made and some not.
        """
        if len(new) == 1:
            return [await self._create(new[0])]
        made: dict[int, Job] = {}
        failed: dict[int, Exception] = {}
        todo = iter(enumerate(new))

        async def work() -> None:
            for index, one in todo:
                try:
                    made[index] = await self._create(one)
                except (CallsheetError, OSError) as error:
                    failed[index] = error

        await together([work] * min(self.at_once, len(new)))
        if failed:
            raise _bulk("made", len(new), made, failed)
        return [made[index] for index in range(len(new))]

    async def _create(self, new: NewJob) -> Job:
        assert new.idempotency_key is not None
        draft = await self._server.threads.run(draft_of, new)
        attachments = await self._uploads.prepare(
            new.files,
            draft.references,
            new.outputs,
            key=new.idempotency_key,
            file_system=draft.file_system,
            profile=draft.body.get("storageProfileId"),
            checked=draft.checked,
        )
        if attachments is not None:
            draft = attrs.evolve(draft, body={**draft.body, "attachments": attachments})
        return await self._make(draft, new.idempotency_key)

    async def _make(self, draft: Draft, key: str) -> Job:
        """Make the job; repeating it with the key, also after a lost answer, makes no other one."""
        answer = await self._server.send(
            "POST",
            self._server.path("jobs"),
            draft.body,
            token=token_of(key),
            key=key,
            operation="CreateJob",
        )
        id_ = document(answer).get("jobId")
        if not isinstance(id_, str):
            raise answer.unreadable("no id of the job", path="$.jobId")
        with done(key):
            return await self._appeared(id_)

    async def _appeared(self, id_: str) -> Job:
        """Return a job that was just made, as soon as it can be seen."""
        deadline, pause = anyio.current_time() + PATIENCE, 0.1
        while (job := await self._get(id_)) is None:
            if anyio.current_time() + pause > deadline:
                raise NotFound(f"job {id_!r} was made, but is not there yet", provider=self.name)
            await anyio.sleep(pause)
            pause *= 2
        return job

    async def rerun_job(self, job_id: str, *, key: str | None) -> Job:
        """Return a new job with the template, values, files and settings of this one, which is its source.

        Raises:
            NotFound: There is no such job.
        """
        assert key is not None
        if (job_id, key) not in self._reruns:
            self._reruns[job_id, key] = copy_of(await self._known(job_id))
            if len(self._reruns) > MAX_RERUNS:
                self._reruns.popitem(last=False)
        return await self._make(self._reruns[job_id, key], key)

    # -- changing --------------------------------------------------------------------------------------------

    async def update_jobs(self, ids: Sequence[str], changes: JobChanges) -> list[Job]:
        """Make the changes, a hundred jobs in a request. A new state is asked for, and comes by and by.

        Raises:
            InvalidRequest: A state that nobody can set, or no priority at all.
            NotFound: The job does not exist.
            BulkError: Of several, some were changed and some not.
        """
        members = _members(changes)
        if len(ids) == 1:
            return [await self._change(ids[0], members)]
        wanted = list(dict.fromkeys(ids))
        items = [{"jobId": id_, **members} for id_ in wanted if _JOB_ID.fullmatch(id_)]
        errors: dict[str, Exception] = {}
        if items:
            errors |= await update_batch(self._server, "job", "jobId", items)
        with done():
            found = dict(zip(wanted, await self.get_jobs(wanted), strict=True))
        gone = {id_ for id_, job in found.items() if job is None}
        errors |= {id_: NotFound(f"there is no job {id_!r}", provider=self.name) for id_ in gone}
        failed = {index: errors[id_] for index, id_ in enumerate(ids) if id_ in errors}
        changed = {index: job for index, id_ in enumerate(ids) if id_ not in errors and (job := found[id_])}
        if failed:
            raise _bulk("changed", len(ids), changed, failed)
        return [changed[index] for index in range(len(ids))]

    async def _change(self, id_: str, members: Mapping[str, Any]) -> Job:
        """Change one job, and return it as it is then."""
        self._check_id(id_)
        for attempt in range(4):
            try:
                await self._server.send(
                    "PATCH",
                    self._server.path("jobs", id_),
                    members,
                    token=new_token(),
                    operation="UpdateJob",
                )
                break
            except Conflict as error:
                if attempt == 3 or CHANGED_MEANWHILE not in error.message:
                    raise
            await anyio.sleep(0.1 * 2**attempt)
        with done():
            return await self._known(id_)

    async def cancel_job(self, job_id: str) -> Job:
        """Ask for the job to be cancelled, unless it has ended; running tasks are interrupted by and by."""
        job = await self._known(job_id)
        if job.ended:
            return job
        return await self._change(job_id, {"targetTaskRunStatus": TARGETS[JobState.CANCELLED]})


# -- steps ---------------------------------------------------------------------------------------------------


def _members(changes: JobChanges) -> dict[str, Any]:
    given = changes.given()
    if "state" in given:
        state = given.pop("state")
        if state not in TARGETS:
            raise InvalidRequest(f"state: only Deadline's workers set a job {state.value}")
        given["targetTaskRunStatus"] = TARGETS[state]
    if given.get("priority", 0) is None:
        raise InvalidRequest("priority: on Deadline a job always has one")
    return given


def _bulk(what: str, number: int, done: Mapping[int, Job], failed: Mapping[int, Exception]) -> BulkError:
    outcomes = {error.outcome for error in failed.values() if isinstance(error, CallsheetError)}
    first = min(failed)
    outcome = Outcome.DONE if done or Outcome.DONE in outcomes else Outcome.NOT_DONE
    if Outcome.UNKNOWN in outcomes:
        outcome = Outcome.UNKNOWN
    return BulkError(
        f"{len(failed)} of {number} jobs were not {what}: {failed[first]}",
        done=[done[index] for index in sorted(done)],
        failed={index: failed[index] for index in sorted(failed)},
        outcome=outcome,
    )

"""`client.jobs`: make, find, change, follow and track jobs."""

from __future__ import annotations

import builtins
import time
import uuid
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, get_args

import anyio.lowlevel
import attrs

from callsheet import _checks
from callsheet._attaching import attach
from callsheet._door import Door, new_key
from callsheet._errors import BulkError, InvalidRequest, NotFound
from callsheet._listing import Listing, Query
from callsheet._mirroring import Mirroring
from callsheet._models import (
    UNSET,
    Action,
    Component,
    Job,
    JobFilter,
    JobState,
    NewJob,
    Unset,
)
from callsheet._tracking import OnCancel, Tracked, Tracking, TrackOptions
from callsheet._transfers import OnProgress
from callsheet._waiting import Until, wait_for
from callsheet._watching import Sweeper, Watch

if TYPE_CHECKING:
    from callsheet._client import Client

__all__ = ["Jobs"]

MAX_COUNTS = 1000
"""Counts kept for `max_age`."""


class Jobs:
    """The jobs of one tracker. Wherever a job is taken, its id will do."""

    def __init__(self, door: Door, sweeper: Sweeper) -> None:
        self._door = door
        self._sweeper = sweeper
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()

    # -- make ------------------------------------------------------------------------------------------------

    async def create(
        self,
        name: str,
        *,
        user: str | None = None,
        type: str | None = None,  # noqa: A002 - the field's name on every tracker
        state: JobState | None = None,
        description: str = "",
        priority: int | None = None,
        item: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        files: Sequence[Any] = (),
        idempotency_key: str | None = None,
        template: Any = None,
        parameters: Mapping[str, Any] | None = None,
        outputs: Sequence[Any] = (),
        vendor: Mapping[str, Any] | None = None,
    ) -> Job:
        """Make a job and return it.

        Args:
            name: What people see.
            user: The tracker's name of its user; by default the one you are logged in as.
            type: The tracker's own kind of job.
            state: By default the tracker's own first state (queued on the local tracker).
            description: More for people.
            priority: 0 to 100.
            item: The asset to work on.
            attributes: Your own data, as JSON.
            files: Files that belong to it from the start (its inputs).
            idempotency_key: Repeating a create with its key returns the same job. One is made if you give
                none; errors carry it.
            template, parameters, outputs, vendor: For trackers that run the job themselves.

        Raises:
            InvalidRequest: A value that no tracker takes.
            Unsupported: A field that this tracker does not have; `.call` names it.
            Conflict: The key was used with another request.
            AttachError: Files could not be uploaded; the job was not made.
        """
        given = NewJob(
            name=name,
            user=user,
            type=type,
            state=state,
            description=description,
            priority=priority,
            item=item,
            attributes=attributes,
            files=files,
            idempotency_key=idempotency_key,
            template=template,
            parameters=parameters,
            outputs=outputs,
            vendor=vendor,
        )
        new = self._checked(given, "create")
        with self._door.calling(new.idempotency_key):
            return (await self._door.provider.create_jobs([new]))[0]

    async def create_many(
        self, new: Iterable[NewJob], *, idempotency_key: str | None = None
    ) -> builtins.list[Job]:
        """Make many jobs and return them in input order: all or none where the tracker can.

        Args:
            new: The jobs; each may have a key of its own.
            idempotency_key: A key for the whole call, from which the others' keys follow.

        Raises:
            BulkError: Where it cannot: some were made, some not.
        """
        base = idempotency_key or new_key()
        many: builtins.list[NewJob] = []
        for index, one in enumerate(new):
            key = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{base}/{index}"))
            many.append(self._checked(one, "create_many", key=key))
            if index % 100 == 99:
                await anyio.lowlevel.checkpoint()  # others on the loop have their turn
        if not many:
            return []
        with self._door.calling(base):
            return await self._door.provider.create_jobs(many)

    async def rerun(self, job: Job | str, *, idempotency_key: str | None = None) -> Job:
        """Run the job again: return the new job, which remembers the old one as `source_id`."""
        id_ = self._door.job_id(job)
        self._door.require("rerun", *(["idempotency_key"] if idempotency_key else []))
        _checks.optional_text(idempotency_key, "idempotency_key")
        takes_key = "rerun(idempotency_key=)" in self._door.provider.capabilities
        key = (idempotency_key or new_key()) if takes_key else None
        with self._door.calling(key):
            return await self._door.provider.rerun_job(id_, key=key)

    # -- find ------------------------------------------------------------------------------------------------

    async def get(self, job: Job | str) -> Job:
        """Return the job as it is now, with every field.

        Raises:
            NotFound: There is no such job.
        """
        found = (await self.get_many([job]))[0]
        if found is None:
            id_ = self._door.job_id(job)
            raise NotFound(f"there is no job {id_!r}", provider=self._door.provider.name)
        return found

    async def get_many(self, jobs: Iterable[Job | str]) -> builtins.list[Job | None]:
        """Return the jobs as they are now, in the order given; `None` for each that does not exist."""
        ids = [self._door.job_id(job) for job in _several(jobs)]
        self._door.require("list")
        found: builtins.list[Job | None] = []
        with self._door.calling():
            for start in range(0, len(ids), self._door.provider.batch_size):
                found += await self._door.provider.get_jobs(
                    ids[start : start + self._door.provider.batch_size]
                )
        return found

    def list(
        self,
        *,
        states: Iterable[JobState | str] | None = None,
        types: Iterable[str] | None = None,
        user: str | None = None,
        item: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        newest_first: bool = True,
        page_size: int | None = None,
        cursor: str | None = None,
    ) -> Listing[Job]:
        """Return the jobs that match every condition, as a listing that is fetched while it is read.

        A job that matches for as long as the listing runs appears exactly once, whatever else comes and goes.

        Args:
            attributes: Each must be equal in the job's own.
            created_after: Inclusive, with a time zone.
            created_before: Exclusive, with a time zone.
            page_size: The most jobs asked for at a time; by default the tracker's largest page.
            cursor: Where an earlier listing with the same conditions stopped (`Listing.cursor`).

        Raises:
            Unsupported: The tracker cannot filter by that.
            InvalidCursor: The cursor belongs to other conditions or another tracker, or is damaged.
        """
        wanted = self._filter(
            "list",
            states=states,
            types=types,
            user=user,
            item=item,
            attributes=attributes,
            created_after=created_after,
            created_before=created_before,
            newest_first=newest_first,
        )
        query = Query(
            fetch=partial(self._page, wanted),
            key=_creation,
            tracker=self._door.provider.tracker,
            fingerprint=wanted.fingerprint(),
            size=_checks.page_size(page_size, self._door.provider.page_size),
            total_order=self._door.provider.total_order,
        )
        return Listing(query, cursor=cursor)

    async def count(self, *, max_age: float = 0, **filters: Any) -> int:
        """Return how many jobs match; the filters are those of `list`.

        Args:
            max_age: Seconds that a count from earlier may be old.
        """
        wanted = self._filter("count", **filters)
        fingerprint = wanted.fingerprint()
        limit = _checks.seconds(max_age, "max_age")
        then, number = self._counts.get(fingerprint, (0.0, 0))
        if limit and fingerprint in self._counts and time.monotonic() - then <= limit:
            return number
        with self._door.calling():
            number = await self._door.provider.count_jobs(wanted)
        self._counts[fingerprint] = (time.monotonic(), number)
        self._counts.move_to_end(fingerprint)
        if len(self._counts) > MAX_COUNTS:
            self._counts.popitem(last=False)
        return number

    async def problem(self, job: Job | str) -> str | None:
        """Return why the job failed or waits, or `None`."""
        id_ = self._door.job_id(job)
        self._door.require("problem")
        with self._door.calling():
            return await self._door.provider.job_problem(id_)

    async def allows(self, job: Job | str, action: Action, user: str | None = None) -> bool:
        """Tell whether the user (by default yourself) may do that with the job."""
        id_ = self._door.job_id(job)
        if action not in get_args(Action):
            raise InvalidRequest(f"action must be one of {', '.join(get_args(Action))}, not {action!r}")
        self._door.require("allows")
        who = _checks.optional_text(user, "user") or self._door.provider.user
        with self._door.calling():
            return await self._door.provider.allows(id_, action, who)

    # -- change ----------------------------------------------------------------------------------------------

    async def update(
        self,
        job: Job | str,
        *,
        state: JobState | Unset = UNSET,
        progress: float | Unset | None = UNSET,
        message: str | Unset | None = UNSET,
        problem: str | Unset | None = UNSET,
        description: str | Unset = UNSET,
        priority: int | Unset | None = UNSET,
        name: str | Unset = UNSET,
        attributes: Mapping[str, Any] | Unset = UNSET,
    ) -> Job:
        """Change the fields that are given, and return the job as it is then.

        Args:
            progress: 0.0 to 1.0, or `None` for unknown.
            attributes: Replaces all of them.
        """
        given = {
            "state": state,
            "progress": progress,
            "message": message,
            "problem": problem,
            "description": description,
            "priority": priority,
            "name": name,
            "attributes": attributes,
        }
        changes = {field: value for field, value in given.items() if value is not UNSET}
        return (await self.update_many([job], **changes))[0]

    async def update_many(self, jobs: Iterable[Job | str], **changes: Any) -> builtins.list[Job]:
        """Make the same changes to many jobs; return them in the order given. All or none where possible.

        Raises:
            NotFound: A job does not exist; nothing was changed.
            BulkError: The tracker cannot do all or none: some were changed, some not.
        """
        ids = [self._door.job_id(job) for job in _several(jobs)]
        checked = _checks.job_changes(changes)
        self._door.require("update", *changes)
        if not ids:
            return []
        with self._door.calling():
            return await self._door.provider.update_jobs(ids, checked)

    async def cancel(self, job: Job | str) -> Job:
        """Ask for the job to stop and return it; a job that has ended is returned as it is."""
        id_ = self._door.job_id(job)
        self._door.require("cancel")
        with self._door.calling():
            return await self._door.provider.cancel_job(id_)

    async def delete(self, job: Job | str) -> None:
        """Remove the job, with the components that only it has."""
        id_ = self._door.job_id(job)
        self._door.require("delete")
        with self._door.calling():
            await self._door.provider.delete_job(id_)

    async def attach(
        self,
        job: Job | str,
        files: Iterable[Any],
        *,
        location: str | None = None,
        concurrency: int | None = None,
        on_progress: OnProgress | None = None,
    ) -> builtins.list[Component]:
        """Upload files, many at once, and attach them to the job; return their components in order.

        One file that fails does not stop the others. Calling again with those that failed continues.

        Args:
            files: Paths, `File`, `FrameSequence`, or a `Component` that exists.
            location: Name or id of where the bytes shall live.
            concurrency: The most files at a time; by default 32, and 64 MiB of memory in flight.
            on_progress: Called (and awaited, if async) with a `Transfer` as each file goes on.

        Raises:
            AttachError: Some could not be attached: `.attached` and `.failed` say which.
            NotFound: There is no such job; nothing was uploaded.
        """
        id_ = self._door.job_id(job)
        self._door.require("attach")
        with self._door.calling():
            return await attach(
                self._door.provider,
                id_,
                _several(files),
                location=location,
                concurrency=concurrency,
                on_progress=on_progress,
            )

    # -- follow ----------------------------------------------------------------------------------------------

    async def wait(self, job: Job | str, *, timeout: float | None = None, until: Until = None) -> Job:
        """Wait until the job has ended, and return it; a failed job is returned, not raised.

        Args:
            timeout: Seconds; `None` waits until cancelled.
            until: States, or a test of the job, that end the wait earlier. An ended job ends it in any case.

        Raises:
            WaitTimeout: It goes on; `.job` is what was last seen.
            NotFound: There is no such job, or no more.
        """
        id_ = self._door.job_id(job)
        self._door.require("wait")
        seen = {id_: job} if isinstance(job, Job) else {}
        outcome = (await wait_for(self._sweeper, [id_], seen, timeout=timeout, until=until))[id_]
        if isinstance(outcome, NotFound):
            raise outcome
        return outcome

    async def wait_all(
        self, jobs: Iterable[Job | str], *, timeout: float | None = None, until: Until = None
    ) -> builtins.list[Job]:
        """Wait for many jobs, in one batched look a tick; return them in the order given.

        Raises:
            WaitTimeout: `.jobs` are all of them as last seen, `.job` the first that is not there.
            BulkError: The others ended, but some vanished.
        """
        given = _several(jobs)
        ids = [self._door.job_id(job) for job in given]
        self._door.require("wait")
        seen = {job.id: job for job in given if isinstance(job, Job)}
        outcomes = await wait_for(self._sweeper, ids, seen, timeout=timeout, until=until)
        results = [outcomes[id_] for id_ in ids]
        done = [job for job in results if isinstance(job, Job)]
        failed = {index: error for index, error in enumerate(results) if isinstance(error, NotFound)}
        if failed:
            first = min(failed)
            gone = f"{len(failed)} of {len(ids)} jobs cannot be waited for: {failed[first]}"
            raise BulkError(gone, done=done, failed=failed, provider=self._door.provider.name)
        return done

    def watch(self, *jobs: Job | str, **filters: Any) -> Watch:
        """Follow named jobs until all have ended, or whatever matches a filter (as of `list`), for good.

        Raises:
            InvalidRequest: Neither jobs nor a filter were given, or both.
        """
        ids = [self._door.job_id(job) for job in jobs]
        if "newest_first" in filters:
            raise InvalidRequest("watch: newest_first means nothing here")
        wanted = self._filter("watch", **filters)
        if bool(ids) == bool(wanted.conditions()):
            raise InvalidRequest("watch: give either jobs or a filter")
        return Watch(self._sweeper, ids=ids, wanted=None if ids else wanted)

    def track(
        self,
        name: str | None = None,
        *,
        job: Job | str | None = None,
        user: str | None = None,
        type: str | None = None,  # noqa: A002 - the field's name on every tracker
        description: str = "",
        attributes: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        lease: float = 60.0,
        beat: float = 15.0,
        grace: float = 15.0,
        final_timeout: float = 30.0,
        on_cancel: OnCancel = "cancel",
    ) -> AbstractAsyncContextManager[Tracked]:
        """Show a block of work as a job: running, then done, failed with the traceback's end, or cancelled.

        While the block runs, the job's lease is renewed every `beat` seconds; a worker that dies is seen as
        such `lease` + `grace` seconds after its last beat. Trouble in reporting never fails the work: it is
        logged, and if the end cannot be written within `final_timeout` seconds, one ERROR line says so.

        Args:
            name: The new job's name.
            job: A job that exists, to be adopted instead; a name, description or attributes given with it
                are written over its own.
            on_cancel: `"ignore"` lets the block go on when the job is cancelled from elsewhere.

        Raises:
            JobCancelled: The job was cancelled from elsewhere; the block was cancelled.
            LeaseLost: The job is another worker's by now; the block was cancelled.
            Conflict: Another worker holds the job.
        """
        if name is None and job is None:
            raise InvalidRequest("track: give the name of a new job, or job= to adopt one")
        if on_cancel not in get_args(OnCancel):
            raise InvalidRequest(f"on_cancel must be 'cancel' or 'ignore', not {on_cancel!r}")
        options = TrackOptions(
            lease=_checks.seconds(lease, "lease", low=0.01),
            beat=_checks.seconds(beat, "beat", low=0.001),
            grace=_checks.seconds(grace, "grace"),
            final_timeout=_checks.seconds(final_timeout, "final_timeout"),
            on_cancel=on_cancel,
        )
        if options.beat > options.lease / 2:
            raise InvalidRequest(f"beat must be at most half the lease: {beat:g} s of {lease:g} s")
        self._door.require("track")
        fields: dict[str, Any] = {"name": name, "description": description or None, "attributes": attributes}
        given = {field: value for field, value in fields.items() if value is not None}
        if job is None:
            new = NewJob(**given, user=user, type=type, idempotency_key=idempotency_key)
            return Tracking(self._door, self._checked(new, "create"), self.attach, options)
        fixed = {"user": user, "type": type, "idempotency_key": idempotency_key}
        unfit = next((field for field, value in fixed.items() if value is not None), None)
        if unfit:
            raise InvalidRequest(f"track: {unfit}= cannot be given with job=, which has its own")
        changes = _checks.job_changes(given) if given else None
        return Tracking(self._door, self._door.job_id(job), self.attach, options, changes=changes)

    async def mirror(
        self,
        job: Job | str,
        *,
        into: Client[Any],
        user: str | None = None,
        files: bool = True,
        timeout: float | None = None,
    ) -> Job:
        """Show the job on another tracker until it has ended, with its outputs, and return that other job.

        State, progress, message, problem and description go over, the latest at a time, and the end always.
        The outputs are streamed across and attached before that, so a mirror that is done has them all. A
        source that is gone ends its mirror FAILED, with the problem "source gone".

        A job has one mirror on a tracker, whoever calls this how often: a call that was cancelled or killed
        leaves the mirror as it is, and the next call goes on with it. The mirror has the job's id as
        `source_id`, and `attributes["source"]` names its tracker, too. Trouble that passes is logged and
        ridden out.

        Args:
            into: An open client of the other tracker.
            user: Whose the mirror is; by default the one you are logged in as there.
            files: Whether the outputs are copied.
            timeout: Seconds; `None` goes on until the job has ended, 0 brings the mirror up to date once.

        Raises:
            WaitTimeout: The job goes on; `.job` is what was last seen of it.
            NotFound: There is no such job; or the mirror is gone.
            AttachError: The mirror has ended as the job has, but some outputs could not be copied: `.failed`
                has the error of each, by its component.
            Unsupported: The other tracker cannot show jobs; nothing was sent to either.
            InvalidRequest: Both are the same tracker.
        """
        id_ = self._door.job_id(job)
        if not isinstance(getattr(into, "jobs", None), Jobs):
            raise InvalidRequest(f"into must be a client of the other tracker, not {into!r}")
        target = into.jobs._door
        self._door.require("mirror")
        target.require("mirror(into=)")
        for word in ("components.list", "open") if files else ():
            self._door.require(word)
        if target.provider.tracker == self._door.provider.tracker:
            raise InvalidRequest(
                f"into must be another tracker than the job's own, {self._door.provider.tracker}"
            )
        limit = None if timeout is None else _checks.seconds(timeout, "timeout")
        owner = _checks.optional_text(user, "user")
        mirroring = Mirroring(self._door, self._sweeper, id_, target, user=owner, files=files)
        return await mirroring.run(limit)

    # -- steps -----------------------------------------------------------------------------------------------

    def _checked(self, new: NewJob, call: str, *, key: str | None = None) -> NewJob:
        checked = _checks.new_job(new)
        defaults = attrs.fields_dict(NewJob)
        given = [
            field
            for field, value in attrs.asdict(checked, recurse=False).items()
            if field != "name" and value is not None and value != defaults[field].default
        ]
        self._door.require(call, *given, of="create")
        return attrs.evolve(checked, idempotency_key=checked.idempotency_key or key or new_key())

    def _filter(self, call: str, **conditions: Any) -> JobFilter:
        unknown = conditions.keys() - attrs.fields_dict(JobFilter).keys()
        if unknown:
            raise InvalidRequest(f"{call}: there is no filter {min(unknown)!r}")
        wanted = _checks.job_filter(**conditions)
        given = [*wanted.conditions(), *([] if wanted.newest_first else ["newest_first"])]
        self._door.require(call, *given, of="list")
        return wanted

    async def _page(self, wanted: JobFilter, after: Any, size: int) -> Any:
        self._door.require("list")
        with self._door.calling():
            return await self._door.provider.page_jobs(wanted, after=after, size=size)


def _creation(job: Job) -> str:
    return "" if job.created_at is None else job.created_at.isoformat()


def _several(given: Iterable[Any]) -> list[Any]:
    """Return the list; a single job or file where several belong is a slip worth naming."""
    if isinstance(given, str | bytes | Job) or not isinstance(given, Iterable):
        raise InvalidRequest(f"give a list, not {type(given).__name__}")
    return list(given)

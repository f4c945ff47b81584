"""What goes on with a job of `client.jobs`: its files, waiting, watching, tracking and mirroring."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Unpack, get_args

from callsheet import _checks
from callsheet._attaching import attach
from callsheet._door import Door
from callsheet._errors import BulkError, InvalidRequest, NotFound
from callsheet._keywords import Filters
from callsheet._mirroring import Mirroring
from callsheet._models import Component, Job, NewJob
from callsheet._tracking import OnCancel, Tracked, Tracking, TrackOptions
from callsheet._transfers import OnProgress
from callsheet._waiting import Until, wait_for
from callsheet._watching import Sweeper, Watch

if TYPE_CHECKING:
    from callsheet._client import Client

__all__ = ["Following"]

MAX_LEASE = 1e9
"""Seconds that a lease may last, some 30 years: any tracker can store when it ends."""


class Following:
    """The calls that go on for as long as a job or a file does."""

    def __init__(self, door: Door, sweeper: Sweeper) -> None:
        self._door = door
        self._sweeper = sweeper

    async def attach(
        self,
        job: Job | str,
        files: Iterable[Any],
        *,
        location: str | None = None,
        concurrency: int | None = None,
        on_progress: OnProgress | None = None,
    ) -> list[Component]:
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
                _checks.several(files, "files"),
                location=location,
                concurrency=concurrency,
                on_progress=on_progress,
            )

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
    ) -> list[Job]:
        """Wait for many jobs, in one batched look a tick; return them in the order given.

        Raises:
            WaitTimeout: `.jobs` are all of them as last seen, `.job` the first that is not there.
            BulkError: The others ended, but some vanished.
        """
        given = _checks.several(jobs, "jobs")
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

    def watch(self, *jobs: Job | str, **filters: Unpack[Filters]) -> Watch:
        """Follow named jobs until all have ended, or whatever matches a filter (as of `list`), for good.

        Raises:
            InvalidRequest: Neither jobs nor a filter were given, or both.
        """
        ids = [self._door.job_id(job) for job in jobs]
        if "newest_first" in filters:
            raise InvalidRequest("watch: newest_first means nothing here")
        wanted = self._door.filter("watch", **filters)
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
            lease=_checks.seconds(lease, "lease", low=0.01, high=MAX_LEASE),
            beat=_checks.seconds(beat, "beat", low=0.001),
            grace=_checks.seconds(grace, "grace", high=MAX_LEASE),
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
            return Tracking(self._door, self._door.new_job(new, "create"), self.attach, options)
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
        if not isinstance(getattr(into, "jobs", None), Following):
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

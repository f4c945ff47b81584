"""`client.jobs`: make, find and change jobs; what goes on with one is in `_following`."""

from __future__ import annotations

import builtins
import time
import uuid
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Unpack, get_args

import anyio.lowlevel

from callsheet import _checks
from callsheet._door import Door, new_key
from callsheet._errors import InvalidRequest, NotFound
from callsheet._following import Following
from callsheet._keywords import Changes, Filters
from callsheet._listing import Listing, Query
from callsheet._models import (
    UNSET,
    Action,
    Job,
    JobFilter,
    JobState,
    NewJob,
    Unset,
)
from callsheet._watching import Sweeper

__all__ = ["Jobs"]

MAX_COUNTS = 1000
"""Counts kept for `max_age`."""


class Jobs(Following):
    """The jobs of one tracker. Wherever a job is taken, its id will do."""

    def __init__(self, door: Door, sweeper: Sweeper) -> None:
        super().__init__(door, sweeper)
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
        new = self._door.new_job(given, "create")
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
        base = _checks.optional_text(idempotency_key, "idempotency_key") or new_key()
        many: builtins.list[NewJob] = []
        for index, one in enumerate(_checks.iterable(new, "new")):
            key = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{base}/{index}"))
            many.append(self._door.new_job(one, "create_many", key=key))
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
        ids = [self._door.job_id(job) for job in _checks.several(jobs, "jobs")]
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
        wanted = self._door.filter(
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

    async def count(self, *, max_age: float = 0, **filters: Unpack[Filters]) -> int:
        """Return how many jobs match; the filters are those of `list`.

        Args:
            max_age: Seconds that a count from earlier may be old.
        """
        wanted = self._door.filter("count", **filters)
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
        given: dict[str, Any] = {
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

    async def update_many(self, jobs: Iterable[Job | str], **changes: Unpack[Changes]) -> builtins.list[Job]:
        """Make the same changes to many jobs; return them in the order given. All or none where possible.

        Raises:
            NotFound: A job does not exist; nothing was changed.
            BulkError: The tracker cannot do all or none: some were changed, some not.
        """
        ids = [self._door.job_id(job) for job in _checks.several(jobs, "jobs")]
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

    # -- steps -----------------------------------------------------------------------------------------------

    async def _page(self, wanted: JobFilter, after: Any, size: int) -> Any:
        self._door.require("list")
        with self._door.calling():
            return await self._door.provider.page_jobs(wanted, after=after, size=size)


def _creation(job: Job) -> str:
    return "" if job.created_at is None else job.created_at.isoformat()

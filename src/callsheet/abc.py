"""What a tracker must answer, so that `Client` can do the rest.

A provider is one class. It says what it can do in `capabilities`, and answers the calls below in callsheet's
own models and errors; arguments have been checked, and calls it cannot do never reach it. It holds no state
that a user could see: paging, waiting, tracking, bounded concurrency and resumed downloads stand before it.

Hand an object to `callsheet.Client(MyProvider(...))`; nothing needs to be registered.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, ClassVar, Self, TypeAlias

import attrs

from callsheet._errors import Unsupported
from callsheet._files import File, FrameSequence
from callsheet._models import (
    UNSET,
    Action,
    Component,
    Job,
    JobChanges,
    JobFilter,
    JobState,
    Location,
    NewJob,
    Position,
    Slice,
    Unset,
)

__all__ = [
    "CAPABILITIES",
    "UNSET",
    "Action",
    "Claim",
    "Component",
    "File",
    "FrameSequence",
    "Job",
    "JobChanges",
    "JobFilter",
    "JobState",
    "Location",
    "NewJob",
    "Position",
    "Progress",
    "Provider",
    "Slice",
    "Sweep",
    "Unset",
]

Progress: TypeAlias = Callable[[int], Awaitable[None]]
"""Awaited with the bytes done so far, as a transfer goes on."""

_CREATE = (
    "user type state description priority item attributes files idempotency_key"
    " template parameters outputs vendor"
)
_UPDATE = "state progress message problem description priority name attributes"
_LIST = "states types user item attributes created_after created_before newest_first"

CAPABILITIES: frozenset[str] = frozenset(
    [
        *("create", "create_many", "update", "cancel", "delete", "rerun", "rerun(idempotency_key=)"),
        *("list", "count", "wait", "watch", "track", "mirror", "mirror(into=)", "problem", "allows"),
        *("attach", "upload", "upload(frames=)", "download", "open"),
        *("components.list", "components.get", "components.delete", "components.url"),
        *("locations.list", "locations.get"),
        *(f"create({word}=)" for word in _CREATE.split()),
        *(f"update({word}=)" for word in _UPDATE.split()),
        *(f"list({word}=)" for word in _LIST.split()),
    ]
)
"""Every word that `Provider.capabilities` may hold: a call, or `call(argument=)`.

`list(...)` also stands for `count` and `watch` with that filter. `upload(frames=)` is a `FrameSequence` that
becomes one component. `mirror` is being the source of a mirror,
`mirror(into=)` being its target."""


@attrs.frozen
class Claim:
    """A job that is ours while we beat: its latest state, and the token that every beat must carry."""

    job: Job
    token: Any = None


@attrs.frozen
class Sweep:
    """One look at many jobs: those that may have changed (`None`: gone), and the mark for the next look."""

    jobs: Mapping[str, Job | None]
    mark: Any = None


class Provider(ABC):
    """One tracker. Implement this, and `Client` does the rest.

    Every call raises callsheet's own errors only, with `outcome` telling what happened on the server, and
    ends by the provider's own deadline. Cancelling a call leaves nothing running and nothing half done here.
    """

    name: ClassVar[str]
    """The tracker's short name, such as `"local"`; errors carry it as `.provider`."""

    capabilities: ClassVar[frozenset[str]]
    """The words of `CAPABILITIES` that this tracker can do; others raise `Unsupported` before any call."""

    hints: ClassVar[Mapping[str, str]] = {}
    """For words not in `capabilities`: what to use instead."""

    page_size: ClassVar[int] = 500
    """The largest page, used when the caller names none; a larger wish is cut down to it."""

    batch_size: ClassVar[int] = 500
    """The most ids that one `get_jobs` may be given."""

    total_order: ClassVar[bool] = True
    """Whether jobs of one `created_at` come ordered by id, so that a `Position` needs the last id only."""

    components_total_order: ClassVar[bool] = True
    """The same for components."""

    memory_per_upload: ClassVar[int] = 2 << 20
    """The most bytes that one upload holds at a time, whatever the file: it bounds how many run at once."""

    watch_interval: float = 5.0
    """Seconds between two sweeps of a watch."""

    progress_interval: float = 5.0
    """Least seconds between two progress reports of one tracked job."""

    @property
    @abstractmethod
    def tracker(self) -> str:
        """The tracker's address, without secrets, the same in every process; jobs and cursors carry it."""

    @property
    @abstractmethod
    def user(self) -> str:
        """The tracker's name of the user that jobs are made for when the caller names none."""

    # -- lifecycle -------------------------------------------------------------------------------------------

    @abstractmethod
    async def open(self) -> None:
        """Get ready: open files and pools, check what is there.

        Raises:
            ConfigError: A setting is unusable; the message names it. Nothing stays open.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Close everything, even when cancelled; threads in flight get 5 seconds. May be called twice."""

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    @abstractmethod
    def as_user(self, name: str) -> Self:
        """Return a provider that acts for another user over the same pools; closing it closes nothing."""

    # -- jobs ------------------------------------------------------------------------------------------------

    async def create_jobs(self, new: Sequence[NewJob]) -> list[Job]:
        """Make the jobs and return them in the same order, with their files if they have any.

        Each has its `idempotency_key`; a key that was used before returns the job it made then, unchanged.
        Atomic where the tracker can: all or none. Where it cannot, `BulkError` tells what was done (never for
        a single job: that raises its own error).

        Raises:
            Conflict: A key was used with another request, or its job has been deleted.
            InvalidRequest: The tracker cannot take a value.
        """
        raise Unsupported("create", provider=self.name)

    async def made_job(self, key: str) -> Job | None:
        """Return the job that was made under an idempotency key, or `None` if there is none, or no more.

        Trackers that jobs can be mirrored into answer this, and `made_components`.
        """
        raise Unsupported("mirror(into=)", provider=self.name)

    @abstractmethod
    async def get_jobs(self, ids: Sequence[str]) -> list[Job | None]:
        """Return the jobs in the order of their ids (at most `batch_size`), `None` where there is none."""

    @abstractmethod
    async def page_jobs(self, wanted: JobFilter, *, after: Position | None, size: int) -> Slice[Job]:
        """Return one page of at most `size` jobs that match, by (`created_at`, `id`) in the wanted direction.

        Keyset paging: `after` names the last item's `created_at` (ISO 8601, `Job.created_at.isoformat()`) and
        the ids seen at that instant. A job that matches for as long as the listing runs appears exactly once,
        whatever else comes and goes. A page may be short, or empty, with a `next`.
        """

    @abstractmethod
    async def count_jobs(self, wanted: JobFilter) -> int:
        """Return how many jobs match."""

    async def update_jobs(self, ids: Sequence[str], changes: JobChanges) -> list[Job]:
        """Make the same changes to all the jobs and return them, fresh, in the same order.

        Atomic where the tracker can; else as `create_jobs`.

        Raises:
            NotFound: A job does not exist.
        """
        raise Unsupported("update", provider=self.name)

    async def cancel_job(self, job_id: str) -> Job:
        """Ask for the job to stop, and return it fresh; cancelling an ended job returns it as it is."""
        raise Unsupported("cancel", provider=self.name)

    async def rerun_job(self, job_id: str, *, key: str | None) -> Job:
        """Run it again: return the new job, whose `source_id` is the old one's id."""
        raise Unsupported("rerun", provider=self.name)

    async def delete_job(self, job_id: str) -> None:
        """Remove the job, and the components that only it had."""
        raise Unsupported("delete", provider=self.name)

    async def job_problem(self, job_id: str) -> str | None:
        """Return why the job failed or waits, from wherever the tracker keeps that.

        Raises:
            NotFound: The job does not exist.
        """
        raise Unsupported("problem", provider=self.name)

    async def allows(self, job_id: str, action: Action, user: str) -> bool:
        """Tell whether the user may do that with the job.

        Raises:
            NotFound: The job does not exist.
        """
        raise Unsupported("allows", provider=self.name)

    # -- watching --------------------------------------------------------------------------------------------

    async def sweep(self, ids: Collection[str], wanted: Iterable[JobFilter], mark: Any) -> Sweep:
        """Look once at all watched jobs, in as few requests as the tracker allows.

        Returns every job of `ids` that may have changed since `mark` was given out (`None` for one that is
        gone; with mark `None`, every one), and every such job that matches one of `wanted`, whether or not in
        `ids`. Reporting an unchanged job does no harm. This default reads them all; override it where the
        tracker knows what changed.
        """
        seen: dict[str, Job | None] = {}
        for filter_ in wanted:
            after: Position | None = None
            while True:
                page = await self.page_jobs(filter_, after=after, size=self.page_size)
                seen |= {job.id: job for job in page.items}
                if page.next is None:
                    break
                after = page.next
        rest = [id_ for id_ in ids if id_ not in seen]
        for start in range(0, len(rest), self.batch_size):
            batch = rest[start : start + self.batch_size]
            seen |= dict(zip(batch, await self.get_jobs(batch), strict=True))
        return Sweep(seen)

    def listen(self, wake: Callable[[], None]) -> None:  # noqa: B027 - nothing to do is right for most
        """Call `wake` from now on, whenever something tells that a sweep before its time is worth while.

        Trackers that can call us, or be listened to, override this; of a bound method keep a weak reference.
        """

    # -- tracking --------------------------------------------------------------------------------------------

    async def claim_job(self, job: NewJob | str, *, lease: float, grace: float) -> Claim:
        """Make a job, or adopt one by id, set it RUNNING, and take its lease, all in one step if possible.

        A worker that does not beat for `lease` + `grace` seconds has lost the job: it becomes FAILED with the
        problem `"lost"`.

        Raises:
            Conflict: Another worker holds the job's lease.
            NotFound: There is no job of that id.
        """
        raise Unsupported("track", provider=self.name)

    async def beat_job(self, claim: Claim, changes: JobChanges) -> Job:
        """Renew the lease, write the changes in the same step, and return the job fresh.

        An ended state among the changes gives the lease back. A job cancelled from elsewhere is returned as
        it is (CANCELLED), with only an ended state written over it.

        Raises:
            LeaseLost: The job was given to another worker or declared lost; nothing was written.
            NotFound: The job is gone.
        """
        raise Unsupported("track", provider=self.name)

    # -- components ------------------------------------------------------------------------------------------

    async def upload(
        self, file: File | FrameSequence, *, location: str | None, key: str, progress: Progress
    ) -> Component:
        """Send one file (or a frame sequence as one component) and return its component, not yet attached.

        The same key returns the same component. A killed or cancelled upload continues when called again, as
        far as the tracker allows.

        Raises:
            IntegrityError: The source changed while it was read; nothing was stored under a final name.
            NotFound: There is no such location.
        """
        raise Unsupported("upload", provider=self.name)

    async def made_components(self, keys: Sequence[str]) -> list[Component | None]:
        """Return what was uploaded under each key (at most `batch_size`), `None` where nothing is there."""
        raise Unsupported("mirror(into=)", provider=self.name)

    async def link(self, job_id: str, components: Sequence[Component]) -> list[Component]:
        """Attach components that exist to the job, in one request; attaching one twice changes nothing."""
        raise Unsupported("attach", provider=self.name)

    async def page_components(
        self, *, job_id: str | None, location_id: str | None, after: Position | None, size: int
    ) -> Slice[Component]:
        """Return one page of components, of one job or location if named, in the order of their creation.

        Raises:
            NotFound: The job or location does not exist.
        """
        raise Unsupported("components.list", provider=self.name)

    async def get_component(self, component_id: str) -> Component:
        """Return the component, or raise `NotFound`."""
        raise Unsupported("components.get", provider=self.name)

    async def delete_component(self, component_id: str) -> None:
        """Remove the component from the tracker and from every job."""
        raise Unsupported("components.delete", provider=self.name)

    async def members(self, component: Component) -> Sequence[Component] | None:
        """Return the frames of a frame sequence, in order; `None` for a plain file."""
        return None

    def folders(self, components: Sequence[Component]) -> list[str]:
        """Return the folder that each of a job's files lies in, for whoever downloads all of them.

        It is relative, with `/` between its parts, each of them a harmless name; `""` where the tracker knows
        names alone. No I/O.
        """
        return [""] * len(components)

    def read(
        self, component: Component, *, start: int = 0
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Open the component's bytes from `start` on, in chunks of at most 1 MiB.

        Size and checksum are verified by the caller. Leaving the context closes everything at once.
        """
        raise Unsupported("open", provider=self.name)

    async def component_url(self, component: Component, *, expires: float) -> str:
        """Return an address that reads the bytes without a long-lived secret in it, for `expires` seconds."""
        raise Unsupported("components.url", provider=self.name)

    # -- locations -------------------------------------------------------------------------------------------

    async def page_locations(self, *, after: Position | None, size: int) -> Slice[Location]:
        """Return one page of locations, by name."""
        raise Unsupported("locations.list", provider=self.name)

    async def get_location(self, name_or_id: str) -> Location:
        """Return the location of that id or, if there is none, of that name; or raise `NotFound`."""
        raise Unsupported("locations.get", provider=self.name)

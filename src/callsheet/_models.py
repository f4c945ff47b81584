"""What callsheet knows of a job, a file and a place: still values, with no client inside and no I/O."""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final, Generic, Literal, Protocol, TypeAlias, TypeVar, runtime_checkable

import attrs

from callsheet._errors import InvalidRequest

__all__ = [
    "UNSET",
    "Action",
    "Component",
    "FieldChange",
    "Job",
    "JobChange",
    "JobChanges",
    "JobFilter",
    "JobState",
    "Location",
    "NewJob",
    "Page",
    "Position",
    "Slice",
    "Transfer",
    "Transport",
    "Unset",
    "changes",
]

T_co = TypeVar("T_co", covariant=True)

Action: TypeAlias = Literal["view", "abort", "rerun", "prioritize", "delete"]
"""What `jobs.allows` can be asked about."""


class JobState(enum.StrEnum):
    """The common states; the tracker's own word stays in `Job.vendor_state`."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"
    """A word newer than this version of callsheet. It can be read, never set."""


class Unset(enum.Enum):
    """The type of `UNSET`: this argument was not given (where `None` has a meaning of its own)."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset.UNSET


@attrs.frozen(kw_only=True, slots=False)
class Record:
    """The part that jobs, components and locations share: the tracker's own record, read when asked for."""

    id: str
    raw: Mapping[str, Any] = attrs.field(factory=dict, eq=False, repr=False)
    """The tracker's own record, decoded, with every field it sent."""
    _reader: Callable[[Any], Any] | None = attrs.field(default=None, alias="reader", eq=False, repr=False)

    @cached_property
    def details(self) -> Any:
        """The tracker's own typed model of `raw` (no I/O); `provider.details(...)` is the same, typed."""
        return None if self._reader is None else self._reader(self)

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        state.pop("details", None)
        return state


@attrs.frozen(kw_only=True, slots=False, eq=True)
class Job(Record):
    """A piece of work that a tracker knows.

    Two jobs are equal if all their fields but `raw` and `details` are; a job hashes by tracker and id.

    Attributes:
        tracker: The address of the tracker, without secrets.
        vendor_state: The tracker's own word for `state`.
        ended: Whether the tracker will not change the job any more by itself. Test this, never `state`.
        priority: 0 to 100, or `None` if unknown.
        progress: 0.0 to 1.0, or `None` if unknown.
        message: What the job is doing, for people.
        problem: Why it failed or waits, or `None`.
        user: The tracker's own name of the job's user.
        item: The asset that the job works on, where the tracker has such a thing.
        source_id: The job that this one is a rerun or a mirror of.
        created_at: Aware UTC, as are the other times.
        attributes: The user's own data.
        missing: Names of the fields that this answer did not carry: `jobs.get(job)` fills them.
    """

    tracker: str
    name: str
    state: JobState
    vendor_state: str
    ended: bool
    type: str | None = None
    priority: int | None = None
    progress: float | None = None
    message: str | None = None
    description: str = ""
    problem: str | None = None
    user: str | None = None
    item: str | None = None
    source_id: str | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    updated_at: datetime | None = None
    finished_at: datetime | None = None
    attributes: Mapping[str, Any] = attrs.field(factory=dict)
    missing: frozenset[str] = frozenset()

    def __hash__(self) -> int:
        return hash((self.tracker, self.id))


def blank_job() -> Job:
    """Return a job without any field, for those who read jobs by the thousand: they fill its `vars`.

    They fill in every field, in the order of the class, so that all jobs share one table of names. Naming
    twenty arguments in a call would take longer than to decode the JSON that a job comes from.
    """
    return Job.__new__(Job)


@attrs.frozen(kw_only=True, slots=False, eq=True)
class Component(Record):
    """A named file, or a sequence of files, that a tracker keeps.

    Attributes:
        size: Bytes, or `None` if the tracker does not say.
        checksum: `algorithm:hex`, or `None` if unknown.
        role: `"input"` or `"output"` of the job, or `None` without a job.
        job_id: The job it is attached to, if any.
        location_id: Where its bytes live.
    """

    name: str
    size: int | None = None
    checksum: str | None = None
    role: str | None = None
    job_id: str | None = None
    location_id: str | None = None
    created_at: datetime | None = None

    def __hash__(self) -> int:
        return hash(self.id)


@attrs.frozen(kw_only=True, slots=False, eq=True)
class Location(Record):
    """A place where a tracker keeps the bytes of components.

    Attributes:
        kind: The tracker's own word for what it is, such as `"directory"` or `"bucket"`.
    """

    name: str
    kind: str

    def __hash__(self) -> int:
        return hash(self.id)


@attrs.frozen(kw_only=True)
class NewJob:
    """A job to be made: the fields of `jobs.create`, for `jobs.create_many`.

    Attributes:
        source_id: The job that this one is a mirror of; `jobs.mirror` gives it, and nobody else can.
    """

    name: str
    user: str | None = None
    type: str | None = None
    state: JobState | None = None
    description: str = ""
    priority: int | None = None
    item: str | None = None
    attributes: Mapping[str, Any] | None = None
    files: Sequence[Any] = ()
    idempotency_key: str | None = None
    template: Any = None
    parameters: Mapping[str, Any] | None = None
    outputs: Sequence[Any] = ()
    vendor: Mapping[str, Any] | None = None
    source_id: str | None = None


@attrs.frozen(kw_only=True)
class JobChanges:
    """New values for a job; `UNSET` leaves a field alone."""

    state: JobState | Unset = UNSET
    progress: float | Unset | None = UNSET
    message: str | Unset | None = UNSET
    problem: str | Unset | None = UNSET
    description: str | Unset = UNSET
    priority: int | Unset | None = UNSET
    name: str | Unset = UNSET
    attributes: Mapping[str, Any] | Unset = UNSET

    def given(self) -> dict[str, Any]:
        """Return the fields that are to change, by name."""
        values = {name: getattr(self, name) for name in attrs.fields_dict(type(self))}
        return {name: value for name, value in values.items() if value is not UNSET}


@attrs.frozen(kw_only=True)
class JobFilter:
    """Which jobs a listing, count or watch is about; `None` is no condition.

    `created_after` is inclusive, `created_before` exclusive; each of `attributes` must be equal.
    """

    states: frozenset[JobState] | None = None
    types: frozenset[str] | None = None
    user: str | None = None
    item: str | None = None
    attributes: Mapping[str, Any] | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    newest_first: bool = True

    def conditions(self) -> dict[str, Any]:
        """Return the conditions that are set, by name."""
        values = {name: getattr(self, name) for name in attrs.fields_dict(type(self))}
        return {k: v for k, v in values.items() if v is not None and k != "newest_first"}

    def matches(self, job: Job) -> bool:
        """Tell whether the job meets every condition, as far as its fields are known."""
        return (
            (self.states is None or job.state in self.states)
            and (self.types is None or job.type in self.types)
            and (self.user is None or job.user == self.user)
            and (self.item is None or job.item == self.item)
            and (not self.attributes or self._has_attributes(job))
            and (self.created_after is None or _utc(job.created_at) >= self.created_after)
            and (self.created_before is None or _utc(job.created_at) < self.created_before)
        )

    def _has_attributes(self, job: Job) -> bool:
        return all(
            name in job.attributes and same_json(job.attributes[name], value)
            for name, value in (self.attributes or {}).items()
        )

    def fingerprint(self) -> str:
        """Return a short hash that is the same for the same filter in any process."""
        plain = {
            name: sorted(value) if isinstance(value, frozenset) else value
            for name, value in self.conditions().items()
        }
        text = json.dumps([plain, self.newest_first], sort_keys=True, default=datetime.isoformat)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def same_json(one: Any, other: Any) -> bool:
    """Compare two JSON values as JSON does: `true` is not `1`."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same_json(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same_json, one, other))
    return bool(one == other)


def _utc(moment: datetime | None) -> datetime:
    # A job without a creation time matches no condition on it from below.
    return moment or datetime.min.replace(tzinfo=UTC)


@attrs.frozen
class Position:
    """A place in a listing: after the items `ids`, which all share the sort key `key`."""

    key: str
    ids: tuple[str, ...] = ()


@attrs.frozen
class Slice(Generic[T_co]):
    """One answer of a provider: some items, and where to go on (`None`: that was all)."""

    items: Sequence[T_co]
    next: Position | None = None


@attrs.frozen
class Page(Generic[T_co]):
    """One page of a listing, and the cursor that asks for the next (`None`: that was all)."""

    items: Sequence[T_co]
    cursor: str | None = None


@attrs.frozen
class JobChange:
    """What a watch saw. `previous` is `None` for a job first seen, `current` for one that is gone."""

    previous: Job | None
    current: Job | None


@attrs.frozen
class FieldChange:
    """One field that differs between two looks at a job."""

    name: str
    old: Any
    new: Any


@attrs.frozen
class Transfer:
    """How far a file's transfer has come: bytes done of bytes in total."""

    name: str
    done: int
    total: int


@runtime_checkable
class Transport(Protocol):
    """Carries one HTTP request; any asynchronous httpx transport fits.

    Hand one in with `transport=` to record, replay or reroute what callsheet sends. It is closed together
    with the client.
    """

    async def handle_async_request(self, request: Any, /) -> Any:
        """Send an `httpx.Request` and return an `httpx.Response` with an unread stream."""
        ...

    async def aclose(self) -> None:
        """Close every connection."""
        ...


def changes(old: Job, new: Job) -> list[FieldChange]:
    """Return the fields that differ, in the order in which `Job` names them.

    Fields that one of the two answers did not carry (`Job.missing`) are left out.

    Raises:
        InvalidRequest: The two are not the same job.
    """
    if (old.tracker, old.id) != (new.tracker, new.id):
        raise InvalidRequest(f"old and new are different jobs: {old.id!r} and {new.id!r}")
    skipped = old.missing | new.missing | {"missing", "raw", "_reader"}
    return [
        FieldChange(field.name, getattr(old, field.name), getattr(new, field.name))
        for field in attrs.fields(Job)
        if field.name not in skipped and getattr(old, field.name) != getattr(new, field.name)
    ]

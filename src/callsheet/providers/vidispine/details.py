"""Vidispine's own documents, typed: what `job.details` and `VidispineProvider.details` return.

Members that an answer did not carry are `None` or empty. What a newer server adds stays in `raw`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import attrs
from cattrs import BaseValidationError, Converter, transform_error
from cattrs.gen import make_dict_structure_fn, override

from callsheet._errors import InvalidResponse
from callsheet._models import Job
from callsheet.providers.vidispine._shape import bare, entries, pairs_of, read_time, values

__all__ = [
    "VidispineCurrentStep",
    "VidispineJob",
    "VidispineNote",
    "VidispineNotification",
    "VidispineProblem",
    "VidispineProgress",
    "VidispineStep",
    "VidispineTaskDefinition",
    "VidispineWaiting",
    "read_document",
    "read_job",
    "readable",
]


def _veiled(value: object) -> str:
    """Return what is shown of a value: addresses in it may hold credentials."""
    return bare(repr(value))


@attrs.frozen(kw_only=True)
class VidispineCurrentStep:
    """The step that a job is at.

    Attributes:
        number: Counted from 1, and now and then beyond `VidispineJob.total_steps`.
    """

    description: str | None = None
    number: int | None = None
    status: str | None = None


@attrs.frozen(kw_only=True)
class VidispineProgress:
    """How far a step has come.

    Attributes:
        unit: `"bytes"` or `"percent"`.
    """

    value: float | None = None
    total: float | None = None
    unit: str | None = None


@attrs.frozen(kw_only=True)
class VidispineNote:
    """A line that a step has logged, for people."""

    timestamp: datetime | None = None
    description: str | None = attrs.field(default=None, repr=_veiled)


@attrs.frozen(kw_only=True)
class VidispineStep:
    """A step that a job has begun, or one attempt at it.

    Attributes:
        step: The number of its definition, such as 100 or 200.
        attempts: How many attempts at it failed before this one.
        notes: What it has logged.
        tasks: The parts that it is split into, and
        total_tasks: how many these will be.
    """

    step: int | None = None
    status: str | None = None
    attempts: int | None = None
    id: int | None = None
    timestamp: datetime | None = None
    description: str | None = None
    progress: VidispineProgress | None = None
    notes: tuple[VidispineNote, ...] = ()
    tasks: tuple[VidispineStep, ...] = ()
    total_tasks: int | None = None
    error_message: str | None = attrs.field(default=None, repr=_veiled)


@attrs.frozen(kw_only=True)
class VidispineWaiting:
    """What a job waits for."""

    resource_id: str | None = None
    resource_type: str | None = None
    requirement: str | None = None


@attrs.frozen(kw_only=True)
class VidispineJob:
    """A job as Vidispine keeps it. Times are in UTC.

    Attributes:
        started: When it was made.
        data: The job's metadata: all of it from `jobs.get`, less from a listing without metadata. Credentials
            in addresses there are not shown.
        steps: What it has begun so far (the document's `log.task`); from `jobs.get`, or a listing with steps.
        jobs: Jobs that belong to it.
    """

    id: str
    status: str
    type: str | None = None
    priority: str | None = None
    user: str | None = None
    started: datetime | None = None
    finished: datetime | None = None
    current_step: VidispineCurrentStep | None = None
    total_steps: int | None = None
    data: Mapping[str, str] = attrs.field(factory=dict, repr=_veiled)
    steps: tuple[VidispineStep, ...] = ()
    jobs: tuple[VidispineJob, ...] = ()
    waiting: VidispineWaiting | None = None


@attrs.frozen(kw_only=True)
class VidispineProblem:
    """Something that jobs wait for.

    Attributes:
        jobs: The ids of those that do.
    """

    id: int | None = None
    type: str | None = None
    data: Mapping[str, str] = attrs.field(factory=dict)
    jobs: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class VidispineTaskDefinition:
    """A step that jobs of one type have.

    Attributes:
        id: A plain number.
        step: Steps begin in the order of their `dependency`, which is mostly that of these numbers.
        dependency: Which steps must have ended before, and
        parallel_dependency: which must have begun, in Vidispine's own words.
    """

    id: int
    job_type: str | None = None
    step: int | None = None
    description: str | None = None
    bean: str | None = None
    method: str | None = None
    plugin: bool | None = None
    flags: int | None = None
    extradata: str | None = None
    dependency: Mapping[str, Any] | None = None
    parallel_dependency: Mapping[str, Any] | None = None
    critical: bool | None = None
    cleanup: bool | None = None
    script: str | None = None


@attrs.frozen(kw_only=True)
class VidispineNotification:
    """A request to be called when jobs change.

    Attributes:
        url: Who is called, where it is called over HTTP. It may hold a secret: it is not shown.
        event: `create`, `update`, `stop`, `finished` or `fail`; `None` for another trigger.
        types: The types of job it is about; empty for all.
        raw: The whole document.
    """

    id: str
    url: str | None = attrs.field(default=None, repr=False)
    event: str | None = None
    types: frozenset[str] = frozenset()
    raw: Mapping[str, Any] = attrs.field(factory=dict, eq=False, repr=False)


_converter = Converter()


def _each(kind: type[Any]) -> Any:
    return lambda found, _: tuple(_converter.structure(one, kind) for one in entries(found))


def _steps(found: Any, _: Any) -> Any:
    return _each(VidispineStep)(found.get("task") if isinstance(found, dict) else None, _)


def _register(kind: type[Any], **overrides: Any) -> None:
    camel: dict[str, Any] = {
        field.name: override(rename=_camel(field.name))
        for field in attrs.fields(kind)
        if field.name not in overrides and "_" in field.name
    }
    hook: Any = make_dict_structure_fn(kind, _converter, **camel, **overrides)
    _converter.register_structure_hook(kind, lambda found, _: hook(_said(found), kind))


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _said(document: Mapping[str, Any]) -> dict[str, Any]:
    # Errors alone are told with nulls; what is null here says as much as what is not there.
    return {name: value for name, value in document.items() if value is not None}


def _texts(found: Any, _: Any) -> tuple[str, ...]:
    return tuple(map(str, values(found)))


def _pairs(found: Any, _: Any) -> dict[str, str]:
    return pairs_of(found)


_converter.register_structure_hook(datetime, lambda value, _: read_time(value))
for _kind in (VidispineCurrentStep, VidispineProgress, VidispineNote, VidispineWaiting):
    _register(_kind)
_register(VidispineTaskDefinition)
_register(
    VidispineStep,
    notes=override(rename="subStep", struct_hook=_each(VidispineNote)),
    tasks=override(rename="subTask", struct_hook=_each(VidispineStep)),
    total_tasks=override(rename="totalSubTasks"),
)
_register(
    VidispineProblem,
    data=override(struct_hook=_pairs),
    jobs=override(rename="job", struct_hook=_texts),
)
_register(
    VidispineJob,
    id=override(rename="jobId"),
    data=override(struct_hook=_pairs),
    steps=override(rename="log", struct_hook=_steps),
    jobs=override(rename="subJob", struct_hook=_each(VidispineJob)),
)


def read_job(job: Job) -> VidispineJob:
    """Return the job's document, typed.

    Raises:
        InvalidResponse: A member of it is nothing that can be read; the message names it.
    """
    with readable():
        return _converter.structure(job.raw, VidispineJob)


@contextmanager
def readable() -> Iterator[None]:
    """Let what cannot be structured be an `InvalidResponse`, which names the place."""
    try:
        yield
    except BaseValidationError as exc:
        raise InvalidResponse("; ".join(transform_error(exc)), provider="vidispine") from exc


def read_document(document: Mapping[str, Any], kind: type[Any]) -> Any:
    """Return a document as one of the classes above.

    Raises:
        Exception: It has not that shape.
    """
    return _converter.structure(document, kind)

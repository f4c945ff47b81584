"""Deadline's own records, typed: what `job.details` and the methods of `DeadlineProvider` return.

Fields that an answer did not carry are `None`, or empty. Words that Deadline may add to are plain texts; what
a newer server adds stays in `raw`. Times are in UTC.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeAlias, TypeVar, cast

import attrs
from cattrs import Converter
from cattrs.gen import make_dict_structure_fn, override

from callsheet._models import Job
from callsheet.providers.deadline._values import (
    JOB_PARAMETERS,
    TASK_PARAMETERS,
    JobParameter,
    TaskParameter,
    UnknownMember,
    member,
    read_parameter,
)

__all__ = [
    "AcquiredLimit",
    "AmountCapability",
    "Attachments",
    "AttributeCapability",
    "DeadlineFarm",
    "DeadlineJob",
    "DeadlineMember",
    "DeadlineQueue",
    "DeadlineSession",
    "DeadlineSessionAction",
    "DeadlineStep",
    "DeadlineTask",
    "Definition",
    "DependencyCounts",
    "EnvEnter",
    "EnvExit",
    "FileSystemLocation",
    "HostProperties",
    "IpAddresses",
    "JobAttachmentSettings",
    "JobRunAsUser",
    "LogConfiguration",
    "ManifestProperties",
    "OutputManifest",
    "ParameterSpace",
    "PosixUser",
    "RequiredCapabilities",
    "StepParameter",
    "StepParameterChunks",
    "StorageProfile",
    "SyncInputJobAttachments",
    "TaskRun",
    "WindowsUser",
    "read",
    "read_job",
    "read_time",
]

T = TypeVar("T")

Counts: TypeAlias = Mapping[str, int]
"""Tasks by their run status."""


# -- jobs ----------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class ManifestProperties:
    """One root folder of a job's files.

    Attributes:
        root_path_format: `"posix"` or `"windows"`.
        input_manifest_path: Relative to `Manifests/` under the queue's prefix.
        input_manifest_hash: xxh128 of the manifest.
        output_relative_directories: Folders under the root that are collected.
    """

    root_path: str
    root_path_format: str
    file_system_location_name: str | None = None
    output_relative_directories: tuple[str, ...] = ()
    input_manifest_path: str | None = None
    input_manifest_hash: str | None = None


@attrs.frozen(kw_only=True)
class Attachments:
    """A job's files.

    Attributes:
        file_system: `"COPIED"` or `"VIRTUAL"`.
    """

    manifests: tuple[ManifestProperties, ...]
    file_system: str | None = None


@attrs.frozen(kw_only=True)
class DeadlineJob:
    """A job as Deadline keeps it.

    Attributes:
        description: Anybody's text: escape it where it is shown.
        task_run_status_counts: All the job's tasks, by their run status.
        task_failure_retry_count: Tries again so far.
        max_worker_count: -1 for no limit.
        queue_id, farm_id: Where they were part of the answer.
    """

    job_id: str
    name: str | None = None
    lifecycle_status: str | None = None
    lifecycle_status_message: str | None = None
    priority: int | None = None
    created_at: datetime | None = None
    created_by: str | None = None
    updated_at: datetime | None = None
    updated_by: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    task_run_status: str | None = None
    target_task_run_status: str | None = None
    task_run_status_counts: Counts = attrs.field(factory=dict)
    task_failure_retry_count: int | None = None
    storage_profile_id: str | None = None
    max_failed_tasks_count: int | None = None
    max_retries_per_task: int | None = None
    max_worker_count: int | None = None
    parameters: Mapping[str, JobParameter] = attrs.field(factory=dict)
    attachments: Attachments | None = None
    description: str | None = None
    source_job_id: str | None = None
    queue_id: str | None = None
    farm_id: str | None = None

    @property
    def archived(self) -> bool:
        """Whether it is in the archive, from where it does not come back."""
        return self.lifecycle_status == "ARCHIVED"


@attrs.frozen(kw_only=True)
class DeadlineMember:
    """A person or group, and what they may do.

    Attributes:
        principal_type: `"USER"` or `"GROUP"`.
        membership_level: `"VIEWER"`, `"CONTRIBUTOR"`, `"OWNER"` or `"MANAGER"`.
    """

    principal_id: str
    principal_type: str
    identity_store_id: str
    membership_level: str
    farm_id: str | None = None
    queue_id: str | None = None
    job_id: str | None = None


# -- steps and tasks -----------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class DependencyCounts:
    """How many steps a step waits for, and how many wait for it."""

    dependencies_resolved: int
    dependencies_unresolved: int
    consumers_resolved: int
    consumers_unresolved: int


@attrs.frozen(kw_only=True)
class AttributeCapability:
    """What a worker must be."""

    name: str
    any_of: tuple[str, ...] = ()
    all_of: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class AmountCapability:
    """What a worker must have."""

    name: str
    min: float | None = None
    max: float | None = None
    value: float | None = None


@attrs.frozen(kw_only=True)
class RequiredCapabilities:
    """What a worker needs for a step."""

    attributes: tuple[AttributeCapability, ...] = ()
    amounts: tuple[AmountCapability, ...] = ()


@attrs.frozen(kw_only=True)
class StepParameterChunks:
    """How numbers are put together into tasks.

    Attributes:
        range_constraint: `"CONTIGUOUS"` or `"NONCONTIGUOUS"`.
    """

    default_task_count: int
    range_constraint: str
    target_runtime_seconds: int | None = None


@attrs.frozen(kw_only=True)
class StepParameter:
    """A parameter that differs from task to task.

    Attributes:
        type: `"INT"`, `"FLOAT"`, `"STRING"`, `"PATH"` or `"CHUNK_INT"`.
    """

    name: str
    type: str
    chunks: StepParameterChunks | None = None


@attrs.frozen(kw_only=True)
class ParameterSpace:
    """What a step's tasks are made of."""

    parameters: tuple[StepParameter, ...] = ()
    combination: str | None = None


@attrs.frozen(kw_only=True)
class DeadlineStep:
    """A step of a job. What follows `dependency_counts` comes with `provider.step` only."""

    step_id: str
    name: str | None = None
    lifecycle_status: str | None = None
    lifecycle_status_message: str | None = None
    task_run_status: str | None = None
    task_run_status_counts: Counts = attrs.field(factory=dict)
    task_failure_retry_count: int | None = None
    target_task_run_status: str | None = None
    created_at: datetime | None = None
    created_by: str | None = None
    updated_at: datetime | None = None
    updated_by: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    dependency_counts: DependencyCounts | None = None
    required_capabilities: RequiredCapabilities | None = None
    parameter_space: ParameterSpace | None = None
    description: str | None = None


@attrs.frozen(kw_only=True)
class DeadlineTask:
    """A task of a step. How it went is in its latest action."""

    task_id: str
    run_status: str | None = None
    target_run_status: str | None = None
    failure_retry_count: int | None = None
    parameters: Mapping[str, TaskParameter] = attrs.field(factory=dict)
    created_at: datetime | None = None
    created_by: str | None = None
    updated_at: datetime | None = None
    updated_by: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    latest_session_action_id: str | None = None


# -- sessions and what they do -------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class LogConfiguration:
    """Where a log is."""

    log_driver: str
    options: Mapping[str, str] = attrs.field(factory=dict)
    parameters: Mapping[str, str] = attrs.field(factory=dict)
    error: str | None = None


@attrs.frozen(kw_only=True)
class IpAddresses:
    """A host's addresses."""

    ip_v4_addresses: tuple[str, ...] = ()
    ip_v6_addresses: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class HostProperties:
    """The machine that a worker runs on."""

    ip_addresses: IpAddresses | None = None
    host_name: str | None = None
    ec2_instance_arn: str | None = None
    ec2_instance_type: str | None = None


@attrs.frozen(kw_only=True)
class DeadlineSession:
    """A worker's time with a job. What follows `updated_by` comes with `provider.session` only."""

    session_id: str
    fleet_id: str | None = None
    worker_id: str | None = None
    started_at: datetime | None = None
    lifecycle_status: str | None = None
    ended_at: datetime | None = None
    target_lifecycle_status: str | None = None
    updated_at: datetime | None = None
    updated_by: str | None = None
    log: LogConfiguration | None = None
    host_properties: HostProperties | None = None
    worker_log: LogConfiguration | None = None


@attrs.frozen(kw_only=True)
class EnvEnter:
    """The action enters an environment: `STEP:step-...:name` or `JOB:job-...:name`."""

    environment_id: str


@attrs.frozen(kw_only=True)
class EnvExit:
    """The action leaves an environment."""

    environment_id: str


@attrs.frozen(kw_only=True)
class TaskRun:
    """The action runs a task; or, without a task's id, several tasks of a step."""

    step_id: str
    task_id: str | None = None
    parameters: Mapping[str, TaskParameter] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class SyncInputJobAttachments:
    """The action fetches a job's or a step's input files."""

    step_id: str | None = None


Definition: TypeAlias = EnvEnter | EnvExit | TaskRun | SyncInputJobAttachments | UnknownMember


@attrs.frozen(kw_only=True)
class OutputManifest:
    """The files that an action brought forth under one root; both `None` if there are none."""

    output_manifest_path: str | None = None
    output_manifest_hash: str | None = None


@attrs.frozen(kw_only=True)
class AcquiredLimit:
    """How much of a limit, such as a licence, an action holds."""

    limit_id: str
    count: int


@attrs.frozen(kw_only=True)
class DeadlineSessionAction:
    """One thing that a session does. What follows `definition` comes with `provider.action` only.

    Attributes:
        progress_percent: 0 to 100, as the task says it.
        manifests: One for each of the job's `attachments.manifests`, in their order.
        process_exit_code: Signed, 32 bits.
        progress_message: The task's latest words.
    """

    session_action_id: str
    status: str
    started_at: datetime | None = None
    ended_at: datetime | None = None
    worker_updated_at: datetime | None = None
    progress_percent: float | None = None
    manifests: tuple[OutputManifest, ...] = ()
    definition: Definition | None = None
    session_id: str | None = None
    process_exit_code: int | None = None
    progress_message: str | None = None
    acquired_limits: tuple[AcquiredLimit, ...] = ()


# -- farms and queues ----------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class JobAttachmentSettings:
    """Where a queue keeps the files of its jobs."""

    s3_bucket_name: str
    root_prefix: str


@attrs.frozen(kw_only=True)
class PosixUser:
    """Whom jobs run as on Linux and macOS."""

    user: str
    group: str


@attrs.frozen(kw_only=True)
class WindowsUser:
    """Whom jobs run as on Windows."""

    user: str
    password_arn: str


@attrs.frozen(kw_only=True)
class JobRunAsUser:
    """Whom a queue's jobs run as."""

    run_as: str
    posix: PosixUser | None = None
    windows: WindowsUser | None = None


@attrs.frozen(kw_only=True)
class DeadlineFarm:
    """A farm."""

    farm_id: str
    display_name: str | None = None
    description: str | None = None
    kms_key_arn: str | None = None
    cost_scale_factor: float | None = None
    created_at: datetime | None = None
    created_by: str | None = None
    updated_at: datetime | None = None
    updated_by: str | None = None


@attrs.frozen(kw_only=True)
class DeadlineQueue:
    """A queue. What follows `updated_by` comes with `provider.queue` only.

    Attributes:
        job_attachment_settings: `None` if the queue keeps no files.
        scheduling_configuration: As Deadline writes it.
    """

    queue_id: str
    farm_id: str | None = None
    display_name: str | None = None
    status: str | None = None
    default_budget_action: str | None = None
    blocked_reason: str | None = None
    created_at: datetime | None = None
    created_by: str | None = None
    updated_at: datetime | None = None
    updated_by: str | None = None
    description: str | None = None
    job_attachment_settings: JobAttachmentSettings | None = None
    role_arn: str | None = None
    required_file_system_location_names: tuple[str, ...] = ()
    allowed_storage_profile_ids: tuple[str, ...] = ()
    job_run_as_user: JobRunAsUser | None = None
    scheduling_configuration: Mapping[str, Any] | None = None


@attrs.frozen(kw_only=True)
class FileSystemLocation:
    """A folder that hosts know by a common name.

    Attributes:
        type: `"SHARED"`, which all hosts see, or `"LOCAL"`.
    """

    name: str
    path: str
    type: str


@attrs.frozen(kw_only=True)
class StorageProfile:
    """Where hosts of one kind keep their files.

    Attributes:
        os_family: `"WINDOWS"`, `"LINUX"` or `"MACOS"`.
    """

    storage_profile_id: str
    display_name: str | None = None
    os_family: str | None = None
    file_system_locations: tuple[FileSystemLocation, ...] = ()


# -- reading -------------------------------------------------------------------------------------------------


def read_time(value: Any) -> datetime | None:
    """Return a moment in UTC: ISO 8601 with up to nine digits of a second, or seconds since 1970.

    Raises:
        TypeError, ValueError, OverflowError: It is none.
    """
    if value is None:
        return None
    if isinstance(value, str):
        # Python takes six digits of a second.
        moment = datetime.fromisoformat(value if len(value) <= 27 else _LONG_FRACTION.sub(r"\1", value))
        if moment.tzinfo is UTC:
            return moment
        return moment.astimezone(UTC) if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    if isinstance(value, bool):
        raise TypeError("a truth is no moment")
    return datetime.fromtimestamp(value, UTC)


_LONG_FRACTION = re.compile(r"(\.\d{6})\d+")
_DEFINITIONS: Mapping[str, type] = {
    "envEnter": EnvEnter,
    "envExit": EnvExit,
    "taskRun": TaskRun,
    "syncInputJobAttachments": SyncInputJobAttachments,
}


def _wire_name(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _definition(value: Any, _: Any) -> Any:
    tag, body = member(value)
    kind = _DEFINITIONS.get(tag)
    return UnknownMember(tag, body) if kind is None else _converter.structure(body, kind)


def _parameters(kinds: Mapping[str, Any], value: Any, _: Any) -> Any:
    return {name: read_parameter(union, kinds) for name, union in value.items()}


def _settings(value: Any, _: Any) -> JobAttachmentSettings | None:
    # The service may write empty texts for a queue that has none.
    return _converter.structure(value, JobAttachmentSettings) if value.get("s3BucketName") else None


_HOOKS: Mapping[tuple[type, str], Callable[..., Any]] = {
    (DeadlineJob, "parameters"): partial(_parameters, JOB_PARAMETERS),
    (DeadlineTask, "parameters"): partial(_parameters, TASK_PARAMETERS),
    (TaskRun, "parameters"): partial(_parameters, TASK_PARAMETERS),
    (DeadlineSessionAction, "definition"): _definition,
    (DeadlineQueue, "job_attachment_settings"): _settings,
}


def _structure(kind: type) -> Callable[[Any, Any], Any]:
    fields = {
        name: override(rename=_wire_name(name), struct_hook=_HOOKS.get((kind, name)))
        for name in attrs.fields_dict(kind)
    }
    # What cattrs asks of a class is more than it can say in types.
    made: Callable[[Any, Any], Any] = make_dict_structure_fn(cast("Any", kind), _converter, **fields)  # type: ignore[arg-type]  # any attrs class
    return lambda value, _: made({name: part for name, part in value.items() if part is not None}, _)


_converter = Converter()
_converter.register_structure_hook(datetime, lambda value, _: read_time(value))
_converter.register_structure_hook_factory(attrs.has, _structure)


def read(raw: Mapping[str, Any], kind: type[T]) -> T:
    """Return a record of Deadline's, typed; `null` counts as absent.

    Raises:
        Exception: It is none; cattrs says where.
    """
    return _converter.structure(raw, kind)


def read_job(job: Job) -> DeadlineJob:
    """Return the job's record, typed, from whichever answer it came."""
    raw = job.raw
    if "jobParameters" in raw:
        raw = {**raw, "parameters": raw["jobParameters"]}
    return read(raw, DeadlineJob)

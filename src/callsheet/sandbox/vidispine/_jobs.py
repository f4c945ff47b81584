"""The jobs of a Vidispine server, and their documents."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import attrs

from callsheet.sandbox.vidispine._errors import invalid, not_found
from callsheet.sandbox.vidispine._values import Document, pairs, stamp, whole

if TYPE_CHECKING:
    from callsheet.sandbox.vidispine import Vidispine
    from callsheet.sandbox.vidispine._asking import Call

__all__ = ["ENDED", "PRIORITIES", "RUNNING", "Job", "Jobs", "check_words", "priority_of", "write_job"]

RUNNING = ("READY", "STARTED", "VIDINET_JOB", "WAITING", "HOLD", "ABORTED_PENDING", "ABORT_PENDING")
ENDED = ("FINISHED", "FINISHED_WARNING", "FAILED_TOTAL", "ABORTED")

PRIORITIES = ("LOWEST", "LOW", "MEDIUM", "HIGH", "HIGHEST", "IMMEDIATE")
"""From the least on."""

SHORT = (
    "item",
    "shapeIds",
    "errorMessage",
    "transcodeProgress",
    "transcodeWallTime",
    "transcodeDurations",
    "transcodeMediaTimes",
    "transcodeEstimatedTimeLeft",
)
"""What of a job's data is told without being asked for."""


@attrs.define(eq=False, kw_only=True)
class Job:
    """One job.

    Attributes:
        number: Of the id.
        data: Its metadata, in order.
        given: What of it was given by whoever made it, as `jobmetadata`.
        tasks: The log: documents of the steps begun so far.
        total: How many steps its type has; None until it starts.
        plan: The task definitions of the steps to come.
        turn: Changes when something else decides how it goes on; what was planned before is void then.
        at: The task definition of the step it is at, with when that began and when it will be done.
        held: Whether it waits for something before it begins.
        inputs: What it works with, besides its data.
        notification: Whose placeholder it was made with, and the data for it.
    """

    id: str
    number: int
    type: str
    user: str
    priority: str
    started: datetime
    status: str = "READY"
    finished: datetime | None = None
    data: dict[str, str] = attrs.field(factory=dict)
    given: dict[str, str] = attrs.field(factory=dict)
    tasks: list[Document] = attrs.field(factory=list)
    total: int | None = None
    current: Document | None = None
    waiting: Document | None = None
    sub_jobs: list[Document] = attrs.field(factory=list)
    plan: list[Document] = attrs.field(factory=list)
    turn: int = 0
    at: Document | None = None
    begun: datetime | None = None
    until: datetime | None = None
    held: bool = False
    inputs: dict[str, Any] = attrs.field(factory=dict)
    notification: tuple[str, str] | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing will happen to it any more."""
        return self.status in ENDED


class Jobs:
    """Every job, in order of creation."""

    def __init__(self, part: Vidispine) -> None:
        self.by_id: dict[str, Job] = {}
        self.aliases: dict[str, str] = {}
        self.task_ids: itertools.count[int] = itertools.count(901)
        self._part = part

    def get(self, identity: str) -> Job:
        """Return a job by its id, or by an id of somebody else's.

        Raises:
            VidispineError: There is no such job.
        """
        job = self.by_id.get(self.aliases.get(identity, identity))
        if job is None:
            raise not_found("Job", identity)
        return job

    def add(
        self,
        kind: str,
        user: str,
        data: Mapping[str, str],
        *,
        given: Mapping[str, str] | None = None,
        priority: str = "MEDIUM",
        inputs: Mapping[str, Any] | None = None,
        notification: tuple[str, str] | None = None,
        held: bool = False,
    ) -> Job:
        """Make a job; it goes on by the server's engine."""
        identity = self._part.new_id("job")
        given = dict(given or {})
        job = Job(
            id=identity,
            number=int(identity.rpartition("-")[2]),
            type=kind,
            user=user,
            priority=priority,
            started=whole(self._part.now()),
            data={**data, "username": user, **given},
            given=given,
            inputs=dict(inputs or {}),
            notification=notification,
            held=held,
        )
        self.by_id[identity] = job
        self._part.engine.begin(job)
        return job

    def asked(self, call: Call, kind: str, data: Mapping[str, str], **inputs: Any) -> Document:
        """Make a job as a request says it, and return its document.

        Raises:
            VidispineError: The request's words for it will not do.
        """
        notification = call.text("notification")
        job = self.add(
            kind,
            call.user,
            data,
            given=call.metadata(),
            priority=priority_of(call, "MEDIUM"),
            inputs=inputs,
            notification=(notification, call.text("notificationData")) if notification else None,
        )
        return write_job(job)

    def remove(self, job: Job) -> None:
        """Forget a job."""
        job.turn += 1
        del self.by_id[job.id]
        self._part.problems.leave(job)
        self.aliases = {alias: identity for alias, identity in self.aliases.items() if identity != job.id}


def check_words(call: Call) -> None:
    """See that a request's words will do for a job, before anything else is done.

    Raises:
        VidispineError: They will not.
    """
    call.metadata()
    priority_of(call, "MEDIUM")


def priority_of(call: Call, default: str) -> str:
    """Return the priority that a request asks for.

    Raises:
        VidispineError: There is no such priority.
    """
    priority = call.text("priority") or default
    if priority not in PRIORITIES:
        raise invalid("priority", "There is no such priority", priority)
    return priority


def write_job(
    job: Job, *, steps: bool = False, data: bool = False, metadata: bool = False, names: Collection[str] = ()
) -> Document:
    """Write a job.

    Args:
        steps: With its log, and the step it is at.
        data: With its data: those that are told unasked.
        metadata: With all of its data.
        names: With these of its data.
    """
    document: Document = {
        "jobId": job.id,
        "user": job.user,
        "started": stamp(job.started),
        **({"finished": stamp(job.finished)} if job.finished else {}),
        "status": job.status,
        "type": job.type,
        "priority": job.priority,
    }
    if steps and job.current:
        document["currentStep"] = job.current
    if data or metadata or names:
        wanted = job.data if metadata and not names else names or SHORT
        if told := {name: value for name, value in job.data.items() if name in wanted}:
            document["data"] = pairs(told)
    if steps and job.total is not None:
        document["totalSteps"] = job.total
    if job.waiting:
        document["waiting"] = job.waiting
    if job.sub_jobs:
        document["subJob"] = job.sub_jobs
    if steps:
        document["log"] = {"task": job.tasks}
    return document

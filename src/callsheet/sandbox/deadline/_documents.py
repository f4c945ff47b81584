"""Farms, queues, jobs and their parts, in the vendor's own words."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import attrs

__all__ = [
    "ENDED",
    "STATUSES",
    "Action",
    "Document",
    "Farm",
    "Job",
    "Queue",
    "Session",
    "Step",
    "Task",
    "no_tasks",
    "overall",
    "stamp",
]

Document = dict[str, Any]

# The first of these that any task has, is the status of all.
ACTIVE = ("RUNNING", "INTERRUPTING", "STARTING", "ASSIGNED", "SCHEDULED", "READY")
SETTLED = ("FAILED", "NOT_COMPATIBLE", "SUSPENDED", "PENDING", "CANCELED", "SUCCEEDED")
STATUSES = (*ACTIVE, *SETTLED)
ENDED = frozenset({"SUCCEEDED", "FAILED", "CANCELED", "NOT_COMPATIBLE"})


def stamp(moment: datetime) -> str:
    """Return a time as the service writes it: UTC, with milliseconds."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def no_tasks() -> dict[str, int]:
    """Return counts of nothing; the vendor's clients rely on every status being there."""
    return dict.fromkeys(STATUSES, 0)


def overall(counts: Mapping[str, int]) -> str:
    """Return the status of many tasks."""
    return next((status for status in STATUSES if counts[status]), "PENDING")


@attrs.define(eq=False)
class Task:
    """One task, as GetTask tells it.

    Attributes:
        action: What runs it now.
        fate: How its runs end, if not well: the process's exit code and its last words.
    """

    step: Step
    document: Document
    action: Action | None = None
    fate: tuple[int, str] | None = None

    @property
    def status(self) -> str:
        """Its runStatus."""
        status: str = self.document["runStatus"]
        return status

    @property
    def id(self) -> str:
        """Its taskId."""
        task_id: str = self.document["taskId"]
        return task_id


@attrs.define(eq=False)
class Step:
    """One step, as GetStep tells it, and its tasks by their numbers.

    Attributes:
        needs: The steps it depends on.
        ready: Tasks that wait for a worker; may hold some that no longer do.
        offered: Whether the fleet knows of them.
        environments: The ids of those its sessions enter.
    """

    job: Job
    document: Document
    tasks: list[Task] = attrs.field(factory=list)
    needs: list[Step] = attrs.field(factory=list)
    ready: deque[Task] = attrs.field(factory=deque)
    offered: bool = False
    environments: list[str] = attrs.field(factory=list)

    @property
    def id(self) -> str:
        """Its stepId."""
        step_id: str = self.document["stepId"]
        return step_id

    @property
    def done(self) -> bool:
        """Whether what depends on it may go on."""
        return bool(self.document["taskRunStatus"] == "SUCCEEDED")

    def consumers(self) -> list[Step]:
        """Return the steps that depend on it."""
        return [each for each in self.job.steps.values() if self in each.needs]


@attrs.define(eq=False)
class Action:
    """One action of a session, as GetSessionAction tells it.

    Attributes:
        task: What it runs, if it runs one.
        began: When that began to run.
        lasts: Seconds it takes by itself.
        by_hand: Whether it starts and ends when it is told to.
    """

    session: Session
    document: Document
    task: Task | None = None
    began: datetime | None = None
    lasts: float | None = None
    by_hand: bool = False

    def told(self, now: datetime) -> Document:
        """Return its words, with how far it is by now."""
        running = self.document["status"] == "RUNNING" and "progressPercent" not in self.document
        if not running or self.began is None or not self.lasts:
            return self.document
        percent = min(99.0, 100 * ((now - self.began) / timedelta(seconds=self.lasts)))
        return {**self.document, "progressPercent": round(percent, 1), "progressMessage": f"{percent:.0f} %"}


@attrs.define(eq=False)
class Session:
    """One session of a worker on a step, as GetSession tells it, and its actions by their numbers.

    Attributes:
        running: The one that runs a task now.
    """

    job: Job
    step: Step
    document: Document
    actions: list[Action] = attrs.field(factory=list)
    running: Action | None = None

    @property
    def id(self) -> str:
        """Its sessionId."""
        session_id: str = self.document["sessionId"]
        return session_id

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return bool(self.document["lifecycleStatus"] == "ENDED")


@attrs.define(eq=False)
class Job:
    """One job, as GetJob tells it.

    Attributes:
        template: The text it was made from, and its type.
        definitions: The template's parameter definitions.
        indexed: As searches see it; None until they do.
        overrides: Members that are told otherwise than they are.
        errors: Codes with which the next calls for it are refused.
    """

    queue: Queue
    document: Document
    template: tuple[str, str]
    definitions: list[Document] = attrs.field(factory=list)
    steps: dict[str, Step] = attrs.field(factory=dict)
    sessions: dict[str, Session] = attrs.field(factory=dict)
    members: dict[str, Document] = attrs.field(factory=dict)
    indexed: Document | None = None
    overrides: Document = attrs.field(factory=dict)
    errors: deque[str] = attrs.field(factory=deque)

    @property
    def id(self) -> str:
        """Its jobId."""
        job_id: str = self.document["jobId"]
        return job_id

    @property
    def order(self) -> tuple[str, str]:
        """Its place among the others: by age."""
        return self.document["createdAt"], self.document["jobId"]

    def told(self) -> Document:
        """Return its words as they are told."""
        return {**self.document, **self.overrides} if self.overrides else self.document

    def tasks(self) -> list[Task]:
        """Return the tasks of all steps."""
        return [task for step in self.steps.values() for task in step.tasks]


@attrs.define(eq=False)
class Queue:
    """One queue, as GetQueue tells it, its jobs from the oldest, and its environments."""

    farm: Farm
    document: Document
    jobs: list[Job] = attrs.field(factory=list)
    environments: list[Document] = attrs.field(factory=list)

    @property
    def id(self) -> str:
        """Its queueId."""
        queue_id: str = self.document["queueId"]
        return queue_id


@attrs.define(eq=False)
class Farm:
    """One farm, as GetFarm tells it."""

    document: Document
    queues: dict[str, Queue] = attrs.field(factory=dict)
    profiles: dict[str, Document] = attrs.field(factory=dict)

    @property
    def id(self) -> str:
        """Its farmId."""
        farm_id: str = self.document["farmId"]
        return farm_id

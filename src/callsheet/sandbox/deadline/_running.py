"""What the farm does with tasks: workers take them up, run them on the sandbox's clock, are interrupted."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from callsheet.sandbox.deadline._documents import (
    ENDED,
    Action,
    Document,
    Job,
    Session,
    Step,
    Task,
    overall,
    stamp,
)

if TYPE_CHECKING:
    from callsheet.sandbox.deadline import Deadline

__all__ = ["Fleet"]

FLEET = "fleet-00000000000000000000000000000001"

WELL = (0, "")
"""How a run ends that was not told otherwise."""


class Fleet:
    """The workers, and every change of a task's status.

    A worker has one session at a time, with tasks of one step. Tasks of the highest priority come first, of
    the oldest job among equals.
    """

    def __init__(self, part: Deadline) -> None:
        self._part = part
        self._clock = part.world.clock
        self._offers: list[tuple[int, str, int, Step]] = []
        self._order = itertools.count()
        self._free: list[int] = []
        self._hired = 0
        self._working: dict[Session, int] = {}

    # -- statuses --------------------------------------------------------------------------------------------

    def turn(self, task: Task, status: str, by: str | None = None) -> None:
        """Give a task another status, and its step and job what follows from it."""
        before, now = task.status, stamp(self._clock.now())
        updated = {"updatedAt": now, "updatedBy": by or self._part.service}
        task.document |= {"runStatus": status, **updated}
        _mark(task.document, status, now)
        for owner in (task.step.document, task.step.job.document):
            owner["taskRunStatusCounts"][before] -= 1
            owner["taskRunStatusCounts"][status] += 1
            owner |= {"taskRunStatus": overall(owner["taskRunStatusCounts"]), **updated}
            _mark(owner, owner["taskRunStatus"], now)
        if status == "READY":
            self._offer(task)
        elif status == "SUCCEEDED" and task.step.done:
            for step in task.step.consumers():
                self.release(step)
        self._part.index(task.step.job)

    def release(self, step: Step) -> None:
        """Make tasks ready that waited for other steps, if those are done."""
        if all(needed.done for needed in step.needs):
            for task in step.tasks:
                if task.status == "PENDING":
                    self.turn(task, "READY")

    def aim(self, tasks: list[Task], target: str, by: str, *, at_once: bool = False) -> None:
        """Bring tasks to the status that somebody wants for them; those that run take a while to stop."""
        if target in {"PENDING", "READY"}:
            again = [task for task in tasks if target == "PENDING" or task.status != "SUCCEEDED"]
            for task in again:
                self._requeue(task, by)
            for step in {task.step: None for task in again}:
                self.release(step)
            return
        for task in tasks:
            if target in {"SUCCEEDED", "FAILED"} or task.status not in ENDED:
                self._stop(task, target, by, 0 if at_once else self._part.interrupt_seconds)

    def _requeue(self, task: Task, by: str) -> None:
        self.drop(task)
        for owner in (task.document, task.step.document, task.step.job.document):
            owner.pop("startedAt", None)
        task.document["failureRetryCount"] = 0
        self.turn(task, "PENDING", by)

    def _stop(self, task: Task, target: str, by: str, seconds: float) -> None:
        action = task.action
        if action is None or task.status != "RUNNING" or not seconds:
            self.drop(task)
            self.turn(task, target, by)
            return
        action.document["status"] = "CANCELING"
        self.turn(task, "INTERRUPTING", by)

        def stopped() -> None:
            if task.action is action:
                self.drop(task)
                self.turn(task, target, by)

        self._after(seconds, stopped)

    def drop(self, task: Task) -> None:
        """Take a task from whoever runs it."""
        if task.action is not None:
            session = task.action.session
            self._end_action(task.action, "CANCELED")
            self._go_on(session)

    # -- workers ---------------------------------------------------------------------------------------------

    def _offer(self, task: Task) -> None:
        step = task.step
        step.ready.append(task)
        if not step.offered:
            self.offer(step)

    def offer(self, step: Step) -> None:
        """Let workers know of a step with tasks that are ready."""
        step.offered = True
        job = step.job.document
        heapq.heappush(self._offers, (-job["priority"], job["createdAt"], next(self._order), step))
        self._after(self._part.pick_up_seconds, self.dispatch)

    def dispatch(self) -> None:
        """Give work to workers that have none."""
        set_aside = []
        while self._offers and len(self._working) < self._part.workers:
            offer = heapq.heappop(self._offers)
            step = offer[-1]
            if not self._serves(step.job):
                set_aside.append(offer)
            elif task := _next_ready(step):
                heapq.heappush(self._offers, offer)
                self.begin(task)
            else:
                step.offered = False
        for offer in set_aside:
            heapq.heappush(self._offers, offer)

    def _serves(self, job: Job) -> bool:
        most = job.document.get("maxWorkerCount", -1)
        working = sum(1 for session in self._working if session.job is job) if most >= 0 else -1
        return bool(working < most or most < 0)

    def begin(self, task: Task, session: Session | None = None) -> None:
        """Let a worker run a task by the clock, in a session of its own or in one that is there."""
        action = self._assign(task, session or self._open(task.step))
        half = self._part.start_seconds / 2
        self.turn(task, "ASSIGNED")
        self._later(half, action, lambda: self.turn(task, "STARTING"))
        self._later(2 * half, action, lambda: self._run(action, self._part.task_seconds))

    def run_by_hand(self, task: Task) -> Action:
        """Let a worker run a task from now on, until it is ended; return what runs it, now or already."""
        action = task.action or self._assign(task, self._open(task.step))
        action.by_hand = True
        if task.status != "RUNNING":
            self._run(action, None)
        return action

    def _assign(self, task: Task, session: Session) -> Action:
        action = self._add(session, {"taskRun": _run_of(task)}, "ASSIGNED")
        action.task, task.action, session.running = task, action, action
        task.document["latestSessionActionId"] = action.document["sessionActionId"]
        return action

    def _run(self, action: Action, seconds: float | None) -> None:
        task = action.task
        assert task is not None
        action.began, action.lasts = self._clock.now(), seconds
        action.document |= {"status": "RUNNING", "startedAt": stamp(action.began)}
        self.turn(task, "RUNNING")
        if seconds is not None:
            self._later(seconds, action, lambda: self.end(action, *(task.fate or WELL), retried=True))

    def end(
        self,
        action: Action,
        exit_code: int = 0,
        message: str = "",
        *,
        retried: bool = False,
        files: Mapping[str, Any] | None = None,
    ) -> None:
        """End the run of a task, well if its process exits with 0.

        Args:
            action: What runs it.
            exit_code: Of the task's process.
            message: Its last words.
            retried: Whether a failed task is run again, as often as its job allows.
            files: What it made, as `Outputs.produce` takes it.
        """
        task = action.task
        assert task is not None
        well = exit_code == 0
        self._end_action(action, "SUCCEEDED" if well else "FAILED", exit_code, message)
        if well:
            self._part.outputs.produce(action, task, files)
            self.turn(task, "SUCCEEDED")
        else:
            self._failed(task, retried=retried)
        self._go_on(action.session)

    def _failed(self, task: Task, *, retried: bool) -> None:
        job = task.step.job
        if retried and task.document["failureRetryCount"] < job.document["maxRetriesPerTask"]:
            self.count_failure(task)
            self.turn(task, "READY")
            return
        self.turn(task, "FAILED")
        if job.document["taskRunStatusCounts"]["FAILED"] > job.document["maxFailedTasksCount"]:
            self.aim(job.tasks(), "CANCELED", self._part.service)

    def count_failure(self, task: Task) -> None:
        """Count one failed run that is repeated."""
        for owner, name in (
            (task.document, "failureRetryCount"),
            (task.step.document, "taskFailureRetryCount"),
            (task.step.job.document, "taskFailureRetryCount"),
        ):
            owner[name] = owner.get(name, 0) + 1

    # -- sessions --------------------------------------------------------------------------------------------

    def _open(self, step: Step) -> Session:
        job, now = step.job, stamp(self._clock.now())
        if not self._free:
            self._hired += 1
            self._free.append(self._hired)
        worker = self._free.pop()
        session_id = self._part.new_id("session")
        document: Document = {
            "sessionId": session_id,
            "fleetId": FLEET,
            "workerId": f"worker-{worker:032x}",
            "startedAt": now,
            "lifecycleStatus": "STARTED",
            "log": {
                "logDriver": "awslogs",
                "options": {"logGroupName": f"/aws/deadline/{job.queue.farm.id}/{job.queue.id}"},
                "parameters": {"logStreamName": session_id},
            },
            "hostProperties": {"hostName": f"worker-{worker}.farm.example"},
        }
        session = job.sessions[session_id] = Session(job, step, document)
        self._working[session] = worker
        if "attachments" in job.document:
            self._add(session, {"syncInputJobAttachments": {}}, "SUCCEEDED")
        for environment_id in step.environments:
            self._add(session, {"envEnter": {"environmentId": environment_id}}, "SUCCEEDED")
        return session

    def _add(self, session: Session, definition: Document, status: str) -> Action:
        number = len(session.actions)
        document: Document = {
            "sessionActionId": f"sessionaction-{session.id.removeprefix('session-')}-{number}",
            "sessionId": session.id,
            "status": status,
            "definition": definition,
        }
        action = Action(session, document)
        session.actions.append(action)
        if status == "SUCCEEDED":
            self._end_action(action, status, 0)
        return action

    def _end_action(
        self, action: Action, status: str, exit_code: int | None = None, message: str = ""
    ) -> None:
        now = stamp(self._clock.now())
        action.document.setdefault("startedAt", now)
        action.document |= {"status": status, "endedAt": now, "workerUpdatedAt": now}
        if exit_code is not None:
            action.document["processExitCode"] = exit_code
            action.document["progressPercent"] = 100.0 if exit_code == 0 else 0.0
        if message:
            action.document["progressMessage"] = message
        if action.task is not None:
            action.task.action = action.session.running = None

    def _go_on(self, session: Session) -> None:
        """Take the next task of the step into the session, or end it."""
        if session.over or session.running is not None:
            return
        wanted = len(self._working) <= self._part.workers and "targetLifecycleStatus" not in session.document
        task = _next_ready(session.step) if wanted else None
        if task is not None:
            self.begin(task, session)
        else:
            self.close(session)

    def leave(self, job: Job) -> None:
        """End what is done for a job, for good."""
        job.document["lifecycleStatus"] = "ARCHIVED"
        for session in list(job.sessions.values()):
            self.close(session)
        for step in job.steps.values():
            step.ready.clear()

    def close(self, session: Session, by: str | None = None) -> None:
        """End a session; what it runs waits for another worker."""
        if session.over:
            return
        for environment_id in reversed(session.step.environments):
            self._add(session, {"envExit": {"environmentId": environment_id}}, "SUCCEEDED")
        now = stamp(self._clock.now())
        session.document |= {"lifecycleStatus": "ENDED", "endedAt": now, "updatedAt": now}
        if by:
            session.document |= {"targetLifecycleStatus": "ENDED", "updatedBy": by}
        action = session.running
        if action is not None and action.task is not None:
            task = action.task
            self._end_action(action, "INTERRUPTED")
            self.turn(task, "READY", by)
        self._free.append(self._working.pop(session))
        self._after(self._part.pick_up_seconds, self.dispatch)

    # -- time ------------------------------------------------------------------------------------------------

    def _later(self, seconds: float, action: Action, do: Callable[[], None]) -> None:
        """Do something about a run after so many seconds, unless it is over by then."""

        def due() -> None:
            stopping = action.document["status"] == "CANCELING"
            if action.session.running is action and not action.by_hand and not stopping:
                do()

        self._after(seconds, due)

    def _after(self, seconds: float, do: Callable[[], None]) -> None:
        self._clock.call_at(self._clock.now() + timedelta(seconds=seconds), do)


def _mark(document: Document, status: str, now: str) -> None:
    """Note when it first ran, and when it ended."""
    if status == "RUNNING":
        document.setdefault("startedAt", now)
    if status in ENDED:
        document.setdefault("endedAt", now)
    else:
        document.pop("endedAt", None)


def _next_ready(step: Step) -> Task | None:
    while step.ready:
        task = step.ready.popleft()
        if task.status == "READY":
            return task
    return None


def _run_of(task: Task) -> Document:
    return {"stepId": task.step.id, "taskId": task.id, "parameters": task.document.get("parameters", {})}

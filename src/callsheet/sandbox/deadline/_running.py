"""What the farm does with tasks: workers take them up, run them on the sandbox's clock, are interrupted."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from callsheet.sandbox.deadline._documents import (
    Action,
    Document,
    Job,
    Session,
    Step,
    Task,
    stamp,
)
from callsheet.sandbox.deadline._sessions import add_action, close_session, end_action, open_session

if TYPE_CHECKING:
    from callsheet.sandbox.deadline import Deadline

__all__ = ["Fleet"]

WELL = (0, "")
"""How a run ends that was not told otherwise."""


class Fleet:
    """The workers.

    A worker has one session at a time, with tasks of one step. Tasks of the highest priority come first, of
    the oldest job among equals.
    """

    def __init__(self, part: Deadline) -> None:
        self._part = part
        self._statuses = part.statuses
        self._clock = part.world.clock
        self._offers: list[tuple[int, str, int, Step]] = []
        self._order = itertools.count()
        self._free: list[int] = []
        self._hired = 0
        self._working: dict[Session, int] = {}

    def wait(self, task: Task) -> None:
        """Let a task that is ready wait for a worker."""
        step = task.step
        step.ready.append(task)
        if not step.offered:
            self.offer(step)

    def offer(self, step: Step) -> None:
        """Let workers know of a step with tasks that are ready."""
        step.offered = True
        job = step.job.document
        heapq.heappush(self._offers, (-job["priority"], job["createdAt"], next(self._order), step))
        self._part.after(self._part.pick_up_seconds, self.dispatch)

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
        self._statuses.turn(task, "ASSIGNED")
        self._later(half, action, lambda: self._statuses.turn(task, "STARTING"))
        self._later(2 * half, action, lambda: self._run(action, self._part.task_seconds))

    def run_by_hand(self, task: Task) -> Action:
        """Let a worker run a task from now on, until it is ended; return what runs it, now or already."""
        action = task.action or self._assign(task, self._open(task.step))
        action.by_hand = True
        if task.status != "RUNNING":
            self._run(action, None)
        return action

    def _assign(self, task: Task, session: Session) -> Action:
        action = add_action(session, {"taskRun": _run_of(task)}, "ASSIGNED", self._clock.now())
        action.task, task.action, session.running = task, action, action
        task.document["latestSessionActionId"] = action.document["sessionActionId"]
        return action

    def _run(self, action: Action, seconds: float | None) -> None:
        task = action.task
        assert task is not None
        action.began, action.lasts = self._clock.now(), seconds
        action.document |= {"status": "RUNNING", "startedAt": stamp(action.began)}
        self._statuses.turn(task, "RUNNING")
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
        now = self._clock.now()
        end_action(action, "SUCCEEDED" if well else "FAILED", now, exit_code=exit_code, message=message)
        if well:
            self._part.outputs.produce(action, task, files)
            self._statuses.turn(task, "SUCCEEDED")
        else:
            self._failed(task, retried=retried)
        self._go_on(action.session)

    def _failed(self, task: Task, *, retried: bool) -> None:
        job = task.step.job
        if retried and task.document["failureRetryCount"] < job.document["maxRetriesPerTask"]:
            self._statuses.count_failure(task)
            self._statuses.turn(task, "READY")
            return
        self._statuses.turn(task, "FAILED")
        if job.document["taskRunStatusCounts"]["FAILED"] > job.document["maxFailedTasksCount"]:
            self._statuses.aim(job.tasks(), "CANCELED", self._part.service)

    def _open(self, step: Step) -> Session:
        if not self._free:
            self._hired += 1
            self._free.append(self._hired)
        worker = self._free.pop()
        session = open_session(step, self._part.new_id("session"), worker, self._clock.now())
        self._working[session] = worker
        return session

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

    def drop(self, task: Task) -> None:
        """Take a task from whoever runs it."""
        if task.action is not None:
            session = task.action.session
            end_action(task.action, "CANCELED", self._clock.now())
            self._go_on(session)

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
        now = self._clock.now()
        close_session(session, now, by)
        action = session.running
        if action is not None and action.task is not None:
            task = action.task
            end_action(action, "INTERRUPTED", now)
            self._statuses.turn(task, "READY", by)
        self._free.append(self._working.pop(session))
        self._part.after(self._part.pick_up_seconds, self.dispatch)

    def _later(self, seconds: float, action: Action, do: Callable[[], None]) -> None:
        """Do something about a run after so many seconds, unless it is over by then."""

        def due() -> None:
            stopping = action.document["status"] == "CANCELING"
            if action.session.running is action and not action.by_hand and not stopping:
                do()

        self._part.after(seconds, due)


def _next_ready(step: Step) -> Task | None:
    while step.ready:
        task = step.ready.popleft()
        if task.status == "READY":
            return task
    return None


def _run_of(task: Task) -> Document:
    return {"stepId": task.step.id, "taskId": task.id, "parameters": task.document.get("parameters", {})}

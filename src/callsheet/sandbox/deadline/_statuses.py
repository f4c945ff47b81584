"""The status of each task, and what follows from it for its step and its job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from callsheet.sandbox.deadline._documents import ENDED, Document, Step, Task, overall, stamp

if TYPE_CHECKING:
    from callsheet.sandbox.deadline import Deadline

__all__ = ["Statuses"]


class Statuses:
    """Every change of a task's status goes through here."""

    def __init__(self, part: Deadline) -> None:
        self._part = part
        self._clock = part.world.clock

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
            self._part.fleet.wait(task)
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
        self._part.fleet.drop(task)
        for owner in (task.document, task.step.document, task.step.job.document):
            owner.pop("startedAt", None)
        task.document["failureRetryCount"] = 0
        self.turn(task, "PENDING", by)

    def _stop(self, task: Task, target: str, by: str, seconds: float) -> None:
        action = task.action
        if action is None or task.status != "RUNNING" or not seconds:
            self._part.fleet.drop(task)
            self.turn(task, target, by)
            return
        action.document["status"] = "CANCELING"
        self.turn(task, "INTERRUPTING", by)

        def stopped() -> None:
            if task.action is action:
                self._part.fleet.drop(task)
                self.turn(task, target, by)

        self._part.after(seconds, stopped)

    def count_failure(self, task: Task) -> None:
        """Count one failed run that is repeated."""
        for owner, name in (
            (task.document, "failureRetryCount"),
            (task.step.document, "taskFailureRetryCount"),
            (task.step.job.document, "taskFailureRetryCount"),
        ):
            owner[name] = owner.get(name, 0) + 1


def _mark(document: Document, status: str, now: str) -> None:
    """Note when it first ran, and when it ended."""
    if status == "RUNNING":
        document.setdefault("startedAt", now)
    if status in ENDED:
        document.setdefault("endedAt", now)
    else:
        document.pop("endedAt", None)

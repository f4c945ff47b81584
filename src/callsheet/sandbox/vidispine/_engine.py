"""How jobs go on: step by step on the sandbox's clock, as their task definitions say, or as they are told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from callsheet.sandbox.vidispine._jobs import PRIORITIES, Job
from callsheet.sandbox.vidispine._values import Document, stamp, whole
from callsheet.sandbox.vidispine._work import METHODS, UNITS, WorkFailed

if TYPE_CHECKING:
    from callsheet.sandbox.vidispine import Vidispine

__all__ = ["Engine"]


class Engine:
    """Moves jobs: READY, STARTED through its steps, then an end."""

    def __init__(self, part: Vidispine) -> None:
        self._part = part

    def begin(self, job: Job) -> None:
        """Take a new job on."""
        job.plan = self._part.definitions.of_type(job.type)
        self._part.notifications.tell(job, "CREATE")
        if self._part.moves(job.type) and not job.held:
            self._later(job, self._part.step_seconds, self._start)

    def release(self, job: Job) -> None:
        """Let a job go on that was held back from its beginning."""
        job.held = False
        if self._part.moves(job.type):
            self._later(job, self._part.step_seconds, self._start)

    def go(self, job: Job) -> None:
        """Put a job at its first step, and let it go on."""
        job.held = False
        self.start(job)
        self._plan_step(job)

    def resume(self, job: Job) -> None:
        """Let a job work again that was waiting, or had ended."""
        job.status, job.finished, job.waiting = "STARTED", None, None
        self._part.notifications.tell(job, "UPDATE")

    def start(self, job: Job) -> None:
        """Put a job at its first step."""
        job.status, job.waiting = "STARTED", None
        job.total = len(self._part.definitions.of_type(job.type))
        self._enter(job)

    def complete(self, job: Job) -> None:
        """Do at once all that can be done, and end the job well."""
        job.turn += 1
        if not job.tasks or job.total is None:
            self.start(job)
        while not job.ended:
            try:
                self._step(job)
            except WorkFailed:  # a job that is told to have finished need not have anything to work with
                self._finish_task(job)

    def end(self, job: Job, status: str, problem: str | None = None) -> None:
        """End a job."""
        job.turn += 1
        job.status, job.finished, job.waiting, job.at = status, whole(self._part.now()), None, None
        if job.current:
            job.current["status"] = "FINISHED" if status.startswith("FINISHED") else "FAILED_FATAL"
        if problem:
            job.data["errorMessage"] = problem
        self._part.problems.leave(job)
        self._part.notifications.tell(job, "STOP")

    def fail(self, job: Job, problem: str | None) -> None:
        """Let a job fail at the step it is at."""
        if job.tasks:
            job.tasks[-1].update(status="FAILED_FATAL", **({"errorMessage": problem} if problem else {}))
        self.end(job, "FAILED_TOTAL", problem)

    def abort(self, job: Job, *, cleanup: bool) -> None:
        """Ask a job to end; what has ended, or was asked before, stays as it is."""
        if job.ended or job.status == self._part.abort_state:
            return
        job.turn += 1
        if job.status == "READY" and not cleanup:
            self.end(job, "ABORTED")
            return
        job.status = self._part.abort_state
        self._part.notifications.tell(job, "UPDATE")
        self._later(job, self._part.abort_seconds, lambda job: self.end(job, "ABORTED"))

    def refresh(self, job: Job) -> None:
        """Let the step at work show how far it is by now."""
        progress = job.tasks[-1].get("progress") if job.tasks else None
        if job.at is None or job.begun is None or job.until is None or progress is None:
            return
        part = (self._part.now() - job.begun) / max(job.until - job.begun, timedelta(microseconds=1))
        progress["value"] = round(progress["total"] * min(part, 1.0), 3)
        if progress["unit"] == "bytes":
            progress["value"] = int(progress["value"])
        else:
            job.data["transcodeProgress"] = str(progress["value"])

    def _later(self, job: Job, seconds: float, action: Callable[[Job], None]) -> None:
        turn = job.turn

        def act() -> None:
            if job.turn == turn and job.id in self._part.jobs.by_id:
                action(job)

        self._part.world.clock.call_at(self._part.now() + timedelta(seconds=seconds), act)

    def _start(self, job: Job) -> None:
        if not self._admitted(job):
            self._later(job, self._part.step_seconds, self._start)
            return
        self.go(job)

    def _admitted(self, job: Job) -> bool:
        limit: int | None = self._part.pool.get("concurrentJobs")
        if limit is None or job.priority == PRIORITIES[-1]:
            return True
        return sum(other.status == "STARTED" for other in self._part.jobs.by_id.values()) < limit

    def _plan_step(self, job: Job) -> None:
        if job.ended or not self._part.moves(job.type):
            return
        job.begun = self._part.now()
        job.until = job.begun + timedelta(seconds=self._part.step_seconds)
        self._later(job, self._part.step_seconds, self._on)

    def _on(self, job: Job) -> None:
        try:
            self._step(job)
        except WorkFailed as failure:
            self.fail(job, str(failure))
        self._plan_step(job)

    def _step(self, job: Job) -> None:
        """Finish the step that a job is at, and enter the next one."""
        definition, job.at = job.at, None
        if definition is not None:
            self._leave(job, definition)
        self._enter(job)

    def _leave(self, job: Job, definition: Document) -> None:
        METHODS.get(definition["method"], _nothing)(self._part, job)
        self._finish_task(job)

    def _finish_task(self, job: Job) -> None:
        task = job.tasks[-1]
        task.update(status="FINISHED", timestamp=stamp(self._part.now()))
        if progress := task.get("progress"):
            progress["value"] = progress["total"]
            told = f"{progress['unit']} {progress['value']}/{progress['total']}"
            job.data[f"progress-{task['step']}-0-{task['attempts']}"] = told

    def _enter(self, job: Job) -> None:
        while job.plan and job.plan[0]["method"] == "conditional":
            job.plan.pop(0)  # the server has such steps for every job of the type, and leaves them out here
        if not job.plan:
            self.end(job, "FINISHED")
            return
        definition = job.plan.pop(0)
        job.at = definition
        job.tasks.append(self._task(job, definition))
        number = (job.total or 0) - len(job.plan)
        job.current = {"description": definition["description"], "number": number, "status": "STARTED"}
        self._part.notifications.tell(job, "UPDATE")

    def _task(self, job: Job, definition: Document) -> Document:
        task: Document = {
            "step": definition["step"],
            "attempts": 0,
            "status": "STARTED",
            "timestamp": stamp(self._part.now()),
            "description": definition["description"],
        }
        if unit := UNITS.get(definition["method"]):
            total = self._part.files.size_of_source(job) if unit == "bytes" else 100
            task["progress"] = {"value": 0, "total": total, "unit": unit}
        return {**task, "subTask": [], "id": next(self._part.jobs.task_ids)}


def _nothing(part: Vidispine, job: Job) -> None:
    """Do nothing: the step stands for work that the sandbox has no use for."""

"""All that a Deadline Cloud sandbox holds, and how requests name it."""

from __future__ import annotations

import bisect
from collections.abc import Mapping
from typing import Any, TypeVar

from callsheet.sandbox.deadline._documents import Action, Farm, Job, Queue, Session, Step, Task
from callsheet.sandbox.deadline._errors import NotThere

__all__ = ["Store"]

Thing = TypeVar("Thing")


class Store:
    """All there is in one account."""

    def __init__(self) -> None:
        self.farms: dict[str, Farm] = {}
        self.jobs: dict[str, Job] = {}
        self.tags: dict[str, dict[str, str]] = {}

    def farm(self, words: Mapping[str, Any]) -> Farm:
        """Return the farm that a request names.

        Raises:
            NotThere: There is none.
        """
        return _found(self.farms, "farm", words["farmId"])

    def queue(self, words: Mapping[str, Any]) -> Queue:
        """Return the queue that a request names."""
        return _found(self.farm(words).queues, "queue", words["queueId"])

    def job(self, words: Mapping[str, Any]) -> Job:
        """Return the job that a request names."""
        queue, job = self.queue(words), _found(self.jobs, "job", words["jobId"])
        if job.queue is not queue:
            raise NotThere("job", words["jobId"])
        return job

    def step(self, words: Mapping[str, Any]) -> Step:
        """Return the step that a request names."""
        return _found(self.job(words).steps, "step", words["stepId"])

    def task(self, words: Mapping[str, Any]) -> Task:
        """Return the task that a request names."""
        step, task_id = self.step(words), words["taskId"]
        number = int(task_id.rpartition("-")[2])
        if number >= len(step.tasks) or step.tasks[number].id != task_id:
            raise NotThere("task", task_id)
        return step.tasks[number]

    def session(self, words: Mapping[str, Any]) -> Session:
        """Return the session that a request names."""
        return _found(self.job(words).sessions, "session", words["sessionId"])

    def action(self, words: Mapping[str, Any]) -> Action:
        """Return the session action that a request names."""
        action_id = words["sessionActionId"]
        session_id, _, number = action_id.removeprefix("sessionaction").rpartition("-")
        session = self.job(words).sessions.get(f"session{session_id}")
        if session is None or int(number) >= len(session.actions):
            raise NotThere("sessionaction", action_id)
        return session.actions[int(number)]

    def add(self, job: Job) -> None:
        """Keep a new job."""
        self.jobs[job.id] = job
        bisect.insort(job.queue.jobs, job, key=lambda each: each.order)

    def remove(self, job: Job) -> None:
        """Forget a job, as the service does some time after it was archived."""
        del self.jobs[job.id]
        job.queue.jobs.remove(job)


def _found(things: Mapping[str, Thing], kind: str, wanted: str) -> Thing:
    if wanted not in things:
        raise NotThere(kind, wanted)
    return things[wanted]

"""Steps and tasks of Deadline's jobs, the sessions in which workers do them, and why a job failed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import partial

from callsheet import _checks
from callsheet._errors import BulkError, InvalidRequest
from callsheet._http._trail import done
from callsheet._http._urls import segment
from callsheet._models import Job, JobState
from callsheet.providers.deadline._batches import get_batch, update_batch
from callsheet.providers.deadline._jobs import JobCalls
from callsheet.providers.deadline._server import new_token
from callsheet.providers.deadline._values import UnknownMember
from callsheet.providers.deadline.details import (
    DeadlineSession,
    DeadlineSessionAction,
    DeadlineStep,
    DeadlineTask,
    read,
)

__all__ = ["StepCalls"]

MOST_TOLD = 10
"""Failed tasks that a problem tells of."""

OVER = frozenset({"SUCCEEDED", "FAILED", "CANCELED", "SUSPENDED"})
"""Run statuses of tasks that `requeue` puts back; those that wait or run are left."""


class StepCalls(JobCalls):
    """What a job is made of, and how it goes."""

    # -- steps and tasks -------------------------------------------------------------------------------------

    async def steps(self, job: Job | str) -> list[DeadlineStep]:
        """Return the job's steps.

        Raises:
            NotFound: There is no such job.
        """
        path = self._of(job, "steps")
        return await self._server.all(path, "steps", partial(read, kind=DeadlineStep), operation="ListSteps")

    async def step(self, job: Job | str, step_id: str) -> DeadlineStep:
        """Return one step, with what it needs and what its tasks are made of."""
        path = self._of(job, "steps", segment(step_id, "step"))
        return await self._server.get(path, DeadlineStep, operation="GetStep")

    async def tasks(self, job: Job | str, step_id: str) -> list[DeadlineTask]:
        """Return the tasks of a step, in Deadline's order."""
        path = self._of(job, "steps", segment(step_id, "step"), "tasks")
        return await self._server.all(path, "tasks", partial(read, kind=DeadlineTask), operation="ListTasks")

    async def task(self, job: Job | str, step_id: str, task_id: str) -> DeadlineTask:
        """Return one task."""
        path = self._of(job, "steps", segment(step_id, "step"), "tasks", segment(task_id, "task"))
        return await self._server.get(path, DeadlineTask, operation="GetTask")

    async def update_step(self, job: Job | str, step_id: str, target: str) -> None:
        """Ask for all tasks of a step to get into a status.

        Args:
            job: The job.
            step_id: The step.
            target: Deadline's word: `"PENDING"` to do them again, `"SUSPENDED"`, `"CANCELED"` and so on.
        """
        path = self._of(job, "steps", segment(step_id, "step"))
        await self._server.send(
            "PATCH", path, {"targetTaskRunStatus": target}, token=new_token(), operation="UpdateStep"
        )

    async def update_tasks(self, job: Job | str, tasks: Iterable[tuple[str, str]], target: str) -> None:
        """Ask for tasks to get into a status, a hundred in a request.

        Args:
            job: The job.
            tasks: Pairs of a step's and a task's id.
            target: Deadline's word, as in `update_step`.

        Raises:
            BulkError: Some could not be asked; `.failed` holds their errors by index.
        """
        id_ = self._job_id(job)
        wanted = list(tasks)
        items = [
            {"jobId": id_, "stepId": step_id, "taskId": task_id, "targetRunStatus": target}
            for step_id, task_id in dict.fromkeys(wanted)
        ]
        errors = await update_batch(self._server, "task", "taskId", items)
        failed = {i: errors[task_id] for i, (_, task_id) in enumerate(wanted) if task_id in errors}
        if failed:
            told = f"{len(failed)} of {len(wanted)} tasks were not changed: {failed[min(failed)]}"
            raise BulkError(told, done=[], failed=failed, provider=self.name)

    async def requeue(self, job: Job | str, statuses: Collection[str] = OVER) -> Job:
        """Have the tasks of a job done again that are in one of the statuses, and return the job.

        Args:
            job: The job.
            statuses: Deadline's words; by default all but those of tasks that wait or run.
        """
        if isinstance(statuses, str):
            raise InvalidRequest("statuses must be a set of words")
        again = [
            (step.step_id, task.task_id)
            for step in await self.steps(job)
            if any(step.task_run_status_counts.get(word) for word in statuses)
            for task in await self.tasks(job, step.step_id)
            if task.run_status in statuses
        ]
        if again:
            await self.update_tasks(job, again, "PENDING")
        with done():
            return await self._known(self._job_id(job))

    # -- sessions --------------------------------------------------------------------------------------------

    async def sessions(self, job: Job | str) -> list[DeadlineSession]:
        """Return the sessions in which workers have worked on the job."""
        path = self._of(job, "sessions")
        return await self._server.all(
            path, "sessions", partial(read, kind=DeadlineSession), operation="ListSessions"
        )

    async def session(self, job: Job | str, session_id: str) -> DeadlineSession:
        """Return one session, with its log's place and its host."""
        path = self._of(job, "sessions", segment(session_id, "session"))
        return await self._server.get(path, DeadlineSession, operation="GetSession")

    async def end_session(self, job: Job | str, session_id: str) -> None:
        """Ask for a session to end; what it was doing is done again elsewhere."""
        path = self._of(job, "sessions", segment(session_id, "session"))
        body = {"targetLifecycleStatus": "ENDED"}
        await self._server.send("PATCH", path, body, token=new_token(), operation="UpdateSession")

    async def actions(
        self, job: Job | str, *, session_id: str | None = None, task_id: str | None = None
    ) -> list[DeadlineSessionAction]:
        """Return what sessions of the job have done: all of it, or that of one session or one task.

        Each has its progress in percent, and its manifests; messages come with `action` and `messages`.

        Raises:
            InvalidRequest: Neither session nor task, or both: Deadline lists by one of them.
        """
        if (session_id is None) is (task_id is None):
            raise InvalidRequest("actions: give session_id= or task_id=")
        pairs = [(n, v) for n, v in (("sessionId", session_id), ("taskId", task_id)) if v is not None]
        return await self._server.all(
            self._of(job, "session-actions"),
            "sessionActions",
            partial(read, kind=DeadlineSessionAction),
            operation="ListSessionActions",
            pairs=pairs,
        )

    async def action(self, job: Job | str, action_id: str) -> DeadlineSessionAction:
        """Return one action, with its message and exit code."""
        path = self._of(job, "session-actions", segment(action_id, "action"))
        return await self._server.get(path, DeadlineSessionAction, operation="GetSessionAction")

    async def messages(self, job: Job | str, action_ids: Iterable[str]) -> dict[str, DeadlineSessionAction]:
        """Return actions with their messages and exit codes, by id, a hundred in a request."""
        return await get_batch(
            self._server,
            "session-action",
            "sessionActionId",
            list(action_ids),
            partial(read, kind=DeadlineSessionAction),
            jobId=self._job_id(job),
        )

    # -- why -------------------------------------------------------------------------------------------------

    async def job_problem(self, job_id: str) -> str | None:
        """Return why the job failed or was not made, with the last words of the first tasks that failed.

        Raises:
            NotFound: There is no such job.
        """
        job = await self._known(job_id)
        counts = job.raw.get("taskRunStatusCounts") or {}
        if job.state is not JobState.FAILED or not counts.get("FAILED"):
            return job.problem
        failed = await self._failed_tasks(job_id)
        ids = [task.latest_session_action_id for _, task in failed if task.latest_session_action_id]
        actions = await self.messages(job_id, ids) if ids else {}
        told = [_told(step, task, actions.get(task.latest_session_action_id or "")) for step, task in failed]
        return "\n".join(filter(None, [job.problem, *told]))

    async def _failed_tasks(self, job_id: str) -> Sequence[tuple[DeadlineStep, DeadlineTask]]:
        failed: list[tuple[DeadlineStep, DeadlineTask]] = []
        for step in await self.steps(job_id):
            if step.task_run_status_counts.get("FAILED") and len(failed) < MOST_TOLD:
                tasks = await self.tasks(job_id, step.step_id)
                failed += [(step, task) for task in tasks if task.run_status == "FAILED"]
        return failed[:MOST_TOLD]

    # -- steps -----------------------------------------------------------------------------------------------

    def _job_id(self, job: Job | str) -> str:
        return _checks.job_id(job, self.tracker)

    def _of(self, job: Job | str, *parts: str) -> str:
        """Return the path of something in a job."""
        id_ = self._job_id(job)
        self._check_id(id_)
        return self._server.path("jobs", id_, *parts)


def _told(step: DeadlineStep, task: DeadlineTask, action: DeadlineSessionAction | None) -> str:
    """Return one line: which task failed, how, and what it said last."""
    values = [
        f"{name}={value.raw if isinstance(value, UnknownMember) else value.value}"
        for name, value in task.parameters.items()
    ]
    which = f"{step.name}({', '.join(values)})" if values else str(step.name)
    if action is None:
        return which
    code = None if action.process_exit_code is None else f"exit code {action.process_exit_code}"
    return ": ".join(filter(None, [which, code, action.progress_message]))

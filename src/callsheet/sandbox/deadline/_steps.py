"""The operations about steps, tasks, sessions and what is done in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from callsheet.sandbox.deadline._documents import Document, Job, Step, Task
from callsheet.sandbox.deadline._errors import AwsError, Validation
from callsheet.sandbox.deadline._jobs import each, item_error
from callsheet.sandbox.deadline._paging import paged
from callsheet.sandbox.deadline._signatures import Caller

if TYPE_CHECKING:
    from callsheet.sandbox.deadline import Deadline

__all__ = ["OPERATIONS", "step_told"]

Words = dict[str, Any]


def step_told(step: Step) -> Document:
    """Return a step's words, with how far its dependencies are."""
    consumers = step.consumers()
    resolved = sum(1 for needed in step.needs if needed.done)
    counts = {
        "dependenciesResolved": resolved,
        "dependenciesUnresolved": len(step.needs) - resolved,
        "consumersResolved": len(consumers) if step.done else 0,
        "consumersUnresolved": 0 if step.done else len(consumers),
    }
    return {**step.document, "dependencyCounts": counts}


def list_steps(part: Deadline, words: Words, caller: Caller) -> Words:
    """Tell about the steps of a job, in the order of its template."""
    steps = [step_told(step) for step in part.store.job(words).steps.values()]
    return paged("steps", [part.model.pick("StepSummary", step) for step in steps], words)


def get_step(part: Deadline, words: Words, caller: Caller) -> Words:
    """Tell all about one step."""
    return step_told(part.store.step(words))


def batch_get_step(part: Deadline, words: Words, caller: Caller) -> Words:
    """Tell all about many steps."""
    return each("steps", words["identifiers"], lambda item: {**item, **get_step(part, item, caller)})


def update_step(part: Deadline, words: Words, caller: Caller) -> Words:
    """Bring a step's tasks to another status."""
    step = part.store.step(words)
    target = words["targetTaskRunStatus"]
    step.document |= {"targetTaskRunStatus": target, "lifecycleStatus": "UPDATE_SUCCEEDED"}
    part.statuses.aim(step.tasks, target, caller.arn)
    return {}


def list_step_dependencies(part: Deadline, words: Words, caller: Caller) -> Words:
    """Tell which steps one depends on, and whether they are done."""
    needs = part.store.step(words).needs
    return paged("dependencies", [_relation(step, step.done) for step in needs], words)


def list_step_consumers(part: Deadline, words: Words, caller: Caller) -> Words:
    """Tell which steps depend on one."""
    step = part.store.step(words)
    return paged("consumers", [_relation(each, step.done) for each in step.consumers()], words)


def _relation(step: Step, resolved: bool) -> Words:
    return {"stepId": step.id, "status": "RESOLVED" if resolved else "UNRESOLVED"}


def list_tasks(part: Deadline, words: Words, caller: Caller) -> Words:
    """Tell about the tasks of a step, by their numbers."""
    page = paged("tasks", part.store.step(words).tasks, words)
    return {**page, "tasks": [task.document for task in page["tasks"]]}


def get_task(part: Deadline, words: Words, caller: Caller) -> Words:
    """Tell all about one task."""
    return part.store.task(words).document


def batch_get_task(part: Deadline, words: Words, caller: Caller) -> Words:
    """Tell all about many tasks."""
    return each("tasks", words["identifiers"], lambda item: {**item, **get_task(part, item, caller)})


def update_task(part: Deadline, words: Words, caller: Caller) -> Words:
    """Bring one task to another status."""
    aim(part, part.store.task(words), words["targetRunStatus"], caller)
    return {}


def batch_update_task(part: Deadline, words: Words, caller: Caller) -> Words:
    """Bring many tasks to other statuses, and tell which of them could not be changed."""
    errors = []
    for item in words["tasks"]:
        try:
            aim(part, part.store.task(item), item["targetRunStatus"], caller)
        except AwsError as error:
            named = {name: value for name, value in item.items() if name != "targetRunStatus"}
            errors.append({**named, **item_error(error)})
    return {"errors": errors}


def aim(part: Deadline, task: Task, target: str, caller: Caller) -> None:
    """Bring a task to a status."""
    task.document["targetRunStatus"] = target
    part.statuses.aim([task], target, caller.arn)


def list_sessions(part: Deadline, words: Words, caller: Caller) -> Words:
    """Tell about a job's sessions, from the oldest."""
    sessions = list(part.store.job(words).sessions.values())
    page = paged("sessions", sessions, words)
    return {
        **page,
        "sessions": [part.model.pick("SessionSummary", each.document) for each in page["sessions"]],
    }


def get_session(part: Deadline, words: Words, caller: Caller) -> Words:
    """Tell all about one session."""
    return part.store.session(words).document


def batch_get_session(part: Deadline, words: Words, caller: Caller) -> Words:
    """Tell all about many sessions."""
    return each("sessions", words["identifiers"], lambda item: {**item, **get_session(part, item, caller)})


def update_session(part: Deadline, words: Words, caller: Caller) -> Words:
    """End a session."""
    part.fleet.close(part.store.session(words), caller.arn)
    return {}


def list_session_actions(part: Deadline, words: Words, caller: Caller) -> Words:
    """Tell what is done in a session, or for a task in all of them; the messages are not among it."""
    job = part.store.job(words)
    now = part.world.clock.now()
    told = []
    for action in _actions(part, job, words):
        summary = part.model.pick("SessionActionSummary", action.told(now))
        told.append(summary)
    return paged("sessionActions", told, words)


def _actions(part: Deadline, job: Job, words: Words) -> list[Any]:
    if "sessionId" not in words and "taskId" not in words:
        raise Validation("Either sessionId or taskId must be given.")
    sessions = [part.store.session(words)] if "sessionId" in words else list(job.sessions.values())
    actions = [action for session in sessions for action in session.actions]
    if "taskId" in words:
        named = words["taskId"]
        actions = [each for each in actions if each.task is not None and each.task.id == named]
    return actions


def get_session_action(part: Deadline, words: Words, caller: Caller) -> Words:
    """Tell all about one thing that is done in a session."""
    return part.store.action(words).told(part.world.clock.now())


def batch_get_session_action(part: Deadline, words: Words, caller: Caller) -> Words:
    """Tell all about many of them."""

    def told(item: Words) -> Words:
        return {**item, **get_session_action(part, item, caller)}

    return each("sessionActions", words["identifiers"], told)


OPERATIONS = {
    "ListSteps": list_steps,
    "GetStep": get_step,
    "BatchGetStep": batch_get_step,
    "UpdateStep": update_step,
    "ListStepDependencies": list_step_dependencies,
    "ListStepConsumers": list_step_consumers,
    "ListTasks": list_tasks,
    "GetTask": get_task,
    "BatchGetTask": batch_get_task,
    "UpdateTask": update_task,
    "BatchUpdateTask": batch_update_task,
    "ListSessions": list_sessions,
    "GetSession": get_session,
    "BatchGetSession": batch_get_session,
    "UpdateSession": update_session,
    "ListSessionActions": list_session_actions,
    "GetSessionAction": get_session_action,
    "BatchGetSessionAction": batch_get_session_action,
}

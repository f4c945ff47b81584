"""What happens on a farm without any client asking for it: tasks run and end, jobs vanish, words are new."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from callsheet.sandbox.deadline._creating import make_job, template_text
from callsheet.sandbox.deadline._documents import ENDED, Job, Task
from callsheet.sandbox.deadline._errors import AwsError
from callsheet.sandbox.deadline._jobs import REFUSALS

if TYPE_CHECKING:
    from callsheet.sandbox.deadline import Deadline

__all__ = ["act"]

Words = Mapping[str, Any]


def act(part: Deadline, action: str, words: Words) -> Any:
    """Let something happen.

    Raises:
        ValueError: The action or one of its words will not do; the message names it.
    """
    if action not in ACTIONS:
        raise ValueError(f"{action}: deadline knows only {', '.join(ACTIONS)}")
    do, known = ACTIONS[action]
    if unknown := sorted(set(words) - set(known)):
        raise ValueError(f"{unknown[0]}: {action} knows only {', '.join(known)}")
    for name, value in words.items():
        fits = isinstance(value, KINDS[name]) and not isinstance(value, bool)
        if not fits or (name in COUNTS and value < 1):
            raise ValueError(f"{name}: {value!r} will not do")
    return do(part, words)


def start(part: Deadline, words: Words) -> None:
    """Let all tasks of jobs that wait for a worker run, until they are ended."""
    for job in _jobs(part, words):
        for task in _tasks(job):
            if task.status not in ENDED:
                part.fleet.run_by_hand(task)


def progress(part: Deadline, words: Words) -> None:
    """Let the running tasks of a job say how far they are, in percent, and a word about it."""
    for job in _jobs(part, words):
        for task in job.tasks():
            if task.action is not None:
                told = {"progressPercent": words.get("percent"), "progressMessage": words.get("message")}
                task.action.document |= {name: value for name, value in told.items() if value is not None}


def finish(part: Deadline, words: Words) -> None:
    """Let all tasks of jobs that have not ended run and end well; the last one makes the files."""
    jobs = _jobs(part, words)
    if bare := [job.id for job in jobs if words.get("files") and not _has_attachments(job)]:
        raise ValueError(f"files: {bare[0]} has no attachments; let a client make it with files or outputs")
    for job in jobs:
        left = [task for task in _tasks(job) if task.status not in ENDED]
        for task in left:
            files = words.get("files", {}) if task is left[-1] or "files" not in words else {}
            part.fleet.end(part.fleet.run_by_hand(task), files=files if "files" in words else None)


def fail(part: Deadline, words: Words) -> None:
    """Let a task of each job fail, after so many attempts, and the others that go on be cancelled."""
    code, message, attempts = words.get("exit_code", 1), words.get("message", ""), words.get("attempts", 1)
    for job in _jobs(part, words):
        task = _failing(job)
        for attempt in range(attempts):
            if attempt:
                part.statuses.count_failure(task)
            part.fleet.end(part.fleet.run_by_hand(task), code, message)
        part.statuses.aim(job.tasks(), "CANCELED", part.service, at_once=True)


def _failing(job: Job) -> Task:
    tasks = _tasks(job)
    running = [task for task in tasks if task.action is not None]
    return next(iter([*running, *(task for task in tasks if task.status not in ENDED), *tasks]))


def doom(part: Deadline, words: Words) -> None:
    """Let a task of each job fail whenever it runs, with an exit code and last words."""
    for job in _jobs(part, words):
        _failing(job).fate = words.get("exit_code", 1), words.get("message", "")


def vanish(part: Deadline, words: Words) -> None:
    """Remove jobs, as the service does some time after they were archived."""
    for job in _jobs(part, words):
        part.fleet.leave(job)
        part.store.remove(job)


def change(part: Deadline, words: Words) -> None:
    """Tell members of jobs otherwise than they are, until somebody updates them; None tells the truth."""
    for job in _jobs(part, words):
        told = {**job.overrides, **words.get("members", {})}
        job.overrides = {name: value for name, value in told.items() if value is not None}
        part.index(job)


def refuse(part: Deadline, words: Words) -> None:
    """Refuse the next calls about jobs, in batches too, with an error code of the vendor's."""
    if words.get("code") not in REFUSALS:
        raise ValueError(f"code: {words.get('code')!r} is none of {', '.join(REFUSALS)}")
    for job in _jobs(part, words):
        job.errors.extend([words["code"]] * words.get("times", 1))


def make(part: Deadline, words: Words) -> Any:
    """Make jobs of one task, named `name 0` and so on if there are several; tell their ids, oldest first."""
    number, name = words.get("number", 1), words.get("name", "job")
    by = part.arn_of(words.get("user", "sandbox"))
    try:
        queue = part.store.queue({"farmId": part.farm_id, "queueId": words.get("queue", part.queue_id)})
    except AwsError as error:
        raise ValueError(f"queue: {error.message}") from error
    made = []
    for index in range(number):
        template = words.get("template") or template_text(f"{name} {index}" if number > 1 else name)
        wanted = {"template": template, "templateType": "JSON", "priority": words.get("priority", 50)}
        made.append(make_job(part, queue, wanted, by, age=timedelta()).id)
    return {"jobs": made}


def _has_attachments(job: Job) -> bool:
    return bool((job.document.get("attachments") or {}).get("manifests"))


def _tasks(job: Job) -> list[Task]:
    tasks = job.tasks()
    if not tasks:
        raise ValueError(f"job: {job.id} has no tasks, it is {job.document['lifecycleStatus']}")
    return tasks


def _jobs(part: Deadline, words: Words) -> list[Job]:
    wanted = words.get("jobs", [words["job"]] if "job" in words else [])
    if missing := [job_id for job_id in wanted if job_id not in part.store.jobs]:
        raise ValueError(f"job: {missing[0]!r} is not there")
    if not wanted:
        raise ValueError("job: which one?")
    return [part.store.jobs[job_id] for job_id in wanted]


KINDS: dict[str, Any] = {
    "job": str,
    "jobs": list,
    "percent": int | float,
    "message": str,
    "files": dict,
    "exit_code": int,
    "attempts": int,
    "members": dict,
    "code": str,
    "times": int,
    "number": int,
    "name": str,
    "user": str,
    "queue": str,
    "template": str,
    "priority": int,
}

COUNTS = {"attempts", "times", "number"}

ACTIONS: dict[str, tuple[Callable[[Deadline, Words], Any], tuple[str, ...]]] = {
    "start": (start, ("job", "jobs")),
    "progress": (progress, ("job", "jobs", "percent", "message")),
    "finish": (finish, ("job", "jobs", "files")),
    "fail": (fail, ("job", "jobs", "message", "exit_code", "attempts")),
    "doom": (doom, ("job", "jobs", "message", "exit_code")),
    "vanish": (vanish, ("job", "jobs")),
    "change": (change, ("job", "jobs", "members")),
    "refuse": (refuse, ("job", "jobs", "code", "times")),
    "make": (make, ("number", "name", "user", "queue", "template", "priority")),
}

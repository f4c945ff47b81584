"""What no client of a Vidispine server can do: let many jobs be there at once, go on, fail, wait, vanish."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from callsheet.sandbox.vidispine._jobs import ENDED, Job, write_job
from callsheet.sandbox.vidispine._values import stamp

if TYPE_CHECKING:
    from callsheet.sandbox.vidispine import Vidispine

__all__ = ["act"]

NEW = {"number", "type", "user", "status", "priority", "data"}
CHANGES = {
    *("ids", "status", "problem", "errorMessage", "data", "priority", "vanish"),
    *("step", "steps", "totalSteps", "currentStep", "waiting", "subJob"),
}
MOST = 100_000


def act(part: Vidispine, action: str, words: Mapping[str, Any]) -> Any:
    """Do what an action says.

    Raises:
        ValueError: There is no such action, or one of its words will not do; the message names it.
    """
    if action == "new":
        return make_jobs(part, words)
    if action == "jobs":
        return change_jobs(part, words)
    raise ValueError(f"{action}: vidispine knows only jobs, new")


def make_jobs(part: Vidispine, words: Mapping[str, Any]) -> list[str]:
    """Make `number` jobs of a `type` for a `user`, in a `status`, with `data`; return their ids.

    Raises:
        ValueError: A word is unknown, or has no such value.
    """
    check(words, NEW)
    number, kind, user = words.get("number", 1), words.get("type", "IMPORT"), words.get("user", "admin")
    if not isinstance(number, int) or not 0 < number <= MOST:
        raise ValueError(f"number: {number!r} is not from 1 to {MOST}")
    if not part.definitions.knows(kind):
        raise ValueError(f"type: there is no {kind!r}")
    if user not in part.users.by_name:
        raise ValueError(f"user: there is no {user!r}")
    made = []
    for _ in range(number):
        priority, given = words.get("priority", "MEDIUM"), words.get("data", {})
        job = part.jobs.add(kind, user, {}, given=given, priority=priority, held=True)
        if words.get("status", "READY") != "READY":
            put(part, job, words["status"], None)
        made.append(job.id)
    return made


def change_jobs(part: Vidispine, words: Mapping[str, Any]) -> list[Any]:
    """Change the jobs with these `ids`; return what they are then. They go on only by steering after that.

    Raises:
        ValueError: A word is unknown, or has no such value, or there is no such job.
    """
    check(words, CHANGES)
    ids = words.get("ids")
    if not isinstance(ids, list) or not ids:
        raise ValueError("ids: a list of job ids is needed")
    if unknown := [each for each in ids if each not in part.jobs.by_id]:
        raise ValueError(f"ids: there is no job {unknown[0]}")
    if any("step" not in step for step in steps_of(words)):
        raise ValueError("step: the number of a step is needed")
    if "problem" in words and "type" not in words["problem"]:
        raise ValueError("problem: its type is needed")
    jobs = [part.jobs.by_id[each] for each in ids]
    for job in jobs:
        change(part, job, words)
    return [write_job(job, steps=True, metadata=True) for job in jobs]


def change(part: Vidispine, job: Job, words: Mapping[str, Any]) -> None:
    """Change one job."""
    job.turn += 1
    job.begun = job.until = None
    if words.get("vanish"):
        part.jobs.remove(job)
        return
    job.data |= words.get("data", {})
    job.priority = words.get("priority", job.priority)
    if "status" in words:
        put(part, job, words["status"], words.get("errorMessage"))
    elif "errorMessage" in words:
        job.data["errorMessage"] = words["errorMessage"]
    if problem := words.get("problem"):
        part.problems.add(problem["type"], problem.get("data", {}), job)
    if "steps" in words:
        job.tasks = []
    for step in steps_of(words):
        put_step(part, job, step)
    job.total = words.get("totalSteps", job.total)
    job.current = words.get("currentStep", job.current)
    job.waiting = words.get("waiting", job.waiting)
    job.sub_jobs = words.get("subJob", job.sub_jobs)


def put(part: Vidispine, job: Job, status: str, problem: str | None) -> None:
    """Put a job in a state, with all that belongs to it; a state nobody knows is just told."""
    part.problems.leave(job)
    if status == "FINISHED":
        part.engine.complete(job)
    elif status in ENDED:
        if not job.tasks and status != "ABORTED":
            part.engine.start(job)
        if status == "FAILED_TOTAL":
            part.engine.fail(job, problem)
        else:
            part.engine.end(job, status, problem)
    elif status == "STARTED":
        part.engine.start(job) if not job.tasks else part.engine.resume(job)
    else:
        job.status, job.finished = status, None
        job.waiting = {"resourceType": "TRANSCODER", "requirement": "Any"} if status == "WAITING" else None
        part.notifications.tell(job, "UPDATE")


def steps_of(words: Mapping[str, Any]) -> list[Any]:
    """Return the steps that are to be put in a log."""
    return list(words.get("steps", [words["step"]] if "step" in words else []))


def put_step(part: Vidispine, job: Job, step: Mapping[str, Any]) -> None:
    """Put a step in a job's log, or change the last one there with its number and attempts."""
    wanted = {"attempts": 0, **step}
    for task in reversed(job.tasks):
        if (task["step"], task["attempts"]) == (wanted["step"], wanted["attempts"]):
            task.update(wanted)
            return
    task = {"status": "STARTED", "timestamp": stamp(part.now()), "description": "", "subTask": [], **wanted}
    job.tasks.append({"id": next(part.jobs.task_ids), **task})


def check(words: Mapping[str, Any], known: set[str]) -> None:
    """Refuse what nobody knows.

    Raises:
        ValueError: A word is unknown; the message names it.
    """
    if unknown := sorted(set(words) - known):
        raise ValueError(f"{unknown[0]}: known are {', '.join(sorted(known))}")

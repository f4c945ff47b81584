"""The calls about jobs: `/job`, `/jobtype`, problems."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator
from datetime import datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from callsheet.sandbox.vidispine import _answering
from callsheet.sandbox.vidispine._answering import Reply
from callsheet.sandbox.vidispine._asking import Call
from callsheet.sandbox.vidispine._errors import conflict, invalid, not_found
from callsheet.sandbox.vidispine._jobs import ENDED, PRIORITIES, RUNNING, Job, priority_of, write_job
from callsheet.sandbox.vidispine._values import Document, read_fields

if TYPE_CHECKING:
    from callsheet.sandbox.vidispine._door import Table

__all__ = ["TABLE"]

ABORT_STATES = {"ABORTED_PENDING", "ABORT_PENDING"}

SORTS: dict[str, Callable[[Job], Any]] = {
    "jobId": lambda job: job.number,
    "type": lambda job: job.type,
    "state": lambda job: job.status,
    "user": lambda job: job.user,
    "startTime": lambda job: job.started,
    "priority": lambda job: PRIORITIES.index(job.priority),
}


async def list_jobs(call: Call) -> Reply:
    """List jobs: the caller's own unless asked otherwise, newest first."""
    found = ordered(call, matching(call))
    first, number = max(call.number("first", 1), 1), call.number("number", 100)
    page = found[first - 1 : first - 1 + number] if number > 0 else []
    if call.plain:
        return _answering.lines(job.id for job in page)
    document: Document = {"hits": len(found)}
    if jobs := [listed(call, job) for job in page]:
        document["job"] = jobs
    return document


def matching(call: Call) -> list[Job]:
    """Return the jobs that a request asks for.

    Raises:
        VidispineError: A value of a filter will not do.
    """
    checks = list(filters(call))
    return [job for job in call.part.jobs.by_id.values() if all(check(job) for check in checks)]


def filters(call: Call) -> Iterator[Callable[[Job], bool]]:
    """Yield what a job must be."""
    if call.flag("user", True):
        yield lambda job: job.user == call.user
    if types := set(call.csv("type")):
        yield lambda job: job.type in types
    if states := states_of(call):
        yield lambda job: job.status in states
    priorities = set(call.csv("priority"))
    if priorities and call.part.at_least(5, 1):
        yield lambda job: job.priority in priorities
    for key, pattern in call.metadata().items():
        yield has_metadata(key, pattern)
    if call.part.at_least(4, 10):
        yield from times(call)


def states_of(call: Call) -> set[str]:
    """Return the states that a request asks for.

    Raises:
        VidispineError: One is unknown to the server.
    """
    states = set(call.csv("state"))
    for state in sorted(states.difference(RUNNING, ENDED)):
        if call.part.strict_states:
            raise invalid("state", "There is no such job state", state)
    return states | ABORT_STATES if states & ABORT_STATES else states


def has_metadata(key: str, pattern: str) -> Callable[[Job], bool]:
    """Return the test for one key of a job's metadata; `*` stands for any text."""
    if key == "item":
        return lambda job: False  # made by the server when it answers: not there to be found
    if "*" not in pattern:
        return lambda job: job.data.get(key) == pattern
    literal = pattern.replace("[", "[[]").replace("?", "[?]")
    return lambda job: key in job.data and fnmatch.fnmatchcase(job.data[key], literal)


def times(call: Call) -> Iterator[Callable[[Job], bool]]:
    """Yield what a job's beginning and end must be; both limits of a range are in it."""
    for name, attribute in (("starttime", attrgetter("started")), ("finishtime", attrgetter("finished"))):
        since, until = call.moment(f"{name}-from"), call.moment(f"{name}-to")
        if since or until:
            yield within(attribute, since, until)


def within(
    attribute: Callable[[Job], datetime | None], since: datetime | None, until: datetime | None
) -> Callable[[Job], bool]:
    """Return the test for a moment of a job: one that has none is outside of every range."""

    def test(job: Job) -> bool:
        time = attribute(job)
        return time is not None and (since is None or since <= time) and (until is None or time <= until)

    return test


def ordered(call: Call, jobs: list[Job]) -> list[Job]:
    """Sort jobs as a request says: `startTime desc, jobId`.

    Raises:
        VidispineError: A field is unknown.
    """
    for clause in reversed((call.text("sort") or "jobId desc").split(",")):
        name, _, direction = clause.strip().partition(" ")
        if name not in SORTS or direction.strip().lower() not in {"", "asc", "desc"}:
            raise invalid("sort", "jobs cannot be sorted by that", clause.strip())
        # Sorting backwards keeps equal ones in order, too.
        jobs = sorted(jobs, key=SORTS[name], reverse=direction.strip().lower() == "desc")
    return jobs


def listed(call: Call, job: Job) -> Document:
    """Write a job as a listing has it."""
    if call.flag("idonly"):
        return {"jobId": job.id, "status": job.status, "type": job.type, "priority": job.priority}
    call.part.engine.refresh(job)
    return write_job(
        job, steps=call.flag("step"), data=True, metadata=call.flag("metadata"), names=call.csv("field")
    )


async def get_job(call: Call) -> Reply:
    """Return one job, always with its log; as text, only its state."""
    job = job_of(call)
    call.part.engine.refresh(job)
    if call.plain:
        return _answering.text(job.status)
    return write_job(job, steps=True, data=True, metadata=call.flag("metadata"), names=call.csv("field"))


async def create_job(call: Call) -> Reply:
    """Make a job of a type that the server knows; what the body says counts more than the query."""
    kind = call.text("type")
    if not call.part.definitions.knows(kind):
        raise invalid("type", "There is no such job type", kind)
    told = read_fields(await call.document())
    document = call.part.jobs.asked(call, kind, {})
    job = call.part.jobs.get(document["jobId"])
    job.given |= told
    job.data |= told
    return document


async def update_job(call: Call) -> None:
    """Change a job's priority; there is nothing in the answer."""
    job_of(call).priority = priority_of(call, "MEDIUM")


async def abort_job(call: Call) -> Reply:
    """Ask a job to end."""
    job = job_of(call)
    call.part.engine.abort(job, cleanup=call.flag("cleanup", True))
    return write_job(job) if call.part.abort_document else None


async def delete_jobs(call: Call) -> None:
    """Forget jobs that have ended."""
    if not call.csv("id"):
        raise invalid("id", "At least one job id is required")
    jobs = [call.part.jobs.get(identity) for identity in dict.fromkeys(call.csv("id"))]
    for job in jobs:
        if not job.ended:
            raise conflict("job", "The job is still running", identity=job.id)
    for job in jobs:
        call.part.jobs.remove(job)


async def rerun_job(call: Call) -> Reply:
    """Make a new job like another one."""
    old = job_of(call)
    kept = {name: old.data[name] for name in REPEATED if name in old.data}
    job = call.part.jobs.add(
        old.type,
        call.user,
        kept,
        given=old.given,
        priority=priority_of(call, old.priority),
        inputs=old.inputs,
    )
    return write_job(job)


REPEATED = (
    *("item", "itemId", "sourceUri", "sourceFileId", "fileId", "originalFilename", "bestEffortFilename"),
    "destinationStorageId",
)
"""What of a job's data its repetition begins with."""


async def list_types(call: Call) -> Reply:
    """List the job types."""
    types = call.part.definitions.types
    return _answering.lines(types) if call.plain else {"uri": types}


async def list_problems(call: Call) -> Reply:
    """List the problems that jobs wait for."""
    return call.part.problems.document(None)


async def list_job_problems(call: Call) -> Reply:
    """List the problems that a job waits for."""
    return call.part.problems.document(job_of(call))


async def list_aliases(call: Call) -> Reply:
    """List the ids that others gave a job."""
    job = job_of(call)
    found = [alias for alias, identity in call.part.jobs.aliases.items() if identity == job.id]
    return {"id": found} if found else {}


async def put_alias(call: Call) -> None:
    """Give a job another id."""
    job, alias = job_of(call), call.id("alias")
    if call.part.jobs.aliases.get(alias, job.id) != job.id:
        raise conflict("external-id", "Another job has that id", identity=alias)
    call.part.jobs.aliases[alias] = job.id


async def delete_alias(call: Call) -> None:
    """Take an id from a job."""
    if call.part.jobs.aliases.get(call.id("alias")) != job_of(call).id:
        raise not_found("external-id", call.id("alias"))
    del call.part.jobs.aliases[call.id("alias")]


def job_of(call: Call) -> Job:
    """Return the job that the path names."""
    return call.part.jobs.get(call.id("job"))


TABLE: Table = [
    ("GET", "/job", list_jobs),
    ("POST", "/job", create_job),
    ("DELETE", "/job", delete_jobs),
    ("GET", "/job/problem", list_problems),
    ("GET", "/job/{job}", get_job),
    ("PUT", "/job/{job}", update_job),
    ("DELETE", "/job/{job}", abort_job),
    ("POST", "/job/{job}/re-run", rerun_job),
    ("GET", "/job/{job}/problem", list_job_problems),
    ("GET", "/job/{job}/external-id", list_aliases),
    ("PUT", "/job/{job}/external-id/{alias}", put_alias),
    ("DELETE", "/job/{job}/external-id/{alias}", delete_alias),
    ("GET", "/jobtype", list_types),
]

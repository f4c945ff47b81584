"""Listing the jobs of a Vidispine server: filters, order, pages, and how much is told of each."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator
from datetime import datetime
from operator import attrgetter
from typing import Any

from callsheet.sandbox.vidispine import _answering
from callsheet.sandbox.vidispine._answering import Reply
from callsheet.sandbox.vidispine._asking import Call
from callsheet.sandbox.vidispine._errors import invalid
from callsheet.sandbox.vidispine._jobs import ENDED, PRIORITIES, RUNNING, Job, write_job
from callsheet.sandbox.vidispine._values import Document

__all__ = ["list_jobs"]

ABORT_STATES = {"ABORTED_PENDING", "ABORT_PENDING"}

SORTS: dict[str, Callable[[Job], Any]] = {
    "jobId": lambda job: job.number,
    "type": lambda job: job.type,
    "state": lambda job: job.status,
    "user": lambda job: job.user,
    "startTime": lambda job: job.started,
    # A priority of the future comes before all others.
    "priority": lambda job: PRIORITIES.index(job.priority) if job.priority in PRIORITIES else len(PRIORITIES),
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
    jobs = list(call.part.jobs.by_id.values())
    for check in filters(call):
        jobs = list(filter(check, jobs))
    return jobs


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

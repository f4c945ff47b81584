"""The calls about jobs: `/job`, `/jobtype`, problems."""

from __future__ import annotations

from typing import TYPE_CHECKING

from callsheet.sandbox.vidispine import _answering
from callsheet.sandbox.vidispine._answering import Reply
from callsheet.sandbox.vidispine._asking import Call
from callsheet.sandbox.vidispine._errors import conflict, invalid, not_found
from callsheet.sandbox.vidispine._job_listing import list_jobs
from callsheet.sandbox.vidispine._jobs import Job, priority_of, write_job
from callsheet.sandbox.vidispine._values import read_fields

if TYPE_CHECKING:
    from callsheet.sandbox.vidispine._door import Table

__all__ = ["TABLE"]


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

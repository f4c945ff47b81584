"""The operations about jobs, besides making and searching them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from callsheet.sandbox.deadline._documents import Job, stamp
from callsheet.sandbox.deadline._errors import (
    AccessDenied,
    AwsError,
    Conflict,
    NotThere,
    Throttled,
    Validation,
    server_error,
)
from callsheet.sandbox.deadline._paging import paged
from callsheet.sandbox.deadline._signatures import Caller

if TYPE_CHECKING:
    from callsheet.sandbox.deadline import Deadline

__all__ = ["OPERATIONS", "REFUSALS", "each", "item_error"]

Words = dict[str, Any]

CHANGED_AT_ONCE = (
    "priority",
    "maxFailedTasksCount",
    "maxRetriesPerTask",
    "maxWorkerCount",
    "name",
    "description",
)

REFUSALS: dict[str, Callable[[str], AwsError]] = {
    "InternalServerErrorException": server_error,
    "ResourceNotFoundException": lambda message: NotThere("job", message),
    "ValidationException": Validation,
    "AccessDeniedException": AccessDenied,
    "ThrottlingException": lambda _: Throttled(1),
}
"""What a job's calls can be made to be refused with."""


def find(part: Deadline, words: Words) -> Job:
    """Return the job that a request names, if it is not to be refused."""
    job = part.store.job(words)
    if job.errors:
        raise REFUSALS[job.errors.popleft()](job.id)
    return job


def get_job(part: Deadline, words: Words, caller: Caller) -> Words:
    """Tell all about one job."""
    told = find(part, words).told()
    return {name: value for name, value in told.items() if name not in {"farmId", "queueId"}}


def batch_get_job(part: Deadline, words: Words, caller: Caller) -> Words:
    """Tell all about many jobs, and which of them cannot be told about."""

    return each("jobs", words["identifiers"], lambda item: find(part, item).told())


def each(name: str, items: list[Words], do: Any) -> Words:
    """Do something for each item, and tell the errors of those it failed for."""
    done, errors = [], []
    for item in items:
        try:
            done.append(do(item))
        except AwsError as error:
            errors.append({**item, **item_error(error)})
    return {name: done, "errors": errors}


def item_error(error: AwsError) -> Words:
    """Return an error as it is told beside others' answers."""
    return {"code": error.code, "message": error.message}


def list_jobs(part: Deadline, words: Words, caller: Caller) -> Words:
    """Tell about the jobs of a queue, or those that somebody is a member of."""
    jobs = part.store.queue(words).jobs
    if principal := words.get("principalId"):
        jobs = [job for job in jobs if principal in job.members]
    page = paged("jobs", jobs, words)
    return {**page, "jobs": [part.model.pick("JobSummary", job.told()) for job in page["jobs"]]}


def update_job(part: Deadline, words: Words, caller: Caller) -> Words:
    """Change a job: its words at once, its tasks as far as they let themselves be stopped."""
    change(part, find(part, words), words, caller)
    return {}


def batch_update_job(part: Deadline, words: Words, caller: Caller) -> Words:
    """Change many jobs, and tell which of them could not be changed."""
    keys = ("farmId", "queueId", "jobId")
    errors = []
    for item in words["jobs"]:
        try:
            change(part, find(part, item), item, caller)
        except AwsError as error:
            errors.append({**{key: item[key] for key in keys}, **item_error(error)})
    return {"errors": errors}


def change(part: Deadline, job: Job, words: Words, caller: Caller) -> None:
    """Change one job.

    Raises:
        Conflict: It is in no state for that.
    """
    lifecycle, target = job.told()["lifecycleStatus"], words.get("targetTaskRunStatus")
    archives = words.get("lifecycleStatus") == "ARCHIVED"
    unmade = lifecycle in {"CREATE_IN_PROGRESS", "CREATE_FAILED", "UPLOAD_IN_PROGRESS", "UPLOAD_FAILED"}
    if lifecycle == "ARCHIVED" or (unmade and not archives):
        raise Conflict(f"Job {job.id} cannot be updated: it is {lifecycle}.", "job", job.id)
    document = job.document
    document |= {name: words[name] for name in CHANGED_AT_ONCE if name in words}
    document |= {"updatedAt": stamp(part.world.clock.now()), "updatedBy": caller.arn}
    told = {*words, *({"taskRunStatus", "lifecycleStatus"} if target else ())}
    job.overrides = {name: value for name, value in job.overrides.items() if name not in told}
    if "priority" in words:
        for step in job.steps.values():
            part.fleet.offer(step)
    if archives:
        part.fleet.leave(job)
    elif target:
        aim(part, job, target, caller)
    else:
        document["lifecycleStatus"] = "UPDATE_SUCCEEDED"
    part.index(job)


def aim(part: Deadline, job: Job, target: str, caller: Caller) -> None:
    """Bring a job's tasks to a status, at once or after a while."""
    job.document |= {"targetTaskRunStatus": target, "lifecycleStatus": "UPDATE_IN_PROGRESS"}

    def apply() -> None:
        if job.document["lifecycleStatus"] == "UPDATE_IN_PROGRESS":
            job.document["lifecycleStatus"] = "UPDATE_SUCCEEDED"
            part.statuses.aim(job.tasks(), target, caller.arn)
            part.index(job)

    if part.update_seconds:
        part.after(part.update_seconds, apply)
    else:
        apply()


def copy_job_template(part: Deadline, words: Words, caller: Caller) -> Words:
    """Put the template of a job into S3."""
    job, place = find(part, words), words["targetS3Location"]
    text, kind = job.template
    part.outputs.put(place["key"], text.encode(), bucket=place["bucketName"])
    return {"templateType": kind}


def list_job_parameter_definitions(part: Deadline, words: Words, caller: Caller) -> Words:
    """Tell the parameters that a job's template defines, as it writes them."""
    return paged("jobParameterDefinitions", find(part, words).definitions, words)


def list_job_members(part: Deadline, words: Words, caller: Caller) -> Words:
    """Tell who is a member of a job."""
    return paged("members", list(find(part, words).members.values()), words)


def associate_member_to_job(part: Deadline, words: Words, caller: Caller) -> Words:
    """Make somebody a member of a job, or change their level."""
    members = find(part, words).members
    members[words["principalId"]] = part.model.pick("JobMember", words)
    return {}


def disassociate_member_from_job(part: Deadline, words: Words, caller: Caller) -> Words:
    """Let somebody no longer be a member of a job."""
    if find(part, words).members.pop(words["principalId"], None) is None:
        raise NotThere("member", words["principalId"])
    return {}


OPERATIONS = {
    "GetJob": get_job,
    "BatchGetJob": batch_get_job,
    "ListJobs": list_jobs,
    "UpdateJob": update_job,
    "BatchUpdateJob": batch_update_job,
    "CopyJobTemplate": copy_job_template,
    "ListJobParameterDefinitions": list_job_parameter_definitions,
    "ListJobMembers": list_job_members,
    "AssociateMemberToJob": associate_member_to_job,
    "DisassociateMemberFromJob": disassociate_member_from_job,
}

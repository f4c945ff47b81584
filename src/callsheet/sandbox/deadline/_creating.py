"""Making jobs: CreateJob, and the steps and tasks that a template leads to."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from callsheet.sandbox.deadline import _templates as templates
from callsheet.sandbox.deadline._documents import Document, Job, Queue, Step, Task, no_tasks, stamp
from callsheet.sandbox.deadline._errors import QuotaExceeded, Validation
from callsheet.sandbox.deadline._signatures import Caller

if TYPE_CHECKING:
    from callsheet.sandbox.deadline import Deadline

__all__ = ["EMPTY_TEMPLATE", "create_job", "make_job"]

Words = dict[str, Any]

EMPTY_TEMPLATE: Words = {
    "specificationVersion": "jobtemplate-2023-09",
    "name": "job",
    "steps": [{"name": "Step", "script": {"actions": {"onRun": {"command": "true"}}}}],
}

CHOSEN = (
    *("storageProfileId", "maxFailedTasksCount", "maxRetriesPerTask", "maxWorkerCount", "sourceJobId"),
    "targetTaskRunStatus",
)
INHERITED = ("parameters", "attachments", "storageProfileId")
DEFAULTS = {"maxFailedTasksCount": 100, "maxRetriesPerTask": 5}


def create_job(part: Deadline, words: Words, caller: Caller) -> Words:
    """Make a job from a template, or from another job."""
    queue = part.store.queue(words)
    if part.job_quota is not None and len(queue.jobs) >= part.job_quota:
        raise QuotaExceeded("The queue has as many jobs as it may have.", "job", queue.id)
    if words.get("maxWorkerCount") == 0:
        told = "Member must be -1 or greater than 0"
        raise Validation(told, reason="FIELD_VALIDATION_FAILED", fields=[("maxWorkerCount", told)])
    if "sourceJobId" in words and "template" not in words:
        source = part.store.job({**words, "jobId": words["sourceJobId"]})
        inherited = {name: source.document[name] for name in INHERITED if name in source.document}
        words = {**inherited, **words, "template": source.template[0], "templateType": source.template[1]}
    if "template" not in words or "templateType" not in words:
        raise Validation("Either template and templateType, or sourceJobId must be given.")
    if "attachments" in words and "jobAttachmentSettings" not in queue.document:
        raise Validation("The queue has no settings for job attachments.")
    return {"jobId": make_job(part, queue, words, caller.arn).id}


def make_job(part: Deadline, queue: Queue, words: Words, by: str, age: timedelta | None = None) -> Job:
    """Make a job; its steps follow when the time for that has come, at once if it has an age already."""
    template = words["template"], words["templateType"]
    definitions: list[Document] = []
    plan, problem = None, ""
    try:
        document = templates.parse(*template)
        definitions = document.get("parameterDefinitions") or []
        surroundings = [
            templates.parse(each["template"], each["templateType"]) for each in queue.environments
        ]
        plan = templates.plan(document, words.get("parameters", {}), surroundings)
    except templates.InvalidTemplate as exc:
        problem = str(exc)
    made = {"createdAt": stamp(part.world.clock.now() - (age or timedelta())), "createdBy": by}
    told = {"jobId": part.new_id("job"), **made, **_words_of(queue, words, plan)}
    job = Job(queue, told, template, definitions)
    part.store.add(job)
    if words.get("tags"):
        part.store.tags[part.arn_of_job(job)] = dict(words["tags"])
    part.index(job)

    def created() -> None:
        if told["lifecycleStatus"] == "CREATE_IN_PROGRESS":
            _expand(part, job, plan, problem)

    if part.create_seconds and age is None:
        part.after(part.create_seconds, created)
    else:
        created()
    return job


def _words_of(queue: Queue, words: Words, plan: templates.Plan | None) -> Document:
    """Return what a new job tells of itself, besides who made it and when."""
    optional = {
        "description": words.get("descriptionOverride") or (plan and plan.description),
        "parameters": plan.parameters if plan else words.get("parameters"),
        "attachments": words.get("attachments") and {"fileSystem": "COPIED", **words["attachments"]},
    }
    return {
        "farmId": queue.farm.id,
        "queueId": queue.id,
        "name": words.get("nameOverride") or (plan.name if plan else "job"),
        "lifecycleStatus": "CREATE_IN_PROGRESS",
        "lifecycleStatusMessage": "",
        "priority": words["priority"],
        "taskRunStatus": "PENDING",
        "taskRunStatusCounts": no_tasks(),
        "taskFailureRetryCount": 0,
        **DEFAULTS,
        **{name: words[name] for name in CHOSEN if name in words},
        **{name: value for name, value in optional.items() if value},
    }


def _expand(part: Deadline, job: Job, plan: templates.Plan | None, problem: str) -> None:
    """Make the steps and tasks of a job, or tell why there are none."""
    job.document["lifecycleStatus"] = "CREATE_COMPLETE" if plan else "CREATE_FAILED"
    job.document["lifecycleStatusMessage"] = "Job creation completed successfully" if plan else problem
    steps: dict[str, Step] = {}
    for planned in plan.steps if plan else []:
        steps[planned.name] = _step(part, job, planned)
    for planned in plan.steps if plan else []:
        step = steps[planned.name]
        step.needs = [steps[name] for name in planned.needs]
        names = [f"JOB:{job.id}:{name}" for name in plan.environments] if plan else []
        step.environments = [*names, *(f"STEP:{step.id}:{name}" for name in planned.environments)]
    job.steps = {step.id: step for step in steps.values()}
    if job.document.get("targetTaskRunStatus") == "SUSPENDED":
        part.statuses.aim(job.tasks(), "SUSPENDED", job.document["createdBy"])
    for step in job.steps.values():
        part.statuses.release(step)
    part.index(job)


def _step(part: Deadline, job: Job, planned: templates.PlannedStep) -> Step:
    made = {name: job.document[name] for name in ("createdAt", "createdBy")}
    step_id = part.new_id("step")
    document: Document = {
        "stepId": step_id,
        "name": planned.name,
        "lifecycleStatus": "CREATE_COMPLETE",
        "taskRunStatus": "PENDING",
        "taskRunStatusCounts": no_tasks() | {"PENDING": len(planned.tasks)},
        "taskFailureRetryCount": 0,
        **made,
    }
    if planned.description:
        document["description"] = planned.description
    if planned.space:
        document["parameterSpace"] = planned.space
    step = Step(job, document)
    for number, parameters in enumerate(planned.tasks):
        task = {
            "taskId": f"task-{step_id.removeprefix('step-')}-{number}",
            "runStatus": "PENDING",
            "failureRetryCount": 0,
            **made,
            **({"parameters": parameters} if parameters else {}),
        }
        step.tasks.append(Task(step, task))
    job.document["taskRunStatusCounts"]["PENDING"] += len(planned.tasks)
    return step


def template_text(name: str, description: str | None = None) -> str:
    """Return a template of one step with one task."""
    more = {"description": description} if description else {}
    return json.dumps({**EMPTY_TEMPLATE, "name": name, **more})

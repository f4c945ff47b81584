"""What a Deadline Cloud sandbox holds from the start: a farm, two queues, storage, and the jobs asked for."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

from callsheet.sandbox.deadline._creating import EMPTY_TEMPLATE, make_job
from callsheet.sandbox.deadline._documents import Document, Farm, Queue, stamp
from callsheet.sandbox.deadline._outputs import BUCKET

if TYPE_CHECKING:
    from callsheet.sandbox.deadline import Deadline

__all__ = ["ACCESS_KEY", "FARM", "QUEUE", "SECRET_KEY", "USERS", "plant"]

ACCESS_KEY = "sandbox"
SECRET_KEY = "sandbox-secret"  # noqa: S105 - the sandbox's own, known to everyone
USERS = (ACCESS_KEY, "jane", "ada", "bob")

FARM = f"farm-{1:032x}"
QUEUE = f"queue-{1:032x}"
OTHER_QUEUE = f"queue-{2:032x}"
LINUX = f"sp-{1:032x}"
WINDOWS = f"sp-{2:032x}"

WORK = ["Render", "Simulate", "Bake", "Comp", "Denoise"]

ENVIRONMENT = {
    "specificationVersion": "environment-2023-09",
    "parameterDefinitions": [{"name": "Packages", "type": "STRING", "default": ""}],
    "environment": {"name": "Packages", "variables": {"PACKAGES": "{{Param.Packages}}"}},
}


def plant(part: Deadline) -> None:
    """Fill an empty store."""
    made: Document = {"createdAt": stamp(part.world.clock.now()), "createdBy": part.arn_of(ACCESS_KEY)}
    farm = Farm({"farmId": FARM, "displayName": "Sandbox", "costScaleFactor": 1.0, **made})
    part.store.farms[FARM] = farm
    farm.profiles = {LINUX: _profile(LINUX, "Linux", "LINUX", "/mnt/", made)}
    farm.profiles[WINDOWS] = _profile(WINDOWS, "Windows", "WINDOWS", "Z:\\", made)
    usual: Document = {
        "farmId": FARM,
        "status": "IDLE",
        "defaultBudgetAction": "NONE",
        "roleArn": f"arn:aws:iam::{part.account}:role/sandbox-queue",
        "allowedStorageProfileIds": [LINUX, WINDOWS],
        "schedulingConfiguration": {"priorityFifo": {}},
        **made,
    }
    settings = {"s3BucketName": BUCKET, "rootPrefix": part.root_prefix}
    shows: Document = {"queueId": QUEUE, "displayName": "Shows", "jobAttachmentSettings": settings}
    farm.queues[QUEUE] = Queue(farm, {**usual, **shows})
    tests: Document = {"queueId": OTHER_QUEUE, "displayName": "Tests", "description": "without attachments"}
    farm.queues[OTHER_QUEUE] = Queue(farm, {**usual, **tests})
    farm.queues[OTHER_QUEUE].environments.append(
        {
            "queueEnvironmentId": f"queueenv-{1:032x}",
            "name": "Packages",
            "priority": 1,
            "templateType": "JSON",
            "template": json.dumps(ENVIRONMENT),
            **made,
        }
    )
    for number in range(part.world.settings.jobs):
        plant_job(part, farm.queues[QUEUE], number)


def _profile(profile_id: str, name: str, system: str, root: str, made: Document) -> Document:
    return {
        "storageProfileId": profile_id,
        "displayName": name,
        "osFamily": system,
        "fileSystemLocations": [
            {"name": "Show", "path": f"{root}show", "type": "LOCAL"},
            {"name": "Tools", "path": f"{root}tools", "type": "SHARED"},
        ],
        **made,
    }


def plant_job(part: Deadline, queue: Queue, number: int) -> None:
    """Add one ready-made job, of a few tasks. What has not ended yet goes on by the sandbox's clock."""
    frames = {"name": "Frame", "type": "INT", "range": f"1-{1 + number % 4}"}
    (step,) = EMPTY_TEMPLATE["steps"]
    space = {"parameterSpace": {"taskParameterDefinitions": [frames]}}
    name = f"{part.chance.choice(WORK)} sh{number:05}"
    template = {**EMPTY_TEMPLATE, "name": name, "steps": [{**step, **space}]}
    words = {"template": json.dumps(template), "templateType": "JSON", "priority": 50, "maxRetriesPerTask": 0}
    job = make_job(
        part, queue, words, part.arn_of(part.chance.choice(USERS)), age=timedelta(minutes=number + 10)
    )
    if number % 4 == 2:
        part.act("finish", {"job": job.id})
    elif number % 4 == 3:
        part.act("fail", {"job": job.id, "message": "License error: no licence is free"})
    elif part.chance.random() < 0.2:
        job.tasks()[0].fate = 1, "Out of memory"

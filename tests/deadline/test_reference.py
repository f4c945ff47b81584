"""What AWS's own API for Deadline Cloud offers, line by line: GetJob, and its exceptions by name."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import attrs
import pytest

from callsheet import (
    Client,
    Conflict,
    Denied,
    NotFound,
    QuotaExceeded,
    RateLimited,
    ResponseError,
    Unavailable,
)
from callsheet._http._retry import Retry
from callsheet.providers.deadline import (
    Attachments,
    DeadlineJob,
    DeadlineProvider,
    IntValue,
    ManifestProperties,
    UnknownMember,
)
from callsheet.sandbox import Sandbox
from support.deadlinehand import ARN, FARM, QUEUE, TEMPLATE

Deadline = Client[DeadlineProvider]

HOSTILE = "<script>alert(1)</script>\n\N{RIGHT-TO-LEFT OVERRIDE}{{Param.X}}"


async def test_get_job(client: Deadline, sandbox: Sandbox) -> None:
    """Every field that GetJob can have, kinds of parameters newer than this among them, is typed."""
    job = await client.jobs.create("comp", template=TEMPLATE, description=HOSTILE)
    counts = {"SUCCEEDED": 3, "FAILED": 1, "NAPPING": 1}
    manifest = {"rootPath": "/mnt", "rootPathFormat": "posix", "outputRelativeDirectories": ["out"]}
    manifest |= {
        "inputManifestPath": "a/b_input",
        "inputManifestHash": "ab",
        "fileSystemLocationName": "Show",
    }
    members: dict[str, Any] = {
        "lifecycleStatus": "UPDATE_SUCCEEDED",
        "lifecycleStatusMessage": "told",
        "updatedAt": "2026-01-02T03:04:05.678Z",
        "updatedBy": "ada",
        "startedAt": "2026-01-02T03:04:06Z",
        "endedAt": "2026-01-02T03:04:07Z",
        "taskRunStatus": "FAILED",
        "targetTaskRunStatus": "FAILED",
        "taskRunStatusCounts": counts,
        "taskFailureRetryCount": 2,
        "storageProfileId": f"sp-{1:032x}",
        "maxFailedTasksCount": 3,
        "maxRetriesPerTask": 4,
        "maxWorkerCount": -1,
        "parameters": {"Samples": {"int": "8"}, "Look": {"colour": {"r": 1}}},
        "attachments": {"fileSystem": "VIRTUAL", "manifests": [manifest]},
        "sourceJobId": f"job-{7:032x}",
        "brandNew": {"kept": True},
    }
    sandbox.act("deadline", "change", job=job.id, members=members)
    found = await client.jobs.get(job.id)
    second = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert client.provider.details(found) == DeadlineJob(
        job_id=job.id,
        name="comp",
        lifecycle_status="UPDATE_SUCCEEDED",
        lifecycle_status_message="told",
        priority=50,
        created_at=job.created_at,
        created_by=f"{ARN}sandbox",
        updated_at=second.replace(microsecond=678000),
        updated_by="ada",
        started_at=second.replace(second=6),
        ended_at=second.replace(second=7),
        task_run_status="FAILED",
        target_task_run_status="FAILED",
        task_run_status_counts=counts,
        task_failure_retry_count=2,
        storage_profile_id=f"sp-{1:032x}",
        max_failed_tasks_count=3,
        max_retries_per_task=4,
        max_worker_count=-1,
        parameters={"Samples": IntValue("8"), "Look": UnknownMember("colour", {"r": 1})},
        attachments=Attachments(
            file_system="VIRTUAL",
            manifests=(
                ManifestProperties(
                    root_path="/mnt",
                    root_path_format="posix",
                    output_relative_directories=("out",),
                    input_manifest_path="a/b_input",
                    input_manifest_hash="ab",
                    file_system_location_name="Show",
                ),
            ),
        ),
        description=HOSTILE,
        source_job_id=f"job-{7:032x}",
    )
    assert found.raw["brandNew"] == {"kept": True}
    assert (found.description, found.source_id, found.progress) == (HOSTILE, f"job-{7:032x}", 0.8)
    assert (await client.jobs.get_many([job, f"job-{9:032x}"]))[0] == found


@pytest.mark.parametrize(
    ("code", "kind", "status"),
    [
        ("AccessDeniedException", Denied, 403),
        ("InternalServerErrorException", Unavailable, 500),
        ("ResourceNotFoundException", NotFound, 404),
        ("ThrottlingException", RateLimited, 429),
        ("ValidationException", ResponseError, 400),
    ],
)
async def test_exceptions_by_name(
    sandbox: Sandbox, code: str, kind: type[ResponseError], status: int
) -> None:
    """Each exception of AWS's is an error of callsheet's, with its name, status and request id."""
    provider = DeadlineProvider(FARM, QUEUE)
    provider._server.options = attrs.evolve(provider._server.options, retry=Retry(attempts=1))
    async with Client(provider) as client:
        job = await client.jobs.create("x", template=TEMPLATE)
        sandbox.act("deadline", "refuse", job=job.id, code=code, times=100)
        with pytest.raises(kind) as caught:
            await client.jobs.update(job, priority=1)
    assert type(caught.value) is kind
    assert (caught.value.code, caught.value.status, caught.value.provider) == (code, status, "deadline")
    assert caught.value.request_id


async def test_conflict_and_quota_by_name(client: Deadline, sandbox: Sandbox) -> None:
    """What is in the way, and what is used up, are errors of their own."""
    job = await client.jobs.create("x", template=TEMPLATE)
    await client.provider.archive(job)
    with pytest.raises(Conflict) as conflict:
        await client.jobs.update(job, priority=1)
    assert (conflict.value.code, conflict.value.status) == ("ConflictException", 409)
    sandbox.configure("deadline", job_quota=1)
    with pytest.raises(QuotaExceeded) as quota:
        await client.jobs.create("y", template=TEMPLATE)
    assert (quota.value.code, quota.value.status) == ("ServiceQuotaExceededException", 402)

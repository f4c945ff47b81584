"""What is around Deadline's jobs: who may do what with them, tags, farms, queues and storage profiles."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Literal

from callsheet._errors import InvalidRequest
from callsheet._http._urls import query, segment
from callsheet._models import Action, Job, JobState
from callsheet.providers.deadline._answers import document
from callsheet.providers.deadline._server import new_token
from callsheet.providers.deadline._states import TARGETS
from callsheet.providers.deadline._steps import StepCalls
from callsheet.providers.deadline.details import (
    DeadlineFarm,
    DeadlineMember,
    DeadlineQueue,
    StorageProfile,
    read,
)

__all__ = ["FarmCalls", "Level"]

Level = Literal["VIEWER", "CONTRIBUTOR", "OWNER", "MANAGER"]

LEVELS: Mapping[str, int] = {"VIEWER": 0, "CONTRIBUTOR": 1, "OWNER": 2, "MANAGER": 3}
NEEDED: Mapping[Action, str] = {"view": "VIEWER", "abort": "OWNER", "rerun": "OWNER", "prioritize": "OWNER"}
"""The level that each action takes; nobody can delete a job."""


class FarmCalls(StepCalls):
    """Members, tags, and the calls that only Deadline has."""

    # -- jobs ------------------------------------------------------------------------------------------------

    async def suspend(self, job: Job | str) -> Job:
        """Ask for the job to pause; running tasks are interrupted. Return it as it is then."""
        return await self._change(self._job_id(job), {"targetTaskRunStatus": TARGETS[JobState.PAUSED]})

    async def resume(self, job: Job | str) -> Job:
        """Ask for a paused job to go on; tasks that succeeded are left. Return it as it is then.

        `jobs.update(job, state=JobState.QUEUED)` has all its tasks done again.
        """
        return await self._change(self._job_id(job), {"targetTaskRunStatus": "READY"})

    async def archive(self, job: Job | str) -> Job:
        """Put the job into the archive, where it stays for 120 days and from where it does not come back."""
        return await self._change(self._job_id(job), {"lifecycleStatus": "ARCHIVED"})

    async def set_limits(
        self,
        job: Job | str,
        *,
        max_failed_tasks: int | None = None,
        max_retries_per_task: int | None = None,
        max_workers: int | None = None,
    ) -> Job:
        """Change how much of the farm the job may use, and how many of its tasks may fail.

        Args:
            job: The job.
            max_failed_tasks: So many, and the job fails.
            max_retries_per_task: Tries after the first.
            max_workers: At a time; -1 for no limit.
        """
        given = {
            "maxFailedTasksCount": max_failed_tasks,
            "maxRetriesPerTask": max_retries_per_task,
            "maxWorkerCount": max_workers,
        }
        members = {name: value for name, value in given.items() if value is not None}
        if not members:
            raise InvalidRequest("set_limits: nothing to change")
        return await self._change(self._job_id(job), members)

    async def copy_template(self, job: Job | str, *, bucket: str, key: str) -> str:
        """Have Deadline write the job's template to S3, with your rights; return `"JSON"` or `"YAML"`."""
        answer = await self._server.send(
            "POST",
            self._of(job, "template"),
            {"targetS3Location": {"bucketName": bucket, "key": key}},
            repeatable=True,
            operation="CopyJobTemplate",
        )
        return str(document(answer).get("templateType"))

    async def parameter_definitions(self, job: Job | str) -> list[dict[str, Any]]:
        """Return the definitions of the job's parameters, as Open Job Description writes them."""
        path = self._of(job, "parameter-definitions")
        return await self._server.all(
            path, "jobParameterDefinitions", dict, operation="ListJobParameterDefinitions"
        )

    # -- who -------------------------------------------------------------------------------------------------

    async def job_members(self, job: Job | str) -> list[DeadlineMember]:
        """Return who is a member of the job itself."""
        return await self._server.all(
            self._of(job, "members"),
            "members",
            partial(read, kind=DeadlineMember),
            operation="ListJobMembers",
        )

    async def add_member(
        self,
        job: Job | str,
        principal_id: str,
        *,
        level: Level,
        identity_store: str,
        principal_type: Literal["USER", "GROUP"] = "USER",
    ) -> None:
        """Make a person or group a member of the job; one who is gets that level."""
        body = {
            "principalType": principal_type,
            "identityStoreId": identity_store,
            "membershipLevel": level,
        }
        path = self._of(job, "members", segment(principal_id, "principal"))
        await self._server.send("PUT", path, body, repeatable=True, operation="AssociateMemberToJob")

    async def remove_member(self, job: Job | str, principal_id: str) -> None:
        """Take a person or group off the members of the job."""
        path = self._of(job, "members", segment(principal_id, "principal"))
        await self._server.send("DELETE", path, repeatable=True, operation="DisassociateMemberFromJob")

    async def allows(self, job_id: str, action: Action, user: str) -> bool:
        """Tell whether the user may do that, as a member of the job, or as who made it.

        This is what the job's own members say. Members of the queue or the farm, who is in a group, and what
        AWS's policies allow are not looked into; nobody can delete a job.

        Raises:
            NotFound: There is no such job.
        """
        job = await self._known(job_id)
        needed = NEEDED.get(action)
        if needed is None:
            return False
        user = user or await self._server.caller()
        members = await self.job_members(job_id)
        levels = [member.membership_level for member in members if member.principal_id == user]
        if job.user == user:
            levels.append("OWNER")
        return any(LEVELS.get(level, -1) >= LEVELS[needed] for level in levels)

    # -- tags ------------------------------------------------------------------------------------------------

    async def arn(self, job: Job | str) -> str:
        """Return AWS's own name of a job, `arn:aws:deadline:REGION:ACCOUNT:farm/…/queue/…/job/…`.

        The account is that of the queue's role; of a queue without one, that of your credentials, which is
        asked for once.
        """
        id_ = self._job_id(job)
        self._check_id(id_)
        partition, account = await self._server.owner()
        place = f"farm/{self._server.farm}/queue/{self._server.queue}/job/{id_}"
        return f"arn:{partition}:deadline:{self._server.region}:{account}:{place}"

    async def tags(self, resource: Job | str) -> dict[str, str]:
        """Return the tags of a job, or of any other resource by its ARN."""
        found = await self._server.ask("GET", await self._tags(resource), operation="ListTagsForResource")
        return dict(found.get("tags") or {})

    async def tag(self, resource: Job | str, tags: Mapping[str, str]) -> None:
        """Put tags on a job, or on any other resource by its ARN; others stay."""
        path, body = await self._tags(resource), {"tags": dict(tags)}
        await self._server.send("POST", path, body, repeatable=True, operation="TagResource")

    async def untag(self, resource: Job | str, keys: Iterable[str]) -> None:
        """Take tags off a job, or off any other resource by its ARN."""
        if isinstance(keys, str):
            raise InvalidRequest("keys must be a list of texts")
        path = await self._tags(resource) + query(("tagKeys", key) for key in keys)
        await self._server.send("DELETE", path, repeatable=True, operation="UntagResource")

    async def _tags(self, resource: Job | str) -> str:
        if not isinstance(resource, str) or not resource.startswith("arn:"):
            resource = await self.arn(resource)
        return f"/2023-10-12/tags/{segment(resource, 'arn')}"

    # -- farms, queues, profiles -----------------------------------------------------------------------------

    async def farms(self) -> list[DeadlineFarm]:
        """Return the farms that you may see."""
        return await self._server.all(
            "/2023-10-12/farms", "farms", partial(read, kind=DeadlineFarm), operation="ListFarms"
        )

    async def queues(self) -> list[DeadlineQueue]:
        """Return the queues of the farm that you may see."""
        path = f"/2023-10-12/farms/{self._server.farm}/queues"
        return await self._server.all(
            path, "queues", partial(read, kind=DeadlineQueue), operation="ListQueues"
        )

    async def queue(self) -> DeadlineQueue:
        """Return the queue as it is now."""
        return await self._server.get(self._server.path(), DeadlineQueue, operation="GetQueue")

    async def storage_profiles(self) -> list[StorageProfile]:
        """Return the storage profiles that jobs of the queue may have, without their folders."""
        return await self._server.all(
            self._server.path("storage-profiles"),
            "storageProfiles",
            partial(read, kind=StorageProfile),
            operation="ListStorageProfilesForQueue",
        )

    async def storage_profile(self, profile_id: str) -> StorageProfile:
        """Return one storage profile, with its folders."""
        path = self._server.path("storage-profiles", segment(profile_id, "storage profile"))
        return await self._server.get(path, StorageProfile, operation="GetStorageProfileForQueue")

    # -- anything else ---------------------------------------------------------------------------------------

    async def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        token: bool = False,
        reads: bool | None = None,
    ) -> dict[str, Any]:
        """Make any call of Deadline's API, signed, and return its document.

        Args:
            method: In capitals.
            path: Such as `/2023-10-12/farms/…/fleets`, escaped; what it holds is your own business.
            body: Sent as JSON.
            token: Send a client token, so that the call may be repeated if its answer is lost.
            reads: It changes nothing; by default so for GET.

        Raises:
            ResponseError: Deadline said no.
        """
        if not path.startswith("/"):
            raise InvalidRequest(f"path must begin with a slash: {path!r}")
        try:
            json.dumps(body)
        except (TypeError, ValueError, RecursionError) as exc:
            raise InvalidRequest(f"body cannot be written as JSON: {exc}") from exc
        found: dict[str, Any] = await self._server.ask(
            method, path, body, token=new_token() if token else None, reads=reads, operation="request"
        )
        return found

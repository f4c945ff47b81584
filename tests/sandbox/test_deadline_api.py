"""The operations of the Deadline Cloud sandbox, whose answers AWS's own description of the service allows."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from callsheet.sandbox import Sandbox
from support.deadlinecalls import FARM, QUEUE, Farm, Refused, model, template

ABSENT = f"job-{0:032x}"
OTHER_QUEUE = f"queue-{2:032x}"
NAMED = {"farmId": FARM, "queueId": QUEUE}
ME = "arn:aws:iam::123456789012:user/sandbox"
NO_TASKS = dict.fromkeys(model().shape_for("TaskRunStatus").enum, 0)
FRAMES = {"taskParameterDefinitions": [{"name": "Frame", "type": "INT", "range": "1-3"}]}


def test_a_job_is_told_whole(still_farm: Farm) -> None:
    """A new job has every word it was made with, the service's own, and all twelve counts."""
    words = {
        "template": template(
            name="{{Param.Shot}} v1", parameterDefinitions=[{"name": "Shot", "type": "STRING"}]
        ),
        "parameters": {"Shot": {"string": "sh010"}},
        "maxWorkerCount": 3,
        "maxFailedTasksCount": 1,
        "maxRetriesPerTask": 2,
        "storageProfileId": f"sp-{1:032x}",
        "descriptionOverride": "<b>urgent</b>",
    }
    job_id = still_farm.job(**words)
    told = still_farm.call("GetJob", jobId=job_id)
    times = told.pop("createdAt"), told.pop("updatedAt")
    assert times[0] <= times[1]
    assert told == {
        "jobId": job_id,
        "name": "sh010 v1",
        "lifecycleStatus": "CREATE_COMPLETE",
        "lifecycleStatusMessage": "Job creation completed successfully",
        "priority": 50,
        "createdBy": ME,
        "updatedBy": "deadline.amazonaws.com",
        "taskRunStatus": "READY",
        "taskRunStatusCounts": {**NO_TASKS, "READY": 1},
        "taskFailureRetryCount": 0,
        "maxWorkerCount": 3,
        "maxFailedTasksCount": 1,
        "maxRetriesPerTask": 2,
        "storageProfileId": f"sp-{1:032x}",
        "parameters": {"Shot": {"string": "sh010"}},
        "description": "<b>urgent</b>",
    }


def test_a_copy_takes_over_what_it_is_not_told(still_farm: Farm) -> None:
    """A job made from another has its template, parameters and storage profile, and names it."""
    parameters = {"parameterDefinitions": [{"name": "A", "type": "INT", "default": 1}]}
    source = still_farm.job(
        template=template(name="A{{Param.A}}", **parameters),
        parameters={"A": {"int": "7"}},
        storageProfileId=f"sp-{1:032x}",
    )
    copy = still_farm.call("CreateJob", sourceJobId=source, priority=1, nameOverride="again")["jobId"]
    told = still_farm.call("GetJob", jobId=copy)
    assert (told["name"], told["sourceJobId"], told["parameters"]) == ("again", source, {"A": {"int": "7"}})
    assert told["storageProfileId"] == f"sp-{1:032x}"
    assert still_farm.refusal("CreateJob", sourceJobId=ABSENT, priority=1)[0] == "ResourceNotFoundException"
    assert still_farm.refusal("CreateJob", priority=1)[0] == "ValidationException"


def test_what_cannot_be_made_tells_why(still_farm: Farm) -> None:
    """A template with a mistake is taken, and its job ends as one whose creation failed, without steps."""
    lacking = template(parameterDefinitions=[{"name": "Shot", "type": "STRING"}])
    failed = [still_farm.job(template=text) for text in (lacking, "{", '{"steps": 1}')]
    told = [still_farm.call("GetJob", jobId=job_id) for job_id in failed]
    assert {each["lifecycleStatus"] for each in told} == {"CREATE_FAILED"}
    assert told[0]["lifecycleStatusMessage"] == "parameter Shot: it has no value"
    assert told[0]["taskRunStatusCounts"] == NO_TASKS
    assert still_farm.call("ListSteps", jobId=failed[0]) == {"steps": []}
    code, status, body = still_farm.refusal("UpdateJob", jobId=failed[0], priority=1)
    assert (code, status, body["reason"]) == ("ConflictException", 409, "STATUS_CONFLICT")


def test_a_job_takes_a_while_to_be_made(callsheet_sandbox: Sandbox, still_farm: Farm) -> None:
    """Until its creation is over a job has no tasks and cannot be changed."""
    callsheet_sandbox.configure("deadline", create_seconds=10)
    callsheet_sandbox.clock.freeze()
    job_id = still_farm.job()
    told = still_farm.call("GetJob", jobId=job_id)
    assert (told["lifecycleStatus"], told["taskRunStatusCounts"]) == ("CREATE_IN_PROGRESS", NO_TASKS)
    assert still_farm.refusal("UpdateJob", jobId=job_id, targetTaskRunStatus="CANCELED")[1] == 409
    callsheet_sandbox.clock.advance(10)
    assert still_farm.call("GetJob", jobId=job_id)["lifecycleStatus"] == "CREATE_COMPLETE"


def test_updates_are_kept(callsheet_sandbox: Sandbox, still_farm: Farm) -> None:
    """Each word of an update holds at once; a target's way may take a while; an archived job is final."""
    callsheet_sandbox.clock.freeze()
    job_id = still_farm.job()
    words = {"name": "b", "description": "c", "priority": 90, "maxWorkerCount": 1, "maxFailedTasksCount": 2}
    assert still_farm.call("UpdateJob", jobId=job_id, **words) == {}
    told = still_farm.call("GetJob", jobId=job_id)
    assert {name: told[name] for name in words} == words
    assert (told["lifecycleStatus"], told["updatedBy"]) == ("UPDATE_SUCCEEDED", ME)
    callsheet_sandbox.configure("deadline", update_seconds=5)
    still_farm.call("UpdateJob", jobId=job_id, targetTaskRunStatus="SUSPENDED")
    told = still_farm.call("GetJob", jobId=job_id)
    assert (told["lifecycleStatus"], told["taskRunStatus"]) == ("UPDATE_IN_PROGRESS", "READY")
    callsheet_sandbox.clock.advance(5)
    told = still_farm.call("GetJob", jobId=job_id)
    assert (told["lifecycleStatus"], told["taskRunStatus"]) == ("UPDATE_SUCCEEDED", "SUSPENDED")
    assert told["targetTaskRunStatus"] == "SUSPENDED"
    still_farm.call("UpdateJob", jobId=job_id, lifecycleStatus="ARCHIVED")
    told = still_farm.call("GetJob", jobId=job_id)
    assert (told["lifecycleStatus"], told["taskRunStatus"]) == ("ARCHIVED", "SUSPENDED")
    assert still_farm.refusal("UpdateJob", jobId=job_id, priority=1)[0] == "ConflictException"


def test_batches_tell_each_error(callsheet_sandbox: Sandbox, still_farm: Farm) -> None:
    """Jobs of several queues come together, beside the errors of those that do not."""
    here, there = still_farm.job(), still_farm.job(queueId=OTHER_QUEUE)
    callsheet_sandbox.act("deadline", "refuse", job=here, code="ThrottlingException")
    wanted = [
        {**NAMED, "jobId": here},
        {"farmId": FARM, "queueId": OTHER_QUEUE, "jobId": there},
        {**NAMED, "jobId": there},
        {**NAMED, "jobId": ABSENT},
    ]
    told = still_farm.call("BatchGetJob", identifiers=wanted)
    assert [(job["queueId"], job["jobId"]) for job in told["jobs"]] == [(OTHER_QUEUE, there)]
    assert [(error["jobId"], error["code"]) for error in told["errors"]] == [
        (here, "ThrottlingException"),
        (there, "ResourceNotFoundException"),
        (ABSENT, "ResourceNotFoundException"),
    ]
    (again,) = still_farm.call("BatchGetJob", identifiers=wanted[:1])["jobs"]
    alone = still_farm.call("GetJob", jobId=here)
    assert again == {**alone, **NAMED}
    changes = [{**each, "priority": 3} for each in wanted]
    told = still_farm.call("BatchUpdateJob", jobs=changes)
    assert [error["code"] for error in told["errors"]] == ["ResourceNotFoundException"] * 2
    assert still_farm.call("GetJob", jobId=here)["priority"] == 3


def test_lists_come_in_pages(still_farm: Farm) -> None:
    """Each job is in one page; the last has no token; a token is good for its own list only."""
    made = [still_farm.job() for _ in range(5)]
    pages: list[list[str]] = []
    token: dict[str, str] = {}
    while not pages or token:
        page = still_farm.call("ListJobs", maxResults=2, **token)
        pages.append([job["jobId"] for job in page["jobs"]])
        token = {"nextToken": page["nextToken"]} if "nextToken" in page else {}
    assert [len(page) for page in pages] == [2, 2, 1]
    assert sorted(itertools.chain(*pages)) == sorted(made)
    token = {"nextToken": still_farm.call("ListJobs", maxResults=2)["nextToken"]}
    for refused in ({**token, "queueId": OTHER_QUEUE}, {"nextToken": "x"}, {"nextToken": "WzEsMl0="}):
        assert still_farm.refusal("ListJobs", **refused)[0] == "ValidationException"
    assert still_farm.refusal("ListJobs", maxResults=101)[2]["fieldList"][0]["name"] == "maxResults"


def test_steps_and_tasks_follow_the_template(still_farm: Farm) -> None:
    """Each step has the tasks of its parameters, and waits for the steps it depends on."""
    first = {"name": "Render", "parameterSpace": FRAMES, "description": "frames"}
    second = {"name": "Comp", "dependencies": [{"dependsOn": "Render"}]}
    job_id = still_farm.job(template=template(first, second))
    render, comp = still_farm.call("ListSteps", jobId=job_id)["steps"]
    assert (render["name"], render["taskRunStatusCounts"]) == ("Render", {**NO_TASKS, "READY": 3})
    assert (comp["name"], comp["taskRunStatus"]) == ("Comp", "PENDING")
    ids = {"jobId": job_id, "stepId": render["stepId"]}
    told = still_farm.call("GetStep", **ids)
    assert told["parameterSpace"] == {"parameters": [{"name": "Frame", "type": "INT"}]}
    assert (told["description"], told["dependencyCounts"]["consumersUnresolved"]) == ("frames", 1)
    tasks = still_farm.call("ListTasks", **ids)["tasks"]
    numbers = [f"task-{render['stepId'].removeprefix('step-')}-{number}" for number in range(3)]
    assert [task["taskId"] for task in tasks] == numbers
    assert [task["parameters"] for task in tasks] == [{"Frame": {"int": str(number)}} for number in (1, 2, 3)]
    assert still_farm.call("GetTask", **ids, taskId=numbers[1]) == tasks[1]
    relation = {"stepId": render["stepId"], "status": "UNRESOLVED"}
    named = {"jobId": job_id, "stepId": comp["stepId"]}
    assert still_farm.call("ListStepDependencies", **named) == {"dependencies": [relation]}
    relation = {"stepId": comp["stepId"], "status": "UNRESOLVED"}
    assert still_farm.call("ListStepConsumers", **ids) == {"consumers": [relation]}
    assert still_farm.refusal("GetTask", **ids, taskId=numbers[1][:-1] + "9")[2]["resourceType"] == "task"
    for each in numbers:
        still_farm.call("UpdateTask", **ids, taskId=each, targetRunStatus="SUCCEEDED")
    assert still_farm.call("GetStep", **named)["taskRunStatus"] == "READY"
    assert still_farm.call("ListStepDependencies", **named)["dependencies"][0]["status"] == "RESOLVED"


def test_parts_of_jobs_come_in_batches(callsheet_sandbox: Sandbox, still_farm: Farm) -> None:
    """Steps, tasks, sessions and their actions are told as one by one, with the places they are at."""
    job_id = still_farm.job()
    callsheet_sandbox.act("deadline", "start", job=job_id)
    job = {"jobId": job_id}
    (step,) = still_farm.call("ListSteps", **job)["steps"]
    named: dict[str, Any] = {**job, "stepId": step["stepId"]}
    (task,) = still_farm.call("ListTasks", **named)["tasks"]
    (session,) = still_farm.call("ListSessions", **job)["sessions"]
    action_id = task["latestSessionActionId"]
    for kind, key, ids in (
        ("Step", "steps", named),
        ("Task", "tasks", {**named, "taskId": task["taskId"]}),
        ("Session", "sessions", {**job, "sessionId": session["sessionId"]}),
        ("SessionAction", "sessionActions", {**job, "sessionActionId": action_id}),
    ):
        identifiers = [{**NAMED, **ids}, {**NAMED, **ids, "jobId": ABSENT}]
        told = still_farm.call(f"BatchGet{kind}", identifiers=identifiers)
        assert told[key] == [{**NAMED, **ids, **still_farm.call(f"Get{kind}", **ids)}]
        assert [(each["jobId"], each["code"]) for each in told["errors"]] == [
            (ABSENT, "ResourceNotFoundException")
        ]
    aims = [{**NAMED, **named, "taskId": task["taskId"], "targetRunStatus": "SUCCEEDED"}]
    aims.append({**aims[0], "jobId": ABSENT})
    told = still_farm.call("BatchUpdateTask", tasks=aims)
    assert [each["jobId"] for each in told["errors"]] == [ABSENT]
    assert still_farm.status(job_id) == "SUCCEEDED"


def test_farms_and_queues_are_there(still_farm: Farm) -> None:
    """There is a farm with two queues, of which one keeps files, with storage profiles and an environment."""
    (farm,) = still_farm.call("ListFarms")["farms"]
    assert farm.items() <= still_farm.call("GetFarm").items()
    queues = still_farm.call("ListQueues")["queues"]
    assert [queue["queueId"] for queue in queues] == [QUEUE, OTHER_QUEUE]
    assert still_farm.call("ListQueues", status="SCHEDULING") == {"queues": []}
    told = still_farm.call("GetQueue")
    assert queues[0].items() <= told.items()
    assert told["jobAttachmentSettings"]["s3BucketName"] == "callsheet-sandbox"
    assert "jobAttachmentSettings" not in still_farm.call("GetQueue", queueId=OTHER_QUEUE)
    profiles = still_farm.call("ListStorageProfilesForQueue")["storageProfiles"]
    assert [profile["osFamily"] for profile in profiles] == ["LINUX", "WINDOWS"]
    for profile in profiles:
        named = {"storageProfileId": profile["storageProfileId"]}
        whole = still_farm.call("GetStorageProfileForQueue", **named)
        assert whole.items() <= still_farm.call("GetStorageProfile", **named).items()
        assert {place["type"] for place in whole["fileSystemLocations"]} == {"LOCAL", "SHARED"}
    (environment,) = still_farm.call("ListQueueEnvironments", queueId=OTHER_QUEUE)["environments"]
    named = {"queueId": OTHER_QUEUE, "queueEnvironmentId": environment["queueEnvironmentId"]}
    assert json.loads(still_farm.call("GetQueueEnvironment", **named)["template"])["environment"]
    for absent in ("GetStorageProfile", "GetStorageProfileForQueue"):
        assert still_farm.refusal(absent, storageProfileId=f"sp-{9:032x}")[1] == 404
    assert still_farm.refusal("GetQueueEnvironment", queueEnvironmentId=f"queueenv-{9:032x}")[1] == 404
    assert still_farm.refusal("GetQueue", queueId=f"queue-{9:032x}")[2]["resourceType"] == "queue"
    assert still_farm.refusal("GetFarm", farmId=f"farm-{9:032x}")[2]["resourceType"] == "farm"


def test_members_and_tags_stay(still_farm: Farm) -> None:
    """Who is a member of a job, and what tags it has, are told until they are taken away."""
    job_id = still_farm.job(tags={"show": "Öl"})
    jane = "0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f"
    member = {"principalType": "USER", "identityStoreId": "d-0123456789", "membershipLevel": "OWNER"}
    still_farm.call("AssociateMemberToJob", jobId=job_id, principalId=jane, **member)
    told = {**NAMED, "jobId": job_id, "principalId": jane, **member}
    assert still_farm.call("ListJobMembers", jobId=job_id) == {"members": [told]}
    still_farm.job()
    assert [job["jobId"] for job in still_farm.call("ListJobs", principalId=jane)["jobs"]] == [job_id]
    still_farm.call("DisassociateMemberFromJob", jobId=job_id, principalId=jane)
    assert still_farm.refusal("DisassociateMemberFromJob", jobId=job_id, principalId=jane)[1] == 404
    assert still_farm.call("ListJobMembers", jobId=job_id) == {"members": []}
    arn = f"arn:aws:deadline:us-west-2:123456789012:farm/{FARM}/queue/{QUEUE}/job/{job_id}"
    still_farm.call("TagResource", resourceArn=arn, tags={"a": "", "b": "2"})
    assert still_farm.call("ListTagsForResource", resourceArn=arn) == {
        "tags": {"show": "Öl", "a": "", "b": "2"}
    }
    still_farm.call("UntagResource", resourceArn=arn, tagKeys=["a", "b", "c"])
    assert still_farm.call("ListTagsForResource", resourceArn=arn) == {"tags": {"show": "Öl"}}
    assert still_farm.refusal("ListTagsForResource", resourceArn="arn:x")[1] == 404


def test_parameter_definitions_are_the_templates(still_farm: Farm) -> None:
    """Definitions come back as the template writes them."""
    definitions = [{"name": "A", "type": "INT", "default": 1, "minValue": 0}, {"name": "B", "type": "PATH"}]
    text = template(parameterDefinitions=definitions)
    job_id = still_farm.job(template=text, parameters={"B": {"path": "/x"}})
    told = still_farm.call("ListJobParameterDefinitions", jobId=job_id)
    assert told == {"jobParameterDefinitions": definitions}


def test_a_queues_environments_define_parameters(still_farm: Farm) -> None:
    """A job may be given what the environments of its queue ask for, and has their defaults else."""
    for given, expected in (({"Packages": {"string": "maya"}}, "maya"), ({}, "")):
        job_id = still_farm.job(queueId=OTHER_QUEUE, parameters=given)
        told = still_farm.call("GetJob", queueId=OTHER_QUEUE, jobId=job_id)
        assert told["parameters"] == {"Packages": {"string": expected}}
    assert "parameters" not in still_farm.call("GetJob", jobId=still_farm.job())


def test_a_full_queue_takes_no_more(callsheet_sandbox: Sandbox, still_farm: Farm) -> None:
    """One job more than a queue may have is refused with the status for quotas, and is not made."""
    callsheet_sandbox.configure("deadline", job_quota=1)
    still_farm.job()
    with pytest.raises(Refused, match="ServiceQuotaExceeded") as caught:
        still_farm.job()
    assert caught.value.status == 402
    assert len(still_farm.call("ListJobs")["jobs"]) == 1

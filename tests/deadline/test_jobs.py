"""Deadline's jobs: made from templates, changed, copied, explained, and allowed to some."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import attrs
import pytest

from callsheet import (
    BulkError,
    Client,
    Conflict,
    Denied,
    InvalidRequest,
    JobState,
    NewJob,
    NotFound,
    Outcome,
    ResponseError,
    Unsupported,
)
from callsheet.providers.deadline import (
    DeadlineProvider,
    IntValue,
    PathValue,
    StringListValue,
    StringValue,
    TaskRun,
    _jobs,
)
from callsheet.sandbox import Sandbox
from support.deadlinehand import ARN, FARM, QUEUE, TEMPLATE
from support.tables import raises_for

Deadline = Client[DeadlineProvider]

FRAMES: dict[str, Any] = {
    "specificationVersion": "jobtemplate-2023-09",
    "name": "Frames",
    "parameterDefinitions": [
        {"name": "Frames", "type": "STRING", "default": "1-5"},
        {"name": "Samples", "type": "INT", "default": 4},
        {"name": "Folder", "type": "PATH", "default": "/renders"},
    ],
    "steps": [
        {
            "name": "Render",
            "parameterSpace": {
                "taskParameterDefinitions": [{"name": "Frame", "type": "INT", "range": "1-3"}]
            },
            "script": {"actions": {"onRun": {"command": "render", "args": ["{{Task.Param.Frame}}"]}}},
        }
    ],
}
"""A job of three tasks with three parameters."""

YAML = """\
specificationVersion: jobtemplate-2023-09
name: Demo
parameterDefinitions:
  - {name: Shot, type: STRING}
steps:
  - name: Only
    script: {actions: {onRun: {command: echo}}}
"""


def sent(sandbox: Sandbox, path: str = "*/jobs", method: str = "POST") -> list[dict[str, Any]]:
    """Return the bodies of the requests so far."""
    return [json.loads(request.body) for request in sandbox.requests(path, method=method)]


# -- making --------------------------------------------------------------------------------------------------


async def test_every_field_arrives(client: Deadline, sandbox: Sandbox) -> None:
    """What a job is made with is sent under Deadline's names, and is what the job shows."""
    job = await client.jobs.create(
        "Comp sh010",
        description="two shots",
        priority=70,
        state=JobState.PAUSED,
        template=FRAMES,
        parameters={"Frames": "1-10", "Samples": 8},
        vendor={"maxFailedTasksCount": 3, "maxRetriesPerTask": 2, "maxWorkerCount": 7, "tags": {"show": "x"}},
    )
    assert sent(sandbox) == [
        {
            "template": json.dumps(FRAMES),
            "templateType": "JSON",
            "priority": 70,
            "maxFailedTasksCount": 3,
            "maxRetriesPerTask": 2,
            "maxWorkerCount": 7,
            "tags": {"show": "x"},
            "nameOverride": "Comp sh010",
            "descriptionOverride": "two shots",
            "parameters": {"Frames": {"string": "1-10"}, "Samples": {"int": "8"}},
            "targetTaskRunStatus": "SUSPENDED",
        }
    ]
    details = client.provider.details(job)
    assert (job.name, job.description, job.priority, job.state) == (
        *("Comp sh010", "two shots", 70),
        JobState.PAUSED,
    )
    assert (job.user, job.progress, job.ended, job.missing) == (f"{ARN}sandbox", 0.0, False, frozenset())
    assert job.attributes == {"Frames": "1-10", "Samples": "8", "Folder": "/renders"}
    assert details.parameters == {
        "Frames": StringValue("1-10"),
        "Samples": IntValue("8"),
        "Folder": PathValue("/renders"),
    }
    assert (details.max_failed_tasks_count, details.max_retries_per_task, details.max_worker_count) == (
        3,
        2,
        7,
    )
    assert details == job.details
    assert await client.jobs.get(job) == job


async def test_templates_of_every_kind(client: Deadline, sandbox: Sandbox, tmp_path: Path) -> None:
    """A template is taken as YAML, as JSON, as a file's path, and as a mapping, and sent as it is."""
    (tmp_path / "template.yaml").write_text(YAML)
    (tmp_path / "t.json").write_text(json.dumps(FRAMES))
    given = [YAML, json.dumps(FRAMES, indent=1), str(tmp_path / "t.json"), tmp_path / "template.yaml", FRAMES]
    for template in given:
        needs_shot = isinstance(template, Path) or template == YAML
        await client.jobs.create("x", template=template, parameters={"Shot": "sh010"} if needs_shot else None)
    assert [(body["templateType"], body["template"]) for body in sent(sandbox)] == [
        ("YAML", YAML),
        ("JSON", json.dumps(FRAMES, indent=1)),
        ("JSON", json.dumps(FRAMES)),
        ("YAML", YAML),
        ("JSON", json.dumps(FRAMES)),
    ]


async def test_a_job_bundle(client: Deadline, sandbox: Sandbox, tmp_path: Path) -> None:
    """A bundle brings values and options of its own; those of the call go first."""
    (tmp_path / "template.json").write_text(json.dumps(FRAMES))
    values = [
        {"name": "Frames", "value": "7"},
        {"name": "Samples", "value": 16},
        {"name": "deadline:priority", "value": 30},
        {"name": "deadline:maxFailedTasksCount", "value": 9},
        {"name": "deadline:maxRetriesPerTask", "value": 1},
        {"name": "deadline:targetTaskRunStatus", "value": "SUSPENDED"},
    ]
    (tmp_path / "parameter_values.json").write_text(json.dumps({"parameterValues": values}))
    bundled = await client.jobs.create("one", template=tmp_path)
    await client.jobs.create(
        "two",
        template=str(tmp_path),
        parameters={"Frames": "8"},
        priority=90,
        vendor={"maxRetriesPerTask": 4},
    )
    one, two = sent(sandbox)
    assert one["parameters"] == {
        "Frames": {"string": "7"},
        "Samples": {"int": "16"},
        "Folder": {"path": "/renders"},
    }
    assert bundled.state is JobState.PAUSED
    options = ("priority", "maxFailedTasksCount", "maxRetriesPerTask", "targetTaskRunStatus")
    assert [one[name] for name in options] == [30, 9, 1, "SUSPENDED"]
    assert [two[name] for name in options] == [90, 9, 4, "SUSPENDED"]
    assert two["parameters"]["Frames"] == {"string": "8"}


async def test_what_makes_no_sense_is_refused_before_it_is_sent(
    client: Deadline, sandbox: Sandbox, tmp_path: Path
) -> None:
    """A template, value or option that cannot be right is named, and nothing is sent."""
    (tmp_path / "empty").mkdir()
    needed = {**FRAMES, "parameterDefinitions": [{"name": "Shot", "type": "STRING"}]}
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "template: Deadline makes jobs from one"),
        ({"template": 7}, "template must be"),
        ({"template": "missing.yaml"}, "missing.yaml cannot be read"),
        ({"template": "x" * 5000}, "cannot be read: File name too long"),
        ({"template": "~nobody-of-that-name/t.yaml"}, "cannot be read: Could not determine home"),
        ({"template": tmp_path / "empty"}, "no job bundle"),
        ({"template": "{broken"}, "neither JSON nor YAML"),
        ({"template": "a: [\n"}, "neither JSON nor YAML"),
        ({"template": "- 1\n- 2\n"}, "holds no mapping"),
        ({"template": {"steps": []}}, "specificationVersion or steps is missing"),
        ({"template": {**FRAMES, "x": "y" * 1_000_000}}, "1000000 at most"),
        ({"template": {**FRAMES, "x": {1, 2}}}, "cannot be written as JSON"),
        ({"template": needed}, "'Shot' has no default"),
        ({"template": FRAMES, "parameters": {"Nope": 1}}, "no parameter 'Nope'; it has Frames, Samples"),
        ({"template": FRAMES, "parameters": {"Samples": 1.5}}, "'Samples' must be of type INT"),
        ({"template": FRAMES, "parameters": {"Samples": {"int": "1", "float": "2"}}}, "one tag"),
        ({"template": FRAMES, "state": "running"}, "queued or paused, not running"),
        ({"template": FRAMES, "vendor": {"colour": "red"}}, "'colour'"),
        ({"template": FRAMES, "vendor": ["tags"]}, "vendor must be a mapping"),
        ({"template": FRAMES, "vendor": {"forceS3Check": "yes"}}, "forceS3Check must be True or False"),
    ]
    for given, complaint in cases:
        with raises_for(given, InvalidRequest, match=complaint):
            await client.jobs.create("x", **given)
    assert sandbox.requests() == []


async def test_what_can_be_no_job(client: Deadline, sandbox: Sandbox) -> None:
    """A text that is no id of a job is one that there is not, whatever is asked of it; nothing is sent."""
    calls: list[Callable[[str], Awaitable[object]]] = [
        client.jobs.get,
        client.jobs.cancel,
        client.jobs.problem,
        client.jobs.rerun,
        client.provider.suspend,
        client.provider.steps,
        client.provider.sessions,
        client.provider.job_members,
        client.provider.parameter_definitions,
        lambda id_: client.components.list(id_).first(),
    ]
    for id_ in ("job-1", "../x", "a/b", f"job-{171:032X}", f"job-{7:032x}\n"):
        for call in calls:
            with raises_for((id_, call), NotFound, match="there is no job"):
                await call(id_)
    assert sandbox.requests() == []


async def test_a_lost_answer_makes_one_job(client: Deadline, sandbox: Sandbox) -> None:
    """When the answer to CreateJob is lost after the job was made, the repeat returns that job."""
    sandbox.faults.add("lost", path="*/jobs", method="POST", nth=1)
    job = await client.jobs.create("once", template=TEMPLATE, idempotency_key="k-1")
    requests = sandbox.requests("*/jobs", method="POST")
    assert [request.headers["x-amz-client-token"] for request in requests] == ["k-1", "k-1"]
    assert await client.jobs.list().collect() == [await client.jobs.list().first()]
    assert (await client.jobs.create("once", template=TEMPLATE, idempotency_key="k-1")).id == job.id
    assert await client.jobs.count() == 1


async def test_a_key_that_is_no_token(client: Deadline, sandbox: Sandbox) -> None:
    """A key that Deadline would not take as its token makes one job all the same."""
    for key in ("k" * 65, "schlüssel", "with blank"):
        one = await client.jobs.create("x", template=TEMPLATE, idempotency_key=key)
        assert (await client.jobs.create("x", template=TEMPLATE, idempotency_key=key)).id == one.id
    assert await client.jobs.count() == 3


async def test_a_key_used_for_another_request(client: Deadline) -> None:
    """Deadline itself refuses a token with another request, and says so in its own words."""
    await client.jobs.create("one", template=TEMPLATE, idempotency_key="k-1")
    with pytest.raises(ResponseError) as refused:
        await client.jobs.create("other", template=TEMPLATE, idempotency_key="k-1")
    error = refused.value
    assert (error.status, error.code, error.outcome, error.idempotency_key) == (
        *(400, "ValidationException"),
        *(Outcome.NOT_DONE, "k-1"),
    )
    assert error.request_id
    assert await client.jobs.count() == 1


async def test_a_job_that_is_not_there_at_once(client: Deadline, sandbox: Sandbox) -> None:
    """A job that was just made and is not to be seen yet is waited for."""
    sandbox.faults.add(
        "answer",
        path="*/jobs/job-*",
        method="GET",
        nth=[1, 2],
        status=404,
        headers={"x-amzn-errortype": "ResourceNotFoundException", "content-type": "application/json"},
        body='{"message": "not yet"}',
    )
    job = await client.jobs.create("x", template=TEMPLATE)
    assert job.name == "x"
    assert len(sandbox.requests("*/jobs/job-*", method="GET")) == 3


async def test_many_of_which_some_cannot_be(client: Deadline) -> None:
    """Of many jobs, those that can be are made; the error tells which, and why the others were not."""
    new = [NewJob(name=f"job {index}", template=TEMPLATE) for index in range(20)]
    new[3] = NewJob(name="bad", template={"steps": []})
    new[7] = NewJob(name="x" * 513, template=TEMPLATE)
    with pytest.raises(BulkError) as bulk:
        await client.jobs.create_many(new)
    error = bulk.value
    assert {index: type(why) for index, why in error.failed.items()} == {3: InvalidRequest, 7: ResponseError}
    assert [job.name for job in error.done] == [one.name for i, one in enumerate(new) if i not in {3, 7}]
    assert (error.outcome, await client.jobs.count()) == (Outcome.DONE, 18)


# -- reading -------------------------------------------------------------------------------------------------


async def test_many_in_one_request(client: Deadline, sandbox: Sandbox) -> None:
    """A hundred jobs are one request; what can be no id is not asked for; what is gone is `None`."""
    ids = sandbox.act("deadline", "make", number=150)["jobs"]
    sandbox.act("deadline", "vanish", job=ids[5])
    asked = [*ids, "nope", ids[0], f"job-{7:032x}"]
    found = await client.jobs.get_many(asked)
    assert [None if job is None else job.id for job in found] == [
        id_ if id_.startswith("job-") and id_ not in {ids[5], asked[-1]} else None for id_ in asked
    ]
    assert len(sandbox.requests("/2023-10-12/batch-get-job")) == 2
    assert len(sandbox.requests()) == 2


async def test_an_item_that_is_refused_for_now(client: Deadline, sandbox: Sandbox) -> None:
    """An item of a batch that could not be looked up is asked for again, alone; a real no is raised."""
    ids = sandbox.act("deadline", "make", number=3)["jobs"]
    sandbox.act("deadline", "refuse", job=ids[1], code="InternalServerErrorException", times=1)
    assert [job.id for job in await client.jobs.get_many(ids) if job] == ids
    bodies = sent(sandbox, "/2023-10-12/batch-get-job")
    assert [[one["jobId"] for one in body["identifiers"]] for body in bodies] == [ids, [ids[1]]]
    sandbox.act("deadline", "refuse", job=ids[1], code="AccessDeniedException", times=1)
    with pytest.raises(Denied, match=ids[1]):
        await client.jobs.get_many(ids)


# -- changing ------------------------------------------------------------------------------------------------


async def test_update_sends_deadlines_words(client: Deadline, sandbox: Sandbox) -> None:
    """Each state that can be asked for is asked for in Deadline's word, with the other changes."""
    job = await client.jobs.create("x", template=TEMPLATE)
    words = {"paused": "SUSPENDED", "queued": "PENDING", "failed": "FAILED", "done": "SUCCEEDED"}
    for state in words:
        changed = await client.jobs.update(job, state=JobState(state), priority=3)
        assert (changed.state, changed.priority) == (state, 3)
    await client.jobs.update(job, state=JobState.QUEUED)
    assert (await client.jobs.update(job, state=JobState.CANCELLED)).state is JobState.CANCELLED
    bodies = sent(sandbox, "*/jobs/*", "PATCH")
    assert bodies == [
        *({"targetTaskRunStatus": word, "priority": 3} for word in words.values()),
        {"targetTaskRunStatus": "PENDING"},
        {"targetTaskRunStatus": "CANCELED"},
    ]


async def test_update_of_what_cannot_be(client: Deadline, sandbox: Sandbox) -> None:
    """Nobody but a worker sets a job running, and a job always has a priority: refused before it is sent."""
    with pytest.raises(InvalidRequest, match="running"):
        await client.jobs.update(f"job-{1:032x}", state=JobState.RUNNING)
    with pytest.raises(InvalidRequest, match="priority"):
        await client.jobs.update(f"job-{1:032x}", priority=None)
    with pytest.raises(NotFound, match="'nope'"):
        await client.jobs.update("nope", priority=1)
    assert sandbox.requests() == []


async def test_update_of_many(client: Deadline, sandbox: Sandbox) -> None:
    """Many jobs are changed a hundred in a request; the error tells which were not."""
    ids = sandbox.act("deadline", "make", number=150)["jobs"]
    changed = await client.jobs.update_many(ids, name="same", state=JobState.PAUSED)
    assert {(job.name, job.state) for job in changed} == {("same", JobState.PAUSED)}
    assert [job.id for job in changed] == ids
    assert len(sandbox.requests("/2023-10-12/batch-update-job")) == 2
    sandbox.act("deadline", "vanish", job=ids[1])
    with pytest.raises(BulkError) as bulk:
        await client.jobs.update_many([ids[0], ids[1], "nope", ids[2]], priority=9)
    assert {index: type(why) for index, why in bulk.value.failed.items()} == {1: NotFound, 2: NotFound}
    assert [(job.id, job.priority) for job in bulk.value.done] == [(ids[0], 9), (ids[2], 9)]


class Hurry:
    """Time that nobody waits for."""

    current_time = staticmethod(anyio.current_time)

    @staticmethod
    async def sleep(seconds: float) -> None:
        """Go on at once."""
        await anyio.lowlevel.checkpoint()


async def test_somebody_elses_change_in_between(
    client: Deadline, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change that collides with another is made again, a few times; any other conflict is raised."""
    job = await client.jobs.create("x", template=TEMPLATE)
    words = {"reason": "CONCURRENT_MODIFICATION", "message": "m", "resourceId": job.id, "resourceType": "job"}
    headers = {"x-amzn-errortype": "ConflictException", "content-type": "application/json"}
    strike: dict[str, Any] = {"path": "*/jobs/*", "method": "PATCH", "status": 409, "headers": headers}
    sandbox.faults.add("answer", **strike, times=2, body=json.dumps(words))
    assert (await client.jobs.update(job, name="other")).name == "other"
    monkeypatch.setattr(_jobs, "anyio", Hurry)
    sandbox.forget_requests()
    sandbox.faults.add("answer", **strike, body=json.dumps(words))
    with pytest.raises(Conflict, match="CONCURRENT_MODIFICATION") as caught:
        await client.jobs.update(job, name="another")
    assert (caught.value.outcome, len(sandbox.requests(method="PATCH"))) == (Outcome.NOT_DONE, 4)
    sandbox.faults.clear()
    await client.provider.archive(job)
    sandbox.forget_requests()
    with pytest.raises(ResponseError, match="STATUS_CONFLICT"):
        await client.jobs.update(job, state=JobState.QUEUED)
    assert len(sandbox.requests(method="PATCH")) == 1


async def test_cancel_is_accepted_at_once_and_done_by_and_by(client: Deadline, sandbox: Sandbox) -> None:
    """A running job that is cancelled is interrupted first, which is no end; an ended one is left."""
    sandbox.configure("deadline", interrupt_seconds=10)
    job = await client.jobs.create("x", template=TEMPLATE)
    sandbox.act("deadline", "start", job=job.id)
    stopping = await client.jobs.cancel(job)
    assert (stopping.state, stopping.vendor_state, stopping.ended) == (
        JobState.RUNNING,
        "INTERRUPTING",
        False,
    )
    assert stopping.message == "stopping"
    sandbox.clock.advance(11)
    cancelled = await client.jobs.get(job)
    assert (cancelled.state, cancelled.ended) == (JobState.CANCELLED, True)
    sandbox.forget_requests()
    assert await client.jobs.cancel(job) == cancelled
    assert sandbox.requests(method="PATCH") == []


async def test_rerun_is_a_copy_with_its_source(
    client: Deadline, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rerun has the values, folders and settings of its source, which it names; a key makes it once."""
    job = await client.jobs.create(
        "comp",
        description="two shots",
        template=FRAMES,
        parameters={"Samples": 8},
        priority=70,
        outputs=[tmp_path],
        vendor={"maxRetriesPerTask": 2, "maxWorkerCount": 7, "storageProfileId": f"sp-{1:032x}"},
    )
    sandbox.act("deadline", "fail", job=job.id)
    again = await client.jobs.rerun(job, idempotency_key="k-2")
    body = sent(sandbox)[-1]
    assert body == {
        "sourceJobId": job.id,
        "priority": 70,
        "nameOverride": "comp",
        "descriptionOverride": "two shots",
        "parameters": job.raw["parameters"],
        "attachments": job.raw["attachments"],
        "storageProfileId": f"sp-{1:032x}",
        "maxFailedTasksCount": job.raw["maxFailedTasksCount"],
        "maxRetriesPerTask": 2,
        "maxWorkerCount": 7,
    }
    assert (again.source_id, again.state, again.attributes) == (job.id, JobState.QUEUED, job.attributes)
    assert again.id != job.id
    await client.jobs.update(job, name="other", priority=1)
    assert (await client.jobs.rerun(job, idempotency_key="k-2")).id == again.id
    assert await client.jobs.count() == 2
    monkeypatch.setattr(_jobs, "MAX_RERUNS", 2)
    for key in ("k-3", "k-4", "k-5"):
        await client.jobs.rerun(job, idempotency_key=key)
    assert list(client.provider._reruns) == [(job.id, "k-4"), (job.id, "k-5")]


async def test_a_rerun_that_another_process_repeats(client: Deadline, sandbox: Sandbox) -> None:
    """With its key it is the same job; if the source was changed in between, an error, and no second job."""
    job = await client.jobs.create("comp", template=TEMPLATE, priority=0)
    first = await client.jobs.rerun(job, idempotency_key="k-2")
    assert first.priority == 0
    async with Client(DeadlineProvider(FARM, QUEUE)) as other:
        assert await other.jobs.rerun(job.id, idempotency_key="k-2") == first
    await client.jobs.update(job, name="changed")
    async with Client(DeadlineProvider(FARM, QUEUE)) as other:
        with pytest.raises(ResponseError, match="already used") as refused:
            await other.jobs.rerun(job.id, idempotency_key="k-2")
    assert (refused.value.status, refused.value.outcome) == (400, Outcome.NOT_DONE)
    assert await client.jobs.count() == 2


# -- why, and who --------------------------------------------------------------------------------------------


async def test_problem_tells_what_the_tasks_said_last(client: Deadline, sandbox: Sandbox) -> None:
    """A failed job is explained by its failed tasks: which, how they ended, and their last words."""
    job = await client.jobs.create("x", template=FRAMES)
    assert await client.jobs.problem(job) is None
    sandbox.act("deadline", "fail", job=job.id, message="no licence", exit_code=3)
    failed = await client.jobs.get(job)
    assert failed.problem == "1 of 3 tasks failed"
    assert await client.jobs.problem(job) == "1 of 3 tasks failed\nRender(Frame=1): exit code 3: no licence"


async def test_problem_of_many_tasks(client: Deadline, sandbox: Sandbox) -> None:
    """Of many tasks that failed, in several steps, the first ten are told."""
    (frames,) = FRAMES["steps"]
    steps = [{**frames, "name": f"Step {number}"} for number in range(4)]
    job = await client.jobs.create("x", template={**FRAMES, "steps": steps})
    for step in await client.provider.steps(job):
        tasks = await client.provider.tasks(job, step.step_id)
        await client.provider.update_tasks(job, [(step.step_id, one.task_id) for one in tasks], "FAILED")
    told = [f"Step {number}(Frame={frame})" for number in range(4) for frame in (1, 2, 3)]
    problem = await client.jobs.problem(job)
    assert problem is not None
    assert problem.splitlines() == ["12 of 12 tasks failed", *told[:10]]


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ({"lifecycleStatus": "CREATE_FAILED", "lifecycleStatusMessage": "no parameter"}, "no parameter"),
        ({"lifecycleStatus": "UPLOAD_FAILED", "lifecycleStatusMessage": "no bucket"}, "no bucket"),
        ({"taskRunStatus": "NOT_COMPATIBLE", "lifecycleStatusMessage": ""}, "no compatible fleet"),
        ({"lifecycleStatus": "UPDATE_FAILED", "lifecycleStatusMessage": "too late"}, "too late"),
    ],
)
async def test_problem_of_a_job_that_never_ran(
    client: Deadline, sandbox: Sandbox, members: dict[str, str], problem: str
) -> None:
    """A job that could not be made, changed or placed is explained by Deadline's own words."""
    job = await client.jobs.create("x", template=TEMPLATE)
    sandbox.act("deadline", "change", job=job.id, members=members)
    assert (await client.jobs.get(job)).problem == problem
    assert await client.jobs.problem(job) == problem


async def test_allows_by_members(client: Deadline) -> None:
    """Members may do what their level allows, the maker is an owner, and nobody deletes."""
    job = await client.jobs.create("x", template=TEMPLATE)
    people = {"VIEWER": f"{1:08x}-0000-0000-0000-{1:012x}", "MANAGER": f"{2:08x}-0000-0000-0000-{2:012x}"}
    for level, person in people.items():
        await client.provider.add_member(job, person, level=level, identity_store="d-1234567890")  # type: ignore[arg-type]  # a level all the same
    assert {(m.principal_id, m.membership_level) for m in await client.provider.job_members(job)} == {
        (person, level) for level, person in people.items()
    }
    allowed = {
        who: [
            action
            for action in ("view", "abort", "rerun", "prioritize", "delete")
            if await client.jobs.allows(job, action, who)
        ]
        for who in (*people.values(), f"{ARN}sandbox", "stranger")
    }
    all_but_delete = ["view", "abort", "rerun", "prioritize"]
    assert list(allowed.values()) == [["view"], all_but_delete, all_but_delete, []]
    await client.provider.remove_member(job, people["MANAGER"])
    assert await client.jobs.allows(job, "abort", people["MANAGER"]) is False


async def test_who_i_am_is_asked_once(client: Deadline, sandbox: Sandbox) -> None:
    """Without a name, the credentials tell whose they are: the maker of the job, among others."""
    job = await client.jobs.create("x", template=TEMPLATE)
    assert [await client.jobs.allows(job, "abort") for _ in range(2)] == [True, True]
    (asked,) = sandbox.requests("/", method="POST")
    assert "GetCallerIdentity" in asked.body
    (theirs,) = sandbox.act("deadline", "make", user="bob")["jobs"]
    assert await client.jobs.allows(theirs, "abort") is False


async def test_who_a_login_of_the_monitor_is(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Profiles of Deadline's own monitor say who has logged in, whom jobs know as their member."""
    person = f"{1:08x}-0000-0000-0000-{1:012x}"
    (tmp_path / "config").write_text(f"[default]\nuser_id = {person}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    (job,) = sandbox.act("deadline", "make", user="bob")["jobs"]
    async with Client(DeadlineProvider(FARM, QUEUE)) as client:
        await client.provider.add_member(job, person, level="OWNER", identity_store="d-1234567890")
        assert await client.jobs.allows(job, "abort") is True
    assert sandbox.requests("/", method="POST") == []


async def test_nobody_acts_for_others(client: Deadline) -> None:
    """Who acts on Deadline is who has the credentials."""
    with pytest.raises(Unsupported, match="credentials"):
        client.as_user("bob")


# -- what only Deadline has ----------------------------------------------------------------------------------


async def test_suspend_and_resume_keep_what_is_done(client: Deadline, sandbox: Sandbox) -> None:
    """A paused job goes on where it was; requeued as a whole, it begins again."""
    job = await client.jobs.create("x", template=FRAMES)
    provider = client.provider
    (step,) = await provider.steps(job)
    first = (await provider.tasks(job, step.step_id))[0]
    await provider.update_tasks(job, [(step.step_id, first.task_id)], "SUCCEEDED")
    paused = await provider.suspend(job)
    assert (paused.state, paused.ended) == (JobState.PAUSED, False)
    resumed = await provider.resume(job)
    assert (resumed.state, resumed.progress) == (JobState.QUEUED, 1 / 3)
    requeued = await client.jobs.update(job, state=JobState.QUEUED)
    assert (requeued.state, requeued.progress) == (JobState.QUEUED, 0.0)


async def test_requeue_of_what_failed(client: Deadline, sandbox: Sandbox) -> None:
    """Only tasks of the given statuses are done again, all in one request; other steps are left out."""
    (frames,) = FRAMES["steps"]
    template = {**FRAMES, "steps": [frames, {**frames, "name": "Other"}]}
    job = await client.jobs.create("x", template=template)
    sandbox.act("deadline", "fail", job=job.id)
    sandbox.forget_requests()
    again = await client.provider.requeue(job, {"FAILED"})
    counts = client.provider.details(again).task_run_status_counts
    assert {word: number for word, number in counts.items() if number} == {"READY": 1, "CANCELED": 5}
    assert len(sandbox.requests("*/tasks")) == 1
    assert len(sandbox.requests("/2023-10-12/batch-update-task")) == 1
    assert (await client.provider.requeue(job)).progress == 0.0
    with pytest.raises(InvalidRequest, match="statuses"):
        await client.provider.requeue(job, "FAILED")


async def test_archive_ends_a_job(client: Deadline, sandbox: Sandbox) -> None:
    """An archived job that was not done counts as cancelled; one that was stays done."""
    open_, done = [await client.jobs.create("x", template=TEMPLATE) for _ in range(2)]
    sandbox.act("deadline", "finish", job=done.id)
    archived = await client.provider.archive(open_)
    assert (archived.state, archived.vendor_state, archived.ended) == (JobState.CANCELLED, "ARCHIVED", True)
    assert client.provider.details(archived).archived
    assert (await client.provider.archive(done)).state is JobState.DONE


async def test_limits_of_a_job(client: Deadline) -> None:
    """How much a job may use of the farm can be changed while it runs."""
    job = await client.jobs.create("x", template=TEMPLATE)
    changed = client.provider.details(
        await client.provider.set_limits(job, max_failed_tasks=1, max_retries_per_task=2, max_workers=-1)
    )
    assert (changed.max_failed_tasks_count, changed.max_retries_per_task, changed.max_worker_count) == (
        1,
        2,
        -1,
    )
    with pytest.raises(InvalidRequest, match="nothing to change"):
        await client.provider.set_limits(job)


async def test_steps_tasks_sessions_and_actions(client: Deadline, sandbox: Sandbox) -> None:
    """How a job goes can be followed down to what each worker does, with percent and messages."""
    provider = client.provider
    job = await client.jobs.create("x", template=FRAMES)
    sandbox.act("deadline", "start", job=job.id)
    sandbox.act("deadline", "progress", job=job.id, percent=30, message="frame 3")
    (step,) = await provider.steps(job)
    whole = await provider.step(job, step.step_id)
    assert (step.name, step.task_run_status, whole.name) == ("Render", "RUNNING", "Render")
    assert whole.parameter_space is not None
    assert [(one.name, one.type) for one in whole.parameter_space.parameters] == [("Frame", "INT")]
    tasks = await provider.tasks(job, step.step_id)
    assert [task.parameters for task in tasks] == [{"Frame": IntValue(str(frame))} for frame in (1, 2, 3)]
    assert await provider.task(job, step.step_id, tasks[1].task_id) == tasks[1]
    sessions = await provider.sessions(job)
    session = await provider.session(job, sessions[0].session_id)
    assert session.log is not None
    assert session.log.parameters == {"logStreamName": session.session_id}
    (action,) = await provider.actions(job, task_id=tasks[0].task_id)
    assert (action.status, action.progress_percent, action.definition) == (
        *("RUNNING", 30.0),
        TaskRun(step_id=step.step_id, task_id=tasks[0].task_id, parameters=tasks[0].parameters),
    )
    assert action.progress_message is None
    assert (await provider.action(job, action.session_action_id)).progress_message == "frame 3"
    told = await provider.messages(job, [task.latest_session_action_id or "" for task in tasks])
    assert {one.progress_message for one in told.values()} == {"frame 3"}
    assert sum([len(await provider.actions(job, session_id=one.session_id)) for one in sessions]) >= 3
    with pytest.raises(InvalidRequest, match="session_id= or task_id="):
        await provider.actions(job)


async def test_update_of_a_step(client: Deadline) -> None:
    """All tasks of a step can be told at once."""
    job = await client.jobs.create("x", template=FRAMES)
    (step,) = await client.provider.steps(job)
    await client.provider.update_step(job, step.step_id, "SUSPENDED")
    assert {task.run_status for task in await client.provider.tasks(job, step.step_id)} == {"SUSPENDED"}
    with pytest.raises(BulkError) as bulk:
        await client.provider.update_tasks(
            job, [(step.step_id, step.step_id.replace("step", "task") + "-9")], "PENDING"
        )
    assert [type(error) for error in bulk.value.failed.values()] == [NotFound]


async def test_farm_queues_and_profiles(client: Deadline) -> None:
    """What is around the jobs is typed, too."""
    provider = client.provider
    assert [farm.display_name for farm in await provider.farms()] == ["Sandbox"]
    queues = {queue.queue_id: queue for queue in await provider.queues()}
    queue = await provider.queue()
    assert queue.queue_id in queues
    assert queue.job_attachment_settings is not None
    assert queue.job_attachment_settings.s3_bucket_name == "callsheet-sandbox"
    profiles = await provider.storage_profiles()
    one = await provider.storage_profile(profiles[0].storage_profile_id)
    assert (one.storage_profile_id, one.os_family) == (profiles[0].storage_profile_id, profiles[0].os_family)
    assert one.file_system_locations


async def test_parameter_definitions(client: Deadline) -> None:
    """A job's parameters are told as its template defines them."""
    job = await client.jobs.create("x", template=FRAMES)
    definitions = await client.provider.parameter_definitions(job)
    assert [(one["name"], one["type"]) for one in definitions] == [
        (one["name"], one["type"]) for one in FRAMES["parameterDefinitions"]
    ]


async def test_tags(client: Deadline) -> None:
    """Tags are put on, read and taken off: of a job, of its id, or of anything by AWS's own name."""
    provider = client.provider
    job = await client.jobs.create("x", template=TEMPLATE, vendor={"tags": {"show": "a b"}})
    farm, queue = sent_ids(client)
    place = f"arn:aws:deadline:us-west-2:123456789012:farm/{farm}/queue/{queue}"
    assert await provider.arn(job) == await provider.arn(job.id) == f"{place}/job/{job.id}"
    assert await provider.tags(job) == {"show": "a b"}
    await provider.tag(job.id, {"shot": "sh010", "é": "&="})
    assert await provider.tags(f"{place}/job/{job.id}") == {"show": "a b", "shot": "sh010", "é": "&="}
    await provider.untag(job, ["show", "é"])
    assert await provider.tags(job) == {"shot": "sh010"}
    await provider.tag(place, {"studio": "ours"})
    assert await provider.tags(place) == {"studio": "ours"}
    with pytest.raises(InvalidRequest, match="keys must be a list"):
        await provider.untag(job, "shot")
    for nothing in ("nope", "arn:aws:deadline:us-west-2:123456789012:farm/x"):
        with raises_for(nothing, NotFound):
            await provider.tags(nothing)


@pytest.mark.parametrize(
    ("role", "whose", "asked"),
    [
        ("arn:aws-us-gov:iam::210987654321:role/queue", "aws-us-gov:deadline:us-west-2:210987654321", 0),
        (None, "aws:deadline:us-west-2:123456789012", 1),
    ],
)
async def test_whose_a_job_is(
    client: Deadline,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    role: str | None,
    whose: str,
    asked: int,
) -> None:
    """A job's name has the account of the queue's role; where the queue has none, that of the credentials."""
    server = client.provider._server
    queue = attrs.evolve(await server.settings(), role_arn=role)
    monkeypatch.setattr(server, "_settings", queue)
    names = {await client.provider.arn(f"job-{7:032x}") for _ in range(2)}
    assert names == {f"arn:{whose}:farm/{server.farm}/queue/{server.queue}/job/job-{7:032x}"}
    assert len(sandbox.requests("/", method="POST")) == asked


async def test_any_other_call(client: Deadline, sandbox: Sandbox) -> None:
    """Whatever callsheet has no word for can be asked for, signed and with its errors."""
    job = await client.jobs.create("x", template=TEMPLATE)
    farm, queue = sent_ids(client)
    path = f"/2023-10-12/farms/{farm}/queues/{queue}/jobs/{job.id}"
    assert (await client.provider.request("GET", path))["jobId"] == job.id
    assert await client.provider.request("PATCH", path, {"priority": 1}, token=True) == {}
    assert (await client.jobs.get(job)).priority == 1
    with pytest.raises(NotFound) as missing:
        await client.provider.request("GET", f"{path[:-4]}0000")
    assert missing.value.code == "ResourceNotFoundException"
    with pytest.raises(InvalidRequest, match="slash"):
        await client.provider.request("GET", "farms")
    with pytest.raises(InvalidRequest, match="JSON"):
        await client.provider.request("POST", path, {"a": {1}})


def sent_ids(client: Deadline) -> tuple[str, str]:
    """Return the ids of the farm and the queue."""
    farm, queue = client.provider.tracker.removeprefix("deadline://").partition("?")[0].split("/")
    return farm, queue


async def test_ids_do_not_break_out_of_their_place(client: Deadline, sandbox: Sandbox) -> None:
    """Whatever stands in an id, the request stays inside its path."""
    for hostile in ("../../../farms", "job-1/../x", "a?b=c", "a#b", "job-\u00e9"):
        with raises_for(hostile, (NotFound, ResponseError, InvalidRequest)):
            await client.provider.steps(hostile)
    assert all("/queues/" in request.target and "/steps" in request.target for request in sandbox.requests())


async def test_lists_of_values(client: Deadline) -> None:
    """Parameters that are lists are sent and read as such."""
    template = {
        **FRAMES,
        "extensions": ["EXPR"],
        "parameterDefinitions": [{"name": "Layers", "type": "LIST[STRING]"}],
    }
    job = await client.jobs.create("x", template=template, parameters={"Layers": ["beauty", "depth"]})
    assert client.provider.details(job).parameters == {"Layers": StringListValue(("beauty", "depth"))}
    assert job.attributes == {"Layers": ["beauty", "depth"]}


async def test_jobs_are_made_at_the_same_time(client: Deadline, sandbox: Sandbox) -> None:
    """Many jobs of one call are made several at a time, and come back in the order given."""
    new = [NewJob(name=f"job {index}", template=TEMPLATE) for index in range(30)]
    with anyio.fail_after(20):
        made = await client.jobs.create_many(new)
    assert [job.name for job in made] == [one.name for one in new]
    assert sandbox.connections().most > 1

"""Every request that callsheet makes of Deadline is one that AWS's own model of the service knows."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qsl, unquote

import anyio.to_thread
import botocore.session
import pytest
from botocore.validate import ParamValidator

from callsheet import Client, JobState
from callsheet.providers.deadline import DeadlineProvider
from callsheet.sandbox import Sandbox
from callsheet.sandbox._controls import Request
from support.deadlinehand import ARN, TEMPLATE

Deadline = Client[DeadlineProvider]


@pytest.fixture(scope="module")
def model() -> Any:
    """AWS's own model of the service."""
    return botocore.session.get_session().get_service_model("deadline")


def operation_of(model: Any, request: Request) -> tuple[Any, dict[str, Any]]:
    """Return the operation that a request is of, and the names in its path."""
    path = request.target.partition("?")[0]
    for name in model.operation_names:
        operation = model.operation_model(name)
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", operation.http["requestUri"])
        if operation.http["method"] == request.method and (match := re.fullmatch(pattern, path)):
            return operation, {name: unquote(value) for name, value in match.groupdict().items()}
    raise AssertionError(f"no operation of Deadline's is {request.method} {path}")


def faults_of(model: Any, request: Request) -> list[str]:
    """Return what AWS's model finds wrong with a request."""
    operation, labels = operation_of(model, request)
    shape = operation.input_shape
    members = {inner.serialization.get("name", name): name for name, inner in shape.members.items()}
    given: dict[str, Any] = dict(labels)
    for name, value in parse_qsl(request.target.partition("?")[2], keep_blank_values=True):
        inner = shape.members[members[name]]
        kind = inner.type_name
        given[members[name]] = [*given.get(members[name], []), value] if kind == "list" else value
        if kind == "integer":
            given[members[name]] = int(value)
    if request.body:
        given |= json.loads(request.body)
    wrong = [f"{operation.name}: no member {name}" for name in given if name not in shape.members]
    if "clientToken" in shape.members:
        token = request.headers.get("x-amz-client-token", "")
        wrong += [] if 1 <= len(token) <= 64 else [f"{operation.name}: the token {token!r}"]
    report = ParamValidator().validate(given, shape)
    if report.has_errors():
        wrong.append(f"{operation.name}: {report.generate_report()}")
    return wrong + _patterns(operation.name, shape, given)


def _patterns(where: str, shape: Any, value: Any) -> list[str]:
    """Return the ids and words that are not of the form that the model asks for."""
    if shape.type_name == "structure":
        return [
            one
            for name, inner in shape.members.items()
            if name in value
            for one in _patterns(f"{where}.{name}", inner, value[name])
        ]
    if shape.type_name == "list":
        return [one for item in value for one in _patterns(f"{where}[]", shape.member, item)]
    if shape.type_name != "string":
        return []
    pattern, enum = shape.metadata.get("pattern"), getattr(shape, "enum", None)
    wrong = (pattern and not re.search(pattern, value)) or (enum and value not in enum)
    return [f"{where}: {value!r}"] if wrong else []


async def test_every_request_is_known(client: Deadline, sandbox: Sandbox, model: Any) -> None:
    """A day's work asks only for what the model has, with members, ids and words as it wants them."""
    provider, jobs = client.provider, client.jobs
    template = {**TEMPLATE, "parameterDefinitions": [{"name": "Shot", "type": "STRING"}]}
    values = {"template": template, "parameters": {"Shot": "sh010"}, "state": JobState.PAUSED}
    vendor = {"tags": {"a": "b"}, "maxWorkerCount": -1, "storageProfileId": f"sp-{1:032x}"}
    one = await jobs.create("x", description="d", priority=1, vendor=vendor, **values)  # type: ignore[arg-type]  # fields of several types
    other = await jobs.rerun(one, idempotency_key="with blank")
    await provider.resume(one)
    await jobs.update(one, name="y", description="", priority=2)
    await jobs.update_many([one, other], state=JobState.QUEUED, priority=3)
    sandbox.act("deadline", "fail", job=one.id)
    (step,) = await provider.steps(one)
    (task,) = await provider.tasks(one, step.step_id)
    await provider.step(one, step.step_id)
    await provider.task(one, step.step_id, task.task_id)
    session, *_ = await provider.sessions(one)
    action, *_ = await provider.actions(one, session_id=session.session_id)
    await provider.session(one, session.session_id)
    await provider.actions(one, task_id=task.task_id)
    await provider.action(one, action.session_action_id)
    await jobs.problem(one)
    await provider.requeue(one)
    await provider.update_step(one, step.step_id, "SUSPENDED")
    sandbox.act("deadline", "start", job=other.id)
    started, *_ = await provider.sessions(other)
    await provider.end_session(other, started.session_id)
    await jobs.get_many([one, other])
    after = one.created_at
    for newest_first in (True, False):
        listing = jobs.list(
            states=set(JobState),
            user=f"{ARN}sandbox",
            attributes={"Shot": "sh010"},
            created_after=after,
            newest_first=newest_first,
            page_size=1,
        )
        assert len(await listing.collect()) == 2
    await jobs.count(states=set(JobState), created_after=after)
    await provider.set_limits(one, max_failed_tasks=1, max_retries_per_task=1, max_workers=2)
    person = f"{1:08x}-0000-0000-0000-{1:012x}"
    await provider.add_member(one, person, level="OWNER", identity_store="d-1234567890")
    await jobs.allows(one, "abort", person)
    await provider.remove_member(one, person)
    await provider.parameter_definitions(one)
    arn = f"arn:aws:deadline:us-west-2:123456789012:farm/farm-{1:032x}/queue/queue-{1:032x}/job/{one.id}"
    await provider.tag(arn, {"a": "b c"})
    await provider.tags(arn)
    await provider.untag(arn, ["a", "c"])
    for around in (provider.farms, provider.queues, provider.queue, provider.storage_profiles):
        await around()
    await provider.storage_profile(f"sp-{1:032x}")
    await provider._server.role().keys()
    await provider._server.role("read").keys()
    await jobs.cancel(other)
    await provider.archive(one)

    def judged() -> tuple[int, list[str]]:
        requests = [request for request in sandbox.requests() if request.target.startswith("/2023-10-12/")]
        faults = [fault for request in requests for fault in faults_of(model, request)]
        return len({operation_of(model, request)[0].name for request in requests}), faults

    assert await anyio.to_thread.run_sync(judged) == (32, [])


async def test_a_template_is_copied_to_s3(client: Deadline, sandbox: Sandbox, model: Any) -> None:
    """Deadline is asked to write a job's template to a bucket, and says of what kind it is."""
    job = await client.jobs.create("x", template=TEMPLATE)
    sandbox.faults.add(
        "answer",
        path="*/template",
        status=200,
        headers={"content-type": "application/json"},
        body='{"templateType": "JSON"}',
    )
    assert await client.provider.copy_template(job, bucket="films", key="t.json") == "JSON"
    (request,) = sandbox.requests("*/template")
    assert await anyio.to_thread.run_sync(faults_of, model, request) == []
    assert json.loads(request.body) == {"targetS3Location": {"bucketName": "films", "key": "t.json"}}

"""A farm, network or clock in trouble: each as promised, on Deadline."""

from __future__ import annotations

import json
from typing import Any

import anyio
import attrs
import pytest

from callsheet import (
    BulkError,
    Client,
    Denied,
    InvalidResponse,
    JobState,
    NewJob,
    NotFound,
    Outcome,
    RateLimited,
    TransportError,
    Unavailable,
)
from callsheet.providers.deadline import DeadlineProvider, _batches, _jobs
from callsheet.providers.deadline._pace import Pace
from callsheet.sandbox import Sandbox
from support.deadlinehand import FARM, QUEUE, TEMPLATE
from support.roads import QUICK

Deadline = Client[DeadlineProvider]


def quick() -> Deadline:
    """Return a client that tries as often as others, with hardly a pause."""
    provider = DeadlineProvider(FARM, QUEUE)
    provider._server.options = attrs.evolve(provider._server.options, retry=QUICK)
    return Client(provider)


PASSING: list[tuple[str, dict[str, Any]]] = [
    ("lost", {}),
    ("cut", {"after": 20}),
    ("reset", {}),
    ("reset", {"after": 100}),
    ("html", {"status": 502}),
    ("status", {"status": 503}),
    ("status", {"status": 429, "retry_after": 0}),
]


@pytest.mark.parametrize(("kind", "options"), PASSING)
async def test_trouble_while_a_job_is_made(
    client: Deadline, sandbox: Sandbox, kind: str, options: dict[str, Any]
) -> None:
    """Whatever happens to the first try, one job is made and returned, under one token."""
    sandbox.faults.add(kind, path="*/jobs", method="POST", nth=1, **options)
    job = await client.jobs.create("x", template=TEMPLATE, idempotency_key="k-1")
    assert (job.name, job.state) == ("x", JobState.QUEUED)
    assert await client.jobs.count() == 1
    tokens = {
        request.headers["x-amz-client-token"]
        for request in sandbox.requests("*/queues/*/jobs", method="POST")
    }
    assert tokens == {"k-1"}


@pytest.mark.parametrize(("kind", "options"), PASSING)
async def test_trouble_while_jobs_are_read_and_changed(
    client: Deadline, sandbox: Sandbox, kind: str, options: dict[str, Any]
) -> None:
    """Searches, looks and changes are made again, and bring what is there."""
    job = await client.jobs.create("x", template=TEMPLATE)
    sandbox.faults.add(kind, path="*/search/jobs", nth=1, **options)
    sandbox.faults.add(kind, path="*/batch-get-job", nth=1, **options)
    sandbox.faults.add(kind, path="*/jobs/*", method="PATCH", nth=1, **options)
    assert [one.id async for one in client.jobs.list()] == [job.id]
    assert await client.jobs.get_many([job, f"job-{1:032x}"]) == [job, None]
    assert (await client.jobs.update(job, name="y")).name == "y"


async def test_giving_up_says_what_happened(sandbox: Sandbox) -> None:
    """When no answer comes at all, the error says that nobody knows, and its key makes a repeat safe."""
    async with quick() as client:
        sandbox.faults.add("lost", path="*/jobs", method="POST")
        with pytest.raises(TransportError) as caught:
            await client.jobs.create("x", template=TEMPLATE)
        assert caught.value.outcome is Outcome.UNKNOWN
        sandbox.faults.clear()
        job = await client.jobs.create("x", template=TEMPLATE, idempotency_key=caught.value.idempotency_key)
        assert [one.id async for one in client.jobs.list()] == [job.id]


async def test_a_job_that_was_made_but_not_seen(sandbox: Sandbox) -> None:
    """If only the look at a new job fails, the error says that it was made."""
    async with quick() as client:
        sandbox.faults.add("status", path="*/jobs/*", method="GET", status=503)
        with pytest.raises(Unavailable) as caught:
            await client.jobs.create("x", template=TEMPLATE, idempotency_key="k-1")
        assert (caught.value.outcome, caught.value.idempotency_key) == (Outcome.DONE, "k-1")


@pytest.mark.parametrize(
    ("fault", "options", "outcome"),
    [
        ("lost", {"path": "*/jobs", "method": "POST"}, Outcome.UNKNOWN),
        ("status", {"path": "*/jobs/*", "method": "GET", "status": 503}, Outcome.DONE),
        ("status", {"path": "*/jobs", "method": "POST", "status": 403}, Outcome.NOT_DONE),
    ],
)
async def test_what_became_of_many_jobs(
    sandbox: Sandbox, fault: str, options: dict[str, Any], outcome: Outcome
) -> None:
    """If none of several jobs came back, the error of all says what those of each say."""
    async with quick() as client:
        sandbox.faults.add(fault, **options)
        with pytest.raises(BulkError) as caught:
            await client.jobs.create_many(
                [NewJob(name=key, template=TEMPLATE, idempotency_key=key) for key in ("a", "b")]
            )
        assert (caught.value.done, caught.value.outcome) == ([], outcome)
        told = [vars(error) for error in caught.value.failed.values()]
        assert [(one["outcome"], one["idempotency_key"]) for one in told] == [(outcome, "a"), (outcome, "b")]


async def test_a_change_that_was_made_but_not_seen(sandbox: Sandbox) -> None:
    """If only the look after a change fails, the error says that the change was made."""
    ids = sandbox.act("deadline", "make", number=2)["jobs"]
    async with quick() as client:
        for call in (
            lambda: client.jobs.update(ids[0], priority=3),
            lambda: client.jobs.update_many(ids, priority=4),
            lambda: client.provider.suspend(ids[0]),
        ):
            sandbox.faults.add("status", path="*/jobs/*", method="GET", status=503)
            sandbox.faults.add("status", path="*/batch-get-job", status=503)
            with pytest.raises(Unavailable) as caught:
                await call()
            assert caught.value.outcome is Outcome.DONE
            sandbox.faults.clear()
        found = [await client.jobs.get(id_) for id_ in ids]
        assert [(job.priority, job.state) for job in found] == [(4, JobState.PAUSED), (4, JobState.QUEUED)]


async def test_a_job_that_is_never_seen(
    client: Deadline, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that is not there after a while is told as made, and a repeat with its key returns it."""
    monkeypatch.setattr(_jobs, "PATIENCE", 0.0)
    sandbox.faults.add("status", path="*/jobs/*", method="GET", status=404)
    with pytest.raises(NotFound, match="was made, but is not there yet") as caught:
        await client.jobs.create("x", template=TEMPLATE, idempotency_key="k-1")
    assert (caught.value.outcome, caught.value.idempotency_key) == (Outcome.DONE, "k-1")
    sandbox.faults.clear()
    job = await client.jobs.create("x", template=TEMPLATE, idempotency_key="k-1")
    assert await client.jobs.list().collect() == [await client.jobs.list().first()]
    assert (await client.jobs.get(job)).name == "x"


@pytest.mark.parametrize("body", ["{}", '{"jobId": 7}', "[]"])
async def test_a_job_whose_id_is_not_told(client: Deadline, sandbox: Sandbox, body: str) -> None:
    """An answer that accepts a job and does not say which is told as such, and as done."""
    headers = {"content-type": "application/json"}
    sandbox.faults.add("answer", path="*/jobs", method="POST", status=200, headers=headers, body=body)
    with pytest.raises(InvalidResponse) as caught:
        await client.jobs.create("x", template=TEMPLATE, idempotency_key="k-1")
    assert (caught.value.outcome, caught.value.idempotency_key) == (Outcome.DONE, "k-1")
    assert len(sandbox.requests("*/jobs/*", method="GET")) == 0


async def test_a_batch_of_changes_that_fails(client: Deadline, sandbox: Sandbox) -> None:
    """What was changed by the requests before is told as done, what was not asked for as not done."""
    ids = sandbox.act("deadline", "make", number=230)["jobs"]
    sandbox.faults.add("status", path="*/batch-update-job", status=403, nth=2)
    with pytest.raises(BulkError) as caught:
        await client.jobs.update_many(ids, priority=3)
    assert [job.id for job in caught.value.done] == ids[:100]
    assert list(caught.value.failed) == list(range(100, 230))
    assert isinstance(caught.value.failed[100], Denied)
    assert "not asked for" in str(caught.value.failed[229])
    outcomes = [getattr(error, "outcome", None) for error in caught.value.failed.values()]
    assert outcomes == [Outcome.NOT_DONE] * 130
    found = await client.jobs.get_many(ids)
    assert [job.priority for job in found if job] == [3] * 100 + [50] * 130


async def test_changes_that_are_asked_for_again(
    client: Deadline, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the service cannot change just then is asked for again, alone; the rest is not."""
    one, other = ids = sandbox.act("deadline", "make", number=2)["jobs"]
    monkeypatch.setattr(_batches, "PAUSE", 0.001)
    refusal = {"code": "InternalServerErrorException", "message": "busy", "jobId": other}
    sandbox.faults.add(
        "answer",
        path="*/batch-update-job",
        status=200,
        headers={"content-type": "application/json"},
        body=json.dumps({"errors": [refusal]}),
        nth=1,
    )
    changed = await client.jobs.update_many(ids, priority=3)
    asked = [json.loads(request.body)["jobs"] for request in sandbox.requests("*/batch-update-job")]
    assert [[item["jobId"] for item in items] for items in asked] == [[one, other], [other]]
    assert changed[1].priority == 3


def refused(sandbox: Sandbox, *items: tuple[str, str], **more: Any) -> None:
    """Let batches of changes answer that these jobs cannot be changed, for these reasons."""
    errors = [{"code": code, "message": "no", "jobId": id_} for id_, code in items]
    headers = {"content-type": "application/json"}
    body = json.dumps({"errors": errors})
    sandbox.faults.add("answer", path="*/batch-update-job", status=200, headers=headers, body=body, **more)


BUSY, DENIED = "InternalServerErrorException", "AccessDeniedException"


async def test_changes_that_fail_in_the_end(
    client: Deadline, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a repeat brings, each job's own error is told: a no of before, the last no, or a new one."""
    one, other = ids = sandbox.act("deadline", "make", number=2)["jobs"]
    monkeypatch.setattr(_batches, "PAUSE", 0.001)
    cases: list[tuple[list[tuple[str, str]], dict[str, Any], int, dict[int, type[Exception]]]] = [
        ([(one, DENIED), (other, BUSY)], {"nth": 1}, 2, {0: Denied}),
        ([(other, BUSY)], {}, 4, {1: Unavailable}),
        ([(other, BUSY)], {"nth": 1}, 2, {1: Denied}),
    ]
    for number, (items, when, requests, failed) in enumerate(cases):
        sandbox.faults.clear()
        sandbox.forget_requests()
        refused(sandbox, *items, **when)
        if number == 2:
            sandbox.faults.add("status", path="*/batch-update-job", status=403)
        with pytest.raises(BulkError) as caught:
            await client.jobs.update_many(ids, priority=3)
        assert {index: type(error) for index, error in caught.value.failed.items()} == failed
        assert [job.id for job in caught.value.done] == [id_ for i, id_ in enumerate(ids) if i not in failed]
        assert len(sandbox.requests("*/batch-update-job")) == requests
    sandbox.faults.clear()
    sandbox.faults.add("status", path="*/batch-update-job", status=403)
    with pytest.raises(Denied):
        await client.jobs.update_many(ids, priority=4)


async def test_a_look_that_is_never_had(
    client: Deadline, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that a batch cannot look up, however often it is asked, is an error, and not gone."""
    monkeypatch.setattr(_batches, "PAUSE", 0.001)
    ids = sandbox.act("deadline", "make", number=3)["jobs"]
    sandbox.act("deadline", "refuse", job=ids[1], code=BUSY, times=9)
    sandbox.forget_requests()
    with pytest.raises(Unavailable, match=ids[1]):
        await client.jobs.get_many(ids)
    assert len(sandbox.requests("*/batch-get-job")) == 4


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("*/search/jobs", "[]"),
        ("*/search/jobs", "{}"),
        ("*/search/jobs", '{"jobs": [{"jobId": "job-1"}], "totalResults": 1}'),
        ("*/search/jobs", '{"jobs": [{"jobId": "job-1", "createdAt": null}], "totalResults": 1}'),
        ("*/search/jobs", '{"jobs": [], "totalResults": 1, "nextItemOffset": 0}'),
        ("*/search/jobs", '{"jobs": [7], "totalResults": 1}'),
        ("*/search/jobs", "<html>"),
    ],
)
async def test_answers_that_make_no_sense(client: Deadline, sandbox: Sandbox, path: str, body: str) -> None:
    """An answer of the wrong shape is told as such, with the place in it; no page is cut short silently."""
    sandbox.faults.add(
        "answer", path=path, status=200, headers={"content-type": "application/json"}, body=body
    )
    with pytest.raises(InvalidResponse) as caught:
        await client.jobs.list().collect()
    assert caught.value.path.startswith("$")


async def test_a_batch_that_leaves_one_out(client: Deadline, sandbox: Sandbox) -> None:
    """A batch that says nothing of a job is no word that the job is gone."""
    ids = sandbox.act("deadline", "make", number=2)["jobs"]
    body = '{"jobs": [], "errors": []}'
    headers = {"content-type": "application/json"}
    sandbox.faults.add("answer", path="*/batch-get-job", status=200, headers=headers, body=body)
    with pytest.raises(InvalidResponse, match="nothing about job-"):
        await client.jobs.get_many(ids)


@pytest.mark.parametrize(("token", "requests"), [('"again"', 2), ("7", 1)])
async def test_a_list_that_does_not_get_on(
    client: Deadline, sandbox: Sandbox, token: str, requests: int
) -> None:
    """A list that hands out the same page again is told as such, instead of being read for ever."""
    body = f'{{"farms": [], "nextToken": {token}}}'
    headers = {"content-type": "application/json"}
    sandbox.faults.add("answer", path="/2023-10-12/farms", status=200, headers=headers, body=body)
    with pytest.raises(InvalidResponse, match="the same page again"):
        await client.provider.farms()
    assert len(sandbox.requests("/2023-10-12/farms")) == requests


async def test_a_clock_that_is_wrong(sandbox: Sandbox) -> None:
    """A clock half an hour off is set by the service's at the first refusal, and all goes on."""
    sandbox.configure("deadline", check_clock=True)
    sandbox.clock.advance(1800)
    async with Client(DeadlineProvider(FARM, QUEUE)) as client:
        job = await client.jobs.create("x", template=TEMPLATE)
        assert await client.jobs.get(job) == job
        refused = [request for request in sandbox.requests() if request.status == 403]
        assert len(refused) == 1


async def test_a_farm_that_is_asked_too_much(sandbox: Sandbox) -> None:
    """A service that takes few requests a second gets no more from all tasks together, and none is lost."""
    ids = sandbox.act("deadline", "make", number=40)["jobs"]
    async with Client(DeadlineProvider(FARM, QUEUE)) as client:
        sandbox.configure("deadline", requests_per_second=40, retry_after=0)
        found: list[str] = []

        async def look(id_: str) -> None:
            found.append((await client.jobs.get(id_)).id)

        async with anyio.create_task_group() as tasks:
            for id_ in ids:
                tasks.start_soon(look, id_)
        assert sorted(found) == sorted(ids)


# -- the pace ------------------------------------------------------------------------------------------------


async def test_pace_without_trouble() -> None:
    """As long as nobody says no, nobody waits."""
    pace = Pace()
    began = anyio.current_time()
    for _ in range(1000):
        await pace.turn()
        pace.succeeded()
    assert pace.rate is None
    assert anyio.current_time() - began < 5


async def test_pace_after_a_refusal() -> None:
    """A refusal halves the pace once for all that came together, and successes bring it back."""
    pace = Pace()
    for _ in range(20):
        await pace.turn()
    pace.refused(0)
    halved = pace.rate
    assert halved is not None
    for _ in range(19):
        pace.refused(0)
    assert pace.rate == halved
    for _ in range(20):
        pace.succeeded()
    assert pace.rate is None


async def test_pace_waits_as_told() -> None:
    """Nobody's turn comes before the time that the service named, in whatever order they ask."""
    pace = Pace()
    await pace.turn()
    pace.refused(0.2)
    began = anyio.current_time()
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(pace.turn)
    assert anyio.current_time() - began >= 0.2


async def test_a_limit_that_is_never_lifted(sandbox: Sandbox) -> None:
    """A service that refuses for longer than a call may take is told as such, with its own wish."""
    async with Client(DeadlineProvider(FARM, QUEUE)) as client:
        sandbox.faults.add("status", path="*/search/jobs", status=429, retry_after=600)
        with pytest.raises(RateLimited) as caught:
            await client.jobs.list().first()
        assert caught.value.retry_after == 600

"""Watching Vidispine's jobs: in how many requests, what is never missed, and what it tells by itself."""

from __future__ import annotations

import gc
import json
from collections.abc import AsyncIterator
from typing import Any
from unittest import mock

import anyio
import pytest

from callsheet import Client, ConfigError, Job, JobState
from callsheet.abc import JobFilter
from callsheet.providers.vidispine import NotificationApp, VidispineProvider, _watching
from callsheet.sandbox import Sandbox
from support import scale
from support.roads import until
from support.tables import raises_for

Vidispine = Client[VidispineProvider]

SECRET = "a-secret-of-24-characters"


@pytest.fixture(autouse=True)
def still(sandbox: Sandbox) -> None:
    """Let jobs go on only as the test says."""
    sandbox.configure("vidispine", runs=False)


def make(sandbox: Sandbox, number: int, **facts: Any) -> list[str]:
    ids: list[str] = sandbox.act("vidispine", "new", **({"type": "STUDIO_RENDER"} | facts), number=number)
    return ids


def act(sandbox: Sandbox, *ids: str, **changes: Any) -> None:
    sandbox.act("vidispine", "jobs", ids=list(ids), **changes)


def asked(sandbox: Sandbox) -> tuple[int, int]:
    """Return how many pages and how many single jobs were asked for since the last time."""
    targets = [request.path for request in sandbox.requests("/API/job*", method="GET")]
    sandbox.forget_requests()
    single = sum(path.startswith("/API/job/") for path in targets)
    return len(targets) - single, single


# -- requests ------------------------------------------------------------------------------------------------


async def test_requests_of_a_sweep(client: Vidispine, sandbox: Sandbox) -> None:
    """A sweep is the pages of what is unfinished, and one request for each job that has left them."""
    number = scale(400, 1000)
    made = make(sandbox, number, status="STARTED")
    provider, ids = client.provider, frozenset(made)
    first = await provider.sweep(ids, [], None)
    pages = number // 200
    assert {job.id for job in first.jobs.values() if job} == ids
    print(f"watching {number} jobs, none ended: {pages} requests")
    assert asked(sandbox) == (pages, 0)
    act(sandbox, *made[:7], status="FINISHED")
    act(sandbox, made[7], vanish=True)
    second = await provider.sweep(ids, [], first.mark)
    print(f"watching {number} jobs, 8 left: {pages} + 8 requests")
    assert asked(sandbox) == (pages, 8)
    words = [job and job.vendor_state for job in map(second.jobs.__getitem__, made[5:9])]
    assert words == ["FINISHED", "FINISHED", None, "STARTED"]


async def test_few_jobs_are_asked_for_by_themselves(client: Vidispine, sandbox: Sandbox) -> None:
    """For a few jobs, nobody reads through all that a busy server does."""
    make(sandbox, 500, status="STARTED")
    few = make(sandbox, 8)
    found = await client.provider.sweep(frozenset(few), [], None)
    assert found.jobs.keys() == {*few}
    assert asked(sandbox) == (0, 8)


async def test_a_filter_reads_only_what_may_match(client: Vidispine, sandbox: Sandbox) -> None:
    """One filter alone is watched by the pages of its own jobs."""
    make(sandbox, 500, status="STARTED")
    janes = make(sandbox, 3, status="STARTED", user="jane")
    filters = [JobFilter(user="jane")]
    first = await client.provider.sweep(frozenset(), filters, None)
    assert first.jobs.keys() == {*janes}
    asked(sandbox)
    second = await client.provider.sweep(frozenset(janes), filters, first.mark)
    assert second.jobs.keys() == {*janes}
    assert asked(sandbox) == (
        5,
        0,
    )  # of jane's what is unfinished and what has ended; all that was made lately


async def test_all_are_waited_for(client: Vidispine, sandbox: Sandbox) -> None:
    """Many that end one after the other are all seen to their end."""
    made = make(sandbox, 60, status="STARTED")

    async def end() -> None:
        for start in range(0, 60, 20):
            await anyio.sleep(0.03)
            act(sandbox, *made[start : start + 20], status="FINISHED")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(end)
        jobs = await client.jobs.wait_all(made, timeout=20)
    assert [(job.id, job.state) for job in jobs] == [(id_, JobState.DONE) for id_ in made]


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("FINISHED", JobState.DONE),
        ("FINISHED_WARNING", JobState.DONE),
        ("FAILED_TOTAL", JobState.FAILED),
        ("ABORTED", JobState.CANCELLED),
    ],
)
async def test_every_end_ends_a_wait(client: Vidispine, sandbox: Sandbox, word: str, state: JobState) -> None:
    """However a job ends, whoever waits for it or watches is told, and what goes on has not ended."""
    (id_,) = make(sandbox, 1, status="STARTED")
    for going in ("WAITING", "HOLD", "VIDINET_JOB", "ABORTED_PENDING", "ABORT_PENDING", "TELEPORTING"):
        act(sandbox, id_, status=going)
        assert not (await client.jobs.get(id_)).ended, going
    watch = client.jobs.watch(id_)
    assert (await anext(watch)).previous is None
    act(sandbox, id_, status=word)
    job = await client.jobs.wait(id_, timeout=20)
    assert (job.state, job.vendor_state, job.ended) == (state, word, True)
    assert [change.current async for change in watch] == [job]


# -- filters -------------------------------------------------------------------------------------------------


async def test_ends_between_two_looks(client: Vidispine, sandbox: Sandbox) -> None:
    """A filter sees jobs that began to match by ending, and jobs that were made and ended in between."""
    old = make(sandbox, 2, status="STARTED")
    filters = [JobFilter(states=frozenset({JobState.DONE}), types=frozenset({"STUDIO_RENDER"}))]
    first = await client.provider.sweep(frozenset(), filters, None)
    assert first.jobs == {}
    act(sandbox, old[0], status="FINISHED")
    brief = make(sandbox, 2, status="FINISHED")
    make(sandbox, 1, status="FINISHED", type="EXPORT")
    second = await client.provider.sweep(frozenset(), filters, first.mark)
    assert {id_ for id_, job in second.jobs.items() if job} == {old[0], *brief}
    act(sandbox, old[1], status="TELEPORTING")
    third = await client.provider.sweep(frozenset(), filters, second.mark)
    act(sandbox, old[1], status="FINISHED")
    fourth = await client.provider.sweep(frozenset(), filters, third.mark)
    assert old[1] in fourth.jobs


async def test_what_has_ended_is_not_asked_for_again(client: Vidispine, sandbox: Sandbox) -> None:
    """A job whose end a filter has seen costs no requests from then on."""
    one, other = make(sandbox, 2, status="STARTED")
    filters, mark = [JobFilter(types=frozenset({"STUDIO_RENDER"}))], None
    for id_ in (one, other):
        mark = (await client.provider.sweep(frozenset(), filters, mark)).mark
        sandbox.clock.advance(3600)
        act(sandbox, id_, status="FINISHED")
        make(sandbox, 1, status="FINISHED")
    found = await client.provider.sweep(frozenset(), filters, mark)
    assert other in found.jobs
    asked(sandbox)
    await client.provider.sweep(frozenset(), filters, found.mark)
    assert asked(sandbox)[1] == 0


async def test_the_end_of_what_no_listing_had(client: Vidispine, sandbox: Sandbox) -> None:
    """A watch sees the end of a job that was in a state nobody knows, or had no item yet, when it began."""
    strange, bare, other = make(sandbox, 3)
    act(sandbox, strange, bare, other, status="TELEPORTING")
    sandbox.clock.advance(3600)
    make(sandbox, 1)
    by_end = JobFilter(states=frozenset({JobState.DONE, JobState.FAILED}), types=frozenset({"STUDIO_RENDER"}))
    for wanted, id_, data in ((by_end, strange, {}), (JobFilter(item="VX-5"), bare, {"itemId": "VX-5"})):
        first = await client.provider.sweep(frozenset(), [wanted], None)
        assert first.jobs == {}
        act(sandbox, id_, status="FINISHED", data=data)
        sandbox.clock.advance(3600)
        asked(sandbox)
        second = await client.provider.sweep(frozenset(), [wanted], first.mark)
        assert {id_: job and job.vendor_state for id_, job in second.jobs.items()} == {id_: "FINISHED"}
        assert asked(sandbox) == (3, 0)
        third = await client.provider.sweep(frozenset(), [wanted], second.mark)
        assert third.jobs.keys() <= {id_}
    watch = client.jobs.watch(states={JobState.FAILED})
    async with anyio.create_task_group() as tasks:
        changes: list[Any] = []

        async def read() -> None:
            changes.append(await anext(watch))

        tasks.start_soon(read)
        await until(lambda: len(sandbox.requests("/API/job*")) >= 10)
        act(sandbox, other, status="FAILED_TOTAL")
    assert [(change.previous, change.current.id) for change in changes] == [(None, other)]


async def test_a_filter_that_comes_later(client: Vidispine, sandbox: Sandbox) -> None:
    """A filter that joins those who wait for named jobs is told of what it matches, and misses no end."""
    (named,) = make(sandbox, 1)
    (running,) = make(sandbox, 1, status="STARTED", user="jane")
    named_only = await client.provider.sweep(frozenset([named]), [], None)
    filters = [JobFilter(user="jane", states=frozenset({JobState.DONE}))]
    assert (await client.provider.sweep(frozenset(), filters, None)).jobs == {}
    act(sandbox, running, status="FINISHED")  # before the look for all of them
    both = await client.provider.sweep(frozenset([named]), filters, named_only.mark)
    assert both.jobs.keys() == {named, running}


async def test_a_server_with_more_to_do_than_is_watched(client: Vidispine, sandbox: Sandbox) -> None:
    """Where reading all that is unfinished would cost more, the rest is asked for one by one."""
    make(sandbox, 1000, status="STARTED")
    made = make(sandbox, 10, status="STARTED")
    found = await client.provider.sweep(frozenset(made), [], None)
    assert found.jobs.keys() == {*made}
    assert asked(sandbox) == (2, 10)


async def test_named_jobs_beside_filters(client: Vidispine, sandbox: Sandbox) -> None:
    """Jobs by name and several filters share one look; what is gone is told."""
    janes = make(sandbox, 2, status="STARTED", user="jane")
    adas = make(sandbox, 2, status="STARTED", user="ada")
    (named,) = make(sandbox, 1)
    filters = [JobFilter(user="jane"), JobFilter(user="ada", states=frozenset({JobState.RUNNING}))]
    first = await client.provider.sweep(frozenset([named, "VX-999"]), filters, None)
    assert {id_ for id_, job in first.jobs.items() if job} == {*janes, *adas, named}
    assert first.jobs["VX-999"] is None
    act(sandbox, adas[0], vanish=True)
    second = await client.provider.sweep(frozenset([named, *janes, *adas]), filters, first.mark)
    assert second.jobs[adas[0]] is None


async def test_progress_does_not_go_back(client: Vidispine, sandbox: Sandbox) -> None:
    """From look to look progress rises, whatever the steps say, unless one of them begins anew."""
    (id_,) = make(sandbox, 1, status="STARTED")
    seen = []
    mark = None
    for attempts, value in [(0, 50), (0, 30), (0, 60), (1, 10), (1, 5)]:
        told = {"value": value, "total": 100, "unit": "percent"}
        steps = [{"step": 100, "status": "STARTED", "attempts": attempts, "progress": told}]
        act(sandbox, id_, steps=steps, totalSteps=1)
        sweep = await client.provider.sweep(frozenset([id_]), [], mark)
        mark, job = sweep.mark, sweep.jobs[id_]
        seen.append(job and job.progress)
    assert seen == [0.5, 0.5, 0.6, 0.1, 0.1]


# -- notifications -------------------------------------------------------------------------------------------


class Caller:
    """Calls an ASGI application as a server would."""

    def __init__(self, app: NotificationApp) -> None:
        self._app = app

    async def call(self, body: bytes, *, path: str = f"/jobs/{SECRET}", method: str = "POST") -> int:
        """Send one request in two pieces, and return the status of the answer."""
        pieces = [body[:10], body[10:]]
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": method, "path": path, "headers": []}
        await self._app(scope, receive, send)
        return int(sent[0]["status"])


def note(job_id: str, **more: str) -> bytes:
    """Return what Vidispine tells of a job."""
    fields = {"jobId": job_id, "action": "STOP", "status": "FINISHED"} | more
    return json.dumps({"field": [{"key": key, "value": fields[key]} for key in fields]}).encode()


@pytest.fixture
async def slow(sandbox: Sandbox) -> AsyncIterator[Vidispine]:
    """A client that looks once an hour."""
    async with Client(
        VidispineProvider(sandbox.url, user="admin", password="admin", watch_interval=3600)
    ) as client:
        yield client


async def test_a_call_wakes_those_who_wait(slow: Vidispine, sandbox: Sandbox) -> None:
    """A job that Vidispine tells of is read at once, and it alone."""
    first, second = make(sandbox, 2, status="STARTED")
    caller = Caller(slow.provider.notification_app(secret=SECRET))
    done: list[Job] = []

    async def wait(through: Client[Any], id_: str) -> None:
        done.append(await through.jobs.wait(id_))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait, slow, first)
        tasks.start_soon(wait, slow.as_user("jane"), second)
        await until(lambda: len(sandbox.requests("/API/job/*")) >= 2)
        await anyio.wait_all_tasks_blocked()
        sandbox.forget_requests()
        act(sandbox, first, second, status="FINISHED")
        assert await caller.call(note(first)) == 204
        await until(lambda: bool(done))
        assert done[0].id == first
        assert await caller.call(note(second), method="PUT") == 204
    assert [(job.id, job.state) for job in done] == [(first, JobState.DONE), (second, JobState.DONE)]
    assert all(request.path.startswith("/API/job/") for request in sandbox.requests())


async def test_a_call_tells_a_filter_of_a_new_job(slow: Vidispine, sandbox: Sandbox) -> None:
    """A watch by filter hears of a job that was made since, and of others nothing."""
    caller = Caller(slow.provider.notification_app(secret=SECRET))
    watch = slow.jobs.watch(user="jane")
    (first,) = make(sandbox, 1, user="jane")
    assert (await anext(watch)).current is not None
    (other,) = make(sandbox, 1, user="ada")
    (new,) = make(sandbox, 1, user="jane")
    await caller.call(note(other))
    await caller.call(note(new))
    change = await anext(watch)
    assert (change.previous, change.current and change.current.id) == (None, new)
    act(sandbox, first, vanish=True)
    await caller.call(note(first))
    change = await anext(watch)
    assert (change.previous and change.previous.id, change.current) == (first, None)


async def test_calls_about_jobs_of_others(slow: Vidispine, sandbox: Sandbox) -> None:
    """Who waits for a job by name does not read the others that Vidispine tells of."""
    mine, other = make(sandbox, 2, status="STARTED")
    caller = Caller(slow.provider.notification_app(secret=SECRET))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(slow.jobs.wait, mine)
        await until(lambda: bool(sandbox.requests("/API/job/*")))
        await anyio.wait_all_tasks_blocked()
        sandbox.forget_requests()
        for _ in range(3):
            await caller.call(note(other))
            await anyio.wait_all_tasks_blocked()
        act(sandbox, mine, status="FINISHED")
        await caller.call(note(mine))
    assert {request.path for request in sandbox.requests()} == {f"/API/job/{mine}"}


async def test_calls_that_never_stop(slow: Vidispine, sandbox: Sandbox) -> None:
    """However often Vidispine calls, all that is watched is looked at once an interval."""
    told, untold = make(sandbox, 2, status="STARTED")
    caller = Caller(slow.provider.notification_app(secret=SECRET))
    seen, mark, clock = [], None, mock.Mock()
    with mock.patch.object(_watching, "time", clock):
        for clock.monotonic.return_value in (0, 1500, 3000, 4500):
            await caller.call(note(told))
            sweep = await slow.provider.sweep(frozenset([told, untold]), [], mark)
            seen.append(sorted(sweep.jobs))
            mark = sweep.mark
    assert seen == [[told, untold], [told], [told], [told, untold]]


async def test_calls_that_are_none(slow: Vidispine) -> None:
    """Without the secret there is nothing; what is no notification is refused; nothing of it is a hint."""
    caller = Caller(slow.provider.notification_app(secret=SECRET))
    told = note("VX-1")
    assert await caller.call(told, path="/jobs/") == 404
    assert await caller.call(told, path=f"/{SECRET[:-1]}") == 404
    assert await caller.call(told, path="/jobs/ä") == 404
    assert await caller.call(told, path="/jobs/\udcff") == 404
    assert await caller.call(told, method="GET") == 405
    for body in (
        b"",
        b"{",
        b"[]",
        b'{"field": 7}',
        b'{"field": [{"key": "jobId", "value": 7}]}',
        note("VX-" + "1" * 500),
        b"[" * 9999,
    ):
        assert await caller.call(body) == 400, body
    assert await caller.call(b" " * (1 << 21)) == 413
    assert slow.provider._hints.count == 0
    assert await caller.call(told, path=f"/any/where/{SECRET}/") == 204
    assert slow.provider._hints.since(0) == ["VX-1"]
    for bad in ("short", "x" * 15, "sixteen letters!", "ä" * 16, None):
        with raises_for(bad, ConfigError, match="secret"):
            slow.provider.notification_app(secret=bad)  # type: ignore[arg-type]  # on purpose


async def test_the_life_of_the_application(slow: Vidispine) -> None:
    """The application answers a server's questions about its beginning and end."""
    told = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent: list[Any] = []

    async def receive() -> Any:
        return told.pop(0)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await slow.provider.notification_app(secret=SECRET)({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    with pytest.raises(RuntimeError, match="websocket"):
        await slow.provider.notification_app(secret=SECRET)({"type": "websocket"}, receive, send)


async def test_hints_are_bounded(slow: Vidispine) -> None:
    """Only so many hints are remembered, each job's last; whoever no longer listens is forgotten."""
    hints = slow.provider._hints
    listening = len(hints._listeners)

    def nobody() -> None:
        """Hear it."""

    hints.listen(nobody)
    del nobody
    gc.collect()
    for number in range(3000):
        hints.tell(f"VX-{number % 1500}")
    assert (hints.count, len(hints._listeners)) == (3000, listening)
    assert hints.since(2999) == ["VX-1499"]
    assert hints.since(0) == [f"VX-{number}" for number in range(500, 1500)]
    for again in ("VX-500", "VX-0"):
        hints.tell(again)
    assert hints.since(0) == [*(f"VX-{number}" for number in range(502, 1500)), "VX-500", "VX-0"]

"""Jobs of Vidispine in lists: by version of the server, thin or whole, once each, and none left out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import pytest

from callsheet import Client, InvalidRequest, InvalidResponse, JobState, ResponseError, Unsupported
from callsheet.providers.vidispine import VidispineProvider, _numbered
from callsheet.sandbox import Sandbox
from support import scale
from support.tables import raises_for

Vidispine = Client[VidispineProvider]


@pytest.fixture(autouse=True)
def still(sandbox: Sandbox) -> None:
    """Let jobs go on only as the test says."""
    sandbox.configure("vidispine", runs=False)


def make(sandbox: Sandbox, number: int, **facts: Any) -> list[str]:
    ids: list[str] = sandbox.act("vidispine", "new", **({"type": "STUDIO_RENDER"} | facts), number=number)
    return ids


@pytest.fixture
async def whole(sandbox: Sandbox) -> AsyncIterator[Vidispine]:
    """A client whose listings carry steps."""
    provider = VidispineProvider(sandbox.url, user="admin", password="admin", include_steps=True)
    async with Client(provider) as client:
        sandbox.forget_requests()
        yield client


async def test_a_listing_is_thin(client: Vidispine, whole: Vidispine, sandbox: Sandbox) -> None:
    """Without steps, progress and message of what is not done are missing; `get` and a setting bring them."""
    running, done = make(sandbox, 1, status="STARTED") + make(sandbox, 1, status="FINISHED")
    (thin_done, thin) = await client.jobs.list().collect()
    full = await client.jobs.get(running)
    assert thin.missing == {"progress", "message"}
    assert thin_done.missing == frozenset()
    assert thin_done.progress == 1.0
    assert full.missing == frozenset()
    assert await whole.jobs.list().collect() == [await client.jobs.get(done), full]


@pytest.mark.parametrize("placed", ["both", "matrix", "query"])
async def test_parameters_by_version(sandbox: Sandbox, placed: Any) -> None:
    """Servers that read parameters in the path, or in the query alone, understand the default both."""
    mine = make(sandbox, 3, status="STARTED", user="jane")
    make(sandbox, 3, user="jane")
    for of_server in ("matrix", "query"):
        sandbox.configure("vidispine", parameters=of_server)
        if placed not in ("both", of_server):
            continue
        provider = VidispineProvider(sandbox.url, user="admin", password="admin", parameters=placed)
        async with Client(provider) as client:
            found = await client.jobs.list(states={JobState.RUNNING}, page_size=2).collect()
            assert [job.id for job in found] == mine[::-1]
            assert await client.jobs.count(user="jane") == 6


async def test_jobs_of_one_moment(client: Vidispine, sandbox: Sandbox) -> None:
    """Jobs that began in the same millisecond are listed once each, however small the page."""
    sandbox.clock.freeze()
    made = make(sandbox, 25)
    listing = client.jobs.list(page_size=4)
    first = await listing.collect(limit=6)
    rest = await client.jobs.list(page_size=4, cursor=listing.cursor).collect()
    assert [job.id for job in first + rest] == made[::-1]
    assert len({job.created_at for job in first + rest}) == 1


async def test_jobs_of_one_moment_that_go(client: Vidispine, sandbox: Sandbox) -> None:
    """Where jobs that were listed are gone, those of the same moment behind them are listed all the same."""
    sandbox.clock.freeze()
    made = make(sandbox, 12)
    listing = client.jobs.list(page_size=4)
    first = await listing.collect(limit=4)
    sandbox.act("vidispine", "jobs", ids=[job.id for job in first], vanish=True)
    rest = await client.jobs.list(page_size=4, cursor=listing.cursor).collect()
    assert [job.id for job in first + rest] == made[::-1]


async def test_a_server_that_lists_fewer_than_asked_for(client: Vidispine, sandbox: Sandbox) -> None:
    """More jobs of one moment than a server lists at a time are an error, and not lost."""
    sandbox.clock.freeze()
    make(sandbox, 4)
    listing = client.jobs.list(page_size=2)
    seen = await listing.collect(limit=2)
    told = [dict(job.raw) for job in seen]
    sandbox.faults.add("answer", path="/API/job*", body={"hits": 4, "job": told})
    with pytest.raises(InvalidResponse, match="one moment"):
        await listing.collect()


async def test_ten_thousand_while_others_come_and_end(client: Vidispine, sandbox: Sandbox) -> None:
    """Many jobs are listed completely and once each while others are made and end; one request a page."""
    number = scale(3000, 10_000)
    made = make(sandbox, number, status="STARTED")
    seen: list[str] = []
    sandbox.forget_requests()
    async for page in client.jobs.list(page_size=500).pages():
        seen += [job.id for job in page.items]
        make(sandbox, 3)
        sandbox.act("vidispine", "jobs", ids=[made[len(seen) // 2], made[-1]], status="FINISHED")
    assert seen == made[::-1]
    assert len(sandbox.requests("/API/job*")) == number // 500


@pytest.mark.parametrize("word", ["HOLD", "ABORT_PENDING", "VIDINET_JOB"])
async def test_states_that_a_server_does_not_know(client: Vidispine, sandbox: Sandbox, word: str) -> None:
    """A state that the server refuses as unknown is left out, once and for all."""
    made = make(sandbox, 2)
    refused = dict.fromkeys(["notFound", "internalServer", "forbidden"]) | {
        "invalidInput": {"context": "state", "id": None, "explanation": "unknown", "value": word}
    }
    sandbox.faults.add("answer", path=f"/API/job*{word}*", status=400, body=refused)
    states = set(JobState) - {JobState.UNKNOWN}
    for _ in range(2):
        assert [job.id for job in await client.jobs.list(states=states).collect()] == made[::-1]
    assert sandbox.faults.struck() == 1


async def test_a_state_that_no_job_can_have(client: Vidispine, sandbox: Sandbox) -> None:
    """Of states that the server does not know there are no jobs, which is not asked for twice."""
    make(sandbox, 3)
    refused = {"invalidInput": {"context": "state", "explanation": "unknown"}}
    sandbox.faults.add("answer", path="/API/job*HOLD*", status=400, body=refused)
    for _ in range(2):
        assert await client.jobs.count(states={JobState.PAUSED}) == 0
        assert await client.jobs.list(states={JobState.PAUSED}).collect() == []
        assert await client.provider.jobs(states={JobState.PAUSED}).collect() == []
    assert len(sandbox.requests("/API/job*")) == 1
    assert await client.jobs.count(states={JobState.QUEUED, JobState.PAUSED}) == 3


async def test_a_refusal_that_is_about_something_else(client: Vidispine, sandbox: Sandbox) -> None:
    """States that every server has are asked for again, whatever words a refusal has in it."""
    make(sandbox, 2)
    refused = {"invalidInput": {"context": "job", "explanation": "index not READY"}}
    sandbox.faults.add("answer", path="/API/job*", status=400, body=refused, times=1)
    wanted = {JobState.QUEUED, JobState.RUNNING}
    with pytest.raises(ResponseError, match="index not READY"):
        await client.jobs.count(states=wanted)
    assert await client.jobs.count(states=wanted) == 2


async def test_counts_of_jobs_that_are_ids_only(client: Vidispine, sandbox: Sandbox) -> None:
    """A count needs nothing but the number; if that is not told, the jobs are counted."""
    make(sandbox, 3)
    told = {"hits": 41, "job": [{"jobId": "VX-1"}]}
    sandbox.faults.add("answer", path="/API/job*", body=told, times=1)
    assert await client.jobs.count() == 41
    sandbox.faults.add("answer", path="/API/job*", body={"job": [{"jobId": "VX-1"}]}, times=1)
    assert await client.jobs.count() == 3
    sandbox.faults.add("answer", path="/API/job*", body={}, times=1)
    assert await client.jobs.count() == 0


async def test_the_state_unknown(client: Vidispine, sandbox: Sandbox) -> None:
    """A state newer than callsheet is kept; it cannot be listed by, and the error says what to do."""
    (id_,) = make(sandbox, 1)
    sandbox.act("vidispine", "jobs", ids=[id_], status="TELEPORTING")
    (job,) = await client.jobs.list().collect()
    assert (job.state, job.vendor_state, job.ended) == (JobState.UNKNOWN, "TELEPORTING", False)
    sandbox.forget_requests()
    with pytest.raises(Unsupported, match="vendor_state"):
        await client.jobs.list(states={JobState.UNKNOWN}).collect()
    assert sandbox.requests() == []


async def test_attributes_with_stars(client: Vidispine, sandbox: Sandbox) -> None:
    """A star is a wildcard to Vidispine only: what else it finds is sorted out, also in counts."""
    make(sandbox, 3, data={"shot": "sh010"})
    (starred,) = make(sandbox, 1, data={"shot": "sh*"})
    assert [job.id for job in await client.jobs.list(attributes={"shot": "sh*"}).collect()] == [starred]
    assert await client.jobs.count(attributes={"shot": "sh*"}) == 1
    assert await client.jobs.count(attributes={"shot": "sh010"}) == 3
    make(sandbox, 1, data={"itemId": "VX-5"})
    assert [await client.jobs.count(item=item) for item in ("VX-5", "VX-*")] == [1, 0]
    with pytest.raises(Unsupported, match="jobmetadata"):
        await client.jobs.list(attributes={"fileId": "VX-1"}).collect()


async def test_an_old_server(sandbox: Sandbox) -> None:
    """Before 4.10 nothing can be listed by its start time, so nothing is listed but by number."""
    made = make(sandbox, 9)
    sandbox.configure("vidispine", version="4.9.1")
    async with Client(VidispineProvider(sandbox.url, user="admin", password="admin")) as client:
        sandbox.forget_requests()
        with pytest.raises(Unsupported, match=r"provider\.jobs"):
            await client.jobs.list().collect()
        with pytest.raises(Unsupported):
            await client.jobs.count()
        with pytest.raises(Unsupported):
            client.provider.jobs(created_after=datetime(2024, 1, 1, tzinfo=UTC))
        assert sandbox.requests() == []
        assert [job.id for job in await client.provider.jobs().collect()] == made[::-1]
        sandbox.act("vidispine", "jobs", ids=made, status="FINISHED")
        assert [job.id for job in await client.jobs.wait_all(made, timeout=30)] == made


async def test_bounds_between_milliseconds(client: Vidispine, sandbox: Sandbox) -> None:
    """Bounds finer than Vidispine's times hold all the same, and none is out of range."""
    (id_,) = make(sandbox, 1)
    created = (await client.jobs.get(id_)).created_at
    assert created is not None
    tick = timedelta(microseconds=1)
    cases: list[tuple[dict[str, Any], int]] = [
        ({"created_after": created}, 1),
        ({"created_after": created + tick}, 0),
        ({"created_before": created}, 0),
        ({"created_before": created + tick}, 1),
        ({"created_after": created.replace(year=9999, month=12, day=31)}, 0),
        ({"created_before": created.replace(year=1)}, 0),
    ]
    for bounds, number in cases:
        assert await client.jobs.count(**bounds) == number, bounds
        assert len(await client.jobs.list(**bounds).collect()) == number, bounds


async def test_numbers_that_are_remembered(client: Vidispine, sandbox: Sandbox) -> None:
    """A listing by number knows only so many jobs again, the last ones, however long it is."""
    made = make(sandbox, 8)
    with mock.patch.object(_numbered, "MOST", 4):
        seen = []
        async for job in client.provider.jobs(sort="jobId asc", page_size=2):
            seen.append(job.id)
            if len(seen) == 6:
                sandbox.act("vidispine", "jobs", ids=made, vanish=True)
                sandbox.faults.add("answer", path="/API/job*", times=1, body=answer_of(made[0], made[5]))
    assert seen == [*made[:6], made[0]]


def answer_of(*ids: str) -> dict[str, Any]:
    """Return a listing of jobs."""
    return {"hits": 8, "job": [{"jobId": id_, "status": "READY"} for id_ in ids]}


async def test_listings_by_number(client: Vidispine, sandbox: Sandbox) -> None:
    """Jobs met again as the numbers shift are left out; a cursor goes on; bad numbers are named."""
    made = make(sandbox, 6)
    seen = []
    async for job in client.provider.jobs(page_size=2):
        seen.append(job.id)
        make(sandbox, 1)
        if len(seen) == 20:
            break
    assert len(set(seen)) == len(seen)
    assert {*made} <= {*seen}
    listing = client.provider.jobs(sort="jobId asc", page_size=4)
    first = await listing.collect(limit=3)
    rest = await client.provider.jobs(sort="jobId asc", cursor=listing.cursor).collect(limit=3)
    assert [job.id for job in first + rest] == made
    assert await client.provider.jobs(types=set()).collect() == []
    bad: list[dict[str, Any]] = [{"first": 0}, {"number": 0}, {"first": "1"}, {"number": True}, {"colour": 1}]
    bad += [{"sort": 7}, {"sort": ""}, {"jobmetadata": ["a"]}, {"jobmetadata": {"a": 1}}]
    bad += [{"attributes": {"a": "b"}}, {"newest_first": False}]
    for given in bad:
        with raises_for(given, InvalidRequest, match=next(iter(given))):
            client.provider.jobs(**given)

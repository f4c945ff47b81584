"""Vidispine's jobs one by one and many at a time, where answers are large, odd or about something else."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable
from typing import Any

import pytest

from callsheet import Client, Denied, File, InvalidCursor, InvalidRequest, InvalidResponse, NotFound
from callsheet.providers.vidispine import VidispineFile, VidispineJob, VidispineProvider, VidispineStorage
from callsheet.sandbox import Sandbox
from support.tables import raises_for

Vidispine = Client[VidispineProvider]


@pytest.fixture(autouse=True)
def still(sandbox: Sandbox) -> None:
    """Let jobs go on only as the test says."""
    sandbox.configure("vidispine", runs=False)


def make(sandbox: Sandbox, number: int, **facts: Any) -> list[str]:
    ids: list[str] = sandbox.act("vidispine", "new", **({"type": "STUDIO_RENDER"} | facts), number=number)
    return ids


async def test_jobs_for_a_user_who_is_not_there(client: Vidispine, sandbox: Sandbox) -> None:
    """That there is no such user does not mean that there are no such jobs."""
    (id_,) = make(sandbox, 1)
    with pytest.raises(Denied):
        await client.as_user("nobody at all").jobs.get_many([id_])
    gone = {"notFound": {"type": "User", "id": "jane", "context": None}}
    sandbox.faults.add("answer", path="/API/job/*", status=404, body=gone)
    with pytest.raises(NotFound, match="User"):
        await client.as_user("jane").jobs.get_many([id_, "VX-2", "VX-3"])


async def test_a_job_that_is_asked_for_twice(client: Vidispine, sandbox: Sandbox) -> None:
    """A job that is among many more than once is read once."""
    one, other = make(sandbox, 2)
    jobs = await client.jobs.get_many([one, other, one])
    assert [job and job.id for job in jobs] == [one, other, one]
    assert len(sandbox.requests("/API/job/*")) == 2


@pytest.mark.parametrize("word", ["notification", "problem", "search"])
async def test_words_that_lead_elsewhere(client: Vidispine, sandbox: Sandbox, word: str) -> None:
    """What leads elsewhere than to a job is no job's id: nothing is sent, and nothing else is removed."""
    kept = await client.provider.create_notification("http://127.0.0.1:9/x")
    sandbox.forget_requests()
    calls: list[Awaitable[object]] = [
        client.jobs.get(word),
        client.jobs.cancel(word),
        client.jobs.delete(word),
        client.jobs.rerun(word),
        client.jobs.problem(word),
        client.jobs.update(word, priority=50),
        client.components.list(word).collect(),
        client.provider.import_sidecar(word, File(b"x", name="a.xmp")),
    ]
    for call in calls:
        with pytest.raises(NotFound, match=word):
            await call
    assert await client.jobs.get_many([word]) == [None]
    assert sandbox.requests() == []
    assert await client.provider.notifications() == [kept]


async def test_a_storage_called_file(client: Vidispine) -> None:
    """A storage is found by its name, also if that leads elsewhere in its place."""
    with pytest.raises(NotFound, match="file"):
        await client.locations.get("file")
    fields = {"field": [{"key": "name", "value": "file"}]}
    made = await client.provider.request("POST", "storage", json={"type": "LOCAL", "metadata": fields})
    assert (await client.locations.get("file")).id == made["id"]


@pytest.mark.parametrize("body", [[], {}, {"jobId": "VX-1"}, {"jobId": "VX-1", "status": 7}, "READY"])
async def test_a_job_that_cannot_be_read(client: Vidispine, sandbox: Sandbox, body: Any) -> None:
    """What is no job raises, also among many."""
    ids = make(sandbox, 3)
    sandbox.faults.add("answer", path="/API/job/*", body=body)
    with pytest.raises(InvalidResponse):
        await client.jobs.get(ids[0])
    with pytest.raises(InvalidResponse):
        await client.jobs.get_many(ids)


async def test_large_answers(sandbox: Sandbox) -> None:
    """Pages and jobs of megabytes are read off the loop, and are the same as small ones."""
    note = {"timestamp": "2024-03-01T10:00:00.000+0000", "description": "x" * 1000}
    step = {"step": 100, "status": "STARTED", "attempts": 0, "subStep": [note] * 20}
    made = make(sandbox, 60, status="STARTED")
    sandbox.act("vidispine", "jobs", ids=made, steps=[step], totalSteps=2)
    sandbox.act("vidispine", "jobs", ids=made[:1], steps=[step | {"subStep": [note] * 700}])
    provider = VidispineProvider(sandbox.url, user="admin", password="admin", include_steps=True)
    async with Client(provider) as client:
        jobs = await client.jobs.list(newest_first=False).collect()
        assert jobs == await client.jobs.get_many(made)
        assert len(jobs[0].details.steps[0].notes) == 700
        sandbox.faults.add("edit", path="/API/job*", set={"/job/59/started": "soon"})
        with pytest.raises(InvalidResponse, match="cannot be read") as caught:
            await client.jobs.list(newest_first=False).collect()
        assert caught.value.path == "$.job[59]"


async def test_lists_that_cannot_be_read(client: Vidispine, sandbox: Sandbox) -> None:
    """A document of another shape raises, and the error says where it is."""
    sandbox.faults.add("answer", path="/API/job/problem", body={"problem": [{"id": 1}, {"id": "x"}]})
    with pytest.raises(InvalidResponse) as caught:
        await client.provider.problems()
    assert caught.value.path == "$.problem[1]"
    sandbox.faults.add("answer", path="/API/job/notification", body=["VX-1"])
    with pytest.raises(InvalidResponse):
        await client.provider.notifications()
    sandbox.faults.clear()
    sandbox.faults.add("answer", path="/API/job/notification", method="POST", body={})
    with pytest.raises(InvalidResponse, match="no notification"):
        await client.provider.create_notification("http://127.0.0.1:9/x")
    with pytest.raises(InvalidRequest, match="event"):
        await client.provider.create_notification("http://127.0.0.1:9/x", event="start")  # type: ignore[arg-type]  # the test is about this


async def test_what_no_job_can_have(client: Vidispine, sandbox: Sandbox) -> None:
    """A type with a comma in it is nobody's: nothing is asked for, and nothing is found by its parts.

    The same holds for an attribute with an equals sign in its name, or with a value that is no text.
    """
    make(sandbox, 1, type="EXPORT")
    assert await client.jobs.list(types={"EXPORT,TRANSCODE"}).collect() == []
    assert await client.jobs.count(types={"EXPORT,TRANSCODE"}) == 0
    assert await client.jobs.count(attributes={"a=b": "c"}) == 0
    assert await client.jobs.count(attributes={"a": 1}) == 0
    assert sandbox.requests() == []
    assert await client.jobs.count(types={"EXPORT,TRANSCODE", "EXPORT"}) == 1


async def test_a_damaged_cursor_by_number(client: Vidispine, sandbox: Sandbox) -> None:
    """The cursor of a listing by number is checked as any other."""
    make(sandbox, 3)
    listing = client.provider.jobs(page_size=1)
    await listing.collect(limit=1)
    plain = json.loads(base64.urlsafe_b64decode(str(listing.cursor)))
    bad = base64.urlsafe_b64encode(json.dumps(plain | {"k": "-1"}).encode()).decode()
    with pytest.raises(InvalidCursor):
        await client.provider.jobs(page_size=1, cursor=bad).collect()
    for other in ({"sort": "jobId asc"}, {"jobmetadata": {"shot": "sh010"}}, {"first": 2}, {"number": 2}):
        with raises_for(other, InvalidCursor):
            client.provider.jobs(**other, cursor=listing.cursor)


async def test_details_of_each_kind(client: Vidispine) -> None:
    """`provider.details` is `details`, typed, of jobs, components and locations."""
    job = await client.jobs.create("x", type="STUDIO_RENDER")
    part = await client.components.upload(File(b"data", name="a.txt"))
    storage = await client.locations.get(str(part.location_id))
    provider = client.provider
    assert isinstance(provider.details(job), VidispineJob)
    assert isinstance(provider.details(part), VidispineFile)
    assert isinstance(provider.details(storage), VidispineStorage)
    assert [provider.details(job), provider.details(part), provider.details(storage)] == [
        job.details,
        part.details,
        storage.details,
    ]


@pytest.mark.parametrize(("path", "body"), [("whoami", "<html>"), ("whoami", ""), ("version", [])])
async def test_a_server_that_is_none(sandbox: Sandbox, path: str, body: Any) -> None:
    """Something else that answers at the address is told when the client is opened."""
    sandbox.faults.add("answer", path=f"/API/{path}", body=body)
    with pytest.raises(InvalidResponse):
        async with Client(VidispineProvider(sandbox.url, user="admin", password="admin")):
            pytest.fail("the client must not open")

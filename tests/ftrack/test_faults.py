"""A server, network or storage in trouble: each as promised, on ftrack."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import attrs
import pytest

from callsheet import (
    Client,
    Conflict,
    Denied,
    File,
    InvalidResponse,
    JobState,
    NewJob,
    NotFound,
    Outcome,
    RateLimited,
    ResponseError,
    TransportError,
    Unavailable,
)
from callsheet.providers.ftrack import FtrackProvider
from callsheet.sandbox import Sandbox
from support.ftrackclient import KEY, actions
from support.roads import QUICK

CREATE = '"action": "create", "entity_type": "Job"'
"""What the body of a request holds that makes jobs."""


def quick(sandbox: Sandbox) -> Client[FtrackProvider]:
    """Return a client that tries as often as others, with hardly a pause."""
    provider = FtrackProvider(sandbox.url, user="sandbox", api_key=KEY)
    provider._server.http.options = attrs.evolve(provider._server.http.options, retry=QUICK)
    return Client(provider)


# -- making jobs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("lost", {}),
        ("cut", {"after": 20}),
        ("gzip", {}),
        ("garbled", {}),
        ("reset", {}),
        ("reset", {"after": 100}),
        ("html", {"status": 502}),
        ("status", {"status": 503}),
        ("status", {"status": 429, "retry_after": 0}),
    ],
)
async def test_trouble_while_a_job_is_made(
    client: Client[FtrackProvider], sandbox: Sandbox, kind: str, options: dict[str, Any]
) -> None:
    """Whatever happens to the first try, one job is made and returned."""
    sandbox.faults.add(kind, path="/api", contains=CREATE, nth=1, **options)
    job = await client.jobs.create("x")
    assert sandbox.faults.struck() == 1
    assert await client.jobs.list().collect() == [job]
    assert job.name == "x"


@pytest.mark.parametrize("kind", ["lost", "garbled"])
async def test_many_jobs_whose_answer_is_lost(
    client: Client[FtrackProvider], sandbox: Sandbox, kind: str
) -> None:
    """The jobs of a batch whose answer was lost are found again, in order."""
    sandbox.faults.add(kind, path="/api", contains=CREATE, nth=1)
    jobs = await client.jobs.create_many([NewJob(name=f"job {n}") for n in range(20)])
    assert [job.name for job in jobs] == [f"job {n}" for n in range(20)]
    assert await client.jobs.count() == 20


async def test_an_answer_that_stays_lost(sandbox: Sandbox) -> None:
    """When nobody can tell whether a job was made, the error says so, with the key; the key finds the job."""
    async with quick(sandbox) as client:
        await client.jobs.create("first")  # so that the user is known
        sandbox.faults.add("lost", path="/api")
        with pytest.raises(TransportError) as caught:
            await client.jobs.create("x")
        error = caught.value
        assert (error.outcome, error.provider) == (Outcome.UNKNOWN, "ftrack")
        sandbox.faults.clear()
        job = await client.jobs.create("x", idempotency_key=error.idempotency_key)
        assert {one.name for one in await client.jobs.list().collect()} == {"first", "x"}
        assert job.name == "x"


@pytest.mark.parametrize("made", ["Job", "FileComponent"])
async def test_a_conflict_with_oneself(sandbox: Sandbox, made: str) -> None:
    """What was made and cannot be looked at is in doubt; it is not told to be somebody else's."""
    async with quick(sandbox) as client:
        await client.jobs.create("first")  # so that the user is known
        sandbox.faults.add("lost", path="/api", contains=f'"entity_type": "{made}"', nth=1)
        sandbox.faults.add("garbled", path="/api", contains='[{"action": "query"')
        calls: dict[str, Callable[..., Awaitable[Any]]] = {
            "Job": partial(client.jobs.create, "x"),
            "FileComponent": partial(client.components.upload, File(b"data", name="x")),
        }
        with pytest.raises(InvalidResponse) as caught:
            await calls[made](idempotency_key="k")
        assert (caught.value.outcome, caught.value.idempotency_key) == (Outcome.UNKNOWN, "k")


async def test_a_key_after_trouble_with_another_request(
    client: Client[FtrackProvider], sandbox: Sandbox
) -> None:
    """A repeat that asks for something else is a conflict, though the first answer was lost."""
    sandbox.faults.add("lost", path="/api", contains=CREATE, nth=1)
    await client.jobs.create("x", idempotency_key="k")
    with pytest.raises(Conflict, match="'k'") as caught:
        await client.jobs.create("y", idempotency_key="k")
    assert (caught.value.outcome, caught.value.idempotency_key) == (Outcome.NOT_DONE, "k")


# -- changing ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["lost", "html", "reset"])
async def test_trouble_while_a_job_is_changed(
    client: Client[FtrackProvider], sandbox: Sandbox, kind: str
) -> None:
    """A change whose answer was lost is made again: it sets end values."""
    job = await client.jobs.create("x")
    sandbox.faults.add(kind, path="/api", contains='"action": "update"', nth=1)
    assert (await client.jobs.update(job, state=JobState.DONE, progress=1.0)).state is JobState.DONE
    assert sandbox.faults.struck() == 1


async def test_a_job_that_vanishes_while_it_is_changed(
    client: Client[FtrackProvider], sandbox: Sandbox
) -> None:
    """ftrack has no word of its own for a job that is gone; we do."""
    job = await client.jobs.create("x")
    refused = {"exception": "ValidationError", "content": "No such Job", "error_code": None}
    sandbox.faults.add("answer", path="/api", contains='"action": "update"', body=refused)
    with pytest.raises(ResponseError, match="No such Job"):
        await client.jobs.update(job, name="y")
    nothing = [{"action": "query", "data": [], "metadata": {"next": {"offset": None}}}]
    sandbox.faults.add("answer", path="/api", contains="from Job", nth=2, body=nothing)
    with pytest.raises(NotFound, match=job.id):
        await client.jobs.update(job, name="y")


@pytest.mark.parametrize("kind", ["lost", "reset"])
async def test_trouble_while_a_job_is_deleted(
    client: Client[FtrackProvider], sandbox: Sandbox, kind: str
) -> None:
    """A deletion whose answer was lost is done, though the repeat finds nothing to delete."""
    job = await client.jobs.create("x", files=[File(b"data", name="a")])
    sandbox.faults.add(kind, path="/api", contains='"action": "delete"', nth=1)
    await client.jobs.delete(job)
    assert await client.jobs.list().collect() == []
    assert await client.components.list().collect() == []


async def test_a_deletion_that_is_refused(client: Client[FtrackProvider], sandbox: Sandbox) -> None:
    """What ftrack does not let us delete is told, and stays."""
    job = await client.jobs.create("x")
    refused = {"exception": "PermissionError", "content": "not yours", "error_code": None}
    sandbox.faults.add("answer", path="/api", contains='"action": "delete"', body=refused)
    with pytest.raises(Denied, match="not yours"):
        await client.jobs.delete(job)
    assert await client.jobs.get(job) == job


@pytest.mark.parametrize("kind", ["lost", "reset", "html"])
async def test_trouble_while_files_are_attached(
    client: Client[FtrackProvider], sandbox: Sandbox, kind: str
) -> None:
    """Components are made and linked once, whatever happens to the answers."""
    job = await client.jobs.create("x")
    sandbox.faults.add(kind, path="/api", contains='"entity_type": "FileComponent"', nth=1)
    sandbox.faults.add(kind, path="/api", contains='"entity_type": "JobComponent"', nth=1)
    parts = await client.jobs.attach(job, [File(b"data", name="a")])
    assert sandbox.faults.struck() == 2
    assert await client.components.list(job).collect() == parts
    assert await client.components.list().collect() == await client.components.list().collect()
    assert len(await client.components.list().collect()) == 1


async def test_attaching_twice(client: Client[FtrackProvider]) -> None:
    """What is attached already is left alone, and what is new beside it is attached."""
    job = await client.jobs.create("x")
    (one,) = await client.jobs.attach(job, [File(b"1", name="one")])
    other = await client.components.upload(File(b"2", name="other"))
    assert [part.id for part in await client.jobs.attach(job, [one, other, one])] == [
        one.id,
        other.id,
        one.id,
    ]
    assert {part.id for part in await client.components.list(job).collect()} == {one.id, other.id}


# -- refusals ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_status", [True, False])
async def test_wrong_credentials(sandbox: Sandbox, *, with_status: bool) -> None:
    """A wrong key is `Denied` when the client is opened, whether ftrack says so by its status or in a 200."""
    if not with_status:
        body = {"exception": "InvalidCredentialsError", "content": "wrong key", "error_code": None}
        sandbox.faults.add("answer", path="/api", body=body)
    client = Client(FtrackProvider(sandbox.url, user="sandbox", api_key="another-key"))
    with pytest.raises(Denied) as caught:
        async with client:
            pytest.fail("the client must not open")
    assert (caught.value.status, caught.value.outcome) == (401 if with_status else 200, Outcome.NOT_DONE)
    assert (caught.value.code, caught.value.provider) == ("InvalidCredentialsError", "ftrack")
    assert "another-key" not in str(caught.value)


async def test_no_server() -> None:
    """A server that is not there is told when the client is opened."""
    with Sandbox() as sandbox:
        client = quick(sandbox)
    with pytest.raises(TransportError) as caught:
        async with client:
            pytest.fail("the client must not open")
    assert caught.value.outcome is Outcome.NOT_DONE


@pytest.mark.parametrize(
    ("kind", "options", "error"),
    [
        ("html", {"status": 502}, Unavailable),
        ("html", {"status": 200}, InvalidResponse),
        ("status", {"status": 429, "retry_after": 99999}, RateLimited),
        ("garbled", {}, InvalidResponse),
        ("answer", {"body": {"strange": 1}}, InvalidResponse),
        ("answer", {"body": []}, InvalidResponse),
        ("answer", {"body": [{"action": "query"}]}, InvalidResponse),
        ("answer", {"body": [{"action": "query", "data": [{"id": "j"}], "metadata": {}}]}, InvalidResponse),
        ("answer", {"body": {"exception": "ValidationError", "content": "no"}}, ResponseError),
        ("edit", {"remove": ["/0/metadata"]}, InvalidResponse),
        (
            "edit",
            {"set": {"/0/data/0/created_at": {"__type__": "datetime", "value": "soon"}}},
            InvalidResponse,
        ),
    ],
)
async def test_a_listing_in_trouble(
    sandbox: Sandbox, kind: str, options: dict[str, Any], error: type[Exception]
) -> None:
    """A listing that cannot be read raises; it is never shorter than it should be."""
    async with quick(sandbox) as client:
        await client.jobs.create("x")
        sandbox.faults.add(kind, path="/api", **options)
        with pytest.raises(error) as caught:
            await client.jobs.list().collect()
        assert type(caught.value) is error
        assert getattr(caught.value, "outcome", None) is Outcome.NOT_DONE


async def drained(listing: Any) -> Any:
    """Read a listing to its end."""
    return await listing.collect()


ANOTHER_SHAPE: dict[str, tuple[Callable[[Client[FtrackProvider], Any, Any], Any], str, dict[str, Any]]] = {
    "a job's id is none": (lambda c, job, _: c.jobs.get(job), "from Job", {"id": 5}),
    "a job's id is a list": (lambda c, job, _: c.jobs.get(job), "from Job", {"id": []}),
    "a type is a mapping": (lambda c, job, _: c.jobs.get(job), "from Job", {"__entity_type__": {}}),
    "a status is a number": (lambda c, job, _: drained(c.jobs.list()), "from Job", {"status": 5}),
    "a user is a text": (lambda c, job, _: drained(c.jobs.list()), "from Job", {"user": "jane"}),
    "data is a number": (lambda c, job, _: c.jobs.update(job, progress=0.5), '"update"', {"data": 5}),
    "a job's data is a list": (
        lambda c, job, _: drained(c.components.list(job)),
        "select id, data from Job",
        {"data": [1]},
    ),
    "a component's id is none": (lambda c, _, part: c.components.get(part), "from Component", {"id": None}),
    "metadata are none": (
        lambda c, _, part: c.components.delete(part),
        "from Component",
        {"metadata": [True]},
    ),
    "a size is a word": (lambda c, _, part: c.components.get(part.id), "from Component", {"size": "big"}),
    "a link is true": (lambda c, _, part: c.components.url(part), "from ComponentLocation", {"url": True}),
    "a location's id is none": (lambda c, *_: drained(c.locations.list()), "from Location", {"id": 5}),
}
"""What a server makes of an entity, where, and the call that asks for it."""


@pytest.mark.parametrize("what", ANOTHER_SHAPE)
async def test_entities_of_another_shape(client: Client[FtrackProvider], sandbox: Sandbox, what: str) -> None:
    """An entity that is none, wherever it comes up, is an `InvalidResponse` that says where."""
    job = await client.jobs.create("x", files=[File(b"data", name="a")])
    (part,) = await client.components.list(job).collect()
    call, contains, members = ANOTHER_SHAPE[what]
    edits = {f"/0/data/0/{name}": value for name, value in members.items()}
    sandbox.faults.add("edit", path="/api", contains=contains, set=edits)
    with pytest.raises(InvalidResponse, match=r"answered 200 with an entity") as caught:
        await call(client, job, part)
    assert caught.value.provider == "ftrack"


async def test_a_detail_of_another_shape(client: Client[FtrackProvider], sandbox: Sandbox) -> None:
    """What the vendor's model cannot hold is told when it is read, by its place."""
    job = await client.jobs.create("x")
    sandbox.faults.add("edit", path="/api", remove=["/0/data/0/user/id"])
    seen = await client.jobs.get(job)
    assert seen.user == "sandbox"
    with pytest.raises(InvalidResponse, match=r"required field missing @ \$\.user\.id"):
        assert seen.details


async def test_a_job_that_nobody_asked_for(client: Client[FtrackProvider], sandbox: Sandbox) -> None:
    """A server that answers with another job than it was asked for has not told of ours."""
    sandbox.faults.add("lost", path="/api", contains=CREATE, nth=1)
    looking = '[{"action": "query", "expression": "select id, type'
    sandbox.faults.add("edit", path="/api", contains=looking, set={"/0/data/0/id": "j-0"})
    with pytest.raises(Conflict) as caught:
        await client.jobs.create("x")
    assert (caught.value.outcome, sandbox.faults.struck()) == (Outcome.UNKNOWN, 2)


async def test_a_status_that_is_new(client: Client[FtrackProvider], sandbox: Sandbox) -> None:
    """A word that we do not know is kept, and found again."""
    job = await client.jobs.create("x")
    sandbox.faults.add("edit", path="/api", set={"/0/data/0/status": "archived"}, times=1)
    seen = await client.jobs.get(job)
    assert (seen.state, seen.vendor_state, seen.ended) == (JobState.UNKNOWN, "archived", False)


# -- redirects and secrets -----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_to_another_origin(
    client: Client[FtrackProvider], sandbox: Sandbox, status: int
) -> None:
    """No request follows a redirect of the API elsewhere, and no credential gets there."""
    with Sandbox() as other:
        sandbox.faults.add("redirect", path="/api", to=f"{other.url}/api", status=status)
        with pytest.raises(ResponseError, match=r"moved|redirect"):
            await client.jobs.list().collect()
        assert other.requests() == []


async def test_the_key_is_nowhere(
    client: Client[FtrackProvider], sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """The key is in the header of requests to the server, and in no URL, log, error or repr."""
    caplog.set_level(logging.DEBUG)
    job = await client.jobs.create("x", files=[File(b"data", name="a")])
    (part,) = await client.components.list(job).collect()
    link = await client.components.url(part)
    async with client.components.open(part) as chunks:
        assert b"".join([chunk async for chunk in chunks]) == b"data"
    sandbox.faults.add("answer", path="/api", status=500, body=f"the key {KEY} is wrong")
    with pytest.raises(Unavailable) as caught:
        await client.provider.call({"action": "create", "entity_type": "Job", "entity_data": {}})
    sandbox.faults.clear()
    seen = [*caplog.messages, link, str(caught.value), repr(client), repr(vars(client.provider)), repr(job)]
    seen += [request.target for request in sandbox.requests()]
    assert [text for text in seen if KEY in text] == []
    assert all(request.headers["ftrack-api-key"] == KEY for request in sandbox.requests("/api"))


async def test_a_link_with_the_key_in_it(client: Client[FtrackProvider], sandbox: Sandbox) -> None:
    """A link that holds the key is neither handed out nor used."""
    part = await client.components.upload(File(b"data", name="a"))
    bad = f"{sandbox.url}/component/get?id={part.id}&username=sandbox&apiKey={KEY}"
    sandbox.faults.add("edit", path="/api", contains="url from", set={"/0/data/0/url/value": bad})
    with pytest.raises(InvalidResponse, match="key") as caught:
        await client.components.url(part)
    assert KEY not in str(caught.value)
    with pytest.raises(InvalidResponse, match="key"):
        async with client.components.open(part) as chunks:
            await anext(chunks)
    assert sandbox.requests("/component/*", method="GET") == []


async def test_storage_elsewhere_gets_no_credentials(
    client: Client[FtrackProvider], sandbox: Sandbox
) -> None:
    """Bytes that go to a storage at another address take no credentials along."""
    with Sandbox() as storage:
        elsewhere = f"{storage.url}/_elsewhere"
        sandbox.faults.add("edit", path="/api", contains="get_upload_metadata", set={"/0/url": elsewhere})
        with pytest.raises(NotFound):
            await client.components.upload(File(b"data", name="a"))
        requests = storage.requests("/_elsewhere")
        assert [request.method for request in requests] == ["PUT"]
        assert [name for name in requests[0].headers if name.startswith("ftrack")] == []


async def test_retries_are_few(sandbox: Sandbox) -> None:
    """A dead server gets at most five requests for a call."""
    async with quick(sandbox) as client:
        sandbox.forget_requests()
        sandbox.faults.add("status", path="/api", status=503)
        with pytest.raises(Unavailable):
            await client.jobs.count()
        assert len(actions(sandbox)) <= 5

"""A server or network in trouble: each as promised, on Vidispine."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import anyio
import attrs
import pytest

from callsheet import (
    BulkError,
    Client,
    Conflict,
    Denied,
    File,
    InvalidRequest,
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
from callsheet.providers.vidispine import VidispineProvider, _once
from callsheet.sandbox import Sandbox
from support.roads import QUICK, until
from support.tables import raises_for

Vidispine = Client[VidispineProvider]

NOT_FOUND = json.loads(
    (Path(__file__).parent.parent / "wire" / "samples" / "vidispine" / "not_found.json").read_text()
)


@pytest.fixture(autouse=True)
def still(sandbox: Sandbox) -> None:
    """Let jobs go on only as the test says."""
    sandbox.configure("vidispine", runs=False)


def patient(sandbox: Sandbox, **options: Any) -> Vidispine:
    """Return a client that tries as often as others, with hardly a pause."""
    provider = VidispineProvider(sandbox.url, user="admin", password="admin", **options)
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
        ("html", {"status": 502}),
        ("status", {"status": 503}),
        ("status", {"status": 503, "retry_after": 0}),
        ("status", {"status": 429, "retry_after": 0}),
    ],
)
async def test_trouble_while_a_job_is_made(
    client: Vidispine, sandbox: Sandbox, kind: str, options: dict[str, Any]
) -> None:
    """Whatever happens to the first try, one job is made and returned."""
    sandbox.faults.add(kind, path="/API/job", method="POST", nth=1, **options)
    job = await client.jobs.create("x", type="STUDIO_RENDER")
    assert sandbox.faults.struck() == 1
    assert [one.id for one in await client.jobs.list().collect()] == [job.id]
    assert (job.name, job.state) == ("x", JobState.QUEUED)


async def test_an_answer_that_stays_lost(sandbox: Sandbox) -> None:
    """When nobody can tell whether a job was made, the error says so, with the key; the key finds the job."""
    async with patient(sandbox) as client:
        sandbox.faults.add("lost", path="/API/job", method="POST")
        sandbox.faults.add("reset", path="/API/job*", method="GET", nth=list(range(2, 50)))
        with pytest.raises(TransportError) as caught:
            await client.jobs.create("x", type="STUDIO_RENDER")
        error = caught.value
        assert (error.outcome, error.provider) == (Outcome.UNKNOWN, "vidispine")
        assert error.idempotency_key
        sandbox.faults.clear()
        key = error.idempotency_key
        job = await client.jobs.create("x", type="STUDIO_RENDER", idempotency_key=key)
        assert [one.id for one in await client.jobs.list().collect()] == [job.id]


async def test_a_refusal_after_a_lost_answer(client: Vidispine, sandbox: Sandbox) -> None:
    """That the second try was refused does not tell what has come of the first."""
    sandbox.faults.add("answer", path="/API/job*", method="GET", body={"hits": 0})
    sandbox.faults.add("lost", path="/API/job", method="POST", nth=1)
    sandbox.faults.add("status", path="/API/job", method="POST", status=403)
    with pytest.raises(Denied) as caught:
        await client.jobs.create("x", type="STUDIO_RENDER", idempotency_key="k")
    assert (caught.value.outcome, caught.value.idempotency_key) == (Outcome.UNKNOWN, "k")
    assert len(sandbox.requests(method="POST")) == 2


async def test_a_gateway_that_gives_up(client: Vidispine, sandbox: Sandbox) -> None:
    """Behind a gateway that has waited long enough the server may still be at it: nothing is made twice."""
    sandbox.faults.add("status", path="/API/job", method="POST", status=504)
    with pytest.raises(Unavailable) as caught:
        await client.jobs.create("x", type="STUDIO_RENDER")
    assert (caught.value.status, caught.value.outcome) == (504, Outcome.UNKNOWN)
    assert len(sandbox.requests(method="POST")) == 1


async def test_a_key_whose_request_was_cancelled(client: Vidispine, sandbox: Sandbox) -> None:
    """After a request was cancelled its key is looked for with patience, as the server may be at it."""
    create = partial(client.jobs.create, "x", type="STUDIO_RENDER", idempotency_key="k")
    sandbox.faults.add("latency", path="/API/job", method="POST", seconds=600)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(create)
        await until(lambda: bool(sandbox.requests(method="POST")))
        tasks.cancel_scope.cancel()
    sandbox.faults.clear()
    sandbox.forget_requests()
    with mock.patch.object(_once, "SETTLING", 2):
        await create()
    methods = [request.method for request in sandbox.requests("/API/job*")]
    assert methods == ["GET", "GET", "GET", "POST", "GET"]


def test_keys_in_doubt_are_bounded() -> None:
    """Only so many keys of requests that were cut off are remembered, the last ones."""
    server = VidispineProvider("https://vidispine.example", user="jane", password="p")._server
    for number in range(1500):
        with pytest.raises(RuntimeError), server._doubting(f"k{number}"):
            raise RuntimeError
    assert [number for number in range(1500) if server.is_unsure(f"k{number}")] == [*range(500, 1500)]


async def test_a_job_whose_first_look_fails(sandbox: Sandbox) -> None:
    """A job that was made, but cannot be read then, is told as done, and its key finds it."""
    async with patient(sandbox) as client:
        sandbox.faults.add("status", path="/API/job/VX-*", method="GET", status=500)
        with pytest.raises(Unavailable) as caught:
            await client.jobs.create("x", type="STUDIO_RENDER", idempotency_key="k")
        assert (caught.value.outcome, caught.value.idempotency_key) == (Outcome.DONE, "k")
        sandbox.faults.clear()
        await client.jobs.create("x", type="STUDIO_RENDER", idempotency_key="k")
        assert await client.jobs.count() == 1


async def test_a_key_that_a_rerun_has_inherited(client: Vidispine, sandbox: Sandbox) -> None:
    """A rerun has its job's metadata, key included: the key still means the job it made."""
    job = await client.jobs.create("x", type="STUDIO_RENDER", idempotency_key="k")
    again = await client.jobs.rerun(job)
    assert again.attributes == job.attributes
    assert await client.jobs.create("x", type="STUDIO_RENDER", idempotency_key="k") == job
    with pytest.raises(Conflict, match="'k'"):
        await client.jobs.create("y", type="STUDIO_RENDER", idempotency_key="k")


async def test_a_key_used_for_something_else(client: Vidispine, sandbox: Sandbox) -> None:
    """A key that is used with another item, other options or another file than before is a conflict."""
    create = partial(client.jobs.create, "x")
    first: dict[str, Any] = {"type": "STUDIO_RENDER", "idempotency_key": "k"}
    file: dict[str, Any] = {"files": [File(b"1", name="a.mov")], "idempotency_key": "f"}
    made = [await create(**first), await create(**file)]
    others: list[dict[str, Any]] = [
        first | {"item": "VX-5"},
        first | {"vendor": {"notification": "VX-7"}},
        file | {"files": [File(b"1", name="b.mov")]},
    ]
    for other in others:
        with raises_for(other, Conflict, match=repr(other["idempotency_key"])):
            await create(**other)
    assert [await create(**first), await create(**file)] == made


async def test_a_key_with_a_star(client: Vidispine, sandbox: Sandbox) -> None:
    """A key with a star in it finds many jobs, among which its own is looked for to the end."""
    sandbox.act("vidispine", "new", type="STUDIO_RENDER", number=110, data={"callsheet_request": "k2"})
    for _ in range(2):
        job = await client.jobs.create("x", type="STUDIO_RENDER", idempotency_key="k*")
    assert await client.jobs.count() == 111
    assert await client.jobs.create("x", type="STUDIO_RENDER", idempotency_key="k*") == job


async def test_a_key_whose_job_has_no_id(client: Vidispine, sandbox: Sandbox) -> None:
    """A listing that does not say which job a key has made is no answer, and nothing is made."""
    row = {"status": "READY", "data": [{"key": "callsheet_request", "value": "k"}]}
    sandbox.faults.add("answer", path="/API/job*", method="GET", body={"hits": 1, "job": [row]})
    for make in (
        client.jobs.create("x", type="STUDIO_RENDER", idempotency_key="k"),
        client.provider.import_uri("file:///a", idempotency_key="k"),
    ):
        with pytest.raises(InvalidResponse, match="without an id") as caught:
            await make
        assert (caught.value.outcome, caught.value.idempotency_key) == (Outcome.NOT_DONE, "k")
    assert [request.method for request in sandbox.requests()] == ["GET", "GET"]


async def test_many_of_which_one_cannot_be_made(client: Vidispine, sandbox: Sandbox) -> None:
    """Of many, those that can be made are; the error has both, by their places."""
    new = [NewJob(name=f"job {n}", type="STUDIO_RENDER" if n != 3 else "NO_SUCH_TYPE") for n in range(5)]
    with pytest.raises(BulkError) as caught:
        await client.jobs.create_many(new)
    error = caught.value
    assert [job.name for job in error.done] == ["job 0", "job 1", "job 2", "job 4"]
    assert [(index, type(why)) for index, why in error.failed.items()] == [(3, ResponseError)]
    assert error.outcome is Outcome.DONE
    with pytest.raises(BulkError) as caught:
        await client.jobs.create_many([new[3], new[3]])
    assert caught.value.outcome is Outcome.NOT_DONE


async def test_what_cannot_be_made(client: Vidispine, sandbox: Sandbox) -> None:
    """What Vidispine's jobs cannot hold is refused by name, before anything is sent."""
    file = File(b"1", name="a")
    cases: dict[str, dict[str, Any]] = {
        "type": {},
        "'take' must be a text": {"attributes": {"take": 1}},
        "'a=b'": {"attributes": {"a=b": "c"}},
        "'itemId'": {"attributes": {"itemId": "VX-1"}},
        "'callsheet_name'": {"attributes": {"callsheet_name": "x"}},
        "bytes": {"description": "x" * 7000},
        "bytes in a URL": {"description": "\N{SKULL}" * 530},
        "description is too long": {"description": "\N{SKULL}" * 700},
        "shot is too long": {"attributes": {"shot": "x" * 9000, "take": "1"}},
        "idempotency_key is too long": {"idempotency_key": "k" * 9000},
        "one file": {"files": [file, file]},
        "'RAW_IMPORT'": {"files": [file], "type": "IMPORT"},
        "item": {"files": [file], "item": "VX-1"},
        "vendor": {"vendor": {"priority": "HIGH"}},
        "'tag'": {"vendor": {"tag": {}}},
    }
    for words, given in cases.items():
        fields = {"type": "STUDIO_RENDER"} | given if words not in {"type", "one file", "item"} else given
        with raises_for(words, InvalidRequest, match=words):
            await client.jobs.create("x", **fields)
    assert sandbox.requests() == []


async def test_options_of_vidispines_own(client: Vidispine, sandbox: Sandbox) -> None:
    """`vendor` goes along as parameters: truth values in small letters, a list as several."""
    options = {"notification": "VX-7", "notificationData": "x y", "flag": True, "tag": ["a", "b"]}
    await client.jobs.create("x", type="STUDIO_RENDER", vendor=options)
    (request,) = sandbox.requests("/API/job", method="POST")
    assert "notification=VX-7&notificationData=x%20y&flag=true&tag=a&tag=b" in request.target


async def test_what_is_too_long_to_ask_for(client: Vidispine, sandbox: Sandbox) -> None:
    """What no URL has room for is refused by name, before anything is sent; an id is nobody's."""
    calls: dict[str, Awaitable[object]] = {
        "reason": client.provider.abort("VX-1", reason="r" * 9000),
        "shot": client.jobs.list(attributes={"shot": "ü" * 2000, "take": "2"}).collect(),
        "type": client.jobs.count(types={f"TYPE_{number}" for number in range(1000)}),
        "path": client.provider.request("GET", "item/VX-1", query={"path": "p" * 9000}),
    }
    for word, call in calls.items():
        with raises_for(word, InvalidRequest, match=rf"^{word} is too long: \d+ bytes in a URL"):
            await call
    assert await client.jobs.get_many(["VX-" + "1" * 9000]) == [None]
    assert sandbox.requests() == []


# -- changing ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["lost", "html", "reset"])
@pytest.mark.parametrize("call", ["PUT", "DELETE", "delete"])
async def test_trouble_while_a_job_is_changed(
    client: Vidispine, sandbox: Sandbox, kind: str, call: str
) -> None:
    """A change whose answer was lost is made again: it sets an end value."""
    job = await client.jobs.create("x", type="STUDIO_RENDER")
    if call == "delete":
        sandbox.act("vidispine", "jobs", ids=[job.id], status="FINISHED")
    sandbox.faults.add(kind, path="/API/job*", method=call.upper(), nth=1)
    if call == "PUT":
        assert (await client.jobs.update(job, priority=90)).priority == 90
    elif call == "DELETE":
        assert (await client.jobs.cancel(job)).state is JobState.CANCELLED
    else:
        await client.jobs.delete(job)
        assert await client.jobs.get_many([job]) == [None]
    assert sandbox.faults.struck() == 1


@pytest.mark.parametrize("what", ["notification", "task-definition"])
async def test_a_removal_whose_answer_is_lost(client: Vidispine, sandbox: Sandbox, what: str) -> None:
    """If the answer to a removal was lost, and nothing is there the next time, it was removed."""
    provider = client.provider
    kept = await provider.create_notification("http://127.0.0.1:9/x")
    (step, *steps) = await provider.task_definitions("TRANSCODE")

    async def remove() -> None:
        if what == "notification":
            await provider.delete_notification(kept)
        else:
            await provider.remove_task_definition(step.id)

    sandbox.forget_requests()
    sandbox.faults.add("lost", path=f"*/{what}/*", method="DELETE", nth=1)
    await remove()
    assert len(sandbox.requests(method="DELETE")) == 2
    gone = await provider.notifications() == [], await provider.task_definitions("TRANSCODE") == steps
    assert gone == (what == "notification", what != "notification")
    with pytest.raises(NotFound) as caught:
        await remove()
    assert caught.value.outcome is Outcome.NOT_DONE


async def test_a_rerun_whose_answer_is_lost(client: Vidispine, sandbox: Sandbox) -> None:
    """Nothing tells whether a rerun whose answer was lost was made: it is not repeated, and takes no key."""
    job = await client.jobs.create("x", type="STUDIO_RENDER")
    sandbox.faults.add("lost", path="/API/job/*/re-run")
    with pytest.raises(TransportError) as caught:
        await client.jobs.rerun(job)
    assert (caught.value.outcome, caught.value.idempotency_key) == (Outcome.UNKNOWN, None)
    assert await client.jobs.count() == 2


async def test_a_page_that_is_no_answer(sandbox: Sandbox) -> None:
    """A page of HTML where a change was asked for proves neither that it was made nor the contrary."""
    async with patient(sandbox) as client:
        job = await client.jobs.create("x", type="STUDIO_RENDER")
        sandbox.faults.add("html", path="/API/job/*/re-run", status=200)
        with pytest.raises(InvalidResponse) as caught:
            await client.jobs.rerun(job)
        assert caught.value.outcome is Outcome.UNKNOWN
        sandbox.faults.add("html", path="/API/job", method="POST", status=200)
        with pytest.raises(InvalidResponse) as caught:
            await client.jobs.create("y", type="STUDIO_RENDER", idempotency_key="k")
        assert (caught.value.outcome, caught.value.idempotency_key) == (Outcome.UNKNOWN, "k")


async def test_deleting_what_runs(client: Vidispine, sandbox: Sandbox) -> None:
    """A job that has not ended is not deleted; the error says what to do."""
    job = await client.jobs.create("x", type="STUDIO_RENDER")
    with pytest.raises(Conflict, match="cancel it first") as caught:
        await client.jobs.delete(job)
    assert caught.value.outcome is Outcome.NOT_DONE
    assert sandbox.requests(method="DELETE") == []
    sandbox.act("vidispine", "jobs", ids=[job.id], vanish=True)
    with pytest.raises(NotFound, match=job.id):
        await client.jobs.delete(job)


async def test_aborting_what_the_server_will_not(client: Vidispine, sandbox: Sandbox) -> None:
    """An abort that the server refuses is a conflict, unless the job has ended by then."""
    job = await client.jobs.create("x", type="STUDIO_RENDER")
    refused = dict.fromkeys(NOT_FOUND) | {"conflict": {"context": "job", "explanation": "not now"}}
    sandbox.faults.add("answer", path="/API/job*", method="DELETE", status=409, body=refused)
    with pytest.raises(Conflict, match="not now"):
        await client.jobs.cancel(job)
    sandbox.act("vidispine", "jobs", ids=[job.id], status="FINISHED")
    assert (await client.jobs.cancel(job)).state is JobState.DONE


# -- reading -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options", "error"),
    [
        ("html", {"status": 502}, Unavailable),
        ("html", {"status": 200}, InvalidResponse),
        ("gzip", {}, TransportError),
        ("cut", {"after": 20}, TransportError),
        ("status", {"status": 429, "retry_after": 99999}, RateLimited),
        ("status", {"status": 503, "retry_after": 99999}, Unavailable),
        ("garbled", {}, InvalidResponse),
        ("answer", {"body": []}, InvalidResponse),
        ("answer", {"body": {"strange": 1}}, InvalidResponse),
        ("answer", {"body": {"hits": "many"}}, InvalidResponse),
        ("answer", {"body": {"hits": 1, "job": [{"jobId": "VX-1"}]}}, InvalidResponse),
        ("answer", {"body": {"hits": 9, "job": [{"jobId": "VX-1", "status": "READY"}]}}, InvalidResponse),
        ("edit", {"set": {"/job/0/started": "soon"}}, InvalidResponse),
        ("edit", {"remove": ["/job/0/status"]}, InvalidResponse),
    ],
)
async def test_a_listing_in_trouble(
    sandbox: Sandbox, kind: str, options: dict[str, Any], error: type[Exception]
) -> None:
    """A listing that cannot be read raises; it is never shorter than it should be."""
    async with patient(sandbox) as client:
        await client.jobs.create("x", type="STUDIO_RENDER")
        sandbox.faults.add(kind, path="/API/job*", **options)
        with pytest.raises(error) as caught:
            await client.jobs.list().collect()
        assert getattr(caught.value, "outcome", None) is Outcome.NOT_DONE


@pytest.mark.parametrize(
    ("kind", "options"),
    [("html", {"status": 503}), ("gzip", {}), ("cut", {"after": 20}), ("reset", {}), ("lost", {})],
)
async def test_trouble_that_passes(
    client: Vidispine, sandbox: Sandbox, kind: str, options: dict[str, Any]
) -> None:
    """What reads is tried again, and nobody is the wiser."""
    job = await client.jobs.create("x", type="STUDIO_RENDER")
    sandbox.faults.add(kind, path="/API/job*", nth=1, **options)
    assert [one.id for one in await client.jobs.list().collect()] == [job.id]
    assert sandbox.faults.struck() == 1


@pytest.mark.parametrize(
    ("status", "body", "error", "code", "words"),
    [
        (404, NOT_FOUND, NotFound, "notFound", "type: Job, id: VX-1000000"),
        (
            400,
            dict.fromkeys(NOT_FOUND) | {"invalidInput": {"context": "job", "id": None, "value": "X"}},
            ResponseError,
            "invalidInput",
            "context: job, value: X",
        ),
        (
            403,
            dict.fromkeys(NOT_FOUND) | {"forbidden": {"explanation": "no"}},
            Denied,
            "forbidden",
            "explanation: no",
        ),
        (
            400,
            dict.fromkeys(NOT_FOUND) | {"licenseFault": {"message": "expired"}},
            Denied,
            "licenseFault",
            "expired",
        ),
        (
            409,
            dict.fromkeys(NOT_FOUND) | {"fileAlreadyExists": {"path": "a"}},
            Conflict,
            "fileAlreadyExists",
            "path: a",
        ),
        (
            500,
            dict.fromkeys(NOT_FOUND) | {"internalServer": {"message": "oops"}},
            Unavailable,
            "internalServer",
            "oops",
        ),
        (
            500,
            dict.fromkeys(NOT_FOUND) | {"internalServer": {"message": None}},
            Unavailable,
            "internalServer",
            "",
        ),
        (501, dict.fromkeys(NOT_FOUND) | {"notYetImplemented": {}}, ResponseError, "notYetImplemented", ""),
        (404, {"code": 404, "message": "HTTP 404 Not Found"}, NotFound, None, "HTTP 404 Not Found"),
        (
            404,
            "404 A resource could not be found\r\nType: storage-method\r\nID: VX-1000000\r\n",
            NotFound,
            None,
            "404 A resource could not be found; Type: storage-method; ID: VX-1000000",
        ),
        (
            404,
            '<?xml version="1.0"?><ExceptionDocument xmlns="http://xml.vidispine.com/schema/vidispine">'
            "<notFound><type>Job</type><id>VX-9</id></notFound></ExceptionDocument>",
            NotFound,
            "notFound",
            "type: Job, id: VX-9",
        ),
        (
            404,
            "<html><body>no such page</body></html>",
            Unavailable,
            None,
            "<html><body>no such page</body></html>",
        ),
        (400, "400 Bad\r\nnot a member", ResponseError, None, "400 Bad not a member"),
        (400, "{broken", ResponseError, None, "{broken"),
        (400, {"other": None}, ResponseError, None, '{"other": null}'),
        (418, "", ResponseError, None, ""),
    ],
)
async def test_error_documents(
    sandbox: Sandbox, status: int, body: Any, error: type[ResponseError], code: str | None, words: str
) -> None:
    """Each form in which Vidispine says no is one of our errors, with its own words."""
    async with patient(sandbox) as client:
        sandbox.faults.add("answer", path="/API/item/VX-1", status=status, body=body)
        with pytest.raises(error) as caught:
            await client.provider.request("GET", "item/VX-1")
    told = caught.value
    assert (type(told), told.status, told.code, told.message) == (error, status, code, words)
    assert (told.provider, told.outcome) == ("vidispine", Outcome.NOT_DONE)


@pytest.mark.parametrize("body", ["<ExceptionDocument><a>" * 40_000, "404 a" + " " * 900_000 + "\nb"])
async def test_long_errors_of_ill_will(client: Vidispine, sandbox: Sandbox, body: str) -> None:
    """An error of a megabyte is read as quickly as it comes, whatever it looks like (the loop is watched)."""
    sandbox.faults.add("answer", path="/API/job/VX-1", status=400, body=body)
    with pytest.raises(ResponseError) as caught:
        await client.jobs.get("VX-1")
    assert caught.value.status == 400


async def test_a_page_in_place_of_a_job(client: Vidispine, sandbox: Sandbox) -> None:
    """A web server that finds no Vidispine behind it says nothing of its jobs: they are waited for."""
    job = await client.jobs.create("x", type="STUDIO_RENDER")
    page = "<html><body><h1>404 Not Found</h1></body></html>"
    sandbox.faults.add("answer", path="/API/job/*", method="GET", status=404, body=page, times=4)
    assert await client.jobs.get(job) == job
    sandbox.act("vidispine", "jobs", ids=[job.id], status="FINISHED")
    sandbox.faults.add("answer", path="/API/job/*", method="GET", status=404, body=page, times=9)
    assert (await client.jobs.wait(job, timeout=20)).state is JobState.DONE


async def test_the_password_is_nowhere(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """The password is in the header of requests to the server, and in no URL, log, error or repr."""
    caplog.set_level(logging.DEBUG)
    async with patient(sandbox) as client:
        job = await client.jobs.create("x", type="STUDIO_RENDER")
        header = sandbox.requests()[0].headers["authorization"]
        told = f"{header} and admin:admin and {header.partition(' ')[2]}"
        sandbox.faults.add("answer", path="/API/item/*", status=500, body=told)
        with pytest.raises(Unavailable) as caught:
            await client.provider.request("DELETE", "item/VX-1")
        seen = [*caplog.messages, str(caught.value), repr(client), repr(vars(client.provider)), repr(job)]
        seen += [repr(vars(client.provider._server)), *(request.target for request in sandbox.requests())]
    secret = header.partition(" ")[2]
    assert [text for text in seen if secret in text] == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_to_another_origin(client: Vidispine, sandbox: Sandbox, status: int) -> None:
    """Whom we are and whom we act for do not get to another server."""
    with Sandbox() as other:
        sandbox.faults.add("redirect", path="/API/job*", to=f"{other.url}/API/job", status=status)
        with pytest.raises(ResponseError):
            await client.as_user("jane").jobs.list().collect()
        for request in other.requests():
            assert not {"authorization", "runas"} & request.headers.keys()

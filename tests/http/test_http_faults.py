"""What a server, or the wire to it, can do wrong to one call."""

from __future__ import annotations

import gzip
import itertools
import json
import random
import socket
import threading
import tracemalloc
from collections.abc import AsyncIterator

import anyio
import pytest

from callsheet import _errors as errors
from callsheet._errors import Outcome
from callsheet._http._messages import Answer, Body
from callsheet._http._retry import Retry
from faultserver import FaultServer, Line, always, answer, chunked, in_turn, nobody, once
from support.clocks import Clock
from support.roads import Road, until

FINE = answer(200, b'{"fine": true}', {"X-Request-Id": "r-1"})


async def test_a_whole_answer(road: Road) -> None:
    """Status, headers, body and request id arrive as they were sent, and one request was made."""
    with FaultServer(always(FINE)) as server:
        async with road(server.url) as http:
            got = await http.send("POST", "/api?a=b", headers={"X-One": "1"}, body=b"{}")
        assert (got.status, got.headers["content-length"], got.json(), got.request_id) == (
            200,
            "14",
            {"fine": True},
            "r-1",
        )
        (request,) = server.requests
        assert (request.method, request.target, request.body) == ("POST", "/api?a=b", b"{}")
        assert request.headers == {
            "host": server.url.removeprefix("http://"),
            "user-agent": request.headers["user-agent"],
            "accept-encoding": "gzip",
            "x-one": "1",
            "content-length": "2",
        }


@pytest.mark.parametrize(
    ("method", "length"), [("POST", "0"), ("PUT", "0"), ("PATCH", "0"), ("DELETE", None), ("GET", None)]
)
async def test_a_request_without_a_body(road: Road, method: str, length: str | None) -> None:
    """POST, PUT and PATCH say that they have no body, since servers insist; no other speaks of one."""
    with FaultServer(always(FINE)) as server:
        async with road(server.url) as http:
            await http.send(method, "/")
    (request,) = server.requests
    assert request.headers.get("content-length") == length
    assert "transfer-encoding" not in request.headers


async def test_nobody_listens(road: Road) -> None:
    """A refused connection is tried again, then is a TransportError with nothing done, even for a create."""
    with nobody() as url:
        async with road(url) as http:
            with pytest.raises(errors.TransportError, match="no connection: Connection refused") as caught:
                await http.send("POST", "/create", body=b"{}")
    assert (caught.value.outcome, caught.value.provider) == (Outcome.NOT_DONE, "test")


async def test_server_that_starts_late(road: Road) -> None:
    """A server that comes up while a call is trying is reached by it."""
    refused = 0

    def pause() -> float:
        nonlocal refused
        refused += 1
        if refused == 2:
            listener.listen()
            thread.start()
        return 1.0

    def serve() -> None:
        connection, _ = listener.accept()
        connection.recv(65536)
        connection.sendall(FINE)
        connection.close()

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))  # nobody else's, though nobody listens yet
        port = listener.getsockname()[1]
        thread = threading.Thread(target=serve)
        async with road(f"http://127.0.0.1:{port}", retry=Retry(base=0.002, random=pause)) as http:
            got = await http.send("POST", "/create", body=b"{}")
        thread.join()
    assert (got.status, refused) == (200, 2)


async def test_unknown_host(road: Road) -> None:
    """A name that does not exist is a TransportError that says so, with nothing done."""
    async with road("https://no-such-host.invalid", connect=5.0) as http:
        with pytest.raises(errors.TransportError, match=r"^POST https://no-such-host.invalid/x: ") as caught:
            await http.send("POST", "/x", body=b"{}")
    assert caught.value.outcome is Outcome.NOT_DONE


@pytest.mark.parametrize("size", range(8))
async def test_gzip_cut_at_every_eighth(road: Road, size: int) -> None:
    """A gzip body that is cut is an error at every cut, though its length and its JSON may look whole."""
    body = gzip.compress(random.Random(0).randbytes(20_000))
    part = body[: len(body) * size // 8]
    cut = answer(200, part, {"Content-Encoding": "gzip"})
    with FaultServer(always(cut)) as server:
        async with road(server.url) as http:
            if not part:  # nothing at all is an empty body, not half of one
                assert (await http.send("GET", "/")).body == b""
                return
            with pytest.raises(errors.TransportError, match="its gzip body ends too early") as caught:
                await http.send("GET", "/", repeatable=False)
    assert (caught.value.outcome, len(server.requests)) == (Outcome.NOT_DONE, 1)


async def test_gzip_of_several_members(road: Road) -> None:
    """A body of gzip members one behind the other is read to the last."""
    body = gzip.compress(b"one") + gzip.compress(b"two" * 1000)
    with FaultServer(always(chunked([body[:10], body[10:]], {"Content-Encoding": "gzip"}))) as server:
        async with road(server.url) as http:
            assert (await http.send("GET", "/")).body == b"one" + b"two" * 1000


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        pytest.param(
            answer(200, b"short", length=9),
            errors.TransportError,
            "the connection broke off: peer closed connection without sending complete message body",
            id="length too long",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\n\r\nperhaps all",
            errors.InvalidResponse,
            "it does not say where its body ends",
            id="no length",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nx",
            errors.TransportError,
            "the connection broke off: bad Content-Length",
            id="no number",
        ),
        pytest.param(
            chunked([b"one", b"two"])[:-5],
            errors.TransportError,
            "the connection broke off: peer closed connection without sending complete message body",
            id="chunks without an end",
        ),
        pytest.param(
            answer(200, b"\x1f\x8b no gzip", {"Content-Encoding": "gzip"}),
            errors.InvalidResponse,
            "its gzip body is damaged",
            id="no gzip",
        ),
        pytest.param(
            answer(200, gzip.compress(b"x" * 1000)[:-8] + b"\0" * 8, {"Content-Encoding": "gzip"}),
            errors.InvalidResponse,
            "its gzip body is damaged",
            id="wrong checksum",
        ),
        pytest.param(
            answer(200, b"x", {"Content-Encoding": "br"}),
            errors.InvalidResponse,
            "it is encoded as 'br', which was not asked for",
            id="another encoding",
        ),
        pytest.param(
            answer(200, b"{}", {"X-Absurd": "x" * 200_000}),
            errors.TransportError,
            "the connection broke off: ",
            id="absurd header",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nA B: c\r\nContent-Length: 0\r\n\r\n",
            errors.TransportError,
            "the connection broke off: illegal header line",
            id="malformed header",
        ),
    ],
)
async def test_answers_that_are_not_whole(
    road: Road, data: bytes, error: type[errors.CallsheetError], message: str
) -> None:
    """Each wrong length or damaged body is an error that says what is wrong; none passes as an answer."""
    with FaultServer(once(data)) as server:
        async with road(server.url) as http:
            with pytest.raises(error, match=message) as caught:
                await http.send("GET", "/", repeatable=False)
    assert (type(caught.value), caught.value.outcome, len(server.requests)) == (error, Outcome.NOT_DONE, 1)
    if isinstance(caught.value, errors.InvalidResponse):
        assert caught.value.status == 200


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(b'{"half": ', "no JSON", id="half"),
        pytest.param(
            b"<html><h1>Gateway</h1> key=canary-0815", r"begins '<html><h1>Gateway</h1> key=canary", id="HTML"
        ),
        pytest.param(b"[" * 100_000, "nested too deep", id="deep"),
        pytest.param(b'{"n": NaN}', "NaN is not JSON", id="NaN"),
        pytest.param(b'{"n": ' + b"9" * 5000 + b"}", "no JSON", id="huge number"),
        pytest.param(b"\xff\xfe\x00", "no JSON", id="no text"),
        pytest.param(b"", "no JSON", id="nothing"),
    ],
)
async def test_invalid_json(road: Road, body: bytes, message: str) -> None:
    """A 200 whose body is no JSON is an InvalidResponse that shows how it begins."""
    with FaultServer(always(answer(200, body))) as server:
        async with road(server.url) as http:
            got = await http.send("POST", "/create", body=b"{}")
            with pytest.raises(errors.InvalidResponse, match=message) as caught:
                got.json()
    assert (caught.value.status, caught.value.outcome, len(str(caught.value)) < 500) == (
        200,
        Outcome.DONE,
        True,
    )


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(answer(200, b"", length=101), id="by its length"),
        pytest.param(
            chunked([gzip.compress(b"")] * 50, {"Content-Encoding": "gzip"}), id="gzip with nothing in it"
        ),
    ],
)
async def test_the_budget_is_of_what_is_sent(road: Road, data: bytes) -> None:
    """What a server announces or sends counts against the budget, whatever comes of it."""
    with FaultServer(once(data, Line.hang)) as server:
        async with road(server.url) as http:
            with pytest.raises(errors.InvalidResponse, match="its body exceeds 100 bytes"):
                await http.send("GET", "/", limit=100)


@pytest.mark.parametrize("status", [200, 204])
async def test_answers_without_a_body(road: Road, status: int) -> None:
    """An answer to HEAD says how long the body would be, which it needs not bring, nor fit into a budget;
    headers that come twice are joined."""
    head = b"HTTP/1.1 %d Fine\r\nContent-Length: 101\r\nX-Part: a\r\nX-Part: b\r\n\r\n" % status
    with FaultServer(always(head)) as server:
        async with road(server.url) as http:
            for _ in range(2):
                got = await http.send("HEAD", "/file", limit=100)
                told = got.headers["content-length"], got.headers["x-part"]
                assert (got.status, got.body, told) == (status, b"", ("101", "a, b"))
    assert server.connections == 1


@pytest.mark.parametrize("framed", [True, False])
async def test_huge_bodies_stop_at_the_budget(road: Road, framed: bool) -> None:
    """A body beyond the budget is refused by its length, or when that much has come, and never repeated."""
    part = b"x" * 10_000
    data = answer(200, part * 20) if framed else chunked([part] * 20)
    with FaultServer(always(data)) as server:
        async with road(server.url) as http:
            with pytest.raises(errors.InvalidResponse, match="its body exceeds 100000 bytes"):
                await http.send("GET", "/", limit=100_000)
            assert (await http.send("GET", "/", limit=200_000)).body == part * 20
    assert len(server.requests) == 2


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """Hide 300 MB in 300 KB."""
    return gzip.compress(bytes(300_000_000))


async def test_gzip_bomb_costs_no_memory(road: Road, bomb: bytes) -> None:
    """300 MB hidden in 300 KB are given up at the budget, having cost no more than that."""
    with FaultServer(always(answer(200, bomb, {"Content-Encoding": "gzip"}))) as server:
        async with road(server.url) as http:
            tracemalloc.start()
            try:
                with pytest.raises(errors.InvalidResponse, match="its body exceeds 1000000 bytes"):
                    await http.send("GET", "/", limit=1_000_000, repeatable=False)
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
    assert peak < 8_000_000


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("part", ["head", "body"])
async def test_slow_answer_ends_at_the_deadline(road: Road, clock: Clock, part: str, streamed: bool) -> None:
    """An answer that drips one byte at a time never outlives the call's deadline."""
    data = answer(200, b" " * 10_000)
    where = 5 if part == "head" else len(data) - 9_000
    timeouts: list[errors.Timeout] = []

    def play(line: Line) -> None:
        line.request()
        line.send(data[:where])
        line.acknowledged()
        for count in itertools.count(1):
            arrived.append(count)
            line.drip(data[where + count : where + count + 1], 0.02)

    async def source() -> AsyncIterator[bytes]:
        yield b"{}"

    async def call() -> None:
        with pytest.raises(errors.Timeout, match=r"no whole answer within 5 s") as caught:
            await http.send("POST", "/create", body=Body(source, 2) if streamed else b"{}", timeout=5)
        timeouts.append(caught.value)

    arrived: list[int] = []
    with FaultServer(play) as server:
        async with road(server.url) as http, anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            for count in (1, 5):  # that long between two bytes would be too long, too
                await until(lambda count=count: len(arrived) >= count)  # type: ignore[misc]  # mypy cannot infer it
                assert timeouts == []
                await clock.skip_waiting(3)
    expected = Outcome.UNKNOWN if part == "head" else Outcome.DONE
    assert ([error.outcome for error in timeouts], len(server.requests)) == ([expected], 1)


async def test_server_that_reads_slowly_ends_at_the_stall_limit(road: Road) -> None:
    """A server that takes one byte at a time of a large body is given up at the stall limit."""
    with FaultServer(lambda line: line.read_slowly(0.02)) as server:
        async with road(server.url, stall=0.1) as http:
            with pytest.raises(errors.Timeout, match=r"nothing moved for 0\.1 s") as caught:
                await http.send("POST", "/create", body=bytes(30_000_000))
    assert caught.value.outcome is Outcome.NOT_DONE  # it did not leave whole


async def test_silent_server_is_tried_again(road: Road, clock: Clock) -> None:
    """A read whose server falls silent is given up at the stall limit and made again."""

    async def call() -> None:
        assert (await http.send("GET", "/")).json() == {"fine": True}

    with FaultServer(in_turn(once(end=Line.hang), always(FINE))) as server:
        async with road(server.url, stall=5) as http, anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            await until(lambda: len(server.requests) == 1)
            await clock.skip_waiting(6)
    assert (server.connections, len(server.requests)) == (2, 2)


async def test_error_statuses(road: Road) -> None:
    """Each status has its class and outcome; the server's words, its id and the provider are told."""
    kinds = {
        400: (errors.ResponseError, Outcome.NOT_DONE),
        401: (errors.Denied, Outcome.NOT_DONE),
        402: (errors.QuotaExceeded, Outcome.NOT_DONE),
        403: (errors.Denied, Outcome.NOT_DONE),
        404: (errors.NotFound, Outcome.NOT_DONE),
        409: (errors.Conflict, Outcome.NOT_DONE),
        412: (errors.Conflict, Outcome.NOT_DONE),
        422: (errors.ResponseError, Outcome.NOT_DONE),
        429: (errors.RateLimited, Outcome.NOT_DONE),
        500: (errors.Unavailable, Outcome.UNKNOWN),
        501: (errors.ResponseError, Outcome.NOT_DONE),
        502: (errors.Unavailable, Outcome.UNKNOWN),
        503: (errors.Unavailable, Outcome.UNKNOWN),
        504: (errors.Unavailable, Outcome.UNKNOWN),
        599: (errors.Unavailable, Outcome.UNKNOWN),
    }

    def play(line: Line) -> None:
        while True:
            request = line.request()
            line.answer(int(request.target[1:]), b'{"why": "so"}', {"X-Amzn-RequestId": "r-7"})

    seen = {}
    with FaultServer(play) as server:
        async with road(server.url, retry=Retry(attempts=1)) as http:
            for status in kinds:
                with pytest.raises(errors.ResponseError) as caught:
                    await http.send("POST", f"/{status}", body=b"{}", key="k-1")
                error = caught.value
                seen[status] = (type(error), error.outcome)
                assert (
                    error.status,
                    error.request_id,
                    error.provider,
                    error.idempotency_key,
                    error.message,
                ) == (
                    status,
                    "r-7",
                    "test",
                    "k-1",
                    '{"why": "so"}',
                )
                assert str(error).startswith(f"POST {server.url}/{status}: {status}")
    assert seen == kinds


@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize("outcome", [Outcome.NOT_DONE, Outcome.UNKNOWN])
async def test_vendor_errors_in_any_answer(road: Road, status: int, outcome: Outcome) -> None:
    """An error of the vendor's is raised as the check reads it, in a 200 as well; what that says was done."""

    def check(answer: Answer) -> errors.CallsheetError | None:
        fault = answer.json().get("exception")
        return errors.Conflict(fault, status=answer.status, outcome=outcome) if fault else None

    def play(line: Line) -> None:
        while line.request().target == "/taken":
            line.answer(status, json.dumps({"exception": "Taken"}).encode())
        line.send(FINE)

    with FaultServer(play) as server:
        async with road(server.url, check=check, ok_is_done=False) as http:
            with pytest.raises(errors.Conflict, match="Taken") as caught:
                await http.send("POST", "/taken", body=b"{}")
            assert (await http.send("POST", "/free", body=b"{}")).json() == {"fine": True}
    told = Outcome.UNKNOWN if status == 500 else outcome  # a 500 alone is no word that nothing was done
    assert (caught.value.outcome, caught.value.provider) == (told, "test")


async def test_calls_outside_of_async_with(road: Road) -> None:
    """A road that is not open says so, before and after."""
    http = road("http://127.0.0.1:1")
    for _ in range(2):
        with pytest.raises(errors.ConfigError, match="the client is closed"):
            await http.send("GET", "/")
        async with http:
            pass

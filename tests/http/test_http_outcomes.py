"""Retries, and what is said about a request whose connection was cut: at every byte of it."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime

import anyio
import pytest

from callsheet import _errors as errors
from callsheet._errors import Outcome
from callsheet._http._client import Http
from callsheet._http._messages import Body
from callsheet._http._retry import Budget, Retry, retry_after
from faultserver import FaultServer, Line, Play, always, answer, in_turn, once
from support.roads import Road

BODY = b'{"name": "sh010"}'
FINE = answer(201, b'{"id": 7}', {"Connection": "close"})


class Creator:
    """A server that makes a job for each whole request, and once in a while cuts the connection."""

    def __init__(self) -> None:
        self.created = self.requests = 0
        self._cut: Play | None = None

    def cut(self, *, request: int | None = None, reply: int = 0) -> None:
        """Cut the next connection after so many bytes of the request, or else of the answer."""
        self.created = self.requests = 0
        self._cut = self._cut_reply(reply) if request is None else self._cut_request(request)

    def __call__(self, line: Line) -> None:
        cut, self._cut = self._cut, None
        if cut is not None:
            cut(line)
        line.request()
        self.requests += 1
        self.created += 1
        line.send(FINE)

    def _cut_request(self, length: int) -> Play:
        def play(line: Line) -> None:
            line.read(length)
            self.requests += 1
            line.reset()

        return play

    def _cut_reply(self, length: int) -> Play:
        def play(line: Line) -> None:
            line.request()
            self.requests += 1
            self.created += 1
            line.send(FINE[:length])
            line.acknowledged()  # a reset would overtake it
            line.reset()

        return play


@pytest.fixture
def creator() -> Creator:
    return Creator()


@pytest.fixture
def server(creator: Creator) -> Iterator[FaultServer]:
    with FaultServer(creator) as server:
        yield server


async def create(http: Http, *, repeatable: bool) -> errors.CallsheetError | int:
    try:
        return (await http.send("POST", "/jobs", body=BODY, repeatable=repeatable)).status
    except errors.CallsheetError as error:
        return error


async def request_length(http: Http, server: FaultServer) -> int:
    assert await create(http, repeatable=False) == 201
    return len(server.requests[0].head + server.requests[0].body)


@pytest.mark.parametrize("repeatable", [True, False])
async def test_request_cut_at_every_byte(
    road: Road, creator: Creator, server: FaultServer, repeatable: bool
) -> None:
    """A request cut at any byte is made once more where that is safe; else nothing false is said of it."""
    async with road(server.url) as http:
        for cut in range(await request_length(http, server)):
            creator.cut(request=cut)
            got = await create(http, repeatable=repeatable)
            if got == 201:
                # Made again: it was asked for, or the first is known not to have left whole.
                assert (cut, creator.created, creator.requests) == (cut, 1, 2)
            else:
                assert not repeatable
                assert isinstance(got, errors.TransportError)
                assert (cut, got.outcome, creator.created) == (cut, Outcome.UNKNOWN, 0)
                assert creator.requests == 1


@pytest.mark.parametrize("ok_is_done", [True, False])
async def test_answer_cut_at_every_byte(
    road: Road, creator: Creator, server: FaultServer, ok_is_done: bool
) -> None:
    """A create whose answer is cut anywhere is never made twice, and DONE is said only if that is certain."""
    head = FINE.index(b"\r\n\r\n") + 4
    async with road(server.url, ok_is_done=ok_is_done) as http:
        for cut in range(len(FINE)):
            creator.cut(reply=cut)
            got = await create(http, repeatable=False)
            assert isinstance(got, errors.TransportError)
            told = Outcome.DONE if cut >= head and ok_is_done else Outcome.UNKNOWN
            assert (cut, got.outcome, creator.created, creator.requests) == (cut, told, 1, 1)


async def test_answer_cut_at_every_byte_of_what_may_be_repeated(
    road: Road, creator: Creator, server: FaultServer
) -> None:
    """A repeatable call whose answer is cut anywhere is made again, once, and succeeds."""
    async with road(server.url) as http:
        for cut in range(len(FINE)):
            creator.cut(reply=cut)
            assert await create(http, repeatable=True) == 201
            assert (cut, creator.created, creator.requests) == (cut, 2, 2)


async def test_doubt_is_not_forgotten(road: Road) -> None:
    """When the first attempt may have been acted on, a later plain refusal does not make it NOT_DONE."""

    def lose(line: Line) -> None:
        line.request()
        line.reset()

    def refuse(line: Line) -> None:
        line.request()
        line.answer(409)

    with FaultServer(in_turn(lose, refuse)) as server:
        async with road(server.url) as http:
            with pytest.raises(errors.Conflict) as caught:
                await http.send("PUT", "/jobs/1", body=BODY, repeatable=True)
    assert (caught.value.outcome, len(server.requests)) == (Outcome.UNKNOWN, 2)


@pytest.mark.parametrize(("method", "reads"), [("POST", True), ("GET", None), ("HEAD", None)])
async def test_reads_do_nothing(road: Road, method: str, reads: bool | None) -> None:
    """A read, by whatever method, is repeated by itself, and its failures are NOT_DONE."""

    def lose(line: Line) -> None:
        line.request()
        line.reset()

    with FaultServer(lose) as server:
        async with road(server.url) as http:
            with pytest.raises(errors.TransportError) as caught:
                await http.send(method, "/query", reads=reads)
    assert (caught.value.outcome, len(server.requests)) == (Outcome.NOT_DONE, 5)


@pytest.mark.parametrize(
    ("status", "headers", "least"),
    [
        pytest.param(429, {"Retry-After": "0.2"}, 0.2, id="429, seconds"),
        pytest.param(503, {"Retry-After": "0.2"}, 0.2, id="503, seconds"),
        pytest.param(429, {"x-amz-retry-after": "200"}, 0.2, id="milliseconds"),
        pytest.param(
            429,
            {"Date": "Wed, 01 Jan 2020 00:00:00 GMT", "Retry-After": "Wed, 01 Jan 2020 00:00:01 GMT"},
            1.0,
            id="date",
        ),
        pytest.param(429, {"Retry-After": "Wed, 01 Jan 2020 00:00:00 GMT"}, 0, id="past"),
    ],
)
async def test_waits_as_told(road: Road, status: int, headers: dict[str, str], least: float) -> None:
    """A create refused with Retry-After, in seconds, milliseconds or as a date, is made again no sooner."""

    def play(line: Line) -> None:
        line.request()
        line.answer(status, b"later", headers)
        line.request()
        line.send(FINE)

    with FaultServer(play) as server:
        async with road(server.url) as http:
            assert await create(http, repeatable=False) == 201
    first, second = (request.at for request in server.requests)
    assert second - first >= least


@pytest.mark.parametrize("asked", ["99999", "9" * 400, "Wed, 01 Jan 2200 00:00:00 GMT"])
async def test_absurd_waits_are_not_waited(road: Road, asked: str) -> None:
    """A wait beyond the deadline is an error at once, which tells how long the server wished."""
    with FaultServer(once(answer(429, b"", {"Retry-After": asked}))) as server:
        async with road(server.url) as http:
            began = anyio.current_time()
            with pytest.raises(errors.RateLimited) as caught:
                await http.send("GET", "/")
            assert anyio.current_time() - began < 30
    assert ((caught.value.retry_after or 0) >= 99999, len(server.requests)) == (True, 1)


async def test_busy_server_without_a_hint_is_not_asked_to_create_again(road: Road) -> None:
    """A bare 503 may come from a gateway behind which the job was made: a create is not repeated."""
    with FaultServer(once(answer(503))) as server:
        async with road(server.url) as http:
            got = await create(http, repeatable=False)
    assert isinstance(got, errors.Unavailable)
    assert (got.outcome, len(server.requests)) == (Outcome.UNKNOWN, 1)


async def test_dead_server_gets_no_storm(road: Road) -> None:
    """200 tasks against a server that always fails make one request each and share the budget of repeats."""

    def play(line: Line) -> None:
        while True:
            line.request()
            line.answer(500)

    with FaultServer(play) as server:
        async with road(server.url, retry=Retry(base=0.001, budget=50)) as http:
            async with anyio.create_task_group() as tasks:
                for _ in range(200):
                    tasks.start_soon(failing, http)
    assert len(server.requests) == 250


async def failing(http: Http) -> None:
    with pytest.raises(errors.Unavailable):
        await http.send("GET", "/")


async def test_stream_that_can_be_read_once_is_not_repeated(road: Road) -> None:
    """A body that cannot be read again is sent once, whatever is said about repeating."""
    opened = 0

    async def source() -> AsyncIterator[bytes]:
        nonlocal opened
        opened += 1
        yield BODY

    with FaultServer(always(answer(502))) as server:
        async with road(server.url) as http:
            with pytest.raises(errors.Unavailable):
                await http.send("PUT", "/", body=Body(source, len(BODY), rereadable=False), repeatable=True)
            assert (opened, len(server.requests)) == (1, 1)
            with pytest.raises(errors.Unavailable):
                await http.send("PUT", "/", body=Body(source, len(BODY)), repeatable=True)
    assert (opened, len(server.requests)) == (6, 6)
    assert {request.body for request in server.requests} == {BODY}


def test_full_jitter() -> None:
    """Waits are drawn from the whole range below a ceiling that doubles up to a cap."""
    error, throttled = errors.Unavailable(), errors.RateLimited()
    highest = Retry(base=1, throttled=4, cap=10, random=lambda: 1.0)
    assert [highest.wait(n, error, None) for n in range(1, 7)] == [1, 2, 4, 8, 10, 10]
    assert [highest.wait(n, throttled, None) for n in range(1, 4)] == [4, 8, 10]
    assert Retry(random=lambda: 0.0).wait(5, error, None) == 0
    draws = [Retry(base=1, random=random.Random(1).random).wait(1, error, None) for _ in range(2)]
    assert all(0 <= draw <= 1 for draw in draws)
    assert [highest.wait(1, error, hint) for hint in (0, 2, 100)] == [0, 2.2, 101]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "9" * 400}, 1e9),
        ({"retry-after-ms": "250"}, 0.25),
        ({"x-amz-retry-after": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:30 GMT"}, 30),
        ({"retry-after": "Wed, 21 Oct 2015 07:27:30 GMT"}, 0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:30 GMT", "date": "Wed, 21 Oct 2015 07:28:20 GMT"}, 10),
        ({"retry-after": "Wed, 99 Oct 2015 07:28:30 GMT"}, None),
        ({"retry-after": f"Wed, 21 Oct 2015 07:28:30 +{'9' * 30}"}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    """Every spelling of the wish to wait is understood, and nonsense is no wish."""
    assert retry_after(headers, datetime(2015, 10, 21, 7, 28, tzinfo=UTC)) == seconds


def test_budget() -> None:
    """The budget runs dry, comes back slowly by plain successes and at once by a repeat that succeeds."""
    budget = Budget(2)
    assert [budget.take() for _ in range(3)] == [True, True, False]
    for _ in range(9):
        budget.succeeded(0)
    assert not budget.take()
    budget.succeeded(0)
    assert budget.take()
    budget.succeeded(1)
    assert (budget.take(), budget.take()) == (True, False)
    budget.succeeded(9)
    assert [budget.take() for _ in range(3)] == [True, True, False]

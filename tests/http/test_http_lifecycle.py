"""Cancellation, closing, and loops one after the other."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import AsyncIterator, Coroutine, Generator
from functools import partial
from typing import Any

import anyio
import httpx
import pytest

from callsheet import _errors as errors
from callsheet._errors import Outcome
from callsheet._http._messages import Body
from callsheet._http._pool import Pool
from faultserver import FaultServer, Line, always, answer, chunked
from support.roads import Road, until

FINE = answer(200, b"fine")


def hang(line: Line) -> None:
    line.request()
    line.hang()


async def test_aclose_with_work_in_flight(road: Road) -> None:
    """Calls, waits for a slot, waits for a retry and open downloads all end with an error, and at once."""

    def play(line: Line) -> None:
        target = line.request().target
        if target == "/retry":
            line.answer(503, b"", {"Retry-After": "60", "Connection": "close"})
        elif target == "/file":
            line.send(chunked([b"x" * 1000])[:-5])
            line.hang()
        else:
            line.hang()

    told: list[tuple[str, type, Outcome]] = []

    async def call(path: str) -> None:
        with pytest.raises(errors.TransportError, match="the client was closed meanwhile") as caught:
            await http.send("POST", path, body=b"{}")
        told.append((path, type(caught.value), caught.value.outcome))

    async def load() -> None:
        with pytest.raises(errors.TransportError) as caught:
            await read()
        told.append(("/file", type(caught.value), caught.value.outcome))

    async def read() -> None:
        async with http.download("/file") as download:
            async for _ in download:
                reading.set()

    reading = anyio.Event()
    with FaultServer(play) as server:
        http = road(server.url, connections=3)
        await http.open()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(load)
            await reading.wait()
            for number, path in enumerate(("/retry", "/hang", "/hang"), 2):
                tasks.start_soon(call, path)
                await until(lambda number=number: len(server.requests) >= number)  # type: ignore[misc]  # mypy cannot infer it
            tasks.start_soon(call, "/waits-for-a-slot")
            await anyio.wait_all_tasks_blocked()
            await http.aclose()
        await http.aclose()
    assert sorted(told, key=str) == [
        ("/file", errors.TransportError, Outcome.NOT_DONE),
        ("/hang", errors.TransportError, Outcome.UNKNOWN),
        ("/hang", errors.TransportError, Outcome.UNKNOWN),
        ("/retry", errors.TransportError, Outcome.NOT_DONE),
        ("/waits-for-a-slot", errors.TransportError, Outcome.NOT_DONE),
    ]


async def test_a_transport_handed_in_is_closed_last(road: Road) -> None:
    """When a user's transport is closed, all its answers are, and every request in it has come to its end."""
    ended: list[str] = []

    class Answered(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"x"

        async def aclose(self) -> None:
            ended.append("answer")

    class Lingering(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.method == "GET":
                return httpx.Response(200, headers={"content-length": "9"}, stream=Answered())
            try:
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    for _ in range(int(request.url.path[1:])):
                        await anyio.lowlevel.checkpoint()
                ended.append("request")
            raise AssertionError

        async def aclose(self) -> None:
            ended.append("transport")

    async def call(path: str) -> None:
        with pytest.raises(errors.TransportError, match="the client was closed meanwhile"):
            await http.send("POST", path)

    async with (
        road("https://tracker.example", transport=Lingering()) as http,
        anyio.create_task_group() as tasks,
    ):
        for path in ("/1", "/100"):
            tasks.start_soon(call, path)
        await anyio.wait_all_tasks_blocked()
        async with http.download("/file"):
            await http.aclose()
    assert ended == ["answer", "request", "request", "transport"]


async def test_aclose_when_cancelled(road: Road) -> None:
    """Closing does its work even in a scope that is cancelled."""
    with FaultServer(always(FINE)) as server:
        http = road(server.url)
        await http.open()
        await http.send("GET", "/")
        transport = http._transport
        with anyio.CancelScope() as scope:
            scope.cancel()
            await http.aclose()
        assert isinstance(transport, Pool)
        assert (transport.busy, transport.idle) == (0, 0)


async def test_cancelled_call_leaves_nothing(road: Road) -> None:
    """A call cancelled while it waits for its answer raises nothing of ours and frees its connection."""
    with FaultServer(hang) as server:
        async with road(server.url, connections=1) as http:
            for number in range(1, 4):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(partial(http.send, "POST", "/", body=b"{}"))
                    await until(lambda: len(server.requests) == number)  # noqa: B023 - awaited in its round
                    tasks.cancel_scope.cancel()
            assert isinstance(http._transport, Pool)
            assert (http._transport.busy, http._transport.idle) == (0, 0)
    assert server.connections == 3


class Steps:
    """Counts the checkpoints of a call, and cancels it at the k-th."""

    def __init__(self, call: Coroutine[Any, Any, Any], scope: anyio.CancelScope, last: int) -> None:
        self._steps = call.__await__()
        self._last = last
        self._scope = scope

    def __await__(self) -> Generator[Any, Any, Any]:
        send, value = self._steps.send, None
        for step in itertools.count(1):
            try:
                what = send(value)
            except StopIteration as end:
                return end.value
            if step == self._last:
                self._scope.cancel()
            try:
                value = yield what
                send = self._steps.send
            except BaseException as exc:  # noqa: BLE001  # handed on to the call
                send, value = self._steps.throw, exc
        raise AssertionError


async def test_cancelled_at_every_step_of_an_upload(road: Road) -> None:
    """An upload cancelled at its k-th step, for every k, closes its source and frees its connection."""
    opened = closed = 0

    async def source() -> AsyncIterator[bytes]:
        nonlocal opened, closed
        opened += 1
        try:
            for _ in range(5):
                await anyio.lowlevel.checkpoint()
                yield b"x" * 1000
        finally:
            closed += 1

    finished = 0
    with FaultServer(always(FINE)) as server:
        async with road(server.url, connections=1) as http:
            for last in range(1, 200):
                with anyio.CancelScope() as scope:
                    await Steps(http.send("PUT", "/file", body=Body(source, 5000)), scope, last)
                assert isinstance(http._transport, Pool)
                assert (last, http._transport.busy, opened) == (last, 0, closed)
                finished += not scope.cancelled_caught
                if finished == 3:
                    break
            assert finished == 3
            assert (await http.send("GET", "/")).body == b"fine"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_two_loops_one_after_the_other(road: Road, backend: str) -> None:
    """The same road opens again in a second loop, and a pool per loop leaves nothing in the first."""
    with FaultServer(always(FINE)) as server:
        http = road(server.url)

        async def main() -> bytes:
            async with http:
                return (await http.send("GET", "/")).body

        assert [anyio.run(main, backend=backend) for _ in range(2)] == [b"fine"] * 2
    assert server.connections == 2


async def test_early_closed_and_never_read(road: Road) -> None:
    """Downloads never read, read by one piece, and read whole leave the pool as it was, every time."""
    with FaultServer(always(chunked([b"x" * 30_000] * 20))) as server:
        async with road(server.url, connections=2) as http:
            pool = http._transport
            assert isinstance(pool, Pool)
            for pieces in [0, 1, 3, 10**6] * 5:
                async with http.download("/file") as download:
                    for _ in range(pieces):
                        if not await anext(download, b""):
                            break
                assert (pool.busy, pool.idle <= 2, http._calls, http._replies) == (0, True, set(), set())


def test_the_package_imports_no_http_library() -> None:
    """`import callsheet` costs no httpx, and the transport's protocol does not either."""
    code = (
        "import sys, callsheet, callsheet._http._options;"
        "print(sorted({'httpx', 'httpcore', 'h11', 'ssl'} & set(sys.modules) - {'ssl'}))"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout.strip() == "[]"

"""The transport: its limit, its books under cancellation, its timeouts, and what it reuses."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import nullcontext
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from callsheet._http._network import Network
from callsheet._http._options import HttpOptions
from callsheet._http._pool import Pool
from faultserver import Authority, FaultServer, Line, Play, always, answer, chunked, in_turn, nobody, once
from support.clocks import Clock
from support.roads import until

OK = answer(200, b"fine")


def request(url: str, method: str = "GET", **timeouts: float) -> httpx.Request:
    return httpx.Request(method, url, extensions={"timeout": timeouts or {"pool": 5.0, "read": 5.0}})


async def fetch(transport: Pool, url: str, method: str = "GET", /, **timeouts: float) -> bytes:
    answer = await transport.handle_async_request(request(url, method, **timeouts))
    return await answer.aread()


async def test_one_connection_serves_many_requests() -> None:
    """A body that is read to its end gives its connection to the next request."""
    with FaultServer(always(OK)) as server:
        pool = Pool(HttpOptions())
        got = [await fetch(pool, server.url) for _ in range(5)]
        assert (got, server.connections, pool.busy, pool.idle) == ([b"fine"] * 5, 1, 0, 1)
        await pool.aclose()
        assert (pool.busy, pool.idle) == (0, 0)


async def test_limit_counts_busy_and_idle_over_all_origins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests to three servers never hold more connections than allowed, idle ones included."""
    open_now = most = 0
    connect, close = Network._connect, Network.aclose

    async def counted_connect(network: Network, *args: Any) -> Any:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        return await connect(network, *args)

    async def counted_close(network: Network) -> None:
        nonlocal open_now
        was_open = bool(network._streams)
        await close(network)
        open_now -= was_open

    # Counted here: a server may see the old connection's end after the new one's begin.
    monkeypatch.setattr(Network, "_connect", counted_connect)
    monkeypatch.setattr(Network, "aclose", counted_close)
    with FaultServer(always(OK)) as a, FaultServer(always(OK)) as b, FaultServer(always(OK)) as c:
        pool = Pool(HttpOptions(connections=4))
        async with anyio.create_task_group() as tasks:
            for index in range(90):
                tasks.start_soon(fetch, pool, (a, b, c)[index % 3].url)
        assert pool.busy == 0
        assert pool.idle <= 4
        await pool.aclose()
    assert (most, open_now) == (4, 0)
    assert len(a.requests) + len(b.requests) + len(c.requests) == 90


async def test_waiting_for_a_slot_times_out() -> None:
    """With every slot taken by an unread body, a request gets a PoolTimeout, and the books stay right."""
    with FaultServer(always(OK)) as server:
        pool = Pool(HttpOptions(connections=2))
        held = [await pool.handle_async_request(request(server.url)) for _ in range(2)]
        with pytest.raises(httpx.PoolTimeout):
            await fetch(pool, server.url, pool=0.01)
        for answer in held:
            await answer.aclose()
        assert (await fetch(pool, server.url, pool=1.0), pool.busy) == (b"fine", 0)
        await pool.aclose()


@pytest.mark.parametrize("read", [0, 1])
async def test_body_closed_early_frees_its_slot(read: int) -> None:
    """A body never read, or left after its first chunk, costs its connection and nothing else."""
    big = chunked([b"x" * 50_000] * 40)
    with FaultServer(in_turn(always(big), always(OK))) as server:
        pool = Pool(HttpOptions(connections=1))
        response = await pool.handle_async_request(request(server.url))
        assert isinstance(response.stream, httpx.AsyncByteStream)
        chunks = aiter(response.stream)
        for _ in range(read):
            assert (await anext(chunks)).startswith(b"x")
        await response.aclose()
        assert (pool.busy, pool.idle) == (0, 0)
        assert await fetch(pool, server.url) == b"fine"
        await pool.aclose()


async def test_closing_a_body_wakes_its_reader() -> None:
    """A body closed while another task waits for its next chunk ends that task with an error, at once."""

    def play(line: Line) -> None:
        line.request()
        line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        line.hang()

    with FaultServer(play) as server:
        pool = Pool(HttpOptions(connections=1))
        response = await pool.handle_async_request(request(server.url))
        failed: list[str] = []

        async def read() -> None:
            try:
                await response.aread()
            except httpx.ReadError as exc:
                failed.append(type(exc).__name__)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            await response.aclose()
        assert (failed, pool.busy, pool.idle) == (["ReadError"], 0, 0)
        await pool.aclose()


async def test_connection_the_server_closed_is_not_used_again() -> None:
    """A server that closes after its answer is seen to have done so before the next request is sent."""

    def once(line: Line) -> None:
        line.request()
        line.answer(200, b"once")

    with FaultServer(once) as server:
        pool = Pool(HttpOptions())
        assert await fetch(pool, server.url) == b"once"
        (free,) = pool._free.values()
        await until(free[0].http.has_expired)
        assert await fetch(pool, server.url) == b"once"
        assert server.connections == 2
        await pool.aclose()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong", id="a second answer"),
        pytest.param(OK + b"\r\n", id="a line too many"),
        pytest.param(chunked([b"fi", b"ne"]) + b"x", id="behind chunks"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"x", id="behind an interim answer"),
    ],
)
async def test_what_follows_an_answer_is_not_the_next_answer(data: bytes) -> None:
    """Bytes behind the end of an answer never become somebody else's: the connection is dropped."""
    with FaultServer(in_turn(always(data), always(answer(200, b"right")))) as server:
        pool = Pool(HttpOptions())
        assert await fetch(pool, server.url) == b"fine"
        assert pool.idle == 0
        assert await fetch(pool, server.url) == b"right"
        await pool.aclose()


@pytest.mark.parametrize(
    ("method", "data", "body"),
    [
        pytest.param("GET", chunked([b"fi", b"ne"]), b"fine", id="chunks"),
        pytest.param("GET", b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"fine", id="behind an interim answer"),
        pytest.param("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"", id="HEAD"),
        pytest.param("GET", b"HTTP/1.1 204 No Content\r\n\r\n", b"", id="no content"),
        pytest.param("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"", id="empty"),
    ],
)
async def test_every_whole_answer_leaves_its_connection_usable(method: str, data: bytes, body: bytes) -> None:
    """However an answer says where it ends, the connection serves the next request."""
    with FaultServer(always(data)) as server:
        pool = Pool(HttpOptions())
        got = [await fetch(pool, server.url, method) for _ in range(3)]
        assert (got, server.connections) == ([body] * 3, 1)
        await pool.aclose()


async def test_idle_connections_are_closed_in_time_without_traffic(clock: Clock) -> None:
    """An unused connection is closed when its time is over, though nobody calls."""

    def play(line: Line) -> None:
        line.request()
        line.answer(200, b"fine")
        line.until_closed()
        ended.append(line.number)

    ended: list[int] = []
    with FaultServer(play) as server:
        pool = Pool(HttpOptions(idle=5))
        await fetch(pool, server.url)
        assert pool.idle == 1
        await clock.skip_waiting(6)
        await until(lambda: bool(ended))
        assert pool.idle == 0
        assert await fetch(pool, server.url) == b"fine"
        await pool.aclose()


@pytest.mark.parametrize(
    ("play", "timeouts", "error"),
    [
        pytest.param(Line.hang, {"read": 0.05}, httpx.ReadTimeout, id="no answer"),
        pytest.param(once(OK[:-2], Line.hang), {"read": 0.05}, httpx.ReadTimeout, id="half a body"),
        pytest.param(Line.reset, {}, httpx.TransportError, id="reset"),
        pytest.param(once(), {}, httpx.RemoteProtocolError, id="closed unanswered"),
        pytest.param(once(OK[:-2]), {}, httpx.RemoteProtocolError, id="body cut short"),
        pytest.param(
            once(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 300_000, Line.hang),
            {},
            httpx.RemoteProtocolError,
            id="absurd header",
        ),
        pytest.param(
            once(b"SSH-2.0-OpenSSH_9.6\r\n\r\n", Line.hang), {}, httpx.RemoteProtocolError, id="not HTTP"
        ),
    ],
)
async def test_faults_are_httpx_exceptions_and_free_the_slot(
    play: Play, timeouts: dict[str, float], error: type[Exception]
) -> None:
    """Each way to fail raises httpx's exception for it, closes the connection and frees the slot."""
    with FaultServer(play) as server:
        pool = Pool(HttpOptions(connections=1))
        with pytest.raises(error):
            await fetch(pool, server.url, **timeouts)
        assert (pool.busy, pool.idle) == (0, 0)
        await pool.aclose()


async def test_nobody_listens() -> None:
    """A refused connection is a ConnectError and frees the slot."""
    pool = Pool(HttpOptions(connections=1))
    with nobody() as url, pytest.raises(httpx.ConnectError):
        await fetch(pool, url)
    assert (pool.busy, pool.idle) == (0, 0)
    await pool.aclose()


async def test_handshake_that_is_cancelled_leaves_no_socket() -> None:
    """A server that accepts but never answers the TLS handshake costs a ConnectTimeout, and no socket."""
    with FaultServer(lambda line: line.hang()) as server:
        pool = Pool(HttpOptions(connections=1, verify=False))
        url = server.url.replace("http:", "https:")
        with pytest.raises(httpx.ConnectTimeout):
            await fetch(pool, url, connect=0.05)
        with anyio.move_on_after(0.05):
            await fetch(pool, url)
        assert (pool.busy, pool.idle) == (0, 0)
        await pool.aclose()


async def test_closing_the_pool_ends_what_is_under_way() -> None:
    """aclose() with requests waiting for an answer, and with a body open, ends them all."""

    def play(line: Line) -> None:
        line.request()
        line.hang()

    with FaultServer(in_turn(always(chunked([b"x" * 100_000] * 9)), play)) as server:
        pool = Pool(HttpOptions())
        open_body = await pool.handle_async_request(request(server.url))
        failures: list[str] = []

        async def wait() -> None:
            try:
                await fetch(pool, server.url)
            except httpx.ReadError as exc:
                failures.append(type(exc).__name__)

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(wait)
            await until(lambda: len(server.requests) == 4)
            await pool.aclose()
        assert failures == ["ReadError"] * 3
        await open_body.aclose()
        assert (pool.busy, pool.idle) == (0, 0)


@pytest.mark.parametrize("end", ["cancelled", "reset"])
async def test_body_not_sent_to_its_end_is_closed(end: str) -> None:
    """A body's generator has run its cleanup when its request is over, however that ended."""
    cleaned: list[bool] = []

    class Endless(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            try:
                for number in count():
                    if end == "cancelled" and number == 3:
                        tasks.cancel_scope.cancel()
                    yield b"x" * 1024
            finally:
                await anyio.lowlevel.checkpoint()
                cleaned.append(True)

    async def send() -> None:
        headers = {"host": f"127.0.0.1:{server.port}", "content-length": "9" * 12}
        sent = httpx.Request("POST", server.url, headers=headers, stream=Endless())
        try:
            with (
                pytest.raises((httpx.ReadError, httpx.RemoteProtocolError))
                if end == "reset"
                else nullcontext()
            ):
                await pool.handle_async_request(sent)
        finally:
            assert cleaned == [True]

    def play(line: Line) -> None:
        line.head()
        if end == "reset":
            line.reset()
        line.hang()

    with FaultServer(play) as server:
        pool = Pool(HttpOptions())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send)
        assert (tasks.cancel_scope.cancelled_caught, cleaned) == (end == "cancelled", [True])
        assert (pool.busy, pool.idle) == (0, 0)
        await pool.aclose()


async def test_tls_with_an_authority_of_our_own(authority: Authority, tmp_path: Path) -> None:
    """A path to a certificate in verify= is trusted, and connections are reused through TLS."""
    path = authority.write(tmp_path / "ca.pem")
    with FaultServer(always(OK), tls=authority.server()) as server:
        pool = Pool(HttpOptions(verify=path))
        got = [await fetch(pool, server.url) for _ in range(3)]
        assert (got, server.connections) == ([b"fine"] * 3, 1)
        await pool.aclose()


async def test_one_tls_context_in_the_whole_process(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many first requests at once, in several pools, make one context between them."""
    made: list[object] = []
    make = ssl.create_default_context

    def making(**given: Any) -> ssl.SSLContext:
        made.append(given)
        return make(**given)

    monkeypatch.setattr(ssl, "create_default_context", making)
    path = authority.write(tmp_path / "one.pem")
    with FaultServer(always(OK), tls=authority.server()) as server:
        pools = [Pool(HttpOptions(verify=path)) for _ in range(2)]
        async with anyio.create_task_group() as tasks:
            for pool in pools * 4:
                tasks.start_soon(fetch, pool, server.url)
        for pool in pools:
            await pool.aclose()
    assert made == [{"cafile": str(path)}]

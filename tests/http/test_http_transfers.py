"""Long bodies, both ways: streamed, measured, whole or an error."""

from __future__ import annotations

import gzip
import random
import threading
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import nullcontext
from typing import Any

import anyio
import pytest

from callsheet import _errors as errors
from callsheet._errors import Outcome
from callsheet._http._download import Download
from callsheet._http._messages import Body
from callsheet._http._resuming import Resuming
from callsheet._http._retry import Retry
from faultserver import FaultServer, Line, always, answer, chunked, in_turn, nobody, once
from support.clocks import Clock
from support.roads import Road, until

FINE = answer(200, b"fine")
DATA = random.Random(4).randbytes(300_000)


def body_of(data: bytes, *, length: int | None = None, size: int = 65_536) -> Body:
    async def source() -> AsyncIterator[bytes]:
        for start in range(0, len(data), size):
            await anyio.lowlevel.checkpoint()
            yield data[start : start + size]

    return Body(source, len(data) if length is None else length)


@pytest.mark.parametrize("kind", ["stream", "bytes"])
async def test_upload(road: Road, kind: str) -> None:
    """A body arrives as it was given, with its length told before; progress counts what the network took."""
    told: list[int] = []

    async def progress(done: int) -> None:
        told.append(done)

    data = DATA * 8
    with FaultServer(always(FINE)) as server:
        async with road(server.url) as http:
            body = body_of(data, size=1 << 20) if kind == "stream" else data
            await http.send("PUT", "/file", body=body, progress=progress)
    (request,) = server.requests
    assert (request.body == data, request.headers["content-length"]) == (True, str(len(data)))
    assert "transfer-encoding" not in request.headers
    assert told == [1 << 20, 2 << 20, len(data), *([len(data)] if kind == "stream" else [])]


async def test_a_long_wait_is_not_waited_before_an_upload_is_repeated(road: Road) -> None:
    """An upload that would wait for longer than a call may take, before it is tried again, ends at once."""
    patient = Retry(base=1e6, cap=1e6, random=lambda: 1.0)
    with nobody() as url:
        async with road(url, retry=patient) as http:
            with pytest.raises(errors.TransportError, match="no connection") as caught:
                await http.send("PUT", "/file", body=body_of(DATA), repeatable=True)
    assert caught.value.outcome is Outcome.NOT_DONE


@pytest.mark.parametrize("length", [len(DATA) - 1, len(DATA) + 1, 0])
async def test_source_of_another_length(road: Road, length: int) -> None:
    """A source that gives more or less than it promised is an IntegrityError, and never a whole request."""
    with FaultServer(always(FINE)) as server:
        async with road(server.url) as http:
            with pytest.raises(errors.IntegrityError, match="the source gave") as caught:
                await http.send("PUT", "/file", body=body_of(DATA, length=length))
            assert (await http.send("GET", "/")).body == b"fine"
    assert caught.value.outcome is (Outcome.UNKNOWN if length else Outcome.NOT_DONE)
    assert [request.method for request in server.requests] == ["GET"]


async def test_source_that_fails_at_its_very_end(road: Road) -> None:
    """What a source finds out behind its last byte still comes before that byte is sent."""

    async def source() -> AsyncIterator[bytes]:
        yield DATA[:1000]
        yield DATA[1000:]
        raise errors.IntegrityError("the file changed")

    with FaultServer(always(FINE)) as server:
        async with road(server.url) as http:
            with pytest.raises(errors.IntegrityError, match="the file changed"):
                await http.send("PUT", "/file", body=Body(source, len(DATA)))
    assert server.requests == []


async def test_source_that_cannot_be_read(road: Road) -> None:
    """A source's own error comes out as it is, is not retried, and closes the source and the connection."""
    closed = []

    async def source() -> AsyncIterator[bytes]:
        try:
            yield DATA[:1000]
            raise FileNotFoundError(2, "No such file", "gone.exr")
        finally:
            closed.append(True)

    with FaultServer(always(FINE)) as server:
        async with road(server.url) as http:
            with pytest.raises(FileNotFoundError, match=r"gone\.exr"):
                await http.send("PUT", "/file", body=Body(source, len(DATA)), repeatable=True)
            assert (await http.send("GET", "/")).body == b"fine"
    assert (closed, server.connections) == ([True], 2)


async def test_upload_is_read_again_for_a_second_attempt(road: Road) -> None:
    """An upload cut half way is sent again from its beginning."""

    def cut(line: Line) -> None:
        line.head()
        line.read(100_000)
        line.reset()

    with FaultServer(in_turn(cut, always(FINE))) as server:
        async with road(server.url) as http:
            await http.send("PUT", "/file", body=body_of(DATA), repeatable=True)
    assert [request.body == DATA for request in server.requests] == [True]
    assert server.connections == 2


async def test_half_a_stream_may_have_been_used(road: Road) -> None:
    """A stream cut half way that must not be repeated is UNKNOWN: a server may use what it has."""

    def cut(line: Line) -> None:
        line.head()
        line.read(100_000)
        line.reset()

    with FaultServer(cut) as server:
        async with road(server.url) as http:
            with pytest.raises(errors.TransportError) as caught:
                await http.send("POST", "/file", body=body_of(DATA * 20))
    assert (caught.value.outcome, server.connections) == (Outcome.UNKNOWN, 1)


async def test_upload_outlives_the_deadline_of_calls(road: Road, clock: Clock) -> None:
    """A stream may take longer than a call, as long as it moves; then its answer has a call's time."""

    async def slowly() -> AsyncIterator[bytes]:
        for start in range(0, 50_000, 10_000):
            clock.skip(2)
            await anyio.lowlevel.checkpoint()
            yield DATA[start : start + 10_000]

    async def wait_for_the_answer() -> None:
        with pytest.raises(errors.Timeout) as caught:
            await http.send("PUT", "/file", body=Body(slowly, 50_000))
        assert caught.value.outcome is Outcome.UNKNOWN

    with FaultServer(always(FINE)) as server:
        async with road(server.url, timeout=5) as http:
            await http.send("PUT", "/file", body=Body(slowly, 50_000))
    with FaultServer(once(end=Line.hang)) as server:
        async with road(server.url, timeout=5) as http, anyio.create_task_group() as tasks:
            tasks.start_soon(wait_for_the_answer)
            await until(lambda: len(server.requests) == 1)
            await clock.skip_waiting(6)


async def test_an_upload_is_digested_for_as_long_as_a_call_may_take(road: Road, clock: Clock) -> None:
    """A server that has taken an upload may think about it for longer than a transfer may stand still."""
    is_digested = threading.Event()

    def digest(line: Line) -> None:
        line.request()
        while not is_digested.is_set():
            line.pause(0.001)
        line.send(FINE)

    async def upload() -> None:
        assert (await http.send("PUT", "/file", body=body_of(DATA))).body == b"fine"

    with FaultServer(digest) as server:
        async with road(server.url, timeout=50, stall=5) as http, anyio.create_task_group() as tasks:
            tasks.start_soon(upload)
            await until(lambda: len(server.requests) == 1)
            await clock.skip_waiting(6)
            await anyio.wait_all_tasks_blocked()
            is_digested.set()


async def test_answer_before_the_body_was_taken(road: Road) -> None:
    """A server that refuses an upload by its headers, and closes, is understood."""

    def refuse(line: Line) -> None:
        line.head()
        line.send(answer(403, b"no room for you", {"Connection": "close"}))
        line.until_closed()

    with FaultServer(refuse) as server:
        async with road(server.url) as http:
            with pytest.raises(errors.Denied, match="no room for you") as caught:
                await http.send("PUT", "/file", body=body_of(DATA * 10))
    assert caught.value.outcome is Outcome.NOT_DONE


async def test_uploads_take_little_memory(road: Road) -> None:
    """A streamed body of 64 MiB is never held whole."""
    chunk = bytes(1 << 20)

    async def source() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield chunk

    def swallow(line: Line) -> None:
        line.head()
        left = 64 << 20
        while left:
            left -= len(line.read_some())
        line.send(FINE)

    with FaultServer(swallow) as server:
        async with road(server.url) as http:
            tracemalloc.start()
            try:
                await http.send("PUT", "/file", body=Body(source, 64 << 20))
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
    assert peak < 12 << 20


@pytest.mark.parametrize("data", [answer(200, DATA), chunked([DATA[:99], DATA[99:]])])
async def test_download(road: Road, data: bytes) -> None:
    """A long answer comes in pieces, whole, and its connection serves the next."""
    with FaultServer(always(data)) as server:
        async with road(server.url) as http:
            for _ in range(2):
                async with http.download("/file") as download:
                    got = [chunk async for chunk in download]
                    assert await anext(download, b"") == b""
                assert b"".join(got) == DATA
                assert (download.status, download.start, len(got) > 1) == (200, 0, True)
                assert download.total == (None if "transfer-encoding" in download.headers else len(DATA))
    assert server.connections == 1
    assert set(server.requests[0].headers) == {"host", "user-agent", "accept-encoding"}
    assert server.requests[0].headers["accept-encoding"] == "identity"  # offsets are of the bytes themselves


def file_server(line: Line) -> None:
    """Serve DATA by ranges."""
    while True:
        wanted = line.request().headers.get("range")
        if wanted is None:
            line.answer(200, DATA)
            continue
        first, last = wanted.removeprefix("bytes=").split("-")
        begin, end = int(first), min(int(last or len(DATA)), len(DATA) - 1)
        if begin >= len(DATA):
            line.answer(416)
        else:
            line.answer(206, DATA[begin : end + 1], {"Content-Range": f"bytes {begin}-{end}/{len(DATA)}"})


@pytest.mark.parametrize(
    ("start", "end", "header"),
    [(0, None, None), (100, None, "bytes=100-"), (0, 10, "bytes=0-9"), (100, 110, "bytes=100-109")],
)
async def test_parts(road: Road, start: int, end: int | None, header: str | None) -> None:
    """A part is asked for by its offsets, comes exactly so, and says what it is a part of."""
    with FaultServer(file_server) as server:
        async with road(server.url) as http:
            async with http.download("/file", start=start, end=end) as download:
                got = b"".join([chunk async for chunk in download])
    assert (got, download.start, download.total) == (DATA[start:end], start, len(DATA))
    assert server.requests[0].headers.get("range") == header


async def test_part_of_a_server_that_gives_none(road: Road) -> None:
    """A server that sends all instead of a part is seen to do so."""
    with FaultServer(always(answer(200, DATA))) as server:
        async with road(server.url) as http:
            async with http.download("/file", start=1000, size=len(DATA) - 1000) as download:
                got = b"".join([chunk async for chunk in download])
    assert (got == DATA, download.start, download.total) == (True, 0, len(DATA))


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({}, "a part that does not say where it belongs"),
        ({"Content-Range": "bytes 5-4/10"}, "a part that does not say where it belongs"),
        ({"Content-Range": "bytes x"}, "a part that does not say where it belongs"),
        ({"Content-Range": "bytes 5-8/10"}, "a part from byte 5 on instead of 3"),
    ],
)
async def test_wrong_parts(road: Road, headers: dict[str, str], message: str) -> None:
    """A part that is not what was asked for, or does not say what it is, is refused."""
    with FaultServer(always(answer(206, b"four", headers))) as server:
        async with road(server.url) as http:
            with pytest.raises(errors.InvalidResponse, match=message) as caught:
                async with http.download("/file", start=3):
                    raise AssertionError
    assert (caught.value.status, len(server.requests)) == (206, 1)


async def read(road: Road, server: FaultServer, *, stall: float = 60, **wanted: Any) -> bytes:
    async with road(server.url, stall=stall) as http:
        async with http.download("/file", **wanted) as download:
            return b"".join([chunk async for chunk in download])


@pytest.mark.parametrize("cut", [*range(1, 64, 9), 64])
async def test_download_cut_in_its_body(road: Road, cut: int) -> None:
    """A body that breaks off is an error wherever it is cut, by a reset or in good order."""
    data = answer(200, DATA[:64], {"X-Request-Id": "r-9"})
    head = len(data) - 64

    def play(line: Line) -> None:
        line.request()
        line.send(data[: head + cut])
        line.acknowledged()
        (line.reset if line.number else line.close)()

    with FaultServer(play) as server:
        for _ in range(2):
            if cut == 64:
                assert await read(road, server) == DATA[:64]
                continue
            with pytest.raises(errors.TransportError, match="the connection broke off") as caught:
                await read(road, server)
            error = caught.value
            assert (error.outcome, error.provider, error.request_id) == (Outcome.NOT_DONE, "test", "r-9")


@pytest.mark.parametrize(
    ("data", "size", "error", "message"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n" + DATA, None, errors.InvalidResponse, "does not say where its body ends"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + DATA, len(DATA), None, ""),
        (
            b"HTTP/1.1 200 OK\r\n\r\n" + DATA,
            len(DATA) + 1,
            errors.TransportError,
            "ends after 300000 of 300001",
        ),
        (answer(200, DATA), len(DATA) + 1, errors.TransportError, "ends after 300000 of 300001 bytes"),
        (answer(200, DATA), len(DATA) - 1, errors.InvalidResponse, "has 300000 bytes instead of 299999"),
        (chunked([DATA]), len(DATA) + 1, errors.TransportError, "ends after 300000 of 300001 bytes"),
        (answer(200, gzip.compress(DATA), {"Content-Encoding": "gzip"}), len(DATA), None, ""),
        (
            b"HTTP/1.1 204 No Content\r\n\r\n",
            len(DATA),
            errors.TransportError,
            "ends after 0 of 300000 bytes",
        ),
        (
            b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
            None,
            errors.ResponseError,
            "304 Not Modified",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(DATA),
            None,
            None,
            "",
        ),
        (
            answer(206, DATA[:99], {"Content-Range": f"bytes 0-299999/{len(DATA)}"}),
            None,
            errors.TransportError,
            "ends after 99 of 300000 bytes",
        ),
        (
            answer(200, gzip.compress(DATA)[:-9], {"Content-Encoding": "gzip"}),
            None,
            errors.TransportError,
            "its gzip body ends too early",
        ),
    ],
)
async def test_downloads_are_whole(
    road: Road, data: bytes, size: int | None, error: type[Exception] | None, message: str
) -> None:
    """By its own length, by the size known before, or by gzip's end: what is not whole is an error."""
    with FaultServer(once(data)) as server:
        if error is None:
            assert await read(road, server, size=size) == DATA
        else:
            with pytest.raises(error, match=message):
                await read(road, server, **({} if size is None else {"size": size}))


@pytest.mark.parametrize(
    ("size", "error", "message"),
    [
        (1 << 20, errors.NotFound, "404 Not Found"),
        ((1 << 20) + 1, errors.InvalidResponse, "its body exceeds 1048576 bytes"),
    ],
)
async def test_refusals_are_not_read_for_ever(
    road: Road, size: int, error: type[Exception], message: str
) -> None:
    """What is said instead of what was asked for may have 1 MiB, whatever that might have had."""
    with FaultServer(always(answer(404, b"no" * (size // 2) + b"!" * (size % 2)))) as server:
        async with road(server.url) as http:
            with pytest.raises(error, match=message):
                async with http.download("/file"):
                    pytest.fail("there is nothing to read")
            with pytest.raises(error, match=message):
                await http.send("GET", "/file", limit=10)


@pytest.mark.parametrize(
    ("status", "error"), [(403, errors.Denied), (404, errors.NotFound), (503, errors.Unavailable)]
)
async def test_refused_downloads_of_a_known_size(road: Road, status: int, error: type[Exception]) -> None:
    """What a server says instead of the bytes is told, however short it is."""
    with FaultServer(always(answer(status, b"no"))) as server:
        with pytest.raises(error, match="no"):
            await read(road, server, size=len(DATA))


@pytest.mark.parametrize("pause", [0.02, 5])
async def test_download_that_stands_still(road: Road, pause: float) -> None:
    """A download that stops, or drips, is given up at the stall limit."""

    def play(line: Line) -> None:
        line.request()
        data = answer(200, DATA)
        line.send(data[:1000])
        line.drip(data[1000:], pause)

    with FaultServer(play) as server:
        with pytest.raises(errors.Timeout) as caught:
            await read(road, server, stall=0.1)
    assert caught.value.outcome is Outcome.NOT_DONE


async def test_a_download_begins_in_its_own_time(road: Road, clock: Clock) -> None:
    """A download that does not begin in the time given to it is given up, whatever calls may take."""
    begun: list[str] = []

    async def begin() -> None:
        with pytest.raises(errors.Timeout, match=r" 5 s$"):
            async with http.download("/file", timeout=5):
                raise AssertionError
        begun.append("in vain")

    with FaultServer(once(end=Line.hang)) as server:
        async with road(server.url, timeout=50) as http, anyio.create_task_group() as tasks:
            tasks.start_soon(begin)
            await until(lambda: len(server.requests) == 1)
            await clock.skip_waiting(6)
            await until(lambda: begun == ["in vain"])


async def test_slow_reader_is_no_slow_server(road: Road, clock: Clock) -> None:
    """The time the reader takes between two pieces is not held against the server."""
    with FaultServer(always(chunked([b"a", b"b", b"c", b"d", b"e"]))) as server:
        async with road(server.url, stall=5) as http:
            async with http.download("/file") as download:
                got = b""
                async for chunk in download:
                    got += chunk
                    clock.skip(6)
                    await anyio.lowlevel.checkpoint()
    assert got == b"abcde"


async def test_download_is_retried_until_it_begins(road: Road) -> None:
    """Refusals before the first byte are repeated; a missing file is NotFound."""

    def busy(line: Line) -> None:
        line.request()
        line.answer(503, b"", {"Connection": "close"})

    with FaultServer(in_turn(busy, busy, file_server)) as server:
        assert await read(road, server) == DATA
    assert len(server.requests) == 3
    with FaultServer(always(answer(404, b"no such file"))) as server:
        with pytest.raises(errors.NotFound, match="no such file"):
            await read(road, server)


@pytest.mark.parametrize(
    ("brought", "worth", "connections", "is_whole"),
    [(50_000, 50_000, 6, True), (50_000, 50_001, 3, False), (0, 50_000, 1, False)],
)
async def test_a_broken_download_goes_on(
    road: Road, monkeypatch: pytest.MonkeyPatch, brought: int, worth: int, connections: int, is_whole: bool
) -> None:
    """However often connections break that have brought much, a download goes on; of others only so many may
    break in a row, and none that has brought nothing."""
    monkeypatch.setattr("callsheet._http._resuming.WORTH", worth)

    def cut(line: Line) -> None:
        begin = int(line.request().headers.get("range", "bytes=0-")[len("bytes=") : -1])
        part = {"Content-Range": f"bytes {begin}-{len(DATA) - 1}/{len(DATA)}"}
        whole = answer(206 if begin else 200, DATA[begin:], part if begin else {})
        line.send(whole[: len(whole) - len(DATA) + begin + brought])
        line.acknowledged()
        line.close()

    async def begin(start: int) -> Download:
        return await http.download("/file", start=start, size=len(DATA) - start).__aenter__()

    got = b""
    with FaultServer(cut) as server:
        async with road(server.url) as http:
            with nullcontext() if is_whole else pytest.raises(errors.TransportError, match="broke off"):
                async with Resuming(begin, start=0, attempts=3, name="file", provider="test") as chunks:
                    async for chunk in chunks:
                        got += chunk
    assert (server.connections, got == DATA[: connections * brought]) == (connections, True)


async def test_an_answer_that_was_closed_is_not_whole(road: Road) -> None:
    """Whoever reads on in a download when the client has been closed gets an error, not an early end."""
    with FaultServer(always(chunked([DATA] * 9))) as server:
        async with road(server.url) as http:
            async with http.download("/file") as download:
                await anext(download)
                await http.aclose()
                with pytest.raises(errors.TransportError, match="it was closed before its end"):
                    await anext(download)


async def test_download_left_early(road: Road) -> None:
    """A download that is left after its first piece frees its connection for the next."""
    with FaultServer(always(answer(200, DATA * 10))) as server:
        async with road(server.url, connections=1) as http:
            for _ in range(3):
                async with http.download("/file") as download:
                    async for _ in download:
                        break
            assert (await http.send("GET", "/")).status == 200
    assert len(server.requests) == 4

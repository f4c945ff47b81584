"""Canaries in every place where a secret may be: none may come out anywhere but on its own wire."""

from __future__ import annotations

import base64
import logging
import pickle
import socket
import traceback
from collections.abc import Iterable
from typing import Any

import anyio
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet import _errors as errors
from callsheet._http._messages import Auth, Request
from callsheet._http._options import HttpOptions
from callsheet._redaction import Secret, clean, excerpt
from faultserver import FaultServer, Line, always, answer, once
from support.loopwatch import LoopWatch
from support.roads import Road, until

WORDS = (
    "header",
    "basic",
    "query",
    "userpw",
    "cookie",
    "body",
    "proxy",
    "echo",
    "token",
    "setcookie",
    "path",
)
CANARIES = {word: f"canary+{word}/0815==" for word in WORDS}


WRAPPED = ("header", "basic", "cookie", "token", "proxy")
"""Those that callsheet knows to be secrets, so that not even a frame's variables may show them."""


class Token(Auth):
    async def sign(self, request: Request) -> None:
        request.headers["authorization"] = Secret(f"Bearer {CANARIES['token']}")


def assert_silent(words: Iterable[str], *texts: str) -> None:
    told = [
        word for word in words for text in texts if f"canary+{word}" in text or f"canary%2B{word}" in text
    ]
    assert not told, told


def told_by(error: BaseException) -> str:
    """Return all that its traceback, its causes and its attributes tell."""
    report = traceback.format_exception(error)
    return "\n".join([*report, repr(error), repr(vars(error)), repr(vars(pickle.loads(pickle.dumps(error))))])


def told_by_variables(error: BaseException) -> str:
    """Return what a crash reporter makes of it, which prints the variables of every frame."""
    return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Capture everything that anybody logs at any level."""
    caplog.set_level(1)
    for name in ("httpcore.http11", "httpcore.connection", "httpcore.proxy", "httpx", "callsheet.http"):
        caplog.set_level(1, logger=name)
    return caplog


def echo(line: Line) -> None:
    """Answer by throwing everything back that came in, in the body and in headers."""
    while True:
        request = line.request()
        status = int(request.target.split("?")[0].rsplit("/", 1)[1])
        body = (
            b"you said: " + request.head + request.body + b" https://u:canary+userpw/0815==@h/?k=canary+query"
        )
        headers = {"Set-Cookie": "s=canary+setcookie/0815==", "X-Request-Id": f"id-{CANARIES['token']}"}
        if status == 302:
            headers["Location"] = "http://127.0.0.1:1/?sig=canary+query/0815=="
        if status == 0:
            line.send(b"HTTP/1.1 200 OK\r\nBroken canary+setcookie/0815==: " + request.head)
            line.reset()
        line.answer(status, body, headers)


@pytest.mark.parametrize("status", [200, 302, 400, 401, 429, 500, 503, 0])
async def test_canaries_in_a_call(
    road: Road, log: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], status: int
) -> None:
    """Whatever a call's end, and though the server throws all back, no secret is told at any log level."""
    secrets = {word: Secret(value) for word, value in CANARIES.items()}
    told = variables = ""
    with FaultServer(echo) as server:
        http = road(
            server.url,
            headers={"ftrack-api-key": secrets["header"], "cookie": secrets["cookie"]},
            auth=Token(),
        )
        async with http:
            try:
                got = await http.send(
                    "POST",
                    f"/{status}?sig={CANARIES['query']}",
                    headers={"x-one": secrets["basic"]},
                    body=f'{{"password": "{CANARIES["body"]}"}}'.encode(),
                )
                told = repr(got)
                got.json()
            except errors.CallsheetError as error:
                told += told_by(error)
                variables = told_by_variables(error)
            told += repr(http) + repr(http.options) + repr(http.auth)
        for request in server.requests:
            assert CANARIES["header"] in request.headers["ftrack-api-key"]
    out, err = capfd.readouterr()
    assert_silent(WORDS, told, out, err, log.text, *(repr(vars(record)) for record in log.records))
    assert_silent(WRAPPED, variables)


def with_user(url: str) -> str:
    return url.replace("http://", "http://jane:canary%2Bproxy%2F0815==@")


async def test_canaries_in_a_proxy_url(road: Road, log: pytest.LogCaptureFixture) -> None:
    """A proxy's password reaches the proxy alone, and no error tells it."""

    def refuse(line: Line) -> None:
        seen.append(line.head())
        line.send(answer(407, b"canary+proxy/0815=="))
        line.until_closed()

    seen: list[bytes] = []
    with FaultServer(refuse) as proxy:
        async with road("https://tracker.example", proxy=with_user(proxy.url)) as http:
            told = repr(http.options)
            with pytest.raises(
                errors.TransportError, match=r"the proxy refused: 407 .* \(setting: proxy\)"
            ) as caught:
                await http.send("GET", "/")
    assert len(seen) == 1
    assert base64.b64encode(b"jane:canary+proxy/0815==") in seen[0]
    assert_silent(WORDS, told, told_by(caught.value), told_by_variables(caught.value), log.text)


async def test_canaries_in_a_cause(road: Road) -> None:
    """An exception that tells a secret is no error's cause; any other is."""

    class Telling:
        async def handle_async_request(self, request: Any, /) -> Any:
            raise httpx.ReadError(f"broken: {request.headers['x-key']}")

        async def aclose(self) -> None: ...

    async with road("http://127.0.0.1:1", transport=Telling()) as http:
        for key, is_cause in ((Secret("canary-key"), False), ("plain", True)):
            with pytest.raises(errors.TransportError, match="the connection broke off: broken: ") as caught:
                await http.send("POST", "/", headers={"X-Key": key})
            assert (caught.value.__cause__ is not None) is is_cause
            assert "canary" not in "".join(traceback.format_exception(caught.value))


async def test_canaries_in_the_variables_of_a_cause(road: Road) -> None:
    """A crash reporter that prints the variables of a cause's frames finds no header there."""

    class Breaking:
        async def handle_async_request(self, request: Any, /) -> Any:
            raise httpx.ReadError("broken")

        async def aclose(self) -> None: ...

    async with road("http://127.0.0.1:1", transport=Breaking()) as http:
        with pytest.raises(errors.TransportError, match="broken") as caught:
            await http.send("POST", "/", headers={"X-Key": Secret("canary-key")})
    assert isinstance(caught.value.__cause__, httpx.ReadError)
    for frame, _ in traceback.walk_tb(caught.value.__cause__.__traceback__):
        assert not any(isinstance(value, httpx.Request) for value in frame.f_locals.values())


async def test_one_line_for_each_request(road: Road, log: pytest.LogCaptureFixture) -> None:
    """Each request is told in one INFO line: what, where, how it ended, how often, under which id."""

    def play(line: Line) -> None:
        line.request()
        line.answer(503, b"", {"X-Request-Id": "r-1"})
        line.request()
        line.answer(200, b"fine", {"X-Request-Id": "r-2"})
        line.request()
        line.reset()

    with FaultServer(play) as server:
        async with road(server.url) as http:
            await http.send("GET", "/jobs?secret=1")
            with pytest.raises(errors.TransportError):
                await http.send("POST", "/jobs")
        address = server.url
    lines = [record.getMessage() for record in log.records if record.levelno == logging.INFO]
    assert [line.split(" in ")[0] + line.partition(" ms")[2] for line in lines] == [
        f"test: GET {address}/jobs?*** -> 503 (request r-1)",
        f"test: GET {address}/jobs?*** -> 200 (attempt 2, request r-2)",
        f"test: POST {address}/jobs -> no answer TransportError",
    ]


async def test_others_may_still_log_httpcore(log: pytest.LogCaptureFixture) -> None:
    """httpcore's own log lines are kept back for our requests only, not for the host's."""
    import httpcore

    with FaultServer(always(answer(200, b"x"))) as server:
        async with httpcore.AsyncConnectionPool() as pool:
            await pool.request("GET", server.url)
    assert "receive_response_headers.complete" in log.text


def test_a_secret_shows_itself_to_nobody() -> None:
    """A wrapped secret does not print, format or pickle."""
    secret = Secret("canary-0815")
    assert (repr(secret), str(secret), f"{secret}", f"{[secret]}") == ("***", "***", "***", "[***]")
    assert secret.reveal() == "canary-0815"
    assert (bool(secret), bool(Secret(""))) == (True, False)
    with pytest.raises(TypeError, match="a secret is not pickled"):
        pickle.dumps(secret)
    assert "canary" not in repr(HttpOptions(proxy="http://u:canary-0815@h:1"))


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("GET https://jane:pw@h.example:1/a/b?x=1&y=2#z failed", "GET https://h.example:1/a/b?*** failed"),
        ("ftrack-api-key: abc, user: jane", "ftrack-api-key: ***, user: jane"),
        ("Authorization: Basic YWJj and more", "Authorization: *** and more"),
        ('{"password": "a b", "name": "x"}', '{"password": ***, "name": "x"}'),
        ("x-amz-security-token=abc&x=1", "x-amz-security-token=***&x=1"),
        ("nothing to hide: job 7", "nothing to hide: job 7"),
    ],
)
def test_telltale_texts(text: str, cleaned: str) -> None:
    """User parts and queries of URLs, and values behind tell-tale names, are masked."""
    assert clean(text) == cleaned


def test_short_secrets_are_masked_as_words() -> None:
    """A short password is masked where it stands alone, and does not blank the words that hold it."""
    secret = Secret("admin")
    assert clean("user admin, the administration") == f"user {secret}, the administration"


def test_secrets_are_forgotten() -> None:
    """A secret that is gone is no longer looked for."""
    secret = Secret("ephemeral-value")
    assert clean("an ephemeral-value") == "an ***"
    del secret
    assert clean("an ephemeral-value") == "an ephemeral-value"


@given(st.text(min_size=4, max_size=30), st.text(max_size=20), st.text(max_size=20))
def test_no_spelling_survives(value: str, before: str, after: str) -> None:
    """A secret of 8 characters or more is masked wherever it stands, as it is or escaped."""
    import json
    from urllib.parse import quote, quote_plus

    value = f"<{value}>!!"
    secret = Secret(value)
    for spelled in (value, json.dumps(value)[1:-1], *map(str, ())):
        assert spelled not in clean(f"{before}{spelled}{after}").replace("***", "")
    if value.isprintable() and value.isascii():
        for spelled in (quote(value, safe=""), quote_plus(value)):
            assert spelled not in clean(f"{before}{spelled}{after}")
    del secret


@pytest.mark.parametrize(
    "text", ["token" * 5000, "a-" * 20_000, "http://" * 5000, 'token="' * 5000, " \n" * 20_000]
)
def test_hostile_texts_cost_little(text: str, loop_watch: LoopWatch) -> None:
    """Cleaning is linear: no text from outside can hold the loop."""
    import time

    began = time.thread_time()
    clean(text)
    small = time.thread_time() - began
    began = time.thread_time()
    clean(text * 4)
    assert time.thread_time() - began < 12 * small + 0.05


def test_excerpt() -> None:
    """An excerpt is one cleaned line of bounded length."""
    assert excerpt(b"<h1>\n  no \xff</h1>") == "<h1> no \ufffd</h1>"
    assert excerpt("x" * 500) == "x" * 200 + "…"
    secret = Secret("canary-across-the-cut")
    assert "canary" not in excerpt("y" * 190 + " " + secret.reveal())


async def test_refused_headers_are_named_not_shown(road: Road) -> None:
    """A secret that cannot be a header's value is refused by the header's name, before anything is sent."""

    class Signature(Auth):
        async def sign(self, request: Request) -> None:
            request.headers["x-key"] = Secret("canary\r\nX-Evil: 1")

    with FaultServer(always(answer(200))) as server:
        for auth in (None, Signature()):
            async with road(server.url, auth=auth) as http:
                headers = {} if auth else {"x-key": Secret("canary\r\nX-Evil: 1")}
                with pytest.raises(errors.InvalidRequest, match="the value of the header x-key") as caught:
                    await http.send("GET", "/", headers=headers)
            assert "canary" not in str(caught.value)
    assert server.connections == 0


async def test_cancelled_calls_say_so(road: Road, log: pytest.LogCaptureFixture) -> None:
    """A call that is cancelled still writes its line, be it in connecting or in waiting for the answer."""
    with FaultServer(once(end=Line.hang)) as server, socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        with socket.create_connection(full.getsockname()):  # the next one has to wait
            for url in (server.url, f"http://127.0.0.1:{full.getsockname()[1]}"):
                async with road(url) as http, anyio.create_task_group() as tasks:
                    tasks.start_soon(http.send, "GET", "/")
                    await until(lambda: len(server.requests) == 1)
                    await anyio.wait_all_tasks_blocked()
                    tasks.cancel_scope.cancel()
    lines = [record.getMessage() for record in log.records if record.levelno == logging.INFO]
    assert [" -> no answer Cancelled" in line for line in lines] == [True, True]

"""What every part of the sandbox shares: the clock, the faults, the log of requests."""

from __future__ import annotations

import gzip
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import pytest

from callsheet.sandbox import Connections, Sandbox, _frame
from support.ftrackcalls import Studio, create

CREATE = [create("Job", id="j-1")]
INFORMATION: list[Any] = [{"action": "query_server_information", "values": ["version"]}]
VERSION = [{"version": "25.1.0"}]


def raw_exchange(sandbox: Sandbox, body: bytes, *, announced: int | None = None) -> bytes | str:
    """POST to `/api` over a bare socket; return all that comes back, or `reset`."""
    head = (
        f"POST /api HTTP/1.1\r\nHost: x\r\nftrack-user: sandbox\r\nftrack-api-key: sandbox-key\r\n"
        f"Connection: close\r\nContent-Length: {len(body) if announced is None else announced}\r\n\r\n"
    )
    host, port = sandbox.url.removeprefix("http://").split(":")
    received = b""
    with socket.create_connection((host, int(port)), timeout=10) as line:
        try:
            line.sendall(head.encode() + body)
            while piece := line.recv(65536):
                received += piece
        except ConnectionError:
            return received or "reset"
    return received


def jobs(studio: Studio) -> list[Any]:
    """Return the ids of the jobs there are."""
    return studio.values("select id from Job")


def test_a_status_may_say_when_to_come_again(studio: Studio, callsheet_sandbox: Sandbox) -> None:
    """A bare status is sent instead of working, with Retry-After where told, once."""
    callsheet_sandbox.faults.add("status", path="/api", status=429, retry_after=7, nth=1)
    answer = studio.post(*CREATE)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    assert jobs(studio) == []
    assert callsheet_sandbox.faults.struck() == 1


def test_an_answer_can_be_anything(studio: Studio, callsheet_sandbox: Sandbox) -> None:
    """Status, headers and body are as told: an error page, a redirect, an error object, a wrong shape."""
    faults = callsheet_sandbox.faults
    faults.add("html", nth=1)
    faults.add("redirect", to="http://elsewhere.example/api", nth=1)
    faults.add("answer", body={"exception": "X", "content": "y", "error_code": None}, nth=1)
    faults.add("answer", status=418, headers={"X-Tea": "pot"}, body="short", nth=1)
    page, moved, error, tea = (studio.post(*CREATE) for _ in range(4))
    assert (page.status_code, page.headers["content-type"]) == (502, "text/html")
    assert page.text.startswith("<html>")
    assert (moved.status_code, moved.headers["location"]) == (302, "http://elsewhere.example/api")
    assert (error.status_code, error.json()["exception"]) == (200, "X")
    assert (tea.status_code, tea.headers["x-tea"], tea.text) == (418, "pot", "short")
    assert jobs(studio) == []


def test_a_reset_comes_before_any_work(studio: Studio, callsheet_sandbox: Sandbox) -> None:
    """A connection reset before or inside the request's body leaves nothing done."""
    body = json.dumps(CREATE).encode()
    callsheet_sandbox.faults.add("reset", path="/api", nth=1)
    assert raw_exchange(callsheet_sandbox, body) == "reset"
    callsheet_sandbox.faults.clear()
    callsheet_sandbox.faults.add("reset", path="/api", after=10, nth=1)
    assert raw_exchange(callsheet_sandbox, body[:10], announced=len(body)) == "reset"
    assert [request.status for request in callsheet_sandbox.requests("/api")] == [None, None]
    assert callsheet_sandbox.requests("/api")[1].size == 10
    assert jobs(studio) == []


def test_a_lost_answer_comes_after_the_work(studio: Studio, callsheet_sandbox: Sandbox) -> None:
    """The work is done, and the client does not hear of it."""
    callsheet_sandbox.faults.add("lost", contains='"create"')
    assert raw_exchange(callsheet_sandbox, json.dumps(CREATE).encode()) == "reset"
    assert jobs(studio) == ["j-1"]


@pytest.mark.parametrize("how", ["reset", "close"])
def test_an_answer_can_break_off(studio: Studio, callsheet_sandbox: Sandbox, how: str) -> None:
    """So many bytes of the body arrive, under the full length, before the connection ends."""
    callsheet_sandbox.faults.add("cut", after=9, how=how, nth=1)
    answer = raw_exchange(callsheet_sandbox, json.dumps(INFORMATION).encode())
    assert isinstance(answer, bytes)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert body == json.dumps(VERSION).encode()[:9]
    assert f"content-length: {len(json.dumps(VERSION))}".encode() in head
    # There is always something missing, however much was to arrive.
    callsheet_sandbox.faults.clear()
    callsheet_sandbox.faults.add("cut", after=10_000, how="close", nth=1)
    with pytest.raises(httpx.RemoteProtocolError):
        studio.call(*INFORMATION)


def test_a_compressed_answer_can_be_incomplete(studio: Studio, callsheet_sandbox: Sandbox) -> None:
    """The body is the first half of a gzip stream, under a right length."""
    callsheet_sandbox.faults.add("gzip", nth=1)
    operations = [{"action": "query_schemas"}]
    with studio.http.stream("POST", "/api", json=operations) as answer:
        body = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert int(answer.headers["content-length"]) == len(body)
    whole = studio.post(*operations).content
    assert body == gzip.compress(whole, mtime=int.from_bytes(body[4:8], "little"))[: len(body)]
    with pytest.raises(EOFError):
        gzip.decompress(body)


def test_an_answer_can_be_garbled(studio: Studio, callsheet_sandbox: Sandbox) -> None:
    """Half of the JSON is no JSON."""
    callsheet_sandbox.faults.add("garbled", nth=1)
    answer = studio.post(*INFORMATION)
    assert answer.text == json.dumps(VERSION)[: len(json.dumps(VERSION)) // 2]


def test_an_answer_can_be_edited(studio: Studio, callsheet_sandbox: Sandbox) -> None:
    """JSON pointers change or remove parts of the true answer, and the rest stays."""
    studio.create("Job", id="j-1", status="done")
    query = {"action": "query", "expression": "select status from Job"}
    edits: dict[str, Any] = {"set": {"/0/data/0/status": "paused", "/0/more": [1]}, "remove": ["/0/metadata"]}
    callsheet_sandbox.faults.add("edit", **edits, nth=1)
    row = {"__entity_type__": "Job", "id": "j-1", "status": "paused"}
    assert studio.call(query) == [{"action": "query", "data": [row], "more": [1]}]
    callsheet_sandbox.faults.clear()
    callsheet_sandbox.faults.add("edit", set={"": {"a/b": 1}}, nth=1)
    callsheet_sandbox.faults.add("edit", set={"/0/a~1b": 2}, nth=1)
    assert studio.post(query).json() == {"a/b": 1}
    assert studio.call(query)[0]["a/b"] == 2


def test_an_answer_without_the_place_to_edit(
    studio: Studio, callsheet_sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """Where an answer has no such place, or is no JSON, a 500 says so."""
    faults = callsheet_sandbox.faults
    faults.add("edit", set={"/1/action": "x"}, nth=1)
    faults.add("edit", set={"/0/version/1": "x"}, nth=1)
    faults.add("edit", remove=["/0/nope"], nth=1)
    faults.add("edit", remove=["/x"], nth=1)
    told = [(answer.status_code, answer.text) for answer in (studio.post(*INFORMATION) for _ in range(4))]
    assert told == [
        (500, f"edit: there is no '{place}' in the answer\n")
        for place in ("/1/action", "/0/version/1", "/0/nope", "/x")
    ]
    faults.clear()
    faults.add("edit", path="/nope", nth=1)
    assert studio.http.get("/nope").text.startswith("edit: Expecting value")
    assert caplog.records == []


@pytest.mark.parametrize("status", [204, 304])
def test_answers_that_have_no_body(
    studio: Studio, callsheet_sandbox: Sandbox, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    """A status that forbids a body is sent without one, whatever was told."""
    callsheet_sandbox.faults.add("status", status=status, nth=1)
    callsheet_sandbox.faults.add("answer", status=status, body={"a": 1}, nth=1)
    assert [(answer.status_code, answer.content) for answer in (studio.post(), studio.post())] == [
        (status, b"")
    ] * 2
    assert studio.post().json() == []
    assert caplog.records == []


def test_an_answer_can_drip(studio: Studio, callsheet_sandbox: Sandbox) -> None:
    """The whole answer arrives, piece by piece."""
    callsheet_sandbox.faults.add("drip", seconds=0.001, size=5, nth=1)
    with studio.http.stream("POST", "/api", json=INFORMATION) as answer:
        pieces = list(answer.iter_raw())
    assert b"".join(pieces) == json.dumps(VERSION).encode()
    assert len(pieces) > 1


@pytest.mark.callsheet_sandbox(latency=20)
def test_answers_can_be_late(studio: Studio, callsheet_sandbox: Sandbox) -> None:
    """No answer comes before the latency, and none that is struck before its own besides."""
    callsheet_sandbox.faults.add("latency", seconds=0.03, nth=2)
    begun = time.monotonic()
    assert studio.call(*INFORMATION) == VERSION
    between = time.monotonic()
    assert studio.call(*INFORMATION) == VERSION
    # Only lower bounds: no machine is too slow for them.
    assert between - begun >= 0.02
    assert time.monotonic() - between >= 0.05


def test_rules_pick_their_requests(studio: Studio, callsheet_sandbox: Sandbox) -> None:
    """Path, method, body, number and times all must fit; the first rule that strikes a request decides."""
    faults = callsheet_sandbox.faults
    faults.add("status", status=501, path="/component/*")
    faults.add("status", status=502, method="put")
    faults.add("status", status=503, contains="needle")
    faults.add("status", status=504, path="/api", nth=[2, 3])
    faults.add("status", status=505, path="/api", times=1)

    def status(method: str, path: str, body: str = "") -> int:
        return studio.http.request(method, path, content=body).status_code

    assert status("GET", "/component/get") == 501
    assert status("PUT", "/api") == 502
    assert status("POST", "/api", "a needle in hay") == 503
    assert [status("POST", "/api", "[]") for _ in range(4)] == [505, 504, 504, 200]
    assert faults.struck() == 6
    faults.clear()
    assert status("GET", "/component/get") == 401
    faults.add("status", status=506, path="/nope", nth=[2, 3], times=1)
    assert [status("GET", "/nope") for _ in range(3)] == [404, 506, 404]


def test_chances_are_repeatable(studio: Studio, callsheet_sandbox: Sandbox) -> None:
    """The same seed strikes the same requests; about as many as the probability says."""
    rules = {"seed": 5, "faults": [{"kind": "status", "path": "/api", "probability": 0.5}]}

    def struck() -> list[bool]:
        assert studio.http.put("/_sandbox/faults", json=rules).status_code == 200
        return [studio.post().status_code == 503 for _ in range(40)]

    first = struck()
    assert struck() == first
    assert 8 <= sum(first) <= 32


@pytest.mark.callsheet_sandbox(seed=7)
def test_chances_of_a_sandbox_are_repeatable(studio: Studio, callsheet_sandbox: Sandbox) -> None:
    """A sandbox's own seed begins the same row of chances again with each new set of faults."""

    def struck() -> list[bool]:
        callsheet_sandbox.faults.clear()
        callsheet_sandbox.faults.add("status", path="/api", probability=0.5)
        return [studio.post().status_code == 503 for _ in range(40)]

    first = struck()
    assert struck() == first
    assert 8 <= sum(first) <= 32


def test_faults_are_listed_as_they_were_asked_for(studio: Studio) -> None:
    """What was put can be read, with its counts, and is gone after a DELETE."""
    rule = {"kind": "status", "status": 500, "path": "/api"}
    assert studio.http.put("/_sandbox/faults", json=rule).json() == [{**rule, "seen": 0, "struck": 0}]
    studio.post()
    assert studio.http.get("/_sandbox/faults").json() == [{**rule, "seen": 1, "struck": 1}]
    assert studio.http.delete("/_sandbox/faults").status_code == 204
    assert studio.http.get("/_sandbox/faults").json() == []


WRONG_FAULTS: list[tuple[Any, str]] = [
    (5, "a fault is an object, not 5"),
    ({}, "kind: None is none of latency"),
    ({"kind": "flood"}, "kind: 'flood' is none of latency"),
    ({"kind": "lost", "after": 5}, "after: lost knows only contains, method"),
    ({"kind": "latency"}, "latency: "),
    ({"kind": "latency", "seconds": -1}, "latency: 'seconds' must be >= 0"),
    ({"kind": "latency", "seconds": "soon"}, "latency: could not convert"),
    ({"kind": "status", "status": "bad"}, "status: "),
    ({"kind": "cut", "how": "gently"}, "cut: 'how' must be in"),
    ({"kind": "lost", "nth": 0}, "nth: 0 is not a whole number from 1"),
    ({"kind": "lost", "times": True}, "times: True is not a whole number from 1"),
    ({"kind": "lost", "probability": 2}, "probability: 2 is not between 0 and 1"),
    ({"kind": "lost", "path": 1}, "path: 1 is not a text"),
    ({"kind": "status", "status": 100}, "status: 'status' must be >= 200"),
    ({"kind": "html", "status": 600}, "html: 'status' must be <= 599"),
    ({"kind": "status", "retry_after": True}, "status: retry_after: True is no value of a header"),
    ({"kind": "status", "retry_after": "1\r\nx: y"}, "status: retry_after: '1\\r\\nx: y' is no value"),
    ({"kind": "redirect", "to": "http://x/ "}, "redirect: to: 'http://x/ ' is no value of a header"),
    ({"kind": "answer", "headers": {"a b": "c"}}, "answer: headers: 'a b' is no name of a header"),
    ({"kind": "answer", "headers": {"a": "\0"}}, "answer: headers: '\\x00' is no value of a header"),
    ({"kind": "edit", "set": {"0/data": 1}}, "edit: set: '0/data' is no JSON pointer"),
    ({"kind": "edit", "set": ["/0"]}, "edit: 'set' must be"),
    ({"kind": "edit", "remove": [0]}, "edit: remove: 0 is no JSON pointer"),
    ({"kind": "edit", "remove": "/0"}, "edit: 'remove' must be"),
    ({"faults": [], "seed": [1]}, "seed: [1] is not a whole number"),
    ({"faults": [], "sead": 1}, "sead: only faults and seed belong together"),
]


@pytest.mark.parametrize(("words", "text"), WRONG_FAULTS)
def test_wrong_faults_are_refused(studio: Studio, words: Any, text: str) -> None:
    """A fault that cannot be is refused by the word that is wrong, and the old ones stay in force."""
    studio.http.put("/_sandbox/faults", json={"kind": "status", "status": 500})
    several = isinstance(words, dict) and "faults" in words
    answer = studio.http.put("/_sandbox/faults", json=words if several else [{"kind": "lost"}, words])
    assert (answer.status_code, answer.text[: len(text)]) == (400, text)
    assert studio.post().status_code == 500


def test_the_clock_runs_stands_and_moves(studio: Studio, callsheet_sandbox: Sandbox) -> None:
    """Time runs by itself, stands when frozen, moves as told, and is the date of answers."""
    clock = callsheet_sandbox.clock
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(minutes=1)
    assert clock.now() < clock.now()
    clock.freeze()
    frozen = clock.now()
    assert clock.now() == frozen
    assert clock.advance(90.5) == frozen + timedelta(seconds=90.5)
    date = parsedate_to_datetime(studio.post().headers["date"])
    assert date == clock.now().replace(microsecond=0)
    clock.resume()
    assert frozen + timedelta(seconds=90.5) < clock.now() < clock.now()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ({"seconds": -1}, "seconds: a clock cannot be moved by -1"),
        ({"seconds": 1e12}, "seconds: a clock cannot be moved by 1000000000000.0"),
        ({"seconds": 1e300}, "seconds: a clock cannot be moved by 1e+300"),
        ({"seconds": "1"}, "seconds: '1' is not a number"),
        ({"frozen": 1}, "frozen: 1 is neither true nor false"),
        ({"hours": 1}, "hours: a clock knows only frozen, seconds"),
        ([], "an object is needed, not []"),
    ],
)
def test_a_clock_refuses_nonsense(studio: Studio, words: Any, text: str) -> None:
    """What a clock cannot do is refused by name."""
    answer = studio.http.post("/_sandbox/clock", json=words)
    assert (answer.status_code, answer.text) == (400, text)
    assert studio.http.get("/_sandbox/clock").json()["now"] < "9000"


def test_steering_wants_json(studio: Studio) -> None:
    """A body that is no JSON is refused, and so is what is not there."""
    answer = studio.http.put("/_sandbox/faults", content=b"{")
    assert (answer.status_code, answer.text[:8]) == (400, "not JSON")
    answer = studio.http.post("/_sandbox/clock", content=b'{"seconds": NaN}')
    assert (answer.status_code, answer.text) == (400, "not JSON: NaN is no number that will do")
    assert studio.http.get("/_sandbox/nope").status_code == 404


@pytest.mark.parametrize(
    "fault", [{}, {"kind": "lost"}, {"kind": "reset", "after": 50}, {"kind": "drip", "seconds": 0}]
)
@pytest.mark.parametrize(
    "target", ["POST /api", "PUT /component/upload?x=1", "PUT /API/job/VX-1", "POST /2023-10-12/farms"]
)
def test_a_client_may_leave_within_its_request(
    callsheet_sandbox: Sandbox, caplog: pytest.LogCaptureFixture, fault: dict[str, Any], target: str
) -> None:
    """A client that is gone before its request is whole is no fault of the sandbox's."""
    if fault:
        callsheet_sandbox.faults.add(**fault)
    host, port = callsheet_sandbox.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as line:
        line.sendall(f"{target} HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nxx".encode())
        while not callsheet_sandbox.requests():
            pass
    while callsheet_sandbox.connections().open:
        pass
    assert callsheet_sandbox.faults.struck() == bool(fault)
    assert caplog.records == []


def test_requests_are_remembered(studio: Studio, callsheet_sandbox: Sandbox) -> None:
    """Every request is in the log with its head, body and answer; those that steer are not."""
    studio.post(*INFORMATION)
    studio.http.get("/component/get?id=c-1")
    studio.http.get("/_sandbox")
    first, second = callsheet_sandbox.requests()
    assert (first.method, first.target, first.path, first.status) == ("POST", "/api", "/api", 200)
    assert (json.loads(first.body), first.size) == (INFORMATION, len(first.body))
    assert first.headers["ftrack-user"] == "sandbox"
    assert (second.target, second.path, second.status) == ("/component/get?id=c-1", "/component/get", 401)
    assert first.connection == second.connection
    assert callsheet_sandbox.requests("/component/*") == [second]
    assert callsheet_sandbox.requests(method="POST") == [first]
    assert callsheet_sandbox.requests(contains="query_server") == [first]
    callsheet_sandbox.forget_requests()
    assert callsheet_sandbox.requests() == []


def test_connections_are_counted(studio: Studio, callsheet_sandbox: Sandbox) -> None:
    """Connections are told apart, however many requests each carries, and steering is none of them."""
    assert callsheet_sandbox.connections() == Connections(opened=0, open=0, most=0)
    for _ in range(3):
        studio.post()
    raw_exchange(callsheet_sandbox, b"[]")
    told = callsheet_sandbox.connections()
    assert (told.opened, told.most) == (2, 2)
    assert [request.connection for request in callsheet_sandbox.requests()] == [1, 1, 1, 2]
    callsheet_sandbox.forget_requests()
    assert callsheet_sandbox.connections() == Connections(opened=1, open=1, most=1)


def test_the_last_requests_are_kept() -> None:
    """So many requests are remembered, the last ones, and all of them are counted."""
    with mock.patch.object(_frame, "KEPT_REQUESTS", 3), Sandbox() as sandbox:
        with httpx.Client(base_url=sandbox.url, verify=False, timeout=60) as http:
            for number in range(5):
                http.get(f"/{number}")
            told = http.get("/_sandbox/requests").json()
    assert (told["count"], [record["target"] for record in told["requests"]]) == (5, ["/2", "/3", "/4"])


def test_big_bodies_are_kept_in_part(studio: Studio, callsheet_sandbox: Sandbox) -> None:
    """The log keeps 64 KiB of a body and its size."""
    studio.upload("c-1", b"x" * 200_000)
    (put,) = callsheet_sandbox.requests(method="PUT")
    assert (put.body, put.size) == ("x" * 65536, 200_000)


def test_small_answers_leave_at_once(callsheet_sandbox: Sandbox) -> None:
    """The server's end of a connection waits for no acknowledgement between an answer's head and its body."""
    host, port = callsheet_sandbox.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(b"GET /_sandbox/clock HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(1)
        (delay,) = (end.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for end in ends_of(client))
    assert delay == 1


def ends_of(client: socket.socket) -> Iterator[socket.socket]:
    """Yield this process's own other end of a connection."""
    for entry in list(Path("/proc/self/fd").iterdir()):
        # The descriptor that lists the folder is gone by now, and a listening socket has no peer.
        with suppress(OSError):
            if str(entry.readlink()).startswith("socket:"):
                with socket.socket(fileno=os.dup(int(entry.name))) as end:
                    if end.getpeername() == client.getsockname():
                        yield end

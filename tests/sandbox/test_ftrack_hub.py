"""The sandbox's event hub: socket.io 0.9, subscriptions, replies, and what the server tells by itself."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Self

import anyio
import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, RejectConnection, Request, TextMessage

from callsheet.sandbox import Sandbox
from callsheet.sandbox.ftrack import _hub
from callsheet.sandbox.ftrack._expressions import matcher
from support.ftrackcalls import Refused, Studio, create, update


class Line:
    """One client's WebSocket, packet by packet."""

    def __init__(self, studio: Studio, session: str) -> None:
        url = studio.http.base_url
        self._socket = socket.create_connection((url.host, url.port or 80), timeout=10)
        self._ws = WSConnection(ConnectionType.CLIENT)
        self._packets: list[str] = []
        self.numbers = iter(range(1, 1000))
        self.opened: bool | None = None
        self.closed = False
        request = Request(host=str(url.netloc, "ascii"), target=f"/socket.io/1/websocket/{session}")
        self._socket.sendall(self._ws.send(request))
        while self.opened is None:
            self._read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._socket.close()

    def send(self, packet: str) -> None:
        """Send one packet."""
        self._socket.sendall(self._ws.send(TextMessage(data=packet)))

    def receive(self) -> str:
        """Return the next packet; empty once the server has closed."""
        while not self._packets and not self.closed:
            self._read()
        return self._packets.pop(0) if self._packets else ""

    def event(self) -> dict[str, Any]:
        """Return the next packet's event."""
        packet = self.receive()
        assert packet.startswith("5:::"), packet
        payload = json.loads(packet[4:])
        assert (payload["name"], len(payload["args"])) == ("ftrack.event", 1)
        event: dict[str, Any] = payload["args"][0]
        return event

    def publish(self, topic: str, **words: Any) -> Any:
        """Send an event that wants an acknowledgement, and return that; what else comes is kept."""
        number = next(self.numbers)
        event = {"topic": topic, "id": f"e-{number}", "source": {"id": "me"}, "data": {}, **words}
        self.send(f"5:{number}+::{json.dumps({'name': 'ftrack.event', 'args': [event]})}")
        begin = f"6:::{number}+["
        others = []
        while not (packet := self.receive()).startswith(begin):
            assert packet, "the server closed"
            others.append(packet)
        self._packets = others + self._packets
        return json.loads(packet[len(begin) - 1 :])[0]

    def subscribe(self, subscription: str, name: str = "s-1") -> Any:
        """Subscribe, and return what the server says to that."""
        return self.publish(
            "ftrack.meta.subscribe", data={"subscriber": {"id": name}, "subscription": subscription}
        )

    def _read(self) -> None:
        try:
            data = self._socket.recv(65536)
        except ConnectionResetError:
            data = b""
        self._ws.receive_data(data or None)
        for event in self._ws.events():
            if isinstance(event, TextMessage):
                self._packets.append(event.data)
            elif isinstance(event, AcceptConnection | RejectConnection):
                self.opened = isinstance(event, AcceptConnection)
        self.closed = not data


OK = {"success": True}


@pytest.fixture
def lines(studio: Studio, callsheet_sandbox: Sandbox) -> Iterator[tuple[Line, Line]]:
    """Two connected clients, with no heartbeats between what they hear."""
    callsheet_sandbox.configure("ftrack", heartbeat_seconds=0)
    with ExitStack() as stack:
        both = [stack.enter_context(Line(studio, handshake(studio))) for _ in range(2)]
        for line in both:
            assert (line.opened, line.receive()) == (True, "1::")
        yield both[0], both[1]


def handshake(studio: Studio) -> str:
    """Return a new session."""
    answer = studio.http.get("/socket.io/1/")
    session, heartbeat, close, transports = answer.text.split(":")
    assert (answer.status_code, heartbeat, close, transports) == (200, "60", "60", "websocket")
    return session


def test_handshakes_want_credentials(studio: Studio) -> None:
    """Credentials come in headers or in the query; wrong ones are refused with 401."""
    url = studio.http.base_url.join("/socket.io/1/")
    good = {"api_user": "sandbox", "api_key": "sandbox-key"}
    assert studio.bare.get(url, params=good).status_code == 200
    assert studio.bare.get(url, params={**good, "api_key": "wrong"}).status_code == 401
    assert studio.bare.get(url).status_code == 401
    assert studio.http.get("/socket.io/1/", headers={"ftrack-api-key": "wrong"}).status_code == 401


def test_a_session_is_good_for_one_connection(studio: Studio) -> None:
    """An unknown session is refused, and so is one that was used."""
    session = handshake(studio)
    with Line(studio, session) as first, Line(studio, session) as again, Line(studio, "none") as unknown:
        assert (first.opened, again.opened, unknown.opened) == (True, False, False)


def test_the_server_beats(studio: Studio, callsheet_sandbox: Sandbox) -> None:
    """The server sends heartbeats, and takes both spellings of the reply."""
    callsheet_sandbox.configure("ftrack", heartbeat_seconds=0.01)
    with Line(studio, handshake(studio)) as line:
        assert line.receive() == "1::"
        for reply in ("2:::", "2::", "2::"):
            assert line.receive() == "2::"
            line.send(reply)
        assert line.subscribe("topic=x") == OK


def test_packets_without_number_are_not_acknowledged(lines: tuple[Line, Line]) -> None:
    """What comes without a number is done in silence; what is no event is refused, or passed over."""
    line, _ = lines
    event = {"topic": "ftrack.meta.subscribe", "data": {"subscriber": {"id": "s"}, "subscription": ""}}
    line.send(f"5:::{json.dumps({'name': 'ftrack.event', 'args': [event]})}")
    line.send("4:::hello")
    line.send("nonsense")
    line.send("5:9+::{}")
    packet = line.receive()
    assert packet.startswith('6:::9+[{"success": false, "message": "no event that can be read: ')
    assert line.publish("x") == OK
    assert line.event()["topic"] == "x"


def test_events_reach_those_who_want_them(lines: tuple[Line, Line]) -> None:
    """Each client with a matching subscription hears an event once, the sender too, with seven keys."""
    first, second = lines
    for name in ("s-1", "s-1", "s-2"):
        assert first.subscribe("topic=news", name) == OK
    assert second.subscribe("topic=other") == OK
    assert second.publish("news", target="", sent=None, extra=1, data={"a": 1}) == OK
    assert second.publish("other") == OK
    assert first.publish("other") == OK
    assert first.publish("news") == OK
    heard = first.event()
    assert heard == {
        "id": "e-2",
        "topic": "news",
        "data": {"a": 1},
        "sent": None,
        "source": {"id": "me"},
        "target": "",
        "inReplyToEvent": None,
    }
    assert first.event()["id"] == "e-5"
    assert [second.event()["topic"] for _ in range(2)] == ["other", "other"]


def test_unsubscribing_ends_it(lines: tuple[Line, Line]) -> None:
    """After an unsubscription nothing more is heard."""
    line, other = lines
    line.subscribe("topic=news")
    other.publish("news", id="first")
    assert line.event()["id"] == "first"
    assert line.publish("ftrack.meta.unsubscribe", data={"subscriber": {"id": "s-1"}}) == OK
    line.subscribe("topic=end", "s-2")
    other.publish("news", id="second")
    other.publish("end", id="third")
    assert line.event()["id"] == "third"


def test_replies_find_their_asker(lines: tuple[Line, Line]) -> None:
    """An event meant for one subscriber reaches its client and no other; each of two replies arrives."""
    first, second = lines
    for number, line in enumerate(lines):
        line.subscribe("topic=ftrack.meta.reply", f"hub-{number}")
        line.subscribe("topic=end", "end")
    for answer in (1, 2):
        second.publish("ftrack.meta.reply", target="id=hub-0", inReplyToEvent="q-1", data=answer)
    second.publish("end")
    heard = [first.event() for _ in range(3)]
    assert [(event["inReplyToEvent"], event["data"]) for event in heard] == [
        ("q-1", 1),
        ("q-1", 2),
        (None, {}),
    ]
    assert second.event()["topic"] == "end"


def test_wrong_expressions_are_refused(lines: tuple[Line, Line]) -> None:
    """A subscription that cannot be read is told so, and hears nothing."""
    line, _ = lines
    refused = line.subscribe("topic=news and", "s-1")
    assert (refused["success"], "topic=news and" in refused["message"]) == (False, True)


def test_changes_are_announced(studio: Studio, lines: tuple[Line, Line]) -> None:
    """One event for each batch tells all changes by their old names, who made them, and both tokens."""
    line, _ = lines
    line.subscribe("topic=ftrack.update and source.user.username=sandbox")
    jane, ada = studio.values('select id from User where username in ("jane", "ada") order by username desc')
    tokens = {"ftrack_clienttoken": "c-7", "ftrack_pushtoken": "p-7"}
    studio.call(
        create("Job", id="j-1", user_id=jane, created_at="2024-05-01"), create("Job", id="j-2"), **tokens
    )
    with pytest.raises(Refused):
        studio.call(update("Job", "j-1", status="done"), create("Nope"))
    studio.query("Job")
    studio.call(update("Job", "j-1", status="running", user={"id": ada}), update("Job", "j-1"))
    studio.delete("Job", "j-2")
    added, updated, removed = (line.event() for _ in range(3))

    sandbox = studio.values("select id from User where username is sandbox")[0]
    who = {"id": sandbox, "username": "sandbox"}
    assert added["source"] == {"id": "sandbox", "user": who, "clientToken": "c-7"}
    data = added["data"]
    assert (data["clientToken"], data["pushToken"], data["user"]) == (
        "c-7",
        "p-7",
        {"userid": sandbox, "name": "Sandbox Sandbox"},
    )
    assert [(each["action"], each["entityId"]) for each in data["entities"]] == [
        ("add", "j-1"),
        ("add", "j-2"),
    ]
    assert updated["data"]["entities"] == [
        {
            "entityType": "job",
            "entity_type": "Job",
            "entityId": "j-1",
            "action": "update",
            "keys": ["status", "userid"],
            "changes": {
                "status": {"old": "queued", "new": "running"},
                "userid": {"old": jane, "new": ada},
            },
            "parents": [],
            "parentId": None,
        }
    ]
    (gone,) = removed["data"]["entities"]
    assert (gone["action"], gone["entityId"], gone["changes"]["jobid"]) == (
        "remove",
        "j-2",
        {"old": "j-2", "new": None},
    )


def test_a_client_may_leave_without_a_word(studio: Studio, lines: tuple[Line, Line]) -> None:
    """When one client is gone, the others still hear."""
    first, second = lines
    first.subscribe("topic=news")
    second.subscribe("topic=news")
    first._socket.close()
    for number in range(20):
        assert second.publish("news", id=f"n-{number}") == OK
    assert [second.event()["id"] for _ in range(20)] == [f"n-{number}" for number in range(20)]


def test_the_hub_can_go_away(studio: Studio, lines: tuple[Line, Line], callsheet_sandbox: Sandbox) -> None:
    """When it goes its connections end and no new one begins; when it is back, they do."""
    callsheet_sandbox.configure("ftrack", events=False)
    assert [line.receive() for line in lines] == ["", ""]
    assert studio.http.get("/socket.io/1/").status_code == 503
    callsheet_sandbox.configure("ftrack", events=True)
    with Line(studio, handshake(studio)) as line:
        assert line.receive() == "1::"


def test_unclaimed_sessions_are_forgotten(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the sessions that no connection claims, only the latest are good."""
    monkeypatch.setattr(_hub, "UNCLAIMED", 2)
    sessions = [handshake(studio) for _ in range(3)]
    with ExitStack() as stack:
        lines = [stack.enter_context(Line(studio, session)) for session in sessions]
    assert [line.opened for line in lines] == [False, True, True]


async def test_a_client_that_reads_nothing_is_given_up() -> None:
    """Packets wait for a client up to a number, and one more ends its connection."""
    outgoing, packets = anyio.create_memory_object_stream[str](1)
    with outgoing, packets:
        listener = _hub.Listener(outgoing, scope := anyio.CancelScope())
        listener.send("first")
        assert not scope.cancel_called
        listener.send("second")
        assert scope.cancel_called
        assert packets.receive_nowait() == "first"


EVENT = {
    "topic": "ftrack.update",
    "data": {"count": 5, "kind": "a b"},
    "source": {"user": {"username": "jane"}},
}

EXPRESSIONS = {
    "": True,
    "topic=ftrack.update": True,
    "topic = 'ftrack.update'": True,
    "topic=ftrack.*": True,
    "topic=update*": False,
    "topic!=ftrack.update": False,
    "topic>=ftrack": True,
    "topic<ftrack": False,
    "source.user.username=jane": True,
    "source.user.username.first=jane": False,
    "source.user=jane": False,
    "missing=x": False,
    "missing!=x": False,
    "not missing=x": True,
    "data.count=5": False,
    'data.kind="a b"': True,
    "topic=x and missing=x or source.user.username=jane": True,
    "topic=x AND (missing=x OR source.user.username=jane)": False,
    "Not topic=x and not (missing=x)": True,
}


def test_expressions_match() -> None:
    """Each expression matches the event or not, as the protocol says."""
    assert {text: matcher(text)(EVENT) for text in EXPRESSIONS} == EXPRESSIONS


@pytest.mark.parametrize(
    "text", ["topic", "topic=", "(topic=x", "topic=x)", "topic=x topic=y", "and", "topic ~ x"]
)
def test_other_expressions_are_no_expressions(text: str) -> None:
    """What is not in the language is refused, and quoted."""
    with pytest.raises(ValueError, match="cannot read the expression"):
        matcher(text)

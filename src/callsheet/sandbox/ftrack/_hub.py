"""The event hub: socket.io 0.9 over a WebSocket, as ftrack's clients speak it."""

from __future__ import annotations

import json
import secrets
import uuid
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio
import attrs
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from callsheet.sandbox.ftrack._errors import FtrackError
from callsheet.sandbox.ftrack._expressions import Matcher, matcher

if TYPE_CHECKING:
    from callsheet.sandbox.ftrack import Ftrack

__all__ = ["Hub"]

Event = dict[str, Any]

CONNECT, HEARTBEAT, EVENT, ACK = "1", "2", "5", "6"

FIELDS = ("id", "topic", "data", "sent", "source", "target", "inReplyToEvent")
"""All that an event may hold: the vendor's Python client drops one that holds more."""

BACKLOG = 10_000
"""Packets that may wait for a client before it is given up."""

UNCLAIMED = 1000
"""Handshakes that are remembered until their WebSocket comes."""


@attrs.define(eq=False)
class Listener:
    """One connected client, its subscriptions by their ids, and the packets on their way to it."""

    outgoing: MemoryObjectSendStream[str]
    scope: anyio.CancelScope
    subscriptions: dict[str, tuple[Mapping[str, Any], Matcher]] = attrs.field(factory=dict)

    def send(self, packet: str) -> None:
        """Put a packet on its way; a client that reads nothing is cut off."""
        try:
            self.outgoing.send_nowait(packet)
        except anyio.WouldBlock:
            self.scope.cancel()

    def hears(self, event: Event, meant: Matcher) -> bool:
        """Return whether one of its subscribers is meant, and wants to hear this."""
        return any(meant(subscriber) and wants(event) for subscriber, wants in self.subscriptions.values())


class Hub:
    """Carries events between clients, and from the server to clients. Nothing is kept for those away."""

    def __init__(self, part: Ftrack) -> None:
        self._part = part
        self._sessions: dict[str, None] = {}
        self._listeners: set[Listener] = set()

    def routes(self) -> list[BaseRoute]:
        """Return what it answers."""
        return [
            Route("/socket.io/1/", self._handshake, methods=["GET"]),
            WebSocketRoute("/socket.io/1/websocket/{session}", self._serve),
        ]

    def publish(self, event: Event) -> None:
        """Deliver an event, once to each client with a subscriber that is meant and wants it."""
        event = {name: event.get(name) for name in FIELDS}
        meant = matcher(event["target"] or "")
        packet = _event_packet(event)
        for listener in self._listeners:
            if listener.hears(event, meant):
                listener.send(packet)

    def drop(self) -> None:
        """Cut off every client."""
        for listener in self._listeners:
            listener.scope.cancel()

    async def _handshake(self, request: Request) -> Response:
        query, headers = request.query_params, request.headers
        if not self._part.events:
            return PlainTextResponse("The event hub is away\n", 503)
        try:
            self._part.authenticate(
                headers.get("ftrack-user", query.get("api_user")),
                headers.get("ftrack-api-key", query.get("api_key")),
            )
        except FtrackError as error:
            return JSONResponse(error.answer(), error.status)
        session = secrets.token_hex(16)
        self._sessions[session] = None
        if len(self._sessions) > UNCLAIMED:
            del self._sessions[next(iter(self._sessions))]
        return PlainTextResponse(f"{session}:60:60:websocket")

    async def _serve(self, socket: WebSocket) -> None:
        session = socket.path_params["session"]
        if session not in self._sessions:
            await socket.close()
            return
        del self._sessions[session]
        await socket.accept()
        outgoing, packets = anyio.create_memory_object_stream[str](BACKLOG)
        with outgoing, packets:
            async with anyio.create_task_group() as tasks:
                listener = Listener(outgoing, tasks.cancel_scope)
                self._listeners.add(listener)
                tasks.start_soon(self._write, socket, packets)
                tasks.start_soon(self._beat, listener)
                try:
                    listener.send(_packet(CONNECT))
                    await self._read(socket, listener)
                finally:
                    self._listeners.remove(listener)
                    tasks.cancel_scope.cancel()

    async def _write(self, socket: WebSocket, packets: MemoryObjectReceiveStream[str]) -> None:
        with suppress(WebSocketDisconnect):
            async for packet in packets:
                await socket.send_text(packet)

    async def _beat(self, listener: Listener) -> None:
        # The server begins; clients give up after 15 s (JavaScript) or 60 s (Python) of silence.
        while seconds := self._part.heartbeat_seconds:
            await anyio.sleep(seconds)
            listener.send(_packet(HEARTBEAT))

    async def _read(self, socket: WebSocket, listener: Listener) -> None:
        while (message := await socket.receive())["type"] == "websocket.receive":
            kind, number, _, data = _split(message.get("text") or "")
            if kind != EVENT:
                continue
            outcome = self._receive(listener, data)
            if number.endswith("+"):
                listener.send(_packet(ACK, f"{number}[{json.dumps(outcome)}]"))

    def _receive(self, listener: Listener, data: str) -> dict[str, Any]:
        """Do what a client's event asks for; return what it is told about that."""
        try:
            (event,) = json.loads(data)["args"]
            if event["topic"] == "ftrack.meta.subscribe":
                self._subscribe(listener, event["data"])
            elif event["topic"] == "ftrack.meta.unsubscribe":
                listener.subscriptions.pop(event["data"]["subscriber"]["id"], None)
            else:
                self.publish(event)
        except (AttributeError, KeyError, TypeError, ValueError) as exc:
            return {"success": False, "message": f"no event that can be read: {exc}"}
        return {"success": True}

    def _subscribe(self, listener: Listener, data: dict[str, Any]) -> None:
        subscriber = data["subscriber"]
        listener.subscriptions[subscriber["id"]] = subscriber, matcher(data.get("subscription") or "")


def server_event(topic: str, source: Mapping[str, Any], data: Mapping[str, Any]) -> Event:
    """Return an event of the server's own."""
    return {"id": uuid.uuid4().hex, "topic": topic, "source": source, "data": data, "target": ""}


def _packet(kind: str, data: str = "") -> str:
    return f"{kind}:::{data}" if data else f"{kind}::"


def _event_packet(event: Event) -> str:
    return _packet(EVENT, json.dumps({"name": "ftrack.event", "args": [event]}))


def _split(packet: str) -> tuple[str, str, str, str]:
    kind, number, endpoint, data = [*packet.split(":", 3), "", "", ""][:4]
    return kind, number, endpoint, data

"""One request and its answer, as a fault sees them: the road to the application, with every step in reach."""

from __future__ import annotations

from collections.abc import AsyncIterator

import attrs
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from callsheet.sandbox._connection import EXTENSION, Connection

__all__ = ["KEPT_BODY", "Answer", "Exchange"]

KEPT_BODY = 64 * 1024
"""Bytes of a request's body that are kept for the log."""


@attrs.frozen
class Answer:
    """A whole answer; header names in lower case."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


class Exchange:
    """One request to an application, which may be answered by it, by a fault, or by both.

    Attributes:
        head: The first bytes of the request's body, as far as they were read and worth keeping.
        received: How many bytes of the request's body were read.
        status: What was answered; None until then, or if nothing was.
    """

    def __init__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.head = b""
        self.received = 0
        self.status: int | None = None
        self._app = app
        self._receive = receive
        self._send = send
        self._ahead: list[Message] = []

    @property
    def connection(self) -> Connection:
        """The connection it runs on."""
        connection: Connection = self.scope["extensions"][EXTENSION]
        return connection

    async def read_body(self) -> bytes:
        """Read the whole request body ahead; the application will still get it."""
        async for _ in self.chunks():
            pass
        return b"".join(message.get("body", b"") for message in self._ahead)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Read the rest of the request body ahead, piece by piece."""
        while not self._ahead or self._ahead[-1].get("more_body", False):
            self._ahead.append(await self._read())
            yield self._ahead[-1].get("body", b"")

    async def run(self) -> None:
        """Let the application answer."""
        await self._app(self.scope, self._next_message, self.send)

    async def answer(self) -> Answer:
        """Let the application do its work, and keep its answer, uncompressed, instead of sending it."""
        kept: list[Message] = []

        async def keep(message: Message) -> None:
            kept.append(message)

        plain = [(name, value) for name, value in self.scope["headers"] if name != b"accept-encoding"]
        await self._app({**self.scope, "headers": plain}, self._next_message, keep)
        start = next(message for message in kept if message["type"] == "http.response.start")
        headers = {name.lower(): value for name, value in start["headers"]}
        return Answer(start["status"], headers, b"".join(message.get("body", b"") for message in kept))

    async def send(self, message: Message) -> None:
        """Send one message of an answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)

    async def send_answer(self, answer: Answer, *, only: int | None = None) -> None:
        """Send a whole answer, or its head and only so many bytes of its body, left open."""
        headers = {b"content-length": b"%d" % len(answer.body)} | answer.headers
        await self.send(
            {"type": "http.response.start", "status": answer.status, "headers": list(headers.items())}
        )
        body = answer.body if only is None else answer.body[:only]
        await self.send({"type": "http.response.body", "body": body, "more_body": only is not None})

    async def _next_message(self) -> Message:
        return self._ahead.pop(0) if self._ahead else await self._read()

    async def _read(self) -> Message:
        message = await self._receive()
        piece = message.get("body", b"")
        self.received += len(piece)
        if len(self.head) < KEPT_BODY:
            self.head += piece[: KEPT_BODY - len(self.head)]
        return message

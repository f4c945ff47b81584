"""The application of a sandbox: the vendors' parts behind a door that counts, delays and strikes requests."""

from __future__ import annotations

import asyncio
import math
import random
from collections import deque
from collections.abc import Mapping
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Protocol

import attrs
from attrs.validators import ge, instance_of, le, lt, optional
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute, Mount
from starlette.types import Message, Receive, Scope, Send

from callsheet.sandbox._clock import Clock
from callsheet.sandbox._connection import EXTENSION, Census
from callsheet.sandbox._exchange import Exchange
from callsheet.sandbox._faults import Faults

__all__ = ["Frame", "Part", "Settings", "World"]

STEERING = "/_sandbox"
KEPT_REQUESTS = 10_000


@attrs.frozen(kw_only=True)
class Settings:
    """How a sandbox is set up.

    Attributes:
        host: The address it listens on.
        port: Where; 0 takes a free one.
        jobs: How many ready-made jobs each tracker has.
        latency: Milliseconds before each answer.
        seed: Makes all that is random repeatable: ready-made jobs, and the faults' probabilities.
        s3: The URL of an S3 server with the sandbox's bucket; None starts one when it is first needed.

    Raises:
        TypeError, ValueError: A setting is of another type, or out of its bounds; the message names it.
    """

    host: str = attrs.field(default="127.0.0.1", validator=instance_of(str))
    port: int = attrs.field(default=0, validator=[instance_of(int), ge(0), le(65535)])
    jobs: int = attrs.field(default=0, validator=[instance_of(int), ge(0)])
    latency: float = attrs.field(default=0.0, validator=[instance_of((int, float)), ge(0), lt(math.inf)])
    seed: int | None = attrs.field(default=None, validator=optional(instance_of(int)))
    s3: str | None = attrs.field(default=None, validator=optional(instance_of(str)))


@attrs.frozen
class World:
    """What the parts share: the settings, the clock, a folder for bytes, the URL of an S3 server, chances."""

    settings: Settings
    folder: Path
    s3: str
    clock: Clock = attrs.field(factory=Clock)
    chance: random.Random = attrs.field(
        default=attrs.Factory(lambda self: random.Random(self.settings.seed), takes_self=True)  # noqa: S311 - repeatable by design
    )


class Part(Protocol):
    """One vendor in a sandbox.

    Attributes:
        name: As in its provider's module.
        options: What `PUT /_sandbox/<name>` may change, with the present values.
    """

    name: str

    @property
    def options(self) -> dict[str, Any]: ...

    def routes(self) -> list[BaseRoute]:
        """Return what it answers."""
        ...

    def environment(self, url: str) -> Mapping[str, str]:
        """Return the variables by which the vendor's own clients find it."""
        ...

    def configure(self, options: Mapping[str, Any]) -> None:
        """Change options.

        Raises:
            ValueError: An option is unknown or has no such value; the message names it.
        """
        ...

    def act(self, action: str, words: Mapping[str, Any]) -> Any:
        """Do by another program's hand what the vendor's clients cannot do; return what JSON can tell.

        Raises:
            ValueError: The action or one of its words will not do; the message names it.
        """
        ...


@attrs.define
class Record:
    """One request in the log.

    Attributes:
        method: In capitals.
        target: Path and query, as they came.
        connection: Which one it came on, from 1.
        headers: By names in lower case.
        body: The beginning of the body, as text.
        size: How many bytes of the body were read.
        status: What was answered; None if nothing was, so far.
    """

    method: str
    target: str
    connection: int
    headers: dict[str, str]
    body: str = ""
    size: int = 0
    status: int | None = None


class Frame:
    """The ASGI application: everything that arrives passes here."""

    def __init__(self, world: World, parts: list[Part], steering: list[BaseRoute]) -> None:
        self.world = world
        self.parts = parts
        self.faults = Faults(world.settings.seed)
        self.census = Census()
        self.log: deque[Record] = deque(maxlen=KEPT_REQUESTS)
        self.requests = 0
        self.url = ""
        self._app = Starlette(
            routes=[Mount(STEERING, routes=steering), *(route for part in parts for route in part.routes())]
        )
        self._app.state.frame = self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            await self._pass(scope, receive, send)
        except (asyncio.CancelledError, ClientDisconnect):
            return  # the end of the sandbox, or of a client; uvicorn would call either a fault of ours

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope = _without_origin(scope)
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"].startswith(f"{STEERING}/") or scope["path"] == STEERING:
            await self._app(scope, receive, self._dated(send))
        else:
            await self._serve(Exchange(self._app, scope, receive, self._dated(send)))

    async def _serve(self, exchange: Exchange) -> None:
        self.world.clock.tick()
        record = self._noted(exchange)
        try:
            await asyncio.sleep(self.world.settings.latency / 1000)
            strike = await self.faults.choose(exchange)
            await (strike.strike(exchange) if strike else exchange.run())
        finally:
            record.status = exchange.status
            record.size = exchange.received
            record.body = exchange.head.decode(errors="replace")

    def _noted(self, exchange: Exchange) -> Record:
        scope = exchange.scope
        query = scope["query_string"].decode("latin-1")
        target = scope["raw_path"].decode("latin-1") + (f"?{query}" if query else "")
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        record = Record(scope["method"], target, scope["extensions"][EXTENSION].count(), headers)
        self.requests += 1
        self.log.append(record)
        return record

    def _dated(self, send: Send) -> Send:
        async def dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                date = format_datetime(self.world.clock.now(), usegmt=True).encode()
                message = {**message, "headers": [(b"date", date), *message["headers"]]}
            await send(message)

        return dated


def _without_origin(scope: Scope) -> Scope:
    """Return a request for `http://host/path`, as some clients spell it, as one for `/path`."""
    if scope["path"].startswith("/"):
        return scope
    raw = scope["raw_path"].partition(b"://")[2].partition(b"/")[2]
    path = scope["path"].partition("://")[2].partition("/")[2]
    return {**scope, "path": f"/{path}", "raw_path": b"/" + raw}

"""The door of a Vidispine server: takes a path apart, asks who it is, keeps the log, finds the handler."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import attrs
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from callsheet.sandbox.vidispine._answering import Reply, answer, mismatch, refusal, with_cookie
from callsheet.sandbox.vidispine._asking import Call, Target, merged, wants_text
from callsheet.sandbox.vidispine._errors import VidispineError, forbidden, not_authorized
from callsheet.sandbox.vidispine._values import Document, stamp

if TYPE_CHECKING:
    from callsheet.sandbox.vidispine import Vidispine

__all__ = ["Door", "Handler", "Table"]

Handler = Callable[[Call], Awaitable[Reply]]
Table = list[tuple[str, str, Handler]]
"""Method, path and handler."""

ASKED = "callsheet.vidispine"


class IdConvertor(Convertor[str]):
    """Matches what has the shape of an id; a path with anything else in its place leads nowhere."""

    # As in the vendor's SDK, and without its optional site.
    regex = r"(?:[A-Za-z_][A-Za-z0-9_]*-|(?:[A-Za-z_][A-Za-z0-9_]*)?\*)[0-9]{1,32}"

    def convert(self, value: str) -> str:
        """Return the id."""
        return value

    def to_string(self, value: str) -> str:
        """Return the id."""
        return value


register_url_convertor("id", IdConvertor())


@attrs.frozen
class Asked:
    """What the door found out about a request."""

    target: Target
    words: dict[str, list[str]]
    user: str


class Door:
    """An ASGI application below a base path.

    Args:
        part: The server.
        table: What it answers.
        guarded: Whether credentials are asked for.
    """

    def __init__(self, part: Vidispine, table: Table, *, guarded: bool) -> None:
        self._part = part
        self._guarded = guarded
        routes = [Route(path, self._bound(handler), methods=[method]) for method, path, handler in table]
        self._router = Router(routes, redirect_slashes=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        send = with_cookie(send, self._part.world.clock)
        try:
            await self._pass(scope, receive, send)
        except HTTPException as error:
            response = mismatch(error.status_code, HTTPStatus(error.status_code).phrase)
            await response(scope, receive, send)
        except VidispineError as error:
            await refusal(error, plain=wants_text(Request(scope)))(scope, receive, send)
        except ClientDisconnect:
            return  # the client is gone in the middle of its request: there is nobody to answer

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        target = Target.read(scope["raw_path"])
        login = self._part.users.authenticate(*credentials(request)) if self._guarded else "admin"
        user = self._acting(login, request.headers.get("runas"))
        path = target.path.removeprefix(scope["root_path"])
        listing = path == "/job" and request.method == "GET"
        words = merged(target, scope["query_string"], where=self._part.parameters, listing=listing)
        self._part.log.append(entry(request, login, path, target.matrix, stamp(self._part.now())))
        await self._router({**scope, "path": target.path, ASKED: Asked(target, words, user)}, receive, send)

    def _acting(self, login: str, wanted: str | None) -> str:
        if wanted is None or wanted == login:
            return login
        if not self._part.users.administrates(login):
            raise forbidden("user", "only administrators may act for others", identity=wanted)
        if self._part.users.find(wanted) is None:
            raise forbidden("user", "no such user to act for", identity=wanted)
        return wanted

    def _bound(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            asked: Asked = request.scope[ASKED]
            call = Call(self._part, request, asked.user, asked.words)
            try:
                return answer(request, await handler(call))
            except VidispineError as error:
                return refusal(error, plain=call.plain)

        return handle


def credentials(request: Request) -> tuple[str, str, str]:
    """Return scheme in lower case, and user and password or token, of a request.

    Raises:
        VidispineError: There are none.
    """
    scheme, _, rest = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() in {"token", "bearer"}:
        return "token", "", rest.strip()
    try:
        user, colon, password = base64.b64decode(rest, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        user = colon = password = ""
    if scheme.lower() != "basic" or not colon:
        raise not_authorized("Credentials are required")
    return "basic", user, password


def entry(request: Request, login: str, path: str, matrix: str, time: str) -> Document:
    """Return a request as the audit log has it: all matrix parameters but the last stand in the path."""
    kept, last = re.fullmatch(r"(.*?)(;[^;]*)?", matrix, re.DOTALL).groups()  # type: ignore[union-attr]  # matches all
    facts: dict[str, Any] = {
        "username": login,
        "method": request.method,
        "path": path + kept,
        "queryParameters": request.url.query,
        "matrixParameters": last or "",
        "runAs": request.headers.get("runas"),
        "timestamp": time,
        "contentType": request.headers.get("content-type"),
        "contentLength": request.headers.get("content-length"),
    }
    return {name: value for name, value in facts.items() if value is not None}

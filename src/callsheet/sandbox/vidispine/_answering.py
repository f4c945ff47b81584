"""Answers of a Vidispine server: JSON or plain lines, compressed where real ones are, each with a cookie."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Send

from callsheet.sandbox._clock import Clock
from callsheet.sandbox.vidispine._errors import VidispineError

__all__ = ["answer", "empty", "lines", "mismatch", "refusal", "text", "with_cookie"]

COMPRESSED = 256
"""Bytes from which on an answer is compressed."""

Reply = Response | dict[str, Any] | None


def answer(request: Request, reply: Reply) -> Response:
    """Return what a handler replied as an answer: a document, nothing at all, or what it made itself."""
    if isinstance(reply, Response):
        return reply
    if reply is None:
        return empty()
    if not takes_json(request.headers.get("accept", "")):
        return mismatch(406, "Not Acceptable")
    body = json.dumps(reply, ensure_ascii=False, separators=(",", ":")).encode()
    response = Response(body, media_type="application/json")
    if request.method == "GET":
        response.headers["vary"] = "Accept-Encoding"
        if len(body) >= COMPRESSED and "gzip" in request.headers.get("accept-encoding", ""):
            response.body = gzip.compress(body, compresslevel=1)
            response.headers["content-encoding"] = "gzip"
            response.headers["content-length"] = str(len(response.body))
    return response


def takes_json(accept: str) -> bool:
    """Tell whether a client takes JSON: real servers speak XML too, this one does not."""
    return "xml" not in accept or "json" in accept or "*/*" in accept


def empty(status: int = 200) -> Response:
    """Return an answer without a body."""
    return Response(status_code=status)


def text(value: str) -> Response:
    """Return one value as plain text."""
    return Response(value, media_type="text/plain")


def lines(values: Iterable[str]) -> Response:
    """Return plain lines."""
    return Response("".join(f"{value}\r\n" for value in values), media_type="text/plain")


def refusal(error: VidispineError, *, plain: bool) -> Response:
    """Return an error as an answer."""
    headers = {"www-authenticate": 'Basic realm="Vidispine"'} if error.status == 401 else {}
    if plain:
        return Response(error.text(), error.status, headers, "text/plain")
    body = json.dumps(error.document(), separators=(",", ":"))
    return Response(body, error.status, headers, "application/json")


def mismatch(status: int, phrase: str) -> Response:
    """Return what is said about a path that leads nowhere, whatever was asked for."""
    body = json.dumps({"code": status, "message": f"HTTP {status} {phrase}"}, separators=(",", ":"))
    return Response(body, status, media_type="application/json")


def with_cookie(send: Send, clock: Clock) -> Send:
    """Return what sends answers together with the cookie that each of them carries."""

    async def cooked(message: Message) -> None:
        if message["type"] == "http.response.start":
            yesterday = format_datetime(clock.now() - timedelta(days=1), usegmt=True)
            cookie = f"rememberMe=deleteMe; Path=/; Max-Age=0; Expires={yesterday}"
            message = {**message, "headers": [*message["headers"], (b"set-cookie", cookie.encode())]}
        await send(message)

    return cooked

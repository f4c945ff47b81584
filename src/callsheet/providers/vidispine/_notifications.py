"""Vidispine calls when jobs change: asking for it, and the small application that it calls."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from contextlib import suppress
from typing import Any, Literal, TypeAlias, get_args

from callsheet import _checks
from callsheet._errors import ConfigError, InvalidRequest, NotFound
from callsheet._redaction import Secret
from callsheet.providers.vidispine._arguments import whole
from callsheet.providers.vidispine._hints import Hints
from callsheet.providers.vidispine._server import Row
from callsheet.providers.vidispine._shape import entries, values
from callsheet.providers.vidispine._together import each
from callsheet.providers.vidispine._watching import WatchingCalls
from callsheet.providers.vidispine.details import VidispineNotification

__all__ = ["Event", "NotificationApp", "NotificationCalls"]

Event: TypeAlias = Literal["create", "update", "stop", "finished", "fail"]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

SHORTEST = 16
"""Characters of a secret that cannot be guessed."""

LONGEST = 1 << 20
"""Bytes of a call that is listened to."""

LONGEST_ID = 200
"""Characters of a job's id: as hints are remembered, nothing longer is taken for one."""


class NotificationCalls(WatchingCalls):
    """What can be done with notifications of jobs."""

    async def notifications(self) -> list[VidispineNotification]:
        """Return who is called when jobs change, in the order of the server's list."""
        listed = await self._server.read("job", "notification")
        ids = [_last_part(uri) for uri in values(listed.get("uri"))]
        found: dict[str, VidispineNotification] = {}

        async def read(id_: str) -> None:
            with suppress(NotFound):  # it has been deleted since
                found[id_] = await self.notification(id_)

        await each(ids, read)
        return [found[id_] for id_ in ids if id_ in found]

    async def notification(self, id_: str) -> VidispineNotification:
        """Return one of them.

        Raises:
            NotFound: There is none of that id.
        """
        known = _checks.text(id_, "notification")
        return notification_of(known, await self._server.read("job", "notification", known))

    async def create_notification(
        self,
        url: str,
        *,
        event: Event = "update",
        types: Iterable[str] | None = None,
        timeout: int = 5,
        retry: int = 3,
    ) -> VidispineNotification:
        """Let Vidispine POST to a URL when jobs change, such as that of `notification_app`.

        Args:
            url: The server must reach it. It may hold user and password.
            event: `update` is any step or state, `stop` any end.
            types: The types of job it is about; by default all.
            timeout: Seconds that Vidispine waits for an answer.
            retry: How often it tries again.

        Raises:
            InvalidRequest: There is no such event, or a number is none.
        """
        document = _document(url, event=event, types=types, timeout=timeout, retry=retry)
        answer = await self._server.call("POST", "job", "notification", content=document)
        uris = values((await self._server.document(answer)).get("uri"))
        if not uris:
            raise answer.unreadable("no notification", path="$.uri")
        return notification_of(_last_part(uris[0]), document)

    async def replace_notification(
        self,
        notification: VidispineNotification | str,
        url: str,
        *,
        event: Event = "update",
        types: Iterable[str] | None = None,
        timeout: int = 5,
        retry: int = 3,
    ) -> VidispineNotification:
        """Put another notification in the place of one, whose id stays; arguments as for making one.

        Raises:
            InvalidRequest: There is no such event, or a number is none.
            NotFound: There is no such notification.
        """
        id_ = _id_of(notification)
        document = _document(url, event=event, types=types, timeout=timeout, retry=retry)
        await self._server.call("PUT", "job", "notification", id_, content=document, repeatable=True)
        return notification_of(id_, document)

    async def delete_notification(self, notification: VidispineNotification | str) -> None:
        """Let Vidispine not call there any more.

        Raises:
            NotFound: There is no such notification.
        """
        await self._server.remove("job", "notification", _id_of(notification))

    def notification_app(self, *, secret: str) -> NotificationApp:
        """Return an ASGI application for Vidispine to call, so that watches and waits look at once.

        Serve it in the event loop of this client, and ask for its calls with `create_notification` and its
        address, which ends in `/` and the secret. A call is a hint to read a job again and nothing more: it
        may come late, twice or never, and the usual looks go on.

        Args:
            secret: The last part of the path; without it, calls are answered with 404. At least 16
                characters.

        Raises:
            ConfigError: The secret is too short, or does not fit into a path.
        """
        if not isinstance(secret, str) or not re.fullmatch(rf"[\w-]{{{SHORTEST},}}", secret, re.ASCII):
            raise ConfigError(f"secret: take at least {SHORTEST} letters, digits, '-' and '_'")
        return NotificationApp(self._hints, Secret(secret))

    def listen(self, wake: Callable[[], None]) -> None:
        """Call `wake` whenever Vidispine has called `notification_app`."""
        self._hints.listen(wake)


def _document(
    url: str, *, event: Event, types: Iterable[str] | None, timeout: int, retry: int
) -> dict[str, Any]:
    if event not in get_args(Event):
        raise InvalidRequest(f"event must be one of {', '.join(get_args(Event))}, not {event!r}")
    action = {
        "url": _checks.text(url, "url"),
        "method": "POST",
        "contentType": "application/json",
        "timeout": str(whole(timeout, "timeout", 0, 3600)),
        "retry": whole(retry, "retry", 0, 1000),
        "synchronous": False,
    }
    trigger: dict[str, Any] = {event: ""}
    if (wanted := _checks.words(types, "types")) is not None:
        trigger["filter"] = {"type": ",".join(sorted(wanted))}
    return {"action": {"http": action}, "trigger": {"job": trigger}}


def _id_of(notification: VidispineNotification | str) -> str:
    id_ = notification.id if isinstance(notification, VidispineNotification) else notification
    return _checks.text(id_, "notification")


def notification_of(id_: str, document: Row) -> VidispineNotification:
    """Return a NotificationDocument as one of ours."""
    action, trigger = _inside(document, "action", "http"), _inside(document, "trigger", "job")
    types = str(_inside(trigger, "filter").get("type") or "")
    return VidispineNotification(
        id=id_,
        url=action.get("url"),
        event=next((event for event in get_args(Event) if event in trigger), None),
        types=frozenset(filter(None, types.split(","))),
        raw=document,
    )


def _inside(document: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    found: Any = document
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _last_part(uri: Any) -> str:
    return str(uri).rstrip("/").rpartition("/")[2]


class NotificationApp:
    """An ASGI application that Vidispine calls when jobs change; made by `notification_app`.

    It answers 204 to a `POST` or `PUT` of a job's notification as JSON at any path that ends in the secret,
    400 to what is none, and 404 without the secret.
    """

    def __init__(self, hints: Hints, secret: Secret) -> None:
        self._hints = hints
        self._secret = secret

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or the server's questions about its beginning and end."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http":
            status = await self._answer(scope, receive)
            await send({"type": "http.response.start", "status": status, "headers": []})
            await send({"type": "http.response.body", "body": b""})
        else:
            raise RuntimeError(f"no {scope['type']} here")

    async def _answer(self, scope: Scope, receive: Receive) -> int:
        given = scope["path"].rstrip("/").rpartition("/")[2]
        if not hmac.compare_digest(given.encode(errors="replace"), self._secret.reveal().encode()):
            return 404
        if scope["method"] not in {"POST", "PUT"}:
            return 405
        body = await _body(receive)
        if body is None:
            return 413
        job_id = _job_in(body)
        if job_id is None:
            return 400
        self._hints.tell(job_id)
        return 204


async def _body(receive: Receive) -> bytes | None:
    """Return the body of a request, unless it is too long."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > LONGEST:
            return None
    return body


def _job_in(body: bytes) -> str | None:
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return None
    fields = entries(told.get("field")) if isinstance(told, dict) else []
    id_ = next((field.get("value") for field in fields if field.get("key") == "jobId"), None)
    return id_ if isinstance(id_, str) and 0 < len(id_) <= LONGEST_ID else None


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return

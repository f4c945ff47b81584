"""Callbacks over HTTP to whoever wants to hear something: one after the other for each listener or group."""

from __future__ import annotations

import asyncio
import base64
import json
from collections import deque
from typing import Any
from urllib.parse import unquote, urlsplit

import attrs

from callsheet.sandbox.vidispine._values import Document

__all__ = ["Callbacks"]

MOMENT = 0.05
"""Seconds in which things happen together."""

PATIENCE = 30.0
"""Seconds to wait for an answer where no timeout is given."""


@attrs.frozen
class Callback:
    """One request that is to be sent."""

    action: Document
    body: bytes


class Callbacks:
    """Sends callbacks in the background; those of one group in the order of what happened.

    Attributes:
        newest_first: Send first what happened last, of all that happens within a moment.
    """

    def __init__(self) -> None:
        self.newest_first: bool = False
        self._waiting: dict[str, deque[Callback]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, listener: str, action: Document, content: Document) -> None:
        """Send content to a listener as soon as those before it are through."""
        if not action.get("url"):
            return  # one of the ways to tell somebody that exist only on the vendor's servers
        group = str(action.get("group") or listener)
        is_idle = group not in self._waiting
        self._waiting.setdefault(group, deque()).append(Callback(action, json.dumps(content).encode()))
        if is_idle:
            task = asyncio.get_running_loop().create_task(self._work(group))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _work(self, group: str) -> None:
        line = self._waiting[group]
        while line:
            if self.newest_first:
                await asyncio.sleep(MOMENT)
            await deliver(line.pop() if self.newest_first else line.popleft())
        del self._waiting[group]


async def deliver(callback: Callback) -> None:
    """Send one callback, again as often as it says if it is not taken."""
    timeout = float(callback.action.get("timeout") or 0) or PATIENCE
    for _ in range(1 + int(callback.action.get("retry") or 0)):
        try:
            async with asyncio.timeout(timeout):
                if 200 <= await ask(callback) < 300:
                    return
        except (OSError, ValueError):
            continue  # nobody there, too late, or no HTTP: it is tried as often as was said, then forgotten


async def ask(callback: Callback) -> int:
    """Send one request and return the status of its answer.

    Raises:
        OSError: There is nobody to answer.
        ValueError: The answer is no HTTP.
    """
    url = urlsplit(callback.action["url"])
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    secure = url.scheme == "https"
    reader, writer = await asyncio.open_connection(
        url.hostname, url.port or (443 if secure else 80), ssl=secure
    )
    try:
        headers: dict[str, Any] = {
            "Host": url.netloc.rpartition("@")[2],
            "Content-Type": callback.action.get("contentType") or "application/json",
            "Content-Length": len(callback.body),
            "Connection": "close",
        }
        if url.username is not None:
            login = f"{unquote(url.username)}:{unquote(url.password or '')}"
            headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
        lines = [f"{callback.action.get('method') or 'POST'} {target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + callback.body)
        await writer.drain()
        status = (await reader.readline()).split()[1:2]
        await reader.read()
        return int(status[0]) if status else 0
    finally:
        writer.close()

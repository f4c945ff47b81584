"""Steering a sandbox from a test: plain calls over HTTP, wherever the sandbox runs."""

from __future__ import annotations

import fnmatch
import http.client
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import attrs

__all__ = ["ClockControl", "Connections", "FaultControl", "Remote", "Request"]

PATIENCE = 30
"""Seconds to wait for the sandbox."""


@attrs.frozen
class Request:
    """One request as the sandbox saw it.

    Attributes:
        method: In capitals.
        target: Path and query, as they came.
        connection: Which connection it came on, counted from 1.
        headers: By names in lower case.
        body: The first 64 KiB of the body, as text.
        size: How many bytes of the body were read.
        status: What was answered; None if nothing was, so far.
    """

    method: str
    target: str
    connection: int
    headers: Mapping[str, str]
    body: str
    size: int
    status: int | None

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]


@attrs.frozen
class Connections:
    """How many connections a sandbox had.

    Attributes:
        opened: Since it started, or since the requests were forgotten.
        open: Now.
        most: At once.
    """

    opened: int
    open: int
    most: int


@attrs.frozen
class Remote:
    """Asks a sandbox at a URL."""

    url: str

    def ask(self, method: str, path: str, words: Any = None) -> Any:
        """Send JSON, and return the JSON of the answer.

        Raises:
            ValueError: The sandbox cannot do that; the message is its own.
        """
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=PATIENCE)
        try:
            connection.request(method, f"/_sandbox/{path}", None if words is None else json.dumps(words))
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        if answer.status >= 400:
            raise ValueError(text)
        return json.loads(text) if text else None

    def requests(self, path: str, method: str | None, contains: str) -> list[Request]:
        """Return the requests that match, oldest first."""
        everything = [Request(**words) for words in self.ask("GET", "requests")["requests"]]
        return [
            request
            for request in everything
            if fnmatch.fnmatchcase(request.path, path)
            and method in {None, request.method}
            and contains in request.body
        ]


@attrs.frozen
class FaultControl:
    """Makes requests fail."""

    _remote: Remote

    def add(
        self,
        kind: str,
        *,
        path: str = "*",
        method: str | None = None,
        contains: str | None = None,
        nth: int | list[int] | None = None,
        times: int | None = None,
        probability: float = 1.0,
        **options: Any,
    ) -> None:
        """Strike requests from now on; of several faults, the first that fits a request strikes it.

        Args:
            kind: What happens: `latency`, `status`, `answer`, `html`, `redirect`, `reset`, `lost`, `cut`,
                `gzip`, `garbled`, `drip` or `edit`.
            path: A shell pattern for the paths it happens to.
            method: Only to requests with this method.
            contains: Only to requests whose body holds this text.
            nth: Only to the first (1), second (2) or any of several requests that fit.
            times: How often at most.
            probability: Of each request that fits to be struck.
            options: What the kind knows besides, such as `status=`, `retry_after=`, `seconds=` or `after=`.

        Raises:
            ValueError: A kind, an option or its value is unknown; the message names it.
        """
        chosen = {"method": method, "contains": contains, "nth": nth, "times": times}
        words = {name: value for name, value in chosen.items() if value is not None}
        self._remote.ask(
            "POST", "faults", {"kind": kind, "path": path, "probability": probability, **words, **options}
        )

    def clear(self) -> None:
        """Let every request pass again."""
        self._remote.ask("DELETE", "faults")

    def struck(self) -> int:
        """Return how many requests were struck by the faults in force."""
        return sum(words["struck"] for words in self._remote.ask("GET", "faults"))


@attrs.frozen
class ClockControl:
    """Moves a sandbox's time: its jobs go on by it, and its links expire."""

    _remote: Remote

    def now(self) -> datetime:
        """Return the sandbox's time, in UTC."""
        return datetime.fromisoformat(self._remote.ask("GET", "clock")["now"])

    def advance(self, seconds: float) -> datetime:
        """Move the time forward; what is due on the way happens. Returns the new time.

        Raises:
            ValueError: Time does not go back.
        """
        return datetime.fromisoformat(self._remote.ask("POST", "clock", {"seconds": seconds})["now"])

    def freeze(self) -> None:
        """Let time pass only by `advance`."""
        self._remote.ask("POST", "clock", {"frozen": True})

    def resume(self) -> None:
        """Let time pass by itself again."""
        self._remote.ask("POST", "clock", {"frozen": False})

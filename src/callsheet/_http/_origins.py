"""Where requests may go, and which places are the server's own."""

from __future__ import annotations

import functools
import socket
from collections.abc import Iterable

import anyio

from callsheet._errors import ConfigError, InvalidRequest, InvalidResponse
from callsheet._http._urls import Url, is_address, is_loopback, reach_of

__all__ = ["Origins"]


class Origins:
    """The origins that were configured, and what a server may point us to beyond them.

    Args:
        server: The server's URL.
        trusted: URLs of other origins that are trusted as much.
        allow_http: Plain http to other machines is allowed.
        setting: The name of the setting they came from, for `ConfigError`.

    Attributes:
        server: The server's URL, parsed.
        trusted: The origins that get credentials.

    Raises:
        ConfigError: A URL is unusable, or plain http to another machine.
    """

    def __init__(self, server: str, trusted: Iterable[str], *, allow_http: bool, setting: str) -> None:
        self._allow_http = allow_http
        self._reach: int | None = None
        self.server = self._configured(server, setting)
        self.trusted = frozenset(self._configured(url, setting).origin for url in [server, *trusted])

    def _configured(self, text: str, setting: str) -> Url:
        try:
            url = Url.parse(text)
        except ValueError as exc:
            raise ConfigError(f"{setting}: the URL {exc}") from None
        if "?" in url.target:
            raise ConfigError(f"{setting}: the URL must not have a query")
        if url.scheme == "http" and not is_loopback(url.host) and not self._allow_http:
            raise ConfigError(
                f"{setting}: {url.shown} would carry credentials over plain http; use https or set allow_http"
            )
        return url

    def url(self, text: str) -> Url:
        """Return the URL of a path on the server, or a whole URL that the server gave out.

        Raises:
            InvalidRequest: The path is not escaped.
            InvalidResponse: The URL makes no sense.
        """
        path = text.startswith("/")
        try:
            return _parsed(self.server.origin + self.server.path.rstrip("/") + text if path else text)
        except ValueError as exc:
            if path:
                raise InvalidRequest(f"the path {exc}") from None
            raise InvalidResponse(f"a URL that the server gave out {exc}") from None

    async def reach_for(self, url: Url) -> int | None:
        """Return how near the URL's host may be (see `reach_of`); `None`, anywhere, for our own origins.

        Raises:
            InvalidResponse: The server pointed to where it may not send us.
        """
        if url.origin in self.trusted:
            return None
        near = is_loopback(url.host)  # by name or by address
        if url.scheme == "http" and (self.server.scheme == "https" or not (near or self._allow_http)):
            raise InvalidResponse(f"the server gave out {url.shown}, which is plain http")
        if self._reach is None:
            self._reach = await _reach_of_host(self.server)
        known = 2 if near else reach_of(url.host) if is_address(url.host) else 0
        if known > self._reach:
            raise InvalidResponse(f"the server gave out {url.shown}, in a nearer network than its own")
        return self._reach


@functools.lru_cache(maxsize=256)
def _parsed(text: str) -> Url:
    return Url.parse(text)


async def _reach_of_host(url: Url) -> int:
    if is_loopback(url.host):
        return 2
    try:
        found = await anyio.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
    except OSError:
        return 0  # a name that only a proxy knows; the proxy has its own rules
    return max(reach_of(str(entry[4][0])) for entry in found)

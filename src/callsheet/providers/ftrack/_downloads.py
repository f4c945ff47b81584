"""Bytes on their way out of ftrack: by signed links, asked for when they are needed, resumed when cut off."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

from callsheet._errors import Denied, InvalidResponse, NotFound, TransportError
from callsheet._http._download import Download
from callsheet._models import Component
from callsheet.providers.ftrack._query import Query, field
from callsheet.providers.ftrack._server import PAGE, Server
from callsheet.providers.ftrack._wire import SERVER_LOCATION

__all__ = ["Bytes", "reading", "signed_link"]

WORTH = 8 << 20
"""Bytes after which a connection that breaks counts as the first that does."""


async def signed_link(server: Server, component: Component) -> str:
    """Return a link to the bytes of a component, good for as long as ftrack likes.

    Raises:
        NotFound: None of its locations gives out links: only that location's own tools reach the bytes.
        InvalidResponse: The link has the API key in it, so it cannot be handed to anybody.
    """
    places = Query(
        "ComponentLocation",
        ["location_id", "url"],
        where=field("component_id").is_(component.id),
        limit=PAGE,
    )
    rows = (await server.find(places)).read(0, _link_of)
    links = dict(row for row in rows if row[1] is not None)
    link = links.get(SERVER_LOCATION) or next(iter(links.values()), None)
    if link is None:
        raise NotFound(
            f"{component.name}: none of its locations gives out a link to its bytes", provider="ftrack"
        )
    if server.api_key.mask(link) != link:
        raise InvalidResponse(
            f"{component.name}: ftrack gave a link that holds the API key", provider="ftrack"
        )
    return link if "://" in link else f"{server.url}{link}"


def _link_of(row: dict[str, Any]) -> tuple[str, str | None]:
    url = row.get("url")
    return row["location_id"], (url.get("value") if isinstance(url, dict) else url) or None


@asynccontextmanager
async def reading(server: Server, component: Component, start: int) -> AsyncIterator[AsyncIterator[bytes]]:
    """Open the bytes of a component from `start` on."""
    chunks = Bytes(server, component, start)
    try:
        yield chunks
    finally:
        await chunks.aclose()


class Bytes(AsyncIterator[bytes]):
    """The bytes of a component; when the connection breaks, another one goes on from there."""

    def __init__(self, server: Server, component: Component, start: int) -> None:
        self._server = server
        self._component = component
        self._at = start
        self._skip = 0
        self._gained = 0
        self._cuts = 0
        self._download: Download | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while True:
            chunk = await self._next()
            skipped, chunk = chunk[: self._skip], chunk[self._skip :]
            self._skip -= len(skipped)
            if chunk:
                self._at += len(chunk)
                self._gained += len(chunk)
                return chunk

    async def aclose(self) -> None:
        """Let go of the connection."""
        download, self._download = self._download, None
        if download is not None:
            await download.aclose()

    async def _next(self) -> bytes:
        while True:
            if self._download is None:
                self._download = await self._opened()
            try:
                return await anext(self._download)
            except TransportError:
                await self.aclose()
                self._cuts = 1 if self._gained >= WORTH else self._cuts + 1
                if not self._gained or self._cuts >= self._server.http.options.retry.attempts:
                    raise
                self._gained = 0

    async def _opened(self) -> Download:
        try:
            download = await self._begun()
        except (Denied, NotFound):
            # The link may have expired on the way; a new one decides.
            download = await self._begun()
        self._skip = self._at - download.start
        if self._skip < 0:
            await download.aclose()
            raise InvalidResponse(f"{self._component.name}: its bytes begin too late", provider="ftrack")
        return download

    async def _begun(self) -> Download:
        link = await signed_link(self._server, self._component)
        size = self._component.size
        left = None if size is None else size - self._at
        return await self._server.http.download(link, start=self._at, size=left, operation="get").__aenter__()

"""Bytes on their way out of ftrack: by signed links, asked for when they are needed, resumed when cut off."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from callsheet._errors import Denied, InvalidResponse, NotFound
from callsheet._http._download import Download
from callsheet._http._resuming import Resuming
from callsheet._models import Component
from callsheet.providers.ftrack._query import Query, field
from callsheet.providers.ftrack._server import PAGE, Server
from callsheet.providers.ftrack._wire import SERVER_LOCATION

__all__ = ["reading", "signed_link"]


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
    link = (url.get("value") if isinstance(url, dict) else url) or None
    if not isinstance(link, str | None):
        raise TypeError(f"a link that is no text: {link!r}")
    return row["location_id"], link


@asynccontextmanager
async def reading(server: Server, component: Component, start: int) -> AsyncIterator[AsyncIterator[bytes]]:
    """Open the bytes of a component from `start` on; each connection asks for a link of its own."""

    async def begun(at: int) -> Download:
        link = await signed_link(server, component)
        left = None if component.size is None else component.size - at
        return await server.http.download(link, start=at, size=left, operation="get").__aenter__()

    async def begin(at: int) -> Download:
        try:
            return await begun(at)
        except (Denied, NotFound):
            # The link may have expired on the way; a new one decides.
            return await begun(at)

    attempts = server.http.options.retry.attempts
    async with Resuming(
        begin, start=start, attempts=attempts, name=component.name, provider="ftrack"
    ) as chunks:
        yield chunks

"""A road to a server, with waits that a test can afford."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import anyio
import attrs

from callsheet._http._client import Http
from callsheet._http._options import HttpOptions
from callsheet._http._retry import Retry

__all__ = ["QUICK", "Road", "make_road", "until"]

QUICK = Retry(base=0.002, throttled=0.002, random=lambda: 1.0)
OPTIONS = {field.name for field in attrs.fields(HttpOptions)}


class Road(Protocol):
    """Makes the road to a server; not yet opened."""

    def __call__(self, server: str, /, **given: Any) -> Http:
        """Return it; options of `HttpOptions` and arguments of `Http` go where they belong."""
        ...


def make_road(server: str, /, **given: Any) -> Http:
    """See `Road`."""
    options = {name: given.pop(name) for name in OPTIONS & given.keys()}
    return Http(server, provider="test", options=HttpOptions(**({"retry": QUICK} | options)), **given)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that happens outside of the loop, such as in a server's thread."""
    while not condition():  # noqa: ASYNC110  # no event of this loop tells
        await anyio.sleep(0.001)

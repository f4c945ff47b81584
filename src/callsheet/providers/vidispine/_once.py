"""What may be done only once: after trouble it is looked for before it is done again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from callsheet._errors import CallsheetError, Outcome, Timeout
from callsheet._http._retry import worth_repeating
from callsheet._http._trail import worse
from callsheet.providers.vidispine._asking import Asked, flag
from callsheet.providers.vidispine._server import Row, Server
from callsheet.providers.vidispine._shape import entries, pairs_of
from callsheet.providers.vidispine._words import KEY

__all__ = ["looked_for", "made_job", "once", "settled"]

T = TypeVar("T")

SETTLING = 4
"""Waits for what a cut off request may have made, each twice as long as the last, from 0.05 s on."""

PAGE = 100
"""Jobs that are looked through at a time for the one that a key has made."""


async def once(
    server: Server, make: Callable[[], Awaitable[T]], find: Callable[[], Awaitable[T | None]]
) -> T:
    """Make something, and never twice by this caller.

    A server that is slow may still be at it, so that after a timeout it is looked for, but not made again.

    Args:
        server: Whose settings say how often to try.
        make: Makes it; its errors tell what they did.
        find: Returns it if it has been made after all.

    Raises:
        CallsheetError: The last error of `make`, with the outcome of all attempts together.
    """
    retry = server.http.options.retry
    outcome = Outcome.NOT_DONE
    attempt = 0
    while True:
        attempt += 1
        try:
            return await make()
        except CallsheetError as error:
            error.outcome = outcome = worse(outcome, error.outcome)
            if outcome is Outcome.NOT_DONE:
                raise
            await anyio.sleep(retry.wait(attempt, error, None))
            found = await _looked(find, error)
            if found is not None:
                return found
            if attempt >= retry.attempts or not _may_pass(error):
                raise


async def looked_for(server: Server, key: str, find: Callable[[], Awaitable[T | None]]) -> T | None:
    """Return what a key has made, with a little patience where a request under it was cut off."""
    return await (settled(find) if server.is_unsure(key) else find())


async def settled(look: Callable[[], Awaitable[T | None]]) -> T | None:
    """Return what a request of ours has made, which was cut off and may be at its end now."""
    for attempt in range(SETTLING):
        if (found := await look()) is not None:
            return found
        await anyio.sleep(0.05 * 2**attempt)
    return await look()


async def _looked(find: Callable[[], Awaitable[T | None]], error: CallsheetError) -> T | None:
    try:
        return await find()
    except CallsheetError:
        raise error from None


def _may_pass(error: CallsheetError) -> bool:
    is_late = isinstance(error, Timeout) or getattr(error, "status", None) == 504
    return worth_repeating(error) and not is_late


async def made_job(server: Server, key: str) -> Row | None:
    """Return the job that was made under a key, as a listing has it; `None` if there is none.

    A star in a key finds others, too. A job that was run again hands its metadata on: the first of several is
    the one.
    """
    where, first = server.parameters, 1
    wanted = Asked((("user", flag(False)), ("jobmetadata", f"{KEY}={key}"), ("metadata", "true")))
    while True:
        asked = wanted.with_(("first", str(first)), ("number", str(PAGE)), ("sort", "jobId asc"))
        answer = await server.call("GET", "job", matrix=asked.matrix(where), query=asked.query(where))
        rows = entries((await server.document(answer)).get("job"))
        for row in rows:
            if pairs_of(row.get("data")).get(KEY) == key:
                if not isinstance(row.get("jobId"), str):
                    raise answer.unreadable("a job without an id", path="$.job")
                return row
        if "*" not in key or len(rows) < PAGE:
            return None
        first += len(rows)

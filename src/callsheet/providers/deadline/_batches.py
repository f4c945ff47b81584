"""Calls for up to a hundred things at once, of which each has an answer of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import anyio
from xxhash import xxh3_128_digest

from callsheet._errors import CallsheetError, NotFound, RateLimited, ResponseError, Unavailable
from callsheet._together import together
from callsheet.providers.deadline._answers import document, item_error, readable
from callsheet.providers.deadline._server import BATCH, Server, new_token

__all__ = ["Answers", "get_batch", "update_batch"]

T = TypeVar("T")

ROUNDS = 3
"""How often items are asked for again that the service could not look up just then."""

PAUSE = 0.5
"""Seconds before the first of these rounds; each later pause is twice as long."""

WHILE = 6
"""Batches under way at a time."""


class Answers:
    """The answers to batches, known again by their hashes: one that comes again need not be read again.

    Args:
        before: Those of an earlier look.

    Attributes:
        again: The ids of the things in answers that came again, word for word.
    """

    def __init__(self, before: Answers | None = None) -> None:
        self.again: set[str] = set()
        self._before = {} if before is None else before._hashes
        self._hashes: dict[tuple[str, ...], bytes] = {}

    def came_again(self, ids: Sequence[str], body: bytes) -> bool:
        """Tell whether the answer about these things is the one of before."""
        batch = tuple(ids)
        if self._before.get(batch) != xxh3_128_digest(body):
            return False
        self._hashes[batch] = self._before[batch]
        self.again.update(batch)
        return True

    def note(self, ids: Sequence[str], body: bytes) -> None:
        """Remember an answer that told all there is about these things."""
        self._hashes[tuple(ids)] = xxh3_128_digest(body)


async def get_batch(
    server: Server,
    what: str,
    key: str,
    ids: Sequence[str],
    read: Callable[[Mapping[str, Any]], T],
    answers: Answers | None = None,
    **of: str,
) -> dict[str, T]:
    """Return things by id, in as few requests as there are hundreds; those that do not exist are left out.

    Args:
        server: The road.
        what: What they are, as it stands in the call's path, such as `"session-action"`.
        key: What an id is called, such as `"sessionActionId"`.
        ids: Which ones.
        read: Reads one.
        answers: What is in an answer that came again is left out, too.
        of: Further names of each, such as `jobId`.

    Raises:
        ResponseError: The service refused one of them, for another reason than that it does not exist.
    """
    wanted = list(dict.fromkeys(ids))
    found: dict[str, T] = {}
    batches = (wanted[start : start + BATCH] for start in range(0, len(wanted), BATCH))

    async def fetch() -> None:
        for batch in batches:
            found.update(await _insisted(server, what, key, batch, read, answers or Answers(), of))

    await together([fetch] * min(WHILE, -(-len(wanted) // BATCH)))
    return found


async def _insisted(
    server: Server,
    what: str,
    key: str,
    ids: Sequence[str],
    read: Callable[[Mapping[str, Any]], T],
    answers: Answers,
    of: Mapping[str, str],
) -> dict[str, T]:
    """Return what is there of one batch, also of what could not be looked up at once."""
    found: dict[str, T] = {}
    for attempt in range(ROUNDS + 1):
        there, again = await _asked(server, what, key, ids, read, answers, of)
        found.update(there)
        if not again:
            break
        if attempt == ROUNDS:
            raise next(iter(again.values()))
        await anyio.sleep(PAUSE * 2**attempt)
        ids = list(again)
    return found


async def _asked(
    server: Server,
    what: str,
    key: str,
    ids: Sequence[str],
    read: Callable[[Mapping[str, Any]], T],
    answers: Answers,
    of: Mapping[str, str],
) -> tuple[dict[str, T], dict[str, ResponseError]]:
    """Return what one request brought, and the errors of what may be asked for again."""
    whose = {"farmId": server.farm, "queueId": server.queue, **of}
    answer = await server.send(
        "POST",
        f"/2023-10-12/batch-get-{what}",
        {"identifiers": [{**whose, key: id_} for id_ in ids]},
        reads=True,
        operation=f"BatchGet {what}",
    )
    if answers.came_again(ids, answer.body):
        return {}, {}
    body = document(answer)
    name = {"session-action": "sessionActions"}.get(what, f"{what}s")
    there = dict(readable(answer, body, name, lambda raw: (str(raw[key]), read(raw))))
    again: dict[str, ResponseError] = {}
    for id_, error in readable(
        answer, body, "errors", lambda raw: (str(raw[key]), item_error(raw, raw[key]))
    ):
        if _may_pass(error):
            again[id_] = error
        elif not isinstance(error, NotFound):
            raise error
    _slow_down(server, again.values())
    unsaid = set(ids) - there.keys() - again.keys() - {raw[key] for raw in body["errors"]}
    if unsaid:
        raise answer.unreadable(f"nothing about {min(unsaid)}", path=f"$.{name}")
    if not again:
        answers.note(ids, answer.body)
    return there, again


async def update_batch(
    server: Server, what: str, key: str, items: Sequence[Mapping[str, Any]]
) -> dict[str, CallsheetError]:
    """Change things, a hundred in a request; return the errors of those that were not, by id.

    When one of several requests fails, those after it are not made; their things are among the errors.

    Args:
        server: The road.
        what: What they are, as it stands in the call's path: `"job"` or `"task"`.
        key: What an id is called.
        items: The changes, each with its id. They set end values: what may fare better is asked for again.

    Raises:
        CallsheetError: The only request failed.
    """
    failed: dict[str, CallsheetError] = {}
    for start in range(0, len(items), BATCH):
        batch, later = items[start : start + BATCH], items[start + BATCH :]
        try:
            failed |= await _changed(server, what, key, batch)
        except CallsheetError as error:
            if len(batch) == len(items):
                raise
            unasked = CallsheetError(f"not asked for, as the request before failed: {error}")
            failed |= {item[key]: error for item in batch} | {item[key]: unasked for item in later}
            break
    return failed


async def _changed(
    server: Server, what: str, key: str, items: Sequence[Mapping[str, Any]]
) -> dict[str, CallsheetError]:
    """Return the errors of one batch, after asking again for what the service could not do at once."""
    failed: dict[str, CallsheetError] = {}
    whose = {"farmId": server.farm, "queueId": server.queue}
    for attempt in range(ROUNDS + 1):
        try:
            answer = await server.send(
                "PATCH",
                f"/2023-10-12/batch-update-{what}",
                {f"{what}s": [{**whose, **item} for item in items]},
                token=new_token(),
                operation=f"BatchUpdate {what}",
            )
            told = readable(
                answer, document(answer), "errors", lambda raw: (str(raw[key]), item_error(raw, raw[key]))
            )
        except CallsheetError as error:
            if attempt == 0:
                raise
            return failed | {item[key]: error for item in items}
        failed = {id_: error for id_, error in failed.items() if not _may_pass(error)} | dict(told)
        items = [item for item in items if _may_pass(failed.get(item[key]))]
        if not items or attempt == ROUNDS:
            break
        _slow_down(server, failed.values())
        await anyio.sleep(PAUSE * 2**attempt)
    return failed


def _may_pass(error: Exception | None) -> bool:
    return isinstance(error, RateLimited | Unavailable)


def _slow_down(server: Server, errors: Iterable[Exception]) -> None:
    if any(isinstance(error, RateLimited) for error in errors):
        server.pace.refused(None)

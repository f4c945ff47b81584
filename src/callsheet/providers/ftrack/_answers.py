"""Answers of ftrack's API: errors whatever their status, one result an operation, entities spelt out once."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from callsheet._errors import CallsheetError, Conflict, Denied, Outcome, ResponseError
from callsheet._http._messages import Answer, error_for

__all__ = ["Results", "error_of", "spelt_out"]

T = TypeVar("T")

_KINDS: dict[str, type[ResponseError]] = {
    "InvalidCredentialsError": Denied,
    "FTAuthenticationError": Denied,
    "PermissionError": Denied,
    "api_credentials_invalid": Denied,
    "DuplicateEntryError": Conflict,
    "IntegrityError": Conflict,
}
_KEYS = {"JobComponent": ("component_id", "job_id"), "Metadata": ("parent_id", "key")}
"""Types whose entities are not told apart by an `id`."""

_NESTED = {dict, list}


def error_of(answer: Answer) -> CallsheetError | None:
    """Return the error that an answer holds, whatever its status: ftrack also says no with a 200."""
    if answer.body.lstrip()[:1] != b"{":
        return None
    try:
        said = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    if isinstance(said.get("exception"), str):
        return _exception(answer, said)
    if answer.status == 422 and "detail" in said:
        return error_for(answer, kind=ResponseError, code="validation", message=json.dumps(said["detail"]))
    return None


def _exception(answer: Answer, said: dict[str, Any]) -> ResponseError:
    name, code = said["exception"], said.get("error_code")
    kind = _KINDS.get(str(code)) or _KINDS.get(name)
    if kind is None and answer.status == 500:
        kind = ResponseError  # the server is up, and would say the same again
    error = error_for(answer, kind=kind, code=name, message=str(said.get("content", "")))
    # A batch is one transaction: with an error object nothing of it was kept.
    error.outcome = Outcome.NOT_DONE
    return error


class Results:
    """The results of a batch, one for each operation, in order.

    Raises:
        InvalidResponse: The answer is no list of that many results.
    """

    def __init__(self, answer: Answer, count: int) -> None:
        self._answer = answer
        found = answer.json()
        if not isinstance(found, list):
            raise answer.unreadable(f"{type(found).__name__} instead of a list of results")
        if len(found) != count:
            raise answer.unreadable(f"{len(found)} results to {count} operations")
        try:
            self.items: list[Any] = spelt_out(found)
        except TypeError as exc:  # what is to tell it apart from others is a list or a mapping
            raise answer.unreadable("an entity whose type or key is no text") from exc

    def rows(self, index: int) -> list[dict[str, Any]]:
        """Return the entities that the query at that place found."""
        path = f"$[{index}].data"
        rows = self.get(index, dict).get("data")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise self._answer.unreadable("no list of entities", path=path)
        return rows

    def next_offset(self, index: int) -> int | None:
        """Return where the query at that place goes on, or `None` if it is at its end."""
        try:
            offset = self.get(index, dict)["metadata"]["next"]["offset"]
        except (KeyError, TypeError):
            raise self._answer.unreadable(
                "no place to go on from", path=f"$[{index}].metadata.next"
            ) from None
        if offset is not None and (isinstance(offset, bool) or not isinstance(offset, int)):
            raise self._answer.unreadable(f"the offset {offset!r}", path=f"$[{index}].metadata.next.offset")
        return offset

    def read(self, index: int, read: Callable[[dict[str, Any]], T]) -> list[T]:
        """Return the entities that the query at that place found, each through `read`.

        Raises:
            InvalidResponse: One has not the shape that `read` needs; its path is in the message.
        """
        made: list[T] = []
        try:
            for row in self.rows(index):
                made.append(read(row))  # noqa: PERF401 - the error needs to know how far it came
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as exc:
            path = f"$[{index}].data[{len(made)}]"
            raise self._answer.unreadable(f"an entity that cannot be read ({exc!r})", path=path) from exc
        return made

    def get(self, index: int, kind: type[T]) -> T:
        """Return the result at that place, which must be of that type."""
        item = self.items[index]
        if not isinstance(item, kind):
            raise self._answer.unreadable(f"{type(item).__name__} as a result", path=f"$[{index}]")
        return item


def spelt_out(answer: Any) -> Any:
    """Return the answer with everything that it says of an entity at each mention of it; changed in place.

    ftrack spells an entity out at its first mention and refers to it by its key from then on, even where more
    was asked for. What a later mention does say, counts: the entity may have been changed in between.
    """
    known: dict[tuple[Any, ...], dict[str, Any]] = {}
    stack: list[Any] = [answer]
    while stack:
        node = stack.pop()
        is_mapping = type(node) is dict
        inside = [value for value in (node.values() if is_mapping else node) if type(value) in _NESTED]
        if inside:
            stack += reversed(inside)
        if is_mapping and "__entity_type__" in node:
            key = _identity(node)
            if key in known:
                for name, value in known[key].items():
                    node.setdefault(name, value)
            known[key] = node
    return answer


def _identity(entity: dict[str, Any]) -> tuple[Any, ...]:
    kind = entity["__entity_type__"]
    if kind not in _KEYS:
        return kind, entity.get("id")
    return kind, *(entity.get(name) for name in _KEYS[kind])

"""Deadline's answers: errors by their names, and documents of the shape that is asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from callsheet._errors import (
    CallsheetError,
    Conflict,
    Denied,
    NotFound,
    QuotaExceeded,
    RateLimited,
    ResponseError,
    Unavailable,
)
from callsheet._http._messages import Answer, error_for
from callsheet._redaction import excerpt
from callsheet._signing import error_code

__all__ = ["CHANGED_MEANWHILE", "document", "error_of", "item_error", "readable"]

T = TypeVar("T")

KINDS: Mapping[str, type[ResponseError]] = {
    "AccessDeniedException": Denied,
    "ValidationException": ResponseError,
    "ResourceNotFoundException": NotFound,
    "ConflictException": Conflict,
    "ServiceQuotaExceededException": QuotaExceeded,
    "ThrottlingException": RateLimited,
    "Throttling": RateLimited,
    "TooManyRequestsException": RateLimited,
    "RequestThrottled": RateLimited,
    "RequestThrottledException": RateLimited,
    "SlowDown": RateLimited,
    "InternalServerErrorException": Unavailable,
}

CHANGED_MEANWHILE = "CONCURRENT_MODIFICATION"
"""Deadline's reason when somebody else's change came in between."""


def error_of(answer: Answer) -> CallsheetError | None:
    """Return the error of an answer that says no, with Deadline's own word and text."""
    if answer.status < 300:
        return None
    code = error_code(answer)
    body = _mapping(answer)
    said = body.get("message") or body.get("Message")
    return error_for(
        answer,
        kind=KINDS.get(code or ""),
        code=code,
        message=_told(str(said), body) if said else None,
    )


def _mapping(answer: Answer) -> Mapping[str, Any]:
    try:
        body = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _told(said: str, body: Mapping[str, Any]) -> str:
    """Return the text of an error with the facts that stand beside it."""
    facts = [str(body[name]) for name in ("reason", "quotaCode") if body.get(name)]
    fields = body.get("fieldList")
    named = [field for field in fields if isinstance(field, dict)] if isinstance(fields, list) else []
    facts += [f"{field.get('name')}: {field.get('message')}" for field in named]
    return f"{said} ({'; '.join(facts)})" if facts else said


def item_error(item: Mapping[str, Any], what: str) -> ResponseError:
    """Return the error of one item of a batch."""
    code = str(item.get("code"))
    said = excerpt(str(item.get("message")), 1000)
    error = KINDS.get(code, ResponseError)(f"{what}: {code}: {said}", code=code, provider="deadline")
    error.message = said
    return error


def document(answer: Answer) -> dict[str, Any]:
    """Return the document that an answer holds.

    Raises:
        InvalidResponse: It holds none.
    """
    body = answer.json() if answer.body else {}
    if not isinstance(body, dict):
        raise answer.unreadable(f"{type(body).__name__} instead of an object")
    return body


def readable(answer: Answer, body: dict[str, Any], name: str, read: Callable[[Any], T]) -> list[T]:
    """Return the items of a list in an answer's document, each through `read`.

    Raises:
        InvalidResponse: There is no such list, or an item cannot be read; the path says which.
    """
    items = body.get(name)
    if not isinstance(items, list):
        raise answer.unreadable(f"no list of {name}", path=f"$.{name}")
    found = []
    for index, item in enumerate(items):
        try:
            found.append(read(item))
        except Exception as exc:
            raise answer.unreadable(
                f"a record that cannot be read: {exc!r}", path=f"$.{name}[{index}]"
            ) from exc
    return found

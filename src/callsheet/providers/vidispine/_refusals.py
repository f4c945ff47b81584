"""Vidispine's ways to say no: a document of nine members, a plain number and message, XML, or bare lines."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from callsheet._errors import Conflict, Denied, NotFound, ResponseError, Unavailable
from callsheet._http._messages import Answer, error_for
from callsheet.providers.vidispine._shape import text_of

__all__ = ["error_of", "is_about"]

_KINDS: dict[str, type[ResponseError] | None] = {
    "notFound": NotFound,
    "forbidden": Denied,
    "notAuthorized": Denied,
    "licenseFault": Denied,
    "conflict": Conflict,
    "fileAlreadyExists": Conflict,
    "invalidInput": ResponseError,
    "notYetImplemented": ResponseError,
    "internalServer": None,  # by its status
}
"""The members of an ExceptionDocument: one is there, the others are null."""

# None of these looks twice at the same place: what a server says may be long, and may be of ill will.
_XML = re.compile(r"<(?:\w+:)?ExceptionDocument\b[^<>]*>\s*<(\w+)>")
_XML_MEMBER = re.compile(r"<(\w+)>([^<]*)</")
_PLAIN = re.compile(r"\d{3} \S")
_PLAIN_MEMBER = re.compile(r"[A-Z][\w ]*:(?: |$)")


def error_of(answer: Answer) -> ResponseError | None:
    """Return the error that an answer tells in one of Vidispine's forms; it always comes with a status."""
    if answer.status < 400:
        return None
    text = answer.body.decode(errors="replace").strip()
    if text.startswith("{"):
        return _from_json(answer, text)
    if found := _XML.search(text):
        inside = text[found.end() :].partition(f"</{found[1]}>")[0]
        return _error(answer, found[1], dict(_XML_MEMBER.findall(inside)))
    first, *others = text.splitlines() or [""]
    if _PLAIN.match(first) and all(map(_PLAIN_MEMBER.match, others)):
        return error_for(answer, message="; ".join([first, *others]))
    if answer.status == 404 and text.startswith("<"):
        # A page of HTML is none of Vidispine's: its web server is there, and it is not (yet).
        return error_for(answer, kind=Unavailable)
    reason = answer.headers.get("reason")
    return error_for(answer, message=reason) if answer.status == 401 and reason else None


def _from_json(answer: Answer, text: str) -> ResponseError | None:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return None
    for name in _KINDS:
        if said.get(name) is not None:
            return _error(answer, name, said[name])
    message = said.get("message")
    return error_for(answer, message=message) if isinstance(message, str) else None


def _error(answer: Answer, code: str, facts: Any) -> ResponseError:
    told = facts if isinstance(facts, Mapping) else {"message": facts}
    message = str(told["message"] or "") if told.keys() == {"message"} else text_of(told)
    return error_for(answer, kind=_KINDS.get(code), code=code, message=message)


def is_about(error: NotFound, kind: str) -> bool:
    """Tell whether it is a thing of that kind, such as `"user"`, that was not found."""
    return error.message.lower().startswith(f"type: {kind}")

"""One request to a Vidispine server: who asks, and the words that stand in its path and its query."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, unquote_plus

import attrs
from starlette.requests import Request

from callsheet.sandbox.vidispine import _values
from callsheet.sandbox.vidispine._errors import invalid
from callsheet.sandbox.vidispine._values import Document

if TYPE_CHECKING:
    from callsheet.sandbox.vidispine import Vidispine

__all__ = ["MATRIX", "Call", "Target", "merged", "wants_text"]

MATRIX = frozenset({"type", "state", "user", "first", "number", "sort"})
"""What `/job` takes as matrix parameters, as servers up to 4.17 are documented."""

Words = dict[str, list[str]]


@attrs.frozen
class Target:
    """A path apart from its matrix parameters.

    Attributes:
        path: Decoded, without a slash at its end.
        matrix: The parameters of its last segment, `;a=1;b=2`, as they came.
    """

    path: str
    matrix: str

    @classmethod
    def read(cls, raw: bytes) -> Target:
        """Read a path as it came: a semicolon counts only where it was not encoded."""
        head, _, last = raw.decode("latin-1").rstrip("/").rpartition("/")
        name, semicolon, words = last.partition(";")
        return cls(unquote(f"{head}/{name}".rstrip("/")), semicolon + words)

    @property
    def words(self) -> Words:
        """The matrix parameters by name."""
        words: Words = {}
        for pair in filter(None, self.matrix.split(";")):
            name, _, value = pair.partition("=")
            words.setdefault(unquote_plus(name), []).append(unquote_plus(value))
        return words


def merged(target: Target, query: bytes, *, where: str, listing: bool) -> Words:
    """Return the words of both places; of those that exclude each other, the query's come last.

    Args:
        target: The path that was asked for.
        query: As it came.
        where: `both`; or `matrix` or `query`, for a server that reads some words of a listing only there.
        listing: Jobs are listed.
    """
    words = target.words
    asked: Words = {}
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        asked.setdefault(name, []).append(value)
    if listing and where == "matrix":
        asked = {name: values for name, values in asked.items() if name not in MATRIX}
    if where == "query":
        words = {}
    return {name: [*words.get(name, []), *asked.get(name, [])] for name in {**words, **asked}}


def wants_text(request: Request) -> bool:
    """Tell whether a request wants its answer as plain text."""
    accept = request.headers.get("accept", "")
    return "text/plain" in accept and "json" not in accept


@attrs.frozen
class Call:
    """One request, as a handler sees it.

    Attributes:
        part: The server.
        request: As it came.
        user: For whom it acts.
        words: Its parameters, from path and query.
    """

    part: Vidispine
    request: Request
    user: str
    words: Mapping[str, list[str]]

    def id(self, name: str) -> str:
        """Return a part of the path."""
        value: str = self.request.path_params[name]
        return value

    @property
    def plain(self) -> bool:
        """Whether the answer is wanted as plain text."""
        return wants_text(self.request)

    @property
    def base(self) -> str:
        """The server's address."""
        return f"{self.request.url.scheme}://{self.request.url.netloc}"

    def text(self, name: str, default: str = "") -> str:
        """Return a parameter; the last one, if there are several."""
        return self.words.get(name, [default])[-1]

    def csv(self, name: str) -> list[str]:
        """Return a parameter that lists values, in one or in several."""
        return [each.strip() for text in self.words.get(name, []) for each in text.split(",") if each.strip()]

    def flag(self, name: str, default: bool = False) -> bool:
        """Return a parameter that is true or false."""
        return _values.flag(self.text(name, str(default)))

    def number(self, name: str, default: int) -> int:
        """Return a parameter that is a whole number.

        Raises:
            VidispineError: It is none.
        """
        return _values.number(name, self.text(name) or default)

    def moment(self, name: str) -> datetime | None:
        """Return a parameter that is a moment.

        Raises:
            VidispineError: It is none.
        """
        text = self.text(name)
        return _values.moment(name, text) if text else None

    def metadata(self, name: str = "jobmetadata") -> dict[str, str]:
        """Return a parameter that holds `key=value`, as often as it comes.

        Raises:
            VidispineError: One has another form.
        """
        found = {}
        for text in self.words.get(name, []):
            key, equals, value = text.partition("=")
            if not key or not equals:
                raise invalid(name, "must have the form key=value", text)
            found[key] = value
        return found

    async def document(self) -> Document:
        """Return the body, which may be left out.

        Raises:
            VidispineError: It is no JSON object.
        """
        body = await self.request.body()
        try:
            document: Any = json.loads(body or b"{}")
        except ValueError as exc:
            raise invalid("body", f"not valid JSON: {exc}") from exc
        if not isinstance(document, dict):
            raise invalid("body", "not a document")
        return document

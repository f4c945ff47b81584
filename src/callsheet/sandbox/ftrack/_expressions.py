"""The event hub's expressions: what a subscriber wants to hear, and whom an event is meant for.

`field op value`, joined by `and`, `or`, `not` and brackets, in any case; not binds tighter than and, and than
or. Values compare as text, and a missing field matches nothing.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["Matcher", "matcher"]

Matcher = Callable[[Mapping[str, Any]], bool]

COMPARISONS: dict[str, Callable[[str, str], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}

_TOKEN = re.compile(
    r"""\s*(?:(?P<condition>
            (?P<field>[\w.]+)\s*(?P<op>!=|>=|<=|=|>|<)\s*
            (?:"(?P<double>(?:\\.|[^"\\])*)"|'(?P<single>(?:\\.|[^'\\])*)'|(?P<bare>[\w,./*@+-]+))
        )|(?P<symbol>[()])|(?P<word>\w+))""",
    re.VERBOSE,
)


def matcher(text: str) -> Matcher:
    """Return what tells whether an event, or a subscriber, matches an expression. An empty one matches all.

    Raises:
        ValueError: The text is no expression.
    """
    parser = _Parser(text)
    if not parser.tokens:
        return lambda candidate: True
    matches = parser.either()
    if parser.tokens:
        raise parser.wrong()
    return matches


class _Parser:
    """Reads from left to right and takes tokens away as it goes."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.tokens = list(_tokens(text))

    def wrong(self) -> ValueError:
        return ValueError(f"cannot read the expression {self._text!r}")

    def either(self) -> Matcher:
        options = [self._both()]
        while self._skip("or"):
            options.append(self._both())
        return lambda candidate: any(matches(candidate) for matches in options)

    def _both(self) -> Matcher:
        parts = [self._unit()]
        while self._skip("and"):
            parts.append(self._unit())
        return lambda candidate: all(matches(candidate) for matches in parts)

    def _unit(self) -> Matcher:
        if self._skip("not"):
            denied = self._unit()
            return lambda candidate: not denied(candidate)
        if self._skip("("):
            inner = self.either()
            if not self._skip(")"):
                raise self.wrong()
            return inner
        if not self.tokens or not self.tokens[0]["condition"]:
            raise self.wrong()
        return _condition(self.tokens.pop(0))

    def _skip(self, text: str) -> bool:
        found = (
            bool(self.tokens) and (self.tokens[0]["word"] or self.tokens[0]["symbol"] or "").lower() == text
        )
        if found:
            self.tokens.pop(0)
        return found


def _tokens(text: str) -> list[re.Match[str]]:
    tokens = []
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            raise ValueError(
                f"cannot read the expression {text!r} from {text[position : position + 20]!r} on"
            )
        tokens.append(match)
        position = match.end()
    return tokens


def _condition(token: re.Match[str]) -> Matcher:
    path = token["field"].split(".")
    quoted = token["double"] if token["double"] is not None else token["single"]
    wanted = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else token["bare"]
    compare = COMPARISONS[token["op"]]
    if token["op"] == "=" and wanted.endswith("*"):
        wanted, compare = wanted[:-1], str.startswith

    def matches(candidate: Mapping[str, Any]) -> bool:
        value: Any = candidate
        for name in path:
            if not isinstance(value, Mapping) or name not in value:
                return False
            value = value[name]
        return isinstance(value, str) and compare(value, wanted)

    return matches

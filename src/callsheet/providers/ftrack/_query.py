"""ftrack's query language, written by a builder that quotes every value.

    Query("Job", ["id", "user.username"], where=field("status").one_of(["done", "failed"]), limit=500)

Nothing that a user says becomes part of the language: names are checked, values are quoted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import attrs

from callsheet._errors import InvalidRequest

__all__ = ["ALWAYS", "Condition", "Field", "Query", "Value", "all_of", "any_of", "field", "quoted"]

Value: TypeAlias = str | int | bool | None

_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)


def quoted(value: Value) -> str:
    """Return the value as a literal.

    Raises:
        InvalidRequest: A text holds a NUL character.
    """
    match value:
        case None:
            return "None"
        case bool() | int():
            return str(value)
    if "\0" in value:
        raise InvalidRequest(f"{value!r} holds a NUL character, which no query can")
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@attrs.frozen
class Condition:
    """A condition, ready to be combined: `one & other`, `one | other`, `~one`."""

    text: str
    _simple: bool = attrs.field(default=True, alias="simple")

    def __and__(self, other: Condition) -> Condition:
        return all_of([self, other])

    def __or__(self, other: Condition) -> Condition:
        return any_of([self, other])

    def __invert__(self) -> Condition:
        return Condition(f"not {self._bracketed()}", simple=False)

    def __bool__(self) -> bool:
        return bool(self.text)

    def _bracketed(self) -> str:
        return self.text if self._simple else f"({self.text})"


ALWAYS = Condition("")
"""No condition at all: it vanishes in `all_of`."""


def all_of(conditions: Iterable[Condition]) -> Condition:
    """Return the condition that all of these hold; with none, `ALWAYS`."""
    return _joined(" and ", [condition for condition in conditions if condition])


def any_of(conditions: Sequence[Condition]) -> Condition:
    """Return the condition that one of these holds: at least one must be given.

    Raises:
        ValueError: None was given, or one that always holds.
    """
    if not conditions or not all(conditions):
        raise ValueError("any_of needs conditions that say something")
    return _joined(" or ", conditions)


def _joined(word: str, conditions: Sequence[Condition]) -> Condition:
    if len(conditions) < 2:
        return conditions[0] if conditions else ALWAYS
    return Condition(word.join(condition._bracketed() for condition in conditions), simple=False)


@attrs.frozen(order=False)
class Field:
    """An attribute, or one of a related entity (`user.username`), to compare values with."""

    path: str

    def is_(self, value: Value) -> Condition:
        return self._compared("is", value)

    def one_of(self, values: Iterable[str]) -> Condition:
        """Return the condition that it has one of these values; with none, the server finds nothing."""
        return Condition(f"{self.path} in ({', '.join(map(quoted, values))})")

    def none_of(self, values: Iterable[str]) -> Condition:
        return Condition(f"{self.path} not_in ({', '.join(map(quoted, values))})")

    def __lt__(self, value: Value) -> Condition:
        return self._compared("<", value)

    def __le__(self, value: Value) -> Condition:
        return self._compared("<=", value)

    def __gt__(self, value: Value) -> Condition:
        return self._compared(">", value)

    def __ge__(self, value: Value) -> Condition:
        return self._compared(">=", value)

    def _compared(self, word: str, value: Value) -> Condition:
        return Condition(f"{self.path} {word} {quoted(value)}")


def field(path: str) -> Field:
    """Return the attribute of that path.

    Raises:
        InvalidRequest: It is no path of names.
    """
    return Field(_checked(_PATH, path))


@attrs.frozen
class Query:
    """A query; `str()` of it is its text.

    Attributes:
        entity: The type of entity, such as `Job`.
        select: The attributes wanted, by path; none for the server's own choice.
        where: What must hold.
        order_by: Attributes to sort by, each going up, or down with a `-` before it.
        offset: Rows to leave out.
        limit: The most rows.
    """

    entity: str
    select: Sequence[str] = ()
    where: Condition = ALWAYS
    order_by: Sequence[str] = ()
    offset: int | None = None
    limit: int | None = None

    def __str__(self) -> str:
        entity = _checked(_NAME, self.entity)
        parts = (
            [f"select {', '.join(_checked(_PATH, path) for path in self.select)} from"] if self.select else []
        )
        parts.append(entity)
        if self.where:
            parts.append(f"where {self.where.text}")
        if self.order_by:
            parts.append(f"order by {', '.join(map(_order, self.order_by))}")
        parts += [
            f"{word} {number:d}"
            for word, number in (("offset", self.offset), ("limit", self.limit))
            if number is not None
        ]
        return " ".join(parts)


def _order(key: str) -> str:
    path = _checked(_PATH, key.removeprefix("-"))
    return f"{path} {'descending' if key.startswith('-') else 'ascending'}"


def _checked(pattern: re.Pattern[str], name: str) -> str:
    if not pattern.fullmatch(name):
        raise InvalidRequest(f"{name!r} cannot be the name of anything in ftrack")
    return name

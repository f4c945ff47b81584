"""ftrack's query language: text to a tree.

query = [ "select" path { "," path } "from" ] Entity [ "where" or ] [ "order by" key { "," key } ]
        { "offset" INT | "limit" INT }
key   = path [ "asc" | "ascending" | "desc" | "descending" ]
or    = and { "or" and }      and = not { "and" not }      not = [ "not" ] unit
unit  = "(" or ")" | path op value | path ("in" | "not_in") "(" [ list | query ] ")"
      | path ("has" | "any") "(" [ or ] ")"
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import attrs

from callsheet.sandbox.ftrack._errors import ValidationError

__all__ = ["All", "Any", "Compare", "Condition", "In", "Literal", "Not", "Order", "Query", "Related", "parse"]

Path = tuple[str, ...]


@attrs.frozen
class Literal:
    """A value as it was written."""

    text: str
    quoted: bool


@attrs.frozen
class Compare:
    """`path op value`; `op` is one of `= != > < >= <= like not_like`."""

    path: Path
    op: str
    value: Literal


@attrs.frozen
class In:
    """`path in (...)`: among values, or among what a query selects."""

    path: Path
    among: tuple[Literal, ...] | Query
    negated: bool


@attrs.frozen
class Related:
    """`path any (...)` or `path has (...)`: a related entity for which all of the condition holds."""

    path: Path
    condition: Condition | None


@attrs.frozen
class Not:
    """The condition does not hold."""

    condition: Condition


@attrs.frozen
class All:
    """Every condition holds."""

    conditions: tuple[Condition, ...]


@attrs.frozen
class Any:
    """At least one condition holds."""

    conditions: tuple[Condition, ...]


Condition = Compare | In | Related | Not | All | Any


@attrs.frozen
class Order:
    """One key of an order."""

    path: Path
    descending: bool


@attrs.frozen
class Query:
    """A whole query; no projections mean that none were written."""

    entity_type: str
    projections: tuple[Path, ...]
    condition: Condition | None
    order: tuple[Order, ...]
    offset: int
    limit: int | None


OPERATORS = {
    **{symbol: symbol for symbol in ("=", "!=", ">", "<", ">=", "<=", "like", "not_like")},
    "is": "=",
    "is_not": "!=",
    "after": ">",
    "greater_than": ">",
    "before": "<",
    "less_than": "<",
}
DIRECTIONS = {"asc": False, "ascending": False, "desc": True, "descending": True}

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
      | (?P<symbol>!=|>=|<=|[=<>(),])
      | (?P<word>[^\s"'(),=<>!]+)
    )""",
    re.VERBOSE | re.DOTALL,
)
_NAME = re.compile(r"([A-Za-z_]\w*)(?:\[\w+\])?\Z")


def parse(text: str) -> Query:
    """Read a query.

    Raises:
        ValidationError: The text is no query; says where it goes wrong.
    """
    parser = _Parser(text)
    query = parser.query()
    if parser.token:
        raise parser.wrong("the end")
    return query


@attrs.frozen
class _Token:
    kind: str
    text: str


class _Parser:
    """Reads from left to right, one token ahead. Keywords are words of any other use elsewhere."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokens(text)
        self._next = 0

    @property
    def token(self) -> _Token | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def wrong(self, expected: str) -> ValidationError:
        found = repr(self.token.text) if self.token else "the end"
        return ValidationError(f"Invalid query: expected {expected}, found {found} in {self._text!r}")

    def query(self) -> Query:
        projections = self._projections() if self._skip("select") else ()
        entity_type = self._word("an entity type")
        condition = self._or() if self._skip("where") else None
        order = self._order() if self._skip("order") else ()
        numbers: dict[str, int] = {}
        while self.token and self.token.text in {"offset", "limit"}:
            name = self._word("offset or limit")
            numbers[name] = self._number()
        return Query(
            entity_type, projections, condition, order, numbers.get("offset", 0), numbers.get("limit")
        )

    def _projections(self) -> tuple[Path, ...]:
        paths = [self._path()]
        while self._skip(","):
            paths.append(self._path())
        self._expect("from")
        return tuple(paths)

    def _order(self) -> tuple[Order, ...]:
        self._expect("by")
        keys = [self._order_key()]
        while self._skip(","):
            keys.append(self._order_key())
        return tuple(keys)

    def _order_key(self) -> Order:
        path = self._path()
        descending = False
        if self.token and self.token.text in DIRECTIONS:
            descending = DIRECTIONS[self._word("a direction")]
        return Order(path, descending)

    def _or(self) -> Condition:
        conditions = [self._and()]
        while self._skip("or"):
            conditions.append(self._and())
        return conditions[0] if len(conditions) == 1 else Any(tuple(conditions))

    def _and(self) -> Condition:
        conditions = [self._not()]
        while self._skip("and"):
            conditions.append(self._not())
        return conditions[0] if len(conditions) == 1 else All(tuple(conditions))

    def _not(self) -> Condition:
        return Not(self._unit()) if self._skip("not") else self._unit()

    def _unit(self) -> Condition:
        if self._skip("("):
            condition = self._or()
            self._expect(")")
            return condition
        path = self._path()
        if not self.token or self.token.kind == "string":
            raise self.wrong("an operator")
        word = self.token.text
        if word in {"in", "not_in"}:
            return self._in(path)
        if word in {"has", "any"}:
            return self._related(path)
        if word not in OPERATORS:
            raise self.wrong("an operator")
        self._next += 1
        return Compare(path, OPERATORS[word], self._value())

    def _in(self, path: Path) -> Condition:
        negated = self._word("in") == "not_in"
        self._expect("(")
        among: tuple[Literal, ...] | Query
        among = self.query() if self.token == _Token("word", "select") else tuple(self._values())
        self._expect(")")
        return In(path, among, negated)

    def _values(self) -> Sequence[Literal]:
        if self.token == _Token("symbol", ")"):
            return []
        values = [self._value()]
        while self._skip(","):
            values.append(self._value())
        return values

    def _related(self, path: Path) -> Condition:
        self._next += 1
        self._expect("(")
        condition = None if self.token == _Token("symbol", ")") else self._or()
        self._expect(")")
        return Related(path, condition)

    def _path(self) -> Path:
        token = self.token
        names = token.text.split(".") if token and token.kind == "word" else [""]
        matches = [_NAME.match(name) for name in names]
        if not all(matches):
            raise self.wrong("an attribute")
        self._next += 1
        return tuple(match[1] for match in matches if match)

    def _value(self) -> Literal:
        token = self.token
        if token is None or token.kind == "symbol":
            raise self.wrong("a value")
        self._next += 1
        if token.kind == "word":
            return Literal(token.text, quoted=False)
        return Literal(token.text[1:-1], quoted=True)

    def _number(self) -> int:
        token = self.token
        if token is None or not token.text.isdecimal():
            raise self.wrong("a number")
        self._next += 1
        return int(token.text)

    def _word(self, expected: str) -> str:
        token = self.token
        if token is None or token.kind != "word":
            raise self.wrong(expected)
        self._next += 1
        return token.text

    def _skip(self, text: str) -> bool:
        found = self.token is not None and self.token.kind != "string" and self.token.text == text
        self._next += found
        return found

    def _expect(self, text: str) -> None:
        if not self._skip(text):
            raise self.wrong(repr(text))


def _tokens(text: str) -> list[_Token]:
    tokens = []
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            raise ValidationError(f"Invalid query: cannot read on at {text[position : position + 20]!r}")
        kind = match.lastgroup or ""
        tokens.append(_Token(kind, match[kind]))
        position = match.end()
    return tokens

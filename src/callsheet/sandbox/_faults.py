"""Which request is struck by which fault: rules, and the book kept about them."""

from __future__ import annotations

import fnmatch
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from callsheet.sandbox._exchange import Exchange
from callsheet.sandbox._strikes import KINDS, Strike

__all__ = ["Faults", "InvalidFault", "Rule"]


class InvalidFault(ValueError):
    """A fault that was asked for in the wrong words; the message names the word."""


@attrs.define(kw_only=True)
class Rule:
    """Which requests are struck.

    Attributes:
        strike: What happens to them.
        path: A shell pattern for the path, such as `/component/*`.
        method: One method, or any.
        contains: Text that the request's body must hold.
        nth: Which of the matching requests, counted from 1; all if empty.
        times: How often at most.
        probability: Of each matching request to be struck.
        seen: How many requests matched so far.
        struck: How many of them were struck.
    """

    strike: Strike
    path: str = "*"
    method: str | None = None
    contains: str | None = None
    nth: tuple[int, ...] = ()
    times: int | None = None
    probability: float = 1.0
    words: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    seen: int = 0
    struck: int = 0

    @classmethod
    def read(cls, words: Any) -> Rule:
        """Read a rule from decoded JSON.

        Raises:
            InvalidFault: A word is missing, unknown, or of the wrong type.
        """
        if not isinstance(words, dict):
            raise InvalidFault(f"a fault is an object, not {words!r}")
        kind = words.get("kind")
        if kind not in KINDS:
            raise InvalidFault(f"kind: {kind!r} is none of {', '.join(KINDS)}")
        own: dict[str, Any] = {
            name: check(name, words[name]) for name, check in _CHECKS.items() if name in words
        }
        options = {name: value for name, value in words.items() if name not in {*_CHECKS, "kind"}}
        known = {field.name for field in attrs.fields(KINDS[kind])}
        if unknown := sorted(set(options) - known):
            raise InvalidFault(f"{unknown[0]}: {kind} knows only {', '.join(sorted({*known, *_CHECKS}))}")
        try:
            return cls(strike=KINDS[kind](**options), words=words, **own)
        except (TypeError, ValueError) as exc:
            raise InvalidFault(f"{kind}: {exc.args[0]}") from exc

    def matches(self, method: str, path: str) -> bool:
        """Return whether a request is of those the rule is about, as far as its head tells."""
        return self.method in {None, method} and fnmatch.fnmatchcase(path, self.path)

    def falls(self, chance: random.Random) -> bool:
        """Count a request that matches, and return whether it is struck."""
        self.seen += 1
        due = not self.nth or self.seen in self.nth
        due = due and (self.times is None or self.struck < self.times)
        due = due and (self.probability >= 1 or chance.random() < self.probability)
        self.struck += due
        return due


class Faults:
    """The rules in force. The first rule that strikes a request decides; the later ones do not see it.

    Args:
        seed: Makes probabilities repeatable; each new set of rules begins the same row of chances again.
    """

    def __init__(self, seed: int | None) -> None:
        self.rules: list[Rule] = []
        self._seed = seed
        self._chance = random.Random(seed)  # noqa: S311 - chances of a test, repeatable by design

    def replace(self, rules: Sequence[Rule], seed: int | None = None) -> None:
        """Put these rules in force, and no others."""
        self.rules = list(rules)
        self._chance.seed(self._seed if seed is None else seed)

    async def choose(self, exchange: Exchange) -> Strike | None:
        """Return what strikes this request, if anything does."""
        scope = exchange.scope
        for rule in self.rules:
            if not rule.matches(scope["method"], scope["path"]):
                continue
            if rule.contains is not None and rule.contains.encode() not in await exchange.read_body():
                continue
            if rule.falls(self._chance):
                return rule.strike
        return None


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidFault(f"{name}: {value!r} is not a text")
    return value


def _method(name: str, value: Any) -> str:
    return _text(name, value).upper()


def _count(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidFault(f"{name}: {value!r} is not a whole number from 1")
    return value


def _counts(name: str, value: Any) -> tuple[int, ...]:
    return tuple(_count(name, each) for each in (value if isinstance(value, list) else [value]))


def _chance(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InvalidFault(f"{name}: {value!r} is not between 0 and 1")
    return float(value)


_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "path": _text,
    "method": _method,
    "contains": _text,
    "nth": _counts,
    "times": _count,
    "probability": _chance,
}

"""The options of a sandbox's part: what may be changed while it runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import attrs

__all__ = ["FLAG", "NULL", "Kind", "Options", "number", "one_of"]


@attrs.frozen
class Kind:
    """What values an option takes.

    Attributes:
        fits: Whether a value is one of them.
        words: What they are, for errors.
    """

    fits: Callable[[Any], bool]
    words: str

    def __or__(self, other: Kind) -> Kind:
        """Return what takes the values of both."""
        return Kind(lambda value: self.fits(value) or other.fits(value), f"{self.words}, or {other.words}")


FLAG = Kind(lambda value: isinstance(value, bool), "true or false")
NULL = Kind(lambda value: value is None, "null")


def number(least: float = 0, most: float = 1e9, *, whole: bool = False) -> Kind:
    """Return what takes numbers within the bounds, or only whole ones."""
    types = int if whole else int | float

    def fits(value: Any) -> bool:
        return isinstance(value, types) and not isinstance(value, bool) and least <= value <= most

    return Kind(fits, f"a {'whole ' if whole else ''}number from {least:,.0f} to {most:,.0f}")


def one_of(*values: str | int) -> Kind:
    """Return what takes these values."""
    return Kind(
        lambda value: any(type(value) is type(each) and value == each for each in values),
        " or ".join(map(str, values)),
    )


class Options:
    """The options of a part, which are attributes of it.

    Args:
        part: The part's name.
        kinds: What each takes.
    """

    def __init__(self, part: str, kinds: Mapping[str, Kind]) -> None:
        self._part = part
        self._kinds = kinds

    def read(self, part: object) -> dict[str, Any]:
        """Return the present values."""
        return {name: getattr(part, name) for name in self._kinds}

    def write(self, part: object, values: Mapping[str, Any]) -> None:
        """Change some, or none of them.

        Raises:
            ValueError: One is unknown or does not take its value; the message names it.
        """
        for name, value in values.items():
            if name not in self._kinds:
                raise ValueError(f"{name}: {self._part} knows only {', '.join(self._kinds)}")
            if not self._kinds[name].fits(value):
                raise ValueError(f"{name}: {json.dumps(value)} is not {self._kinds[name].words}")
        for name, value in values.items():
            setattr(part, name, value)

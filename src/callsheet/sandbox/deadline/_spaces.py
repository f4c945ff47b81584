"""The parameters of a step's tasks: one task for each combination of their values."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from callsheet.sandbox.deadline._parameters import TAGS, InvalidTemplate, fitting, plain, resolved

__all__ = ["space_told", "tasks_of"]

SPACE_TYPES = {"CHUNK[INT]": "CHUNK_INT"}

MOST_TASKS = 100_000


def space_told(definitions: list[dict[str, Any]], combination: str | None) -> dict[str, Any] | None:
    if not definitions:
        return None
    told = []
    for words in definitions:
        each = {"name": words["name"], "type": SPACE_TYPES.get(words["type"], words["type"])}
        if chunks := words.get("chunks"):
            each["chunks"] = {name: _number(value) for name, value in chunks.items()}
        told.append(each)
    return {"parameters": told, **({"combination": combination} if combination else {})}


def _number(value: Any) -> Any:
    return int(value) if str(value).isdigit() else value


def tasks_of(
    definitions: list[dict[str, Any]], combination: str | None, texts: Mapping[str, str]
) -> list[dict[str, Any]]:
    if not definitions:
        return [{}]
    values = {words["name"]: _values(words, texts) for words in definitions}
    if math.prod(map(len, values.values())) > MOST_TASKS and not combination:
        raise InvalidTemplate(f"more than {MOST_TASKS} tasks")
    return list(_Combination(combination or " * ".join(values), values).read())


def _values(words: Mapping[str, Any], texts: Mapping[str, str]) -> list[dict[str, str]]:
    """Return the values of one task parameter."""
    kind, wanted = words["type"], words["range"]
    if kind in {"INT", "CHUNK[INT]"} and not isinstance(wanted, list):
        wanted = list(itertools.islice(_range(resolved(wanted, texts)), MOST_TASKS + 1))
    elif isinstance(wanted, list):
        wanted = [resolved(plain(each), texts) for each in wanted]
    if len(wanted) > MOST_TASKS:
        raise InvalidTemplate(f"parameter {words['name']}: more than {MOST_TASKS} values")
    if kind == "CHUNK[INT]":
        size = int(resolved(words["chunks"]["defaultTaskCount"], texts))
        wanted = [_chunk([int(each) for each in chunk]) for chunk in _batched(wanted, size)]
    if kind not in TAGS:
        raise InvalidTemplate(f"parameter {words['name']}: its type is not known")
    tag = TAGS[kind]
    return [{tag: fitting(words["name"], tag, each)} for each in wanted]


def _range(text: str) -> Iterator[int]:
    """Yield the numbers of an expression such as `1-10:2,20`."""
    for part in text.split(","):
        found = re.fullmatch(r"\s*(-?\d+)(?:\s*-\s*(-?\d+)(?:\s*:\s*(-?\d+))?)?\s*", part)
        if found is None or found[3] == "0":
            raise InvalidTemplate(f"{text!r} is no range")
        first, last, step = int(found[1]), int(found[2] or found[1]), int(found[3] or 1)
        yield from range(first, last + (1 if step > 0 else -1), step)


def _batched(values: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]


def _chunk(numbers: list[int]) -> str:
    whole = numbers == list(range(numbers[0], numbers[-1] + 1))
    return f"{numbers[0]}-{numbers[-1]}" if whole else ",".join(map(str, numbers))


class _Combination:
    """Reads an expression such as `(A, B) * C`: every C with each pair of A and B."""

    def __init__(self, text: str, values: Mapping[str, list[dict[str, str]]]) -> None:
        self._words = re.findall(r"\w+|[*(),]", text)
        self._values = values
        self._text = text

    def read(self) -> Iterator[dict[str, Any]]:
        found = self._product()
        if self._words:
            raise InvalidTemplate(f"combination: {self._text!r} cannot be read")
        return found

    def _product(self) -> Iterator[dict[str, Any]]:
        factors = [list(self._term())]
        while self._words[:1] == ["*"]:
            del self._words[0]
            factors.append(list(self._term()))
        return (_merged(parts) for parts in itertools.product(*factors))

    def _term(self) -> Iterator[dict[str, Any]]:
        word = self._words.pop(0) if self._words else ""
        if word in self._values:
            return ({word: value} for value in self._values[word])
        if word != "(":
            raise InvalidTemplate(f"combination: {self._text!r} cannot be read")
        columns = [list(self._product())]
        while (word := self._words.pop(0) if self._words else "") == ",":
            columns.append(list(self._product()))
        if word != ")" or len({len(column) for column in columns}) > 1:
            raise InvalidTemplate(f"combination: {self._text!r} cannot be read")
        return (_merged(parts) for parts in zip(*columns, strict=True))


def _merged(parts: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    return {name: value for part in parts for name, value in part.items()}

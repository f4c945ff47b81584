"""Deadline's tagged unions: values of which exactly one kind is there, and a kind that is newer than this."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypeAlias, TypeVar

import attrs

__all__ = [
    "JOB_PARAMETERS",
    "TASK_PARAMETERS",
    "BoolListValue",
    "BoolValue",
    "ChunkIntValue",
    "FloatListValue",
    "FloatValue",
    "IntListListValue",
    "IntListValue",
    "IntValue",
    "JobParameter",
    "ListValue",
    "PathListValue",
    "PathValue",
    "RangeExprValue",
    "StringListValue",
    "StringValue",
    "TaskParameter",
    "TextValue",
    "UnknownMember",
    "member",
    "read_parameter",
]

V = TypeVar("V")


@attrs.frozen
class UnknownMember:
    """A member of a union that this version of callsheet does not know, as it came.

    Attributes:
        name: Its tag.
        raw: What stood behind the tag.
    """

    name: str
    raw: Any


@attrs.frozen
class TextValue:
    """A parameter's value. Deadline writes numbers and truths as texts, too."""

    tag: ClassVar[str]
    value: str


class IntValue(TextValue):
    """A whole number, such as `"7"`."""

    tag = "int"


class FloatValue(TextValue):
    """A number, such as `"0.5"`."""

    tag = "float"


class StringValue(TextValue):
    """A text."""

    tag = "string"


class PathValue(TextValue):
    """A path."""

    tag = "path"


class BoolValue(TextValue):
    """`"true"` or `"false"`, or what else the job was made with: yes, no, on, off, 1, 0, in any case."""

    tag = "bool"


class RangeExprValue(TextValue):
    """A range, such as `"1-10:2"`."""

    tag = "rangeExpr"


class ChunkIntValue(TextValue):
    """The whole numbers of a task that does several, such as `"1-10"`."""

    tag = "chunkInt"


@attrs.frozen
class ListValue:
    """A parameter's values."""

    tag: ClassVar[str]
    value: tuple[str, ...]


class StringListValue(ListValue):
    """Texts."""

    tag = "stringList"


class PathListValue(ListValue):
    """Paths."""

    tag = "pathList"


class IntListValue(ListValue):
    """Whole numbers."""

    tag = "intList"


class FloatListValue(ListValue):
    """Numbers."""

    tag = "floatList"


class BoolListValue(ListValue):
    """Truths, each as in `BoolValue`."""

    tag = "boolList"


@attrs.frozen
class IntListListValue:
    """Lists of whole numbers."""

    tag: ClassVar[str] = "intListList"
    value: tuple[tuple[str, ...], ...]


JobParameter: TypeAlias = TextValue | ListValue | IntListListValue | UnknownMember
TaskParameter: TypeAlias = TextValue | UnknownMember

_TEXTS = (IntValue, FloatValue, StringValue, PathValue)
_LISTS = (StringListValue, PathListValue, IntListValue, FloatListValue, BoolListValue)

JOB_PARAMETERS: Mapping[str, Any] = {
    kind.tag: kind for kind in (*_TEXTS, BoolValue, RangeExprValue, *_LISTS, IntListListValue)
}
"""The kinds of a job's parameters, by tag."""

TASK_PARAMETERS: Mapping[str, Any] = {kind.tag: kind for kind in (*_TEXTS, ChunkIntValue)}
"""The kinds of a task's parameters, by tag."""


def member(union: Mapping[str, Any]) -> tuple[str, Any]:
    """Return the tag and value of the one member that is there; `null` counts as absent.

    Raises:
        ValueError: There is none, or there are several.
    """
    there = [(tag, value) for tag, value in union.items() if value is not None and tag != "__type"]
    if len(there) != 1:
        raise ValueError(f"a union with {len(there)} members: {sorted(tag for tag, _ in there)}")
    return there[0]


def read_parameter(union: Mapping[str, Any], kinds: Mapping[str, Any]) -> Any:
    """Return the value of a parameter, of its kind."""
    tag, value = member(union)
    kind = kinds.get(tag)
    return UnknownMember(tag, value) if kind is None else kind(_fixed(value))


def _fixed(value: Any) -> Any:
    return tuple(map(_fixed, value)) if isinstance(value, list) else value

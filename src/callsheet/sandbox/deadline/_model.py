"""The vendor's own description of the service, as botocore brings it: which operation, and what it takes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote

import attrs

from callsheet.sandbox.deadline._errors import UnknownOperation, Validation

__all__ = ["Model", "Operation", "load"]

TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "boolean": (bool,),
    "list": (list,),
    "map": (dict,),
    "structure": (dict,),
    "timestamp": (str, int, float),
}


class Fault(NamedTuple):
    """What is wrong with one member of a request."""

    name: str
    message: str


@attrs.frozen
class Operation:
    """One operation of the service.

    Attributes:
        status: Of its answer when all is well.
        shape: The name of what it takes.
        labels: The names of what its path tells, in their order.
    """

    name: str
    status: int
    shape: str
    labels: list[str]


@attrs.define
class Node:
    """What may follow on one segment of a path.

    Attributes:
        literal: By segments that are the same for all.
        label: Where the path says which thing is meant.
        operation: Which ends here, if one does.
    """

    literal: dict[str, Node] = attrs.field(factory=dict)
    label: Node | None = None
    operation: Operation | None = None

    def add(self, segment: str) -> Node:
        """Return what follows on a segment of the description's, where labels are in braces."""
        if not segment.startswith("{"):
            return self.literal.setdefault(segment, Node())
        self.label = self.label or Node()
        return self.label


@cache
def load() -> Model:
    """Return the description; takes about 0.2 s the first time."""
    from botocore.loaders import Loader

    return Model(Loader().load_service_model("deadline", "service-2"))


class Model:
    """Finds operations, reads and checks what they are given, and picks what they answer."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._shapes = document["shapes"]
        self._paths: dict[str, Node] = {}
        for name, words in document["operations"].items():
            http = words["http"]
            node = self._paths.setdefault(http["method"], Node())
            for segment in http["requestUri"].strip("/").split("/"):
                node = node.add(segment)
            labels = re.findall(r"{(\w+)}", http["requestUri"])
            node.operation = Operation(name, http["responseCode"], words["input"]["shape"], labels)
        self._patterns: dict[str, re.Pattern[str]] = {}
        self._members: dict[str, frozenset[str]] = {}

    def find(self, method: str, path: str) -> tuple[Operation, dict[str, str]]:
        """Return the operation at a path as it came, and what the path tells it.

        Raises:
            UnknownOperation: There is none.
        """
        node, values = self._paths.get(method), []
        for segment in path.strip("/").split("/"):
            if node is not None and segment not in node.literal:
                values.append(unquote(segment))
            node = node and (node.literal.get(segment) or node.label)
        if node is None or node.operation is None:
            raise UnknownOperation(f"No operation at {method} {path}")
        return node.operation, dict(zip(node.operation.labels, values, strict=True))

    def read(
        self,
        operation: Operation,
        labels: Mapping[str, str],
        query: str,
        headers: Mapping[str, str],
        body: Any,
    ) -> dict[str, Any]:
        """Return what an operation is given, from all places of the request.

        Raises:
            Validation: It is not what the operation takes.
        """
        shape = self._shapes[operation.shape]
        taken = {name: value for name, value in body.items() if value is not None}
        for name, member in shape["members"].items():
            where, key = member.get("location"), member.get("locationName", name)
            if where is None:
                continue
            taken.pop(name, None)
            if where == "uri":
                taken[name] = labels[key]
            elif where == "header" and key.lower() in headers:
                taken[name] = headers[key.lower()]
            elif where == "querystring":
                self._add_query(taken, name, member["shape"], [v for k, v in _pairs(query) if k == key])
        faults = list(self.faults(operation.shape, taken, ""))
        if faults:
            told = "; ".join(f"Value at '{name}' {message}" for name, message in faults)
            many = f"{len(faults)} validation error{'s' if len(faults) > 1 else ''} detected: {told}"
            raise Validation(many, reason="FIELD_VALIDATION_FAILED", fields=faults)
        return {name: value for name, value in taken.items() if name in shape["members"]}

    def _add_query(self, taken: dict[str, Any], name: str, shape_name: str, values: list[str]) -> None:
        if not values:
            return
        kind = self._shapes[shape_name]["type"]
        if kind == "list":
            taken[name] = values
        elif kind == "integer" and re.fullmatch(r"-?\d+", values[-1]):
            taken[name] = int(values[-1])
        else:
            taken[name] = values[-1]

    def faults(self, shape_name: str, value: Any, path: str) -> Iterator[Fault]:
        """Yield what is wrong with a value of a shape."""
        shape = self._shapes[shape_name]
        kind = shape["type"]
        if shape.get("document"):
            return
        if not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
            yield Fault(path, f"failed to satisfy constraint: Member must be of type {kind}")
        elif kind == "structure":
            yield from self._structure(shape, value, path)
        elif kind in {"list", "map"}:
            yield from self._many(shape, value, path)
        elif message := self._scalar(shape_name, shape, value):
            yield Fault(path, f"failed to satisfy constraint: {message}")

    def _structure(self, shape: Mapping[str, Any], value: Any, path: str) -> Iterator[Fault]:
        given = {name: each for name, each in value.items() if each is not None}
        for name in shape.get("required", ()):
            if name not in given:
                yield Fault(_below(path, name), "failed to satisfy constraint: Member must not be null")
        if shape.get("union") and len(given) != 1:
            yield Fault(path, "failed to satisfy constraint: Exactly one member must be set")
        for name, member in shape["members"].items():
            if name in given:
                yield from self.faults(member["shape"], given[name], _below(path, name))

    def _many(self, shape: Mapping[str, Any], value: Any, path: str) -> Iterator[Fault]:
        if message := _bounds(shape, len(value), "length"):
            yield Fault(path, f"failed to satisfy constraint: {message}")
        if shape["type"] == "list":
            for index, each in enumerate(value, start=1):
                yield from self.faults(shape["member"]["shape"], each, f"{path}.{index}.member")
            return
        for key, each in value.items():
            yield from self.faults(shape["key"]["shape"], key, f"{path}.key")
            yield from self.faults(shape["value"]["shape"], each, f"{path}.{key}.member")

    def _scalar(self, name: str, shape: Mapping[str, Any], value: Any) -> str | None:
        if "enum" in shape and value not in shape["enum"]:
            return f"Member must satisfy enum value set: [{', '.join(shape['enum'])}]"
        if shape["type"] == "timestamp":
            return None if _is_moment(value) else "Member must be a date and time"
        if shape["type"] != "string":
            return _bounds(shape, value, "value")
        if not value.isascii() and not _is_text(value):
            return "Member must be valid Unicode"
        if message := _bounds(shape, len(value), "length"):
            return message
        if "pattern" in shape:
            pattern = self._patterns.get(name) or self._patterns.setdefault(
                name, re.compile(shape["pattern"])
            )
            if not pattern.fullmatch(value):
                return f"Member must satisfy regular expression pattern: {shape['pattern']}"
        return None

    def pick(self, shape_name: str, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return those members of a document that a shape has."""
        members = self._members.get(shape_name)
        if members is None:
            members = self._members[shape_name] = frozenset(self._shapes[shape_name]["members"])
        return {name: value for name, value in document.items() if name in members}


def _pairs(query: str) -> list[tuple[str, str]]:
    return parse_qsl(query, keep_blank_values=True)


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _bounds(shape: Mapping[str, Any], number: float, what: str) -> str | None:
    if "min" in shape and number < shape["min"]:
        return f"Member must have {what} greater than or equal to {shape['min']}"
    if "max" in shape and number > shape["max"]:
        return f"Member must have {what} less than or equal to {shape['max']}"
    return None


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_moment(value: Any) -> bool:
    try:
        if isinstance(value, str):
            return datetime.fromisoformat(value).tzinfo is not None
        datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        return False
    return True

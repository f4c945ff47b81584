"""The parameters of jobs: what a template defines, what is given, and where it is put in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["TAGS", "InvalidTemplate", "fitting", "plain", "resolved", "taken", "texts_of"]

TAGS = {
    "STRING": "string",
    "PATH": "path",
    "INT": "int",
    "FLOAT": "float",
    "BOOL": "bool",
    "RANGE_EXPR": "rangeExpr",
    "LIST[STRING]": "stringList",
    "LIST[PATH]": "pathList",
    "LIST[INT]": "intList",
    "LIST[FLOAT]": "floatList",
    "LIST[BOOL]": "boolList",
    "LIST[LIST[INT]]": "intListList",
    "CHUNK[INT]": "chunkInt",
}
"""How the service spells the types of parameters."""

SCALARS = {"string", "path", "int", "float", "bool", "rangeExpr", "chunkInt"}
NUMBERS = {
    "int": re.compile(r"-?(0|[1-9][0-9]*)"),
    "float": re.compile(r"-?(0|[1-9][0-9]*)([.][0-9]+)?([eE][+-]?[0-9]+)?"),
}

REFERENCE = re.compile(r"{{\s*(?:Raw)?Param\.(\w+)\s*}}")


class InvalidTemplate(ValueError):
    """A template from which no job can be made; the message says why."""


def taken(definitions: Iterable[dict[str, Any]], given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the value of each parameter that is defined, as the service tells it.

    Raises:
        InvalidTemplate: One has no value, or not one of its type, or is not defined.
    """
    found: dict[str, dict[str, Any]] = {}
    for definition in definitions:
        name, tag = definition.get("name", ""), TAGS.get(definition.get("type", ""))
        if tag is None:
            raise InvalidTemplate(f"parameter {name}: its type is not known")
        if name in given:
            if tag not in given[name]:
                raise InvalidTemplate(f"parameter {name}: it is no {tag}")
            found[name] = given[name]
        elif "default" in definition:
            found[name] = {tag: fitting(name, tag, definition["default"])}
        else:
            raise InvalidTemplate(f"parameter {name}: it has no value")
    if unknown := sorted(set(given) - set(found)):
        raise InvalidTemplate(f"parameter {unknown[0]}: the template does not define it")
    return found


def fitting(name: str, tag: str, value: Any) -> Any:
    """Return a value that a template writes for a parameter, as the service spells it.

    Raises:
        InvalidTemplate: It is not of that kind.
    """
    spelled = plain(value)
    scalar = isinstance(value, str | int | float)
    wanted = scalar if tag in SCALARS else isinstance(value, list)
    if not wanted or (tag in NUMBERS and not NUMBERS[tag].fullmatch(spelled)):
        raise InvalidTemplate(f"parameter {name}: {value!r} is no {tag}")
    return spelled


def plain(value: Any) -> Any:
    """Return a value as the service spells it: all scalars are texts."""
    if isinstance(value, list):
        return [plain(each) for each in value]
    return str(value).lower() if isinstance(value, bool) else str(value)


def texts_of(parameters: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return what stands for each parameter in a format string."""
    return {name: _text(value) for name, value in parameters.items()}


def _text(tagged: Mapping[str, Any]) -> str:
    (value,) = tagged.values()
    return value if isinstance(value, str) else json.dumps(value)


def resolved(text: Any, texts: Mapping[str, str]) -> str:
    """Return a format string with the job's parameters put in; other references stay."""
    return REFERENCE.sub(lambda match: texts.get(match[1], match[0]), str(text))

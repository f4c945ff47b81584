"""Values of a job's parameters as Deadline writes them, and the files and folders that they name.

Only the names and types of parameters are looked at; Deadline itself reads and checks the rest.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

from callsheet._errors import InvalidRequest
from callsheet.providers.deadline._templates import Bundle, References

__all__ = ["encode_parameters"]

TAGS: Mapping[str, str] = {
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
}
"""How the value of each type of parameter is tagged."""

_GUESSED: Mapping[type, str] = {bool: "bool", int: "int", float: "float", str: "string"}

_PATHS = ("PATH", "LIST[PATH]")
_ADDRESS = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")


def encode_parameters(bundle: Bundle, given: Mapping[str, Any]) -> tuple[dict[str, Any], References]:
    """Return the values of a job's parameters as Deadline writes them, and the files that they name.

    Paths become absolute, as workers can map no others: those of the bundle are relative to its folder, those
    that were given to the current one.

    Args:
        bundle: What the job is made from.
        given: Values by name, which go before the bundle's own. A value may be tagged already.

    Raises:
        InvalidRequest: A parameter that the template does not have, one that is missing, or a value that is
            not of its type.
    """
    definitions = bundle.template.definitions()
    values = {**bundle.parameters, **given}
    for name in values:
        if name not in definitions:
            known = ", ".join(definitions) or "none"
            raise InvalidRequest(f"parameters: the template has no parameter {name!r}; it has {known}")
    encoded: dict[str, Any] = {}
    references = References()
    for name, definition in definitions.items():
        kind = str(definition.get("type", "STRING")).upper()
        value = values.get(name)
        if value is None and "default" not in definition:
            raise InvalidRequest(f"parameters: {name!r} has no default, so that it must be given")
        if kind in _PATHS:
            place = None if given.get(name) is not None else bundle.folder
            value, named = _placed(value, kind, definition, bundle, place or Path.cwd())
            references |= named
        if value is not None:
            encoded[name] = _encoded(name, kind, value)
    return encoded, references


# -- paths ---------------------------------------------------------------------------------------------------


def _placed(
    value: Any, kind: str, definition: Mapping[str, Any], bundle: Bundle, folder: Path
) -> tuple[Any, References]:
    """Return one path or several as they are sent, `None` for the default as it is, and what they name."""
    if isinstance(value, Mapping) and value.keys() == {TAGS[kind]}:
        value = value[TAGS[kind]]
    wanted = definition.get("default") if value is None else value
    takes_addresses = "EXPR" in (bundle.template.document.get("extensions") or ())

    def place(path: Any) -> Any:
        path = os.fspath(path) if isinstance(path, os.PathLike) else path
        if not isinstance(path, str) or not path or _is_elsewhere(path):
            return path
        if takes_addresses and _ADDRESS.match(path):
            return path
        return os.path.normpath(folder / path)

    try:
        placed = place(wanted) if kind == "PATH" else [place(one) for one in _several(wanted)]
    except TypeError:
        return value, References()  # told when it is to be written
    paths = [placed] if kind == "PATH" else placed
    named = References()
    for path in paths:
        if isinstance(path, str) and path and not (takes_addresses and _ADDRESS.match(path)):
            named |= _named(path, definition)
    is_default = value is None and (not wanted or (bundle.folder is None and placed == wanted))
    return None if is_default else placed, named


def _is_elsewhere(path: str) -> bool:
    """Tell whether a path is absolute on another system, such as that of the workers."""
    return os.name != "nt" and PureWindowsPath(path).is_absolute()


def _named(path: str, definition: Mapping[str, Any]) -> References:
    """Return what a parameter says is done with a path. One that is only spoken of counts for the root."""
    flow = str(definition.get("dataFlow", "NONE")).upper()
    is_file = str(definition.get("objectType", "DIRECTORY")).upper() == "FILE"
    where = Path(path)
    found = References()
    if flow in {"IN", "INOUT"}:
        found |= References(files=(where,)) if is_file else References(folders=(where,))
    if flow in {"OUT", "INOUT"}:
        found |= References(outputs=(where.parent if is_file else where,))
    if flow == "NONE" and where.is_absolute():
        found |= References(referenced=(where,))
    return found


# -- values --------------------------------------------------------------------------------------------------


def _encoded(name: str, kind: str, value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        if len(value) != 1:
            raise InvalidRequest(f"parameters: {name!r} must have one tag, not {sorted(value)}")
        return dict(value)
    # A type that is newer than this is sent as what its value looks like.
    tag = TAGS.get(kind) or _GUESSED.get(type(value), "string")
    try:
        return {tag: _written(tag, value)}
    except (TypeError, ValueError, OverflowError):  # no number at all, or one without an end, for a whole one
        raise InvalidRequest(f"parameters: {name!r} must be of type {kind}, not {value!r}") from None


def _written(tag: str, value: Any) -> Any:
    if tag == "intListList":
        return [_listed("int", inner) for inner in _several(value)]
    if tag.endswith("List"):
        return _listed(tag.removesuffix("List"), value)
    return _scalar(tag, value)


def _listed(tag: str, value: Any) -> list[str]:
    return [_scalar(tag, one) for one in _several(value)]


def _several(value: Any) -> Iterator[Any]:
    if isinstance(value, str):
        value = _read(value)
    if isinstance(value, bytes | Mapping):
        raise TypeError
    return iter(value)


def _read(text: str) -> list[Any]:
    """Return the list that a text is, as a command line can give no other."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise TypeError from None
    if not isinstance(value, list):
        raise TypeError
    return value


def _scalar(tag: str, value: Any) -> str:
    """Return the text that stands for a value; numbers in the shortest form that keeps them."""
    if isinstance(value, os.PathLike) and tag in {"path", "string"}:
        return str(os.fspath(value))
    if isinstance(value, bool):
        if tag not in {"bool", "string"}:
            raise TypeError
        return str(value).lower()
    if isinstance(value, int | float):
        if tag == "bool" or (tag == "int" and value != int(value)):
            raise TypeError
        return str(int(value)) if tag == "int" else repr(value)
    if not isinstance(value, str):
        raise TypeError
    return value

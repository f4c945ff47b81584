"""What a job is made from: a template as mapping, text or file, or a job bundle, and its parameters' values.

Templates are Open Job Description; Deadline itself reads and checks them. Here only the names and types of
parameters are looked at, and which of them name files.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from callsheet._errors import ConfigError, InvalidRequest
from callsheet._redaction import excerpt

__all__ = ["Bundle", "References", "Template", "encode_parameters", "read_bundle"]

MAX_TEMPLATE = 1_000_000
"""Characters that Deadline takes."""

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

OPTIONS: Mapping[str, str] = {
    f"deadline:{name}": name
    for name in (
        *("priority", "targetTaskRunStatus", "maxFailedTasksCount", "maxRetriesPerTask", "maxWorkerCount"),
    )
}
"""Values of a bundle that are not the template's, but members of CreateJob."""

_GUESSED: Mapping[type, str] = {bool: "bool", int: "int", float: "float", str: "string"}


@attrs.frozen
class References:
    """Files and folders that a job needs, or brings forth.

    Attributes:
        files: Inputs.
        folders: Inputs, with all that is in them.
        outputs: Folders that are collected.
        referenced: Paths that may not exist, and only count for finding common folders.
    """

    files: tuple[Path, ...] = ()
    folders: tuple[Path, ...] = ()
    outputs: tuple[Path, ...] = ()
    referenced: tuple[Path, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.files or self.folders or self.outputs or self.referenced)

    def __or__(self, other: References) -> References:
        """Return both together, each path once, in order."""
        pairs = zip(attrs.astuple(self, recurse=False), attrs.astuple(other, recurse=False), strict=True)
        return References(*(tuple(dict.fromkeys((*mine, *theirs))) for mine, theirs in pairs))


@attrs.frozen
class Template:
    """A template.

    Attributes:
        text: What is sent.
        kind: `"JSON"` or `"YAML"`.
        document: The same, read.
    """

    text: str
    kind: str
    document: Mapping[str, Any]

    def definitions(self) -> dict[str, Mapping[str, Any]]:
        """Return what is said of each of its parameters, by name."""
        listed = self.document.get("parameterDefinitions") or []
        if not isinstance(listed, list) or not all(isinstance(one, dict) and "name" in one for one in listed):
            raise InvalidRequest("template: its parameterDefinitions are no list of parameters with names")
        return {str(one["name"]): one for one in listed}


@attrs.frozen
class Bundle:
    """A template with what a job bundle brings besides.

    Attributes:
        template: The template.
        parameters: Values of the bundle's own, by name.
        options: Members of CreateJob that the bundle sets.
        references: Its asset references.
        folder: Where it is, if it is a bundle, for paths that are relative to it.
    """

    template: Template
    parameters: Mapping[str, Any] = attrs.field(factory=dict)
    options: Mapping[str, Any] = attrs.field(factory=dict)
    references: References = attrs.field(factory=References)
    folder: Path | None = None


# -- reading -------------------------------------------------------------------------------------------------


def read_bundle(given: Any) -> Bundle:
    """Return what a job is made from. It may read files, so it is called in a thread.

    Args:
        given: A template as a mapping or as JSON or YAML text; or the path of one, or of a job bundle.

    Raises:
        InvalidRequest: It is none of these; the message says what is wrong.
    """
    if isinstance(given, Mapping):
        try:
            text = json.dumps(given, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as exc:
            raise InvalidRequest(f"template: it cannot be written as JSON: {exc}") from exc
        return Bundle(_checked(Template(text, "JSON", json.loads(text))))
    if isinstance(given, str) and _is_text(given):
        return Bundle(_template(given, "template"))
    if not isinstance(given, str | os.PathLike):
        raise InvalidRequest(f"template must be a mapping, a text or a path, not {type(given).__name__}")
    try:
        path = Path(given).expanduser()
        is_folder = path.is_dir()
    except (OSError, RuntimeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else exc
        raise InvalidRequest(f"template: {excerpt(str(given))} cannot be read: {why}") from exc
    if is_folder:
        return _bundle(path)
    return Bundle(_template(_text(path), str(path)))


def _is_text(given: str) -> bool:
    return "\n" in given or given.lstrip().startswith("{") or "specificationVersion" in given


def _bundle(folder: Path) -> Bundle:
    found = _one_of(folder, "template")
    if found is None:
        raise InvalidRequest(f"template: {folder} is no job bundle: it has no template.yaml or template.json")
    template = _template(_text(found), str(found))
    values: dict[str, Any] = {}
    if (path := _one_of(folder, "parameter_values")) is not None:
        listed = _document(_text(path), str(path)).get("parameterValues")
        if not isinstance(listed, list) or not all(isinstance(one, dict) and "name" in one for one in listed):
            raise InvalidRequest(f"template: {path} holds no list of parameterValues with names")
        values = {str(one["name"]): one.get("value") for one in listed}
    options = {OPTIONS[name]: value for name, value in values.items() if name in OPTIONS}
    own = {name: value for name, value in values.items() if ":" not in name}
    return Bundle(template, own, options, _references(folder), folder.absolute())


def _one_of(folder: Path, stem: str) -> Path | None:
    there = [path for suffix in ("yaml", "yml", "json") if (path := folder / f"{stem}.{suffix}").is_file()]
    if len(there) > 1:
        raise InvalidRequest(f"template: {folder} has both {there[0].name} and {there[1].name}")
    return there[0] if there else None


def _references(folder: Path) -> References:
    path = _one_of(folder, "asset_references")
    if path is None:
        return References()
    given = _document(_text(path), str(path)).get("assetReferences") or {}

    def paths(*keys: str) -> tuple[Path, ...]:
        value: Any = given
        for key in keys:
            value = (value or {}).get(key)
        return tuple(_absolute(one, folder) for one in value or ())

    try:
        return References(
            files=paths("inputs", "filenames"),
            folders=paths("inputs", "directories"),
            outputs=paths("outputs", "directories"),
            referenced=paths("referencedPaths"),
        )
    except (AttributeError, TypeError) as exc:
        raise InvalidRequest(f"template: {path} holds no assetReferences that can be read") from exc


def _absolute(value: str, folder: Path) -> Path:
    return Path(os.path.normpath(folder.absolute() / value))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as exc:
        raise InvalidRequest(f"template: {path} cannot be read: {exc}") from exc


def _template(text: str, where: str) -> Template:
    kind = "JSON" if text.lstrip().startswith("{") else "YAML"
    return _checked(Template(text, kind, _document(text, where)))


def _checked(template: Template) -> Template:
    if not 0 < len(template.text) <= MAX_TEMPLATE:
        raise InvalidRequest(
            f"template: it has {len(template.text)} characters; Deadline takes {MAX_TEMPLATE} at most"
        )
    if "specificationVersion" not in template.document or "steps" not in template.document:
        raise InvalidRequest(
            "template: it is no Open Job Description: specificationVersion or steps is missing"
        )
    return template


def _document(text: str, where: str) -> dict[str, Any]:
    try:
        document = json.loads(text) if text.lstrip().startswith("{") else _yaml(text)
    except (ValueError, RecursionError) as exc:
        raise InvalidRequest(f"template: {where} is neither JSON nor YAML: {exc}") from exc
    if not isinstance(document, dict):
        raise InvalidRequest(f"template: {where} holds no mapping")
    return document


def _yaml(text: str) -> Any:
    try:
        import yaml  # only those who write YAML need it
    except ModuleNotFoundError as exc:
        raise ConfigError("yaml is missing; run: pip install 'callsheet[deadline]'") from exc
    try:
        # Both loaders are safe ones; the one in C is not everywhere.
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both safe
    except yaml.YAMLError as exc:
        raise ValueError(str(exc)) from exc


# -- parameters ----------------------------------------------------------------------------------------------


def encode_parameters(bundle: Bundle, given: Mapping[str, Any]) -> tuple[dict[str, Any], References]:
    """Return the values of a job's parameters as Deadline writes them, and the files that they name.

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
        if kind == "PATH":
            value = _path_value(value, definition, bundle.folder)
            references |= _named(value, definition)
        if value is not None:
            encoded[name] = _encoded(name, kind, value)
    return encoded, references


def _path_value(value: Any, definition: Mapping[str, Any], folder: Path | None) -> Any:
    """Return the path that is sent: one in a bundle is relative to the bundle."""
    if value is None and folder is not None and definition.get("default"):
        return str(_absolute(str(definition["default"]), folder))
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value


def _named(value: Any, definition: Mapping[str, Any]) -> References:
    flow = str(definition.get("dataFlow", "NONE")).upper()
    path = value.get("path") if isinstance(value, Mapping) else value
    path = definition.get("default") if path is None else path
    if flow == "NONE" or not isinstance(path, str) or not path:
        return References()
    where = Path(os.path.normpath(Path(path).absolute()))
    is_file = str(definition.get("objectType", "DIRECTORY")).upper() == "FILE"
    found = References()
    if flow in {"IN", "INOUT"}:
        found |= References(files=(where,)) if is_file else References(folders=(where,))
    if flow in {"OUT", "INOUT"}:
        found |= References(outputs=(where.parent if is_file else where,))
    return found


def _encoded(name: str, kind: str, value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        if len(value) != 1:
            raise InvalidRequest(f"parameters: {name!r} must have one tag, not {sorted(value)}")
        return dict(value)
    # A type that is newer than this is sent as what its value looks like.
    tag = TAGS.get(kind) or _GUESSED.get(type(value), "string")
    try:
        return {tag: _written(tag, value)}
    except TypeError:
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
    if isinstance(value, str | bytes | Mapping):
        raise TypeError
    return iter(value)


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

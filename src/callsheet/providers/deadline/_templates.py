"""What a job is made from: a template as mapping, text or file, or a job bundle.

Templates are Open Job Description; Deadline itself reads and checks them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from callsheet._errors import ConfigError, InvalidRequest
from callsheet._redaction import excerpt

__all__ = ["Bundle", "References", "Template", "read_bundle"]

MAX_TEMPLATE = 1_000_000
"""Characters that Deadline takes."""

OPTIONS: Mapping[str, str] = {
    f"deadline:{name}": name
    for name in (
        *("priority", "targetTaskRunStatus", "maxFailedTasksCount", "maxRetriesPerTask", "maxWorkerCount"),
    )
}
"""Values of a bundle that are not the template's, but members of CreateJob."""


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
        """Tell whether anything travels; what is only spoken of does not."""
        return bool(self.files or self.folders or self.outputs)

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
        folder: Where it is, for paths that are relative to it; `None` for a mapping or text.
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
    return Bundle(_template(_text(path), str(path)), folder=path.absolute().parent)


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

"""Open Job Description templates: what a job is called, its steps, and the tasks of each.

Only what the sandbox answers by is read: https://github.com/OpenJobDescription/openjd-specifications/wiki
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs

__all__ = ["InvalidTemplate", "Plan", "PlannedStep", "parse", "plan"]

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

SPACE_TYPES = {"CHUNK[INT]": "CHUNK_INT"}

REFERENCE = re.compile(r"{{\s*(?:Raw)?Param\.(\w+)\s*}}")
MOST_TASKS = 100_000


class InvalidTemplate(ValueError):
    """A template from which no job can be made; the message says why."""


@attrs.frozen
class PlannedStep:
    """A step to be.

    Attributes:
        needs: The names of the steps it depends on.
        tasks: Each task's parameters, as the service tells them.
        space: Its parameter space, as the service tells it.
        environments: Names of its own environments.
    """

    name: str
    description: str | None
    needs: list[str]
    tasks: list[dict[str, Any]]
    space: dict[str, Any] | None
    environments: list[str]


@attrs.frozen
class Plan:
    """A job to be."""

    name: str
    description: str | None
    parameters: dict[str, dict[str, Any]]
    steps: list[PlannedStep]
    environments: list[str]


def parse(text: str, kind: str) -> dict[str, Any]:
    """Read a template.

    Raises:
        InvalidTemplate: It is no document of that kind.
    """
    import yaml

    try:
        document = json.loads(text) if kind == "JSON" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as exc:
        raise InvalidTemplate(f"The template is not {kind}: {exc}") from exc
    if not isinstance(document, dict):
        raise InvalidTemplate("The template is not an object")
    return document


def plan(
    document: Mapping[str, Any], given: Mapping[str, Any], surroundings: Sequence[Mapping[str, Any]] = ()
) -> Plan:
    """Make a plan of a template and the parameters given for it.

    Args:
        document: The template.
        given: Values by the names of parameters, as the service tells them.
        surroundings: Templates of the environments of its queue; they define parameters, too.

    Raises:
        InvalidTemplate: Something in it, or a parameter, is missing or wrong.
    """
    version = document.get("specificationVersion")
    if version != "jobtemplate-2023-09":
        raise InvalidTemplate(f"specificationVersion: {version!r} is not known")
    if not document.get("name") or not document.get("steps"):
        raise InvalidTemplate("name and steps are required")
    definitions = {
        definition.get("name", ""): definition
        for each in (*surroundings, document)
        for definition in each.get("parameterDefinitions") or []
    }
    parameters = _parameters(definitions.values(), given)
    texts = {name: _text(value) for name, value in parameters.items()}
    steps = [_step(words, texts) for words in document["steps"]]
    names = [step.name for step in steps]
    for step in steps:
        if wrong := [name for name in step.needs if name not in names or name == step.name]:
            raise InvalidTemplate(f"step {step.name}: depends on {wrong[0]!r}")
    if len(set(names)) < len(names):
        raise InvalidTemplate("two steps have the same name")
    description = document.get("description")
    return Plan(
        _resolved(document["name"], texts),
        description and _resolved(description, texts),
        parameters,
        steps,
        [each["name"] for each in document.get("jobEnvironments") or []],
    )


def _parameters(definitions: Iterable[dict[str, Any]], given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
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
            found[name] = {tag: _plain(definition["default"])}
        else:
            raise InvalidTemplate(f"parameter {name}: it has no value")
    if unknown := sorted(set(given) - set(found)):
        raise InvalidTemplate(f"parameter {unknown[0]}: the template does not define it")
    return found


def _plain(value: Any) -> Any:
    """Return a value as the service spells it: all scalars are texts."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return str(value).lower() if isinstance(value, bool) else str(value)


def _text(tagged: Mapping[str, Any]) -> str:
    (value,) = tagged.values()
    return value if isinstance(value, str) else json.dumps(value)


def _resolved(text: Any, texts: Mapping[str, str]) -> str:
    """Return a format string with the job's parameters put in; other references stay."""
    return REFERENCE.sub(lambda match: texts.get(match[1], match[0]), str(text))


def _step(words: Any, texts: Mapping[str, str]) -> PlannedStep:
    try:
        name = words["name"]
        if "command" not in words["script"]["actions"]["onRun"]:
            raise InvalidTemplate(f"step {name}: onRun has no command")
        space = words.get("parameterSpace") or {}
        definitions = space.get("taskParameterDefinitions") or []
        return PlannedStep(
            _resolved(name, texts),
            words.get("description"),
            [each["dependsOn"] for each in words.get("dependencies") or []],
            _tasks(definitions, space.get("combination"), texts),
            _space(definitions, space.get("combination")),
            [each["name"] for each in words.get("stepEnvironments") or []],
        )
    except (KeyError, TypeError) as exc:
        raise InvalidTemplate(f"a step lacks {exc}") from exc


def _space(definitions: list[dict[str, Any]], combination: str | None) -> dict[str, Any] | None:
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


def _tasks(
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
        wanted = list(_range(_resolved(wanted, texts)))
    elif isinstance(wanted, list):
        wanted = [_resolved(_plain(each), texts) for each in wanted]
    if kind == "CHUNK[INT]":
        size = int(_resolved(words["chunks"]["defaultTaskCount"], texts))
        wanted = [_chunk([int(each) for each in chunk]) for chunk in _batched(wanted, size)]
    if kind not in TAGS:
        raise InvalidTemplate(f"parameter {words['name']}: its type is not known")
    return [{TAGS[kind]: str(each)} for each in wanted]


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

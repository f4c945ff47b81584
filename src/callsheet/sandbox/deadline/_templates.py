"""Open Job Description templates: what a job is called, its steps, and the tasks of each.

Only what the sandbox answers by is read: https://github.com/OpenJobDescription/openjd-specifications/wiki
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from callsheet.sandbox.deadline._parameters import InvalidTemplate, resolved, taken, texts_of
from callsheet.sandbox.deadline._spaces import space_told, tasks_of

__all__ = ["InvalidTemplate", "Plan", "PlannedStep", "parse", "plan"]


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
    try:
        return _planned(document, given, surroundings)
    except (AttributeError, KeyError, TypeError) as exc:
        raise InvalidTemplate(f"The template has not the form of one: {exc}") from exc


def _planned(
    document: Mapping[str, Any], given: Mapping[str, Any], surroundings: Sequence[Mapping[str, Any]]
) -> Plan:
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
    parameters = taken(definitions.values(), given)
    texts = texts_of(parameters)
    steps = [_step(words, texts) for words in document["steps"]]
    names = [step.name for step in steps]
    for step in steps:
        if wrong := [name for name in step.needs if name not in names or name == step.name]:
            raise InvalidTemplate(f"step {step.name}: depends on {wrong[0]!r}")
    if len(set(names)) < len(names):
        raise InvalidTemplate("two steps have the same name")
    description = document.get("description")
    return Plan(
        resolved(document["name"], texts),
        description and resolved(description, texts),
        parameters,
        steps,
        [each["name"] for each in document.get("jobEnvironments") or []],
    )


def _step(words: Any, texts: Mapping[str, str]) -> PlannedStep:
    name = words["name"]
    if "command" not in words["script"]["actions"]["onRun"]:
        raise InvalidTemplate(f"step {name}: onRun has no command")
    space = words.get("parameterSpace") or {}
    definitions = space.get("taskParameterDefinitions") or []
    return PlannedStep(
        resolved(name, texts),
        words.get("description"),
        [each["dependsOn"] for each in words.get("dependencies") or []],
        tasks_of(definitions, space.get("combination"), texts),
        space_told(definitions, space.get("combination")),
        [each["name"] for each in words.get("stepEnvironments") or []],
    )

"""Open Job Description templates as the Deadline Cloud sandbox reads them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from callsheet.sandbox.deadline._templates import InvalidTemplate, Plan, parse, plan

SCRIPT = {"actions": {"onRun": {"command": "true"}}}


def planned(document: dict[str, Any] | None = None, given: dict[str, Any] | None = None, **step: Any) -> Plan:
    """Plan a job of one step."""
    whole = {
        "specificationVersion": "jobtemplate-2023-09",
        "name": "job",
        "steps": [{"name": "S", "script": SCRIPT, **step}],
    }
    return plan({**whole, **(document or {})}, given or {})


def defined(kind: str, default: Any) -> dict[str, Any]:
    """Return what a template says that defines a parameter `A`."""
    return {"parameterDefinitions": [{"name": "A", "type": kind, "default": default}]}


def values(
    *definitions: dict[str, Any], combination: str | None = None, given: Any = None
) -> list[list[str]]:
    """Return the values of each task's parameters."""
    space: dict[str, Any] = {"taskParameterDefinitions": list(definitions)}
    if combination:
        space["combination"] = combination
    outer = {"parameterDefinitions": [{"name": "R", "type": "STRING", "default": "1-2"}]}
    (step,) = planned(outer, given, parameterSpace=space).steps
    return [[next(iter(each.values())) for each in task.values()] for task in step.tasks]


def test_json_and_yaml_are_read() -> None:
    """Both kinds lead to the same document; what is neither is refused."""
    assert parse('{"a": [1]}', "JSON") == parse("a:\n- 1\n", "YAML") == {"a": [1]}
    for text, kind in (("{", "JSON"), ("a: [", "YAML"), ("[]", "JSON"), ("", "YAML")):
        with pytest.raises(InvalidTemplate):
            parse(text, kind)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1-3", "1 2 3"),
        ("1-10:4,20", "1 5 9 20"),
        ("3-1:-1", "3 2 1"),
        ("-2--1", "-2 -1"),
        ("{{Param.R}}", "1 2"),
        ("7", "7"),
    ],
)
def test_ranges_are_numbers(text: str, expected: str) -> None:
    """An expression of ranges, steps and single numbers leads to one task each."""
    assert values({"name": "F", "type": "INT", "range": text}) == [[each] for each in expected.split()]


def test_spaces_are_combined() -> None:
    """Parameters multiply, in the order of the template, unless some of them are told to go together."""
    a = {"name": "A", "type": "INT", "range": [1, 2]}
    b = {"name": "B", "type": "STRING", "range": ["x", "{{Param.R}}"]}
    c = {"name": "C", "type": "FLOAT", "range": [0.5]}
    product = [["1", "x", "0.5"], ["1", "1-2", "0.5"], ["2", "x", "0.5"], ["2", "1-2", "0.5"]]
    assert values(a, b, c) == product
    assert values(a, b, c, combination="A * B * C") == product
    assert values(a, b, c, combination="(A, B) * C") == [["1", "x", "0.5"], ["2", "1-2", "0.5"]]
    assert values(a, b, c, combination="C * (B,A)") == [["0.5", "x", "1"], ["0.5", "1-2", "2"]]
    assert values(a, b, c, combination="(A, B * C)") == [["1", "x", "0.5"], ["2", "1-2", "0.5"]]
    for wrong in ("A *", "(A, C) * B", "A B C", "(A", "D", ")"):
        with pytest.raises(InvalidTemplate, match="combination"):
            values(a, b, c, combination=wrong)


def test_chunks_are_tasks() -> None:
    """Numbers in chunks make a task a chunk, written as a range where they are one."""
    chunks = {"defaultTaskCount": 2, "rangeConstraint": "NONCONTIGUOUS"}
    frames = {"name": "F", "type": "CHUNK[INT]", "range": "1-3,9", "chunks": chunks}
    assert values(frames) == [["1-2"], ["3,9"]]
    (step,) = planned(parameterSpace={"taskParameterDefinitions": [frames]}).steps
    assert step.tasks[0] == {"F": {"chunkInt": "1-2"}}
    assert step.space == {"parameters": [{"name": "F", "type": "CHUNK_INT", "chunks": chunks}]}


def test_parameters_have_the_services_tags() -> None:
    """Defaults are spelled as the service does, given ones stand, and the name is resolved with them."""
    definitions = [
        {"name": "S", "type": "STRING"},
        {"name": "I", "type": "INT", "default": 3},
        {"name": "F", "type": "FLOAT", "default": 0.5},
        {"name": "B", "type": "BOOL", "default": True},
        {"name": "L", "type": "LIST[LIST[INT]]", "default": [[1], [2, 3]]},
        {"name": "P", "type": "PATH", "default": "."},
    ]
    document = {
        "name": "{{Param.S}}-{{ RawParam.I }}-{{Task.X}}",
        "parameterDefinitions": definitions,
        "description": "{{Param.S}}",
    }
    told = planned(document, {"S": {"string": "x"}})
    assert (told.name, told.description) == ("x-3-{{Task.X}}", "x")
    assert told.parameters == {
        "S": {"string": "x"},
        "I": {"int": "3"},
        "F": {"float": "0.5"},
        "B": {"bool": "true"},
        "L": {"intListList": [["1"], ["2", "3"]]},
        "P": {"path": "."},
    }


@pytest.mark.parametrize(
    ("document", "given", "message"),
    [
        ({"specificationVersion": "jobtemplate-2099-01"}, {}, "specificationVersion"),
        ({"name": ""}, {}, "name and steps"),
        ({"steps": []}, {}, "name and steps"),
        ({"steps": [{"name": "S"}]}, {}, "script"),
        ({"steps": [{"name": "S", "script": {"actions": {"onRun": {}}}}]}, {}, "command"),
        ({"steps": [{"name": "S", "script": SCRIPT}] * 2}, {}, "same name"),
        (
            {"steps": [{"name": "S", "script": SCRIPT, "dependencies": [{"dependsOn": "T"}]}]},
            {},
            "depends on 'T'",
        ),
        ({"parameterDefinitions": [{"name": "A", "type": "STRING"}]}, {}, "A: it has no value"),
        ({"parameterDefinitions": [{"name": "A", "type": "COLOUR"}]}, {}, "A: its type"),
        ({"parameterDefinitions": [{"name": "A", "type": "INT"}]}, {"A": {"string": "1"}}, "A: it is no int"),
        (defined("INT", 1.5), {}, "A: 1.5 is no int"),
        (defined("STRING", None), {}, "A: None is no string"),
        (defined("LIST[INT]", 1), {}, "A: 1 is no intList"),
        ({"parameterDefinitions": 1}, {}, "not the form"),
        ({}, {"A": {"string": "1"}}, "A: the template does not define it"),
    ],
)
def test_mistakes_are_named(document: dict[str, Any], given: dict[str, Any], message: str) -> None:
    """What is missing or wrong in a template, or among the parameters, is told by name."""
    with pytest.raises(InvalidTemplate, match=message):
        planned(document, given)


def test_spaces_have_their_limits() -> None:
    """A range that is none, a type that is none, and a space beyond all measure are refused."""
    for definition, message in (
        ({"name": "F", "type": "INT", "range": "a"}, "no range"),
        ({"name": "F", "type": "INT", "range": "1-2:0"}, "no range"),
        ({"name": "F", "type": "COLOUR", "range": ["red"]}, "F: its type"),
        ({"name": "F", "type": "INT"}, "range"),
        ({"name": "F", "type": "INT", "range": [1, "one"]}, "F: 'one' is no int"),
        ({"name": "F", "type": "INT", "range": "1-1000000"}, "more than"),
    ):
        with pytest.raises(InvalidTemplate, match=message):
            values(definition)


def test_a_vendors_template_is_read() -> None:
    """A template as the vendor documents it, with all that the sandbox does not look at, makes its tasks."""
    text = """
specificationVersion: jobtemplate-2023-09
extensions: [TASK_CHUNKING]
name: Blender {{Param.Scene}}
parameterDefinitions:
- {name: Scene, type: PATH, objectType: FILE, dataFlow: IN, default: a.blend}
- {name: Frames, type: STRING, default: 1-4, userInterface: {control: LINE_EDIT}}
jobEnvironments:
- {name: Show, variables: {A: b}}
steps:
- name: Render
  hostRequirements: {attributes: [{name: attr.worker.os.family, anyOf: [linux]}]}
  parameterSpace:
    taskParameterDefinitions:
    - {name: Frame, type: INT, range: "{{Param.Frames}}"}
  stepEnvironments: [{name: Blender}]
  script:
    actions: {onRun: {command: bash, args: ["{{Task.File.Run}}"], timeout: 100}}
    embeddedFiles: [{name: Run, type: TEXT, data: "echo {{Task.Param.Frame}}"}]
- name: Encode
  dependencies: [{dependsOn: Render}]
  script: {actions: {onRun: {command: ffmpeg}}}
"""
    told = plan(parse(text, "YAML"), {})
    assert (told.name, told.environments) == ("Blender a.blend", ["Show"])
    seen = [(step.name, len(step.tasks), step.needs, step.environments) for step in told.steps]
    assert seen == [("Render", 4, [], ["Blender"]), ("Encode", 1, ["Render"], [])]
    assert json.loads(json.dumps(told.steps[0].tasks[0])) == {"Frame": {"int": "1"}}

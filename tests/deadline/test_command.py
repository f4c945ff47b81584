"""Jobs of a farm from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from callsheet._cli import main
from callsheet._cli._exits import Exit
from callsheet.sandbox import Sandbox
from support.deadlinehand import FARM, QUEUE

ADDRESS = f"deadline://{FARM}/{QUEUE}"
TEMPLATE = """
specificationVersion: jobtemplate-2023-09
name: Demo
parameterDefinitions:
- {name: Frames, type: STRING}
- {name: Samples, type: INT, default: 4}
steps:
- name: Render
  script: {actions: {onRun: {command: render}}}
"""


def test_a_template_with_parameters(
    sandbox: Sandbox, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A template's parameters are texts, which it says itself how to read."""
    path = tmp_path / "template.yaml"
    path.write_text(TEMPLATE)
    given = ["--template", str(path), "--parameter", "Frames=1", "--parameter", "Samples=16"]
    assert main(["jobs", "create", "sh010", *given, "--url", ADDRESS]) == Exit.OK
    made = json.loads(capfd.readouterr().out)
    assert (made["name"], made["state"]) == ("sh010", "queued")
    assert made["attributes"] == {"Frames": "1", "Samples": "16"}
    (request,) = sandbox.requests("*/queues/*/jobs", method="POST")
    assert json.loads(request.body)["parameters"] == {"Frames": {"string": "1"}, "Samples": {"int": "16"}}


def test_a_parameter_without_a_value(sandbox: Sandbox, capfd: pytest.CaptureFixture[str]) -> None:
    """What is no pair is named, and nothing is sent."""
    assert main(["jobs", "create", "x", "--parameter", "Frames", "--url", ADDRESS]) == Exit.USAGE
    assert "'Frames' is no parameter; write NAME=VALUE" in capfd.readouterr().err
    assert sandbox.requests("*/jobs") == []

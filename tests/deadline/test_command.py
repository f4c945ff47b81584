"""Jobs of a farm from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from callsheet._cli import main
from callsheet._cli._exits import Exit
from callsheet.sandbox import Sandbox
from faultserver import FaultServer
from support.deadlinehand import FARM, QUEUE, quiet_farm
from support.deadlinehand import TEMPLATE as DEMO
from support.s3store import Store

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


def test_files_come_into_their_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A job's files lie in the folders they were in; what would be one file is kept apart."""
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "scene.ma").write_text("scene")
    (bundle / "template.json").write_text(json.dumps(DEMO))
    references = {"inputs": {"filenames": ["scene.ma"]}, "outputs": {"directories": ["renders"]}}
    (bundle / "asset_references.json").write_text(json.dumps({"assetReferences": references}))
    outputs = {"renders/v1/a.exr": "one", "renders/v2/a.exr": "two", "scene.ma": "changed"}
    monkeypatch.chdir(tmp_path)
    with FaultServer(Store().play) as s3, Sandbox(s3=s3.url) as sandbox:
        for name, value in sandbox.environment.items():
            monkeypatch.setenv(name, value)
        quiet_farm(sandbox)
        assert main(["jobs", "create", "sh010", "--template", "bundle", "--url", ADDRESS]) == Exit.OK
        job = json.loads(capfd.readouterr().out)["id"]
        sandbox.act("deadline", "finish", job=job, files=outputs)
        assert main(["download", job, "--to", "in", "--url", ADDRESS]) == Exit.OK
        told = [json.loads(line)["path"] for line in capfd.readouterr().out.splitlines()]
    found = {str(path): path.read_text() for path in Path("in").rglob("*") if path.is_file()}
    assert found == {
        "in/scene.ma": "scene",
        "in/renders/v1/a.exr": "one",
        "in/renders/v2/a.exr": "two",
        "in/2/scene.ma": "changed",
    }
    assert sorted(told) == sorted(found)


def test_a_parameter_without_a_value(sandbox: Sandbox, capfd: pytest.CaptureFixture[str]) -> None:
    """What is no pair is named, and nothing is sent."""
    assert main(["jobs", "create", "x", "--parameter", "Frames", "--url", ADDRESS]) == Exit.USAGE
    assert "'Frames' is no parameter; write NAME=VALUE" in capfd.readouterr().err
    assert sandbox.requests("*/jobs") == []

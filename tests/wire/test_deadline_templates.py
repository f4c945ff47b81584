"""Templates and job bundles: values by the types of their parameters, and the files that they name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from callsheet import InvalidRequest
from callsheet.providers.deadline._parameters import encode_parameters
from callsheet.providers.deadline._templates import References, read_bundle
from support.tables import raises_for

STEPS = [{"name": "Only", "script": {"actions": {"onRun": {"command": "echo"}}}}]


def template(*definitions: dict[str, Any]) -> dict[str, Any]:
    """Return a template with these parameters."""
    return {
        "specificationVersion": "jobtemplate-2023-09",
        "name": "Demo",
        "parameterDefinitions": list(definitions),
        "steps": STEPS,
    }


@pytest.mark.parametrize(
    ("kind", "value", "encoded"),
    [
        ("STRING", "x", {"string": "x"}),
        ("STRING", "", {"string": ""}),
        ("STRING", 7, {"string": "7"}),
        ("STRING", True, {"string": "true"}),
        ("PATH", "/x", {"path": "/x"}),
        ("PATH", Path("/x"), {"path": "/x"}),
        ("INT", 7, {"int": "7"}),
        ("INT", 7.0, {"int": "7"}),
        ("INT", "-7", {"int": "-7"}),
        ("FLOAT", 0.1, {"float": "0.1"}),
        ("FLOAT", 1, {"float": "1"}),
        ("BOOL", True, {"bool": "true"}),
        ("BOOL", "off", {"bool": "off"}),
        ("RANGE_EXPR", "1-10:2", {"rangeExpr": "1-10:2"}),
        ("LIST[STRING]", ["a", "b"], {"stringList": ["a", "b"]}),
        ("LIST[PATH]", [Path("/a")], {"pathList": ["/a"]}),
        ("LIST[INT]", range(3), {"intList": ["0", "1", "2"]}),
        ("LIST[FLOAT]", (0.5, 1), {"floatList": ["0.5", "1"]}),
        ("LIST[BOOL]", [True, False], {"boolList": ["true", "false"]}),
        ("LIST[LIST[INT]]", [[1], []], {"intListList": [["1"], []]}),
        ("LIST[STRING]", '["a", "b"]', {"stringList": ["a", "b"]}),
        ("LIST[LIST[INT]]", "[[1], []]", {"intListList": [["1"], []]}),
        ("INT", {"int": "7"}, {"int": "7"}),
        ("COLOUR", 7, {"int": "7"}),
        ("COLOUR", "red", {"string": "red"}),
    ],
)
def test_values_of_every_type(kind: str, value: Any, encoded: dict[str, Any]) -> None:
    """A value is written as its parameter's type is tagged; numbers keep all their digits."""
    bundle = read_bundle(template({"name": "P", "type": kind}))
    assert encode_parameters(bundle, {"P": value})[0] == {"P": encoded}


def test_values_of_another_type() -> None:
    """A value that is not of its parameter's type is named."""
    cases: list[tuple[str, Any]] = [
        ("INT", 1.5),
        ("INT", True),
        ("INT", float("inf")),
        ("INT", float("nan")),
        ("FLOAT", False),
        ("BOOL", 1),
        ("STRING", None),
        ("STRING", ["a"]),
        ("STRING", b"a"),
        ("LIST[STRING]", "abc"),
        ("LIST[STRING]", '{"a": "b"}'),
        ("LIST[STRING]", "[" * 100_000),
        ("LIST[PATH]", "a"),
        ("LIST[PATH]", [None]),
        ("LIST[INT]", ["1", None]),
        ("LIST[LIST[INT]]", [1]),
        ("PATH", 7.5 + 1j),
    ]
    for kind, value in cases:
        bundle = read_bundle(template({"name": "P", "type": kind}))
        with raises_for((kind, value), InvalidRequest, match="'P'"):
            encode_parameters(bundle, {"P": value})


def test_defaults_are_left_to_deadline() -> None:
    """What is not given and has a default is not sent."""
    bundle = read_bundle(template({"name": "A", "type": "INT", "default": 1}, {"name": "B", "type": "INT"}))
    assert encode_parameters(bundle, {"B": 2}) == ({"B": {"int": "2"}}, References())


def test_paths_name_files_and_folders(tmp_path: Path) -> None:
    """Parameters that are paths name the files and folders that a job reads and writes, by their flow."""
    definitions: list[dict[str, Any]] = [
        {"name": "Scene", "type": "PATH", "objectType": "FILE", "dataFlow": "IN"},
        {"name": "Cache", "type": "PATH", "objectType": "DIRECTORY", "dataFlow": "INOUT"},
        {"name": "Movie", "type": "PATH", "objectType": "FILE", "dataFlow": "OUT"},
        {"name": "Frames", "type": "PATH", "dataFlow": "OUT"},
        {"name": "Tool", "type": "PATH", "default": "/usr/bin/render"},
        {"name": "Empty", "type": "PATH", "dataFlow": "IN", "default": ""},
    ]
    given = {"Scene": tmp_path / "a.ma", "Cache": tmp_path / "x" / ".." / "cache"}
    given |= {"Movie": tmp_path / "out" / "a.mov", "Frames": tmp_path / "frames"}
    encoded, references = encode_parameters(read_bundle(template(*definitions)), given)
    assert encoded["Scene"] == {"path": str(tmp_path / "a.ma")}
    assert "Tool" not in encoded
    assert references == References(
        files=(tmp_path / "a.ma",),
        folders=(tmp_path / "cache",),
        outputs=(tmp_path / "cache", tmp_path / "out", tmp_path / "frames"),
        referenced=(Path("/usr/bin/render"),),
    )


FLOWS: list[dict[str, Any]] = [
    {"name": "Scene", "type": "PATH", "objectType": "FILE", "dataFlow": "IN", "default": "scenes/a.ma"},
    {"name": "Cache", "type": "PATH", "dataFlow": "INOUT", "default": "cache/../caches"},
    {
        "name": "Textures",
        "type": "LIST[PATH]",
        "objectType": "FILE",
        "dataFlow": "IN",
        "default": ["t/1", ""],
    },
    {"name": "Look", "type": "PATH", "default": "look"},
]
"""Parameters that are paths, each with a default that is relative."""


def at(folder: Path, prefix: str = "") -> tuple[dict[str, Any], References]:
    """Return what becomes of these parameters if their paths are relative to a folder."""
    below = folder / prefix
    encoded = {
        "Scene": {"path": f"{below}/scenes/a.ma"},
        "Cache": {"path": f"{below}/caches"},
        "Textures": {"pathList": [f"{below}/t/1", ""]},
        "Look": {"path": f"{below}/look"},
    }
    return encoded, References(
        files=(below / "scenes/a.ma", below / "t/1"),
        folders=(below / "caches",),
        outputs=(below / "caches",),
        referenced=(below / "look",),
    )


def test_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths are sent absolute: those of a template or bundle are below its folder, given ones below ours."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    monkeypatch.chdir(here)
    (there / "template.json").write_text(json.dumps(template(*FLOWS)))
    assert encode_parameters(read_bundle(template(*FLOWS)), {}) == at(here)
    assert encode_parameters(read_bundle(json.dumps(template(*FLOWS))), {}) == at(here)
    assert encode_parameters(read_bundle("../there/template.json"), {}) == at(there)
    assert encode_parameters(read_bundle("../there"), {}) == at(there)
    values: dict[str, Any] = {"Scene": "x/scenes/a.ma", "Cache": "x/caches", "Look": "x/look"}
    values["Textures"] = ["x/t/1", ""]
    own = [{"name": name, "value": value} for name, value in values.items()]
    (there / "parameter_values.json").write_text(json.dumps({"parameterValues": own}))
    assert encode_parameters(read_bundle(there), {}) == at(there, "x")
    given = {"Scene": Path("x/scenes/a.ma"), "Cache": {"path": "x/caches"}, "Look": "x/look/"}
    given["Textures"] = '["x/t/1", ""]'
    assert encode_parameters(read_bundle(there), given) == at(here, "x")


def test_paths_that_stay_as_they_are() -> None:
    """Addresses, where a template may have them, and paths of another system are nobody's files here."""
    look = {"name": "Look", "type": "PATH"}
    plain, extended = template(look), {**template(look), "extensions": ["EXPR"]}
    cases: list[tuple[dict[str, Any], str]] = [
        (plain, ""),
        (plain, "Z:\\show\\look"),
        (plain, "\\\\server\\share\\look"),
        (extended, "s3://bucket/look"),
    ]
    for document, path in cases:
        encoded = encode_parameters(read_bundle(document), {"Look": path})
        assert encoded == ({"Look": {"path": path}}, References())
    assert encode_parameters(read_bundle(plain), {"Look": "s3://bucket/look"})[0] == {
        "Look": {"path": str(Path.cwd() / "s3:/bucket/look")}
    }


def test_a_bundle_is_read_whole(tmp_path: Path) -> None:
    """Template, values, options and asset references come together; relative paths are the bundle's."""
    (tmp_path / "template.yaml").write_text(
        "specificationVersion: jobtemplate-2023-09\nname: Demo\nparameterDefinitions:\n"
        "- {name: Scene, type: PATH, objectType: FILE, dataFlow: IN, default: scenes/a.ma}\n"
        "- {name: Frames, type: STRING}\nsteps: []\n"
    )
    (tmp_path / "parameter_values.yaml").write_text(
        "parameterValues:\n- {name: Frames, value: 1-10}\n- {name: 'deadline:priority', value: 80}\n"
        "- {name: 'other:thing', value: 1}\n"
    )
    (tmp_path / "asset_references.yaml").write_text(
        "assetReferences:\n  inputs:\n    filenames: [tex/a.tx, /abs/b.tx]\n    directories: [cache]\n"
        "  outputs:\n    directories: [renders]\n  referencedPaths: [/mnt/show]\n"
    )
    bundle = read_bundle(tmp_path)
    assert (bundle.template.kind, bundle.options, bundle.folder) == ("YAML", {"priority": 80}, tmp_path)
    assert bundle.references == References(
        files=(tmp_path / "tex" / "a.tx", Path("/abs/b.tx")),
        folders=(tmp_path / "cache",),
        outputs=(tmp_path / "renders",),
        referenced=(Path("/mnt/show"),),
    )
    encoded, named = encode_parameters(bundle, {})
    assert encoded == {
        "Scene": {"path": str(tmp_path / "scenes" / "a.ma")},
        "Frames": {"string": "1-10"},
    }
    assert named == References(files=(tmp_path / "scenes" / "a.ma",))


def test_bundles_that_make_no_sense(tmp_path: Path) -> None:
    """Two templates, values that are no list, or references of the wrong shape are named by their file."""
    whole = "specificationVersion: x\nsteps: []\n"
    cases: list[tuple[dict[str, str], str]] = [
        ({}, "no job bundle"),
        ({"template.yaml": whole, "template.json": "{}"}, "both template.yaml and template.json"),
        ({"template.yaml": whole, "parameter_values.yaml": "parameterValues: 7\n"}, "parameter_values.yaml"),
        (
            {"template.yaml": whole, "asset_references.json": '{"assetReferences": [1]}'},
            "asset_references.json",
        ),
        ({"template.yaml": "\udcff"}, "cannot be read"),
        ({"template.yaml": "a: &a [*a]\n" + whole.replace("steps", "other")}, "missing"),
    ]
    for index, (files, complaint) in enumerate(cases):
        folder = tmp_path / str(index)
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content.encode(errors="surrogateescape"))
        with raises_for(files, InvalidRequest, match=complaint):
            read_bundle(folder)

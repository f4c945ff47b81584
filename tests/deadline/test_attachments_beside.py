"""Manifests and roots beside those of AWS's own library, byte for byte."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from callsheet._threads import Threads
from callsheet.providers.deadline._hash_cache import HashCache
from callsheet.providers.deadline._inputs import find_inputs
from callsheet.providers.deadline._manifests import read_manifest, write_manifest
from callsheet.providers.deadline._roots import Places, Root, below, roots_of
from callsheet.providers.deadline._templates import References
from support.vendors import run_python

SCRIPT = Path(__file__).with_name("attachments_beside.py")

NAMES = (
    "a.ma",
    "tex/é.tx",
    "tex/b.tx",
    "tex/\U0001f600",
    "tex/\uffee",
    "tex/c.tx",
    "A/ z",
    os.fsdecode(b"\xff.exr"),
)


def cases(folder: Path) -> list[dict[str, Any]]:
    """Return paths in constellations that a library may group in one way or another."""
    shot, tex = str(folder / "shot"), str(folder / "shot" / "tex")
    files = [str(folder / "shot" / name) for name in ("a.ma", "tex/b.tx", "tex/c.tx")]
    nothing: dict[str, Any] = {"inputs": [], "outputs": [], "references": [], "local": {}, "shared": []}
    return [
        nothing | {"inputs": files[:1]},
        nothing | {"inputs": files},
        nothing | {"inputs": files, "outputs": [f"{folder}/renders"], "references": [f"{folder}/r/x"]},
        nothing | {"outputs": [f"{folder}/renders"]},
        nothing | {"outputs": [f"{folder}/renders", f"{folder}/renders/deep"]},
        nothing | {"references": files[:1]},
        nothing | {"inputs": files, "local": {tex: "Tex"}},
        nothing | {"inputs": files, "local": {shot: "Shot", tex: "Tex"}, "outputs": [f"{tex}/out"]},
        nothing | {"inputs": files, "local": {f"{folder}/sho": "No"}, "shared": [tex]},
        nothing | {"inputs": files, "shared": [str(folder)]},
        nothing | {"inputs": files, "local": {str(folder): "Show"}, "outputs": ["/elsewhere/out"]},
    ]


async def test_the_same_as_of_awss_own_library(tmp_path: Path) -> None:
    """Both write the same manifests of the same files and group paths alike, and each reads the other's."""
    shot = tmp_path / "shot"
    for number, name in enumerate(NAMES):
        path = shot / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * number * 1000)
        os.utime(path, ns=(0, 1_795_339_212_100_679_999 - number))
    (shot / "link.tx").symlink_to(shot / "tex/b.tx")
    threads = Threads(2)
    cache = HashCache(tmp_path / "hashes.db")
    inputs = await find_inputs([], References(folders=(shot,)), cache=cache, threads=threads)
    (root,) = roots_of(inputs.placed)
    manifest = write_manifest(inputs.placed[path].entry(below(path, root.path)) for path in root.inputs)
    questions = tmp_path / "questions.json"
    questions.write_text(json.dumps({"manifest": manifest.decode(), "cases": cases(tmp_path)}))
    told = await threads.run(
        lambda: run_python("deadline", SCRIPT, str(shot), str(questions), environment={"HOME": str(tmp_path)})
    )
    assert told["written"] == [{"root": root.path, "manifest": manifest.decode()}]
    assert told["read"] == manifest.decode()
    theirs = told["written"][0]["manifest"].encode()
    assert write_manifest(read_manifest(theirs, "theirs")) == theirs
    for case, groups in zip(cases(tmp_path), told["groups"], strict=True):
        places = Places(case["local"], case["shared"])
        ours = roots_of(case["inputs"], case["outputs"], case["references"], places)
        assert ours == [Root(path, name, tuple(i), tuple(o)) for path, name, i, o in groups], case

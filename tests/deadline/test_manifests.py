"""Manifests: the bytes that AWS's own library writes, and nothing that could lead out of a folder."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet import IntegrityError, InvalidResponse
from callsheet.providers.deadline._manifests import (
    Entry,
    hash_of,
    leads_away,
    manifest_name,
    read_manifest,
    write_manifest,
)

ENTRIES = [
    Entry("tex/é.tx", "6bba86c7e069f56d5a10b435f1c8e49c", 6, 1795339212100679),
    Entry("a.ma", "99aa06d3014798d86001c324468d497f", 0, 1795339212100000),
]
DOCUMENT = (
    rb'{"hashAlg":"xxh128","manifestVersion":"2023-03-03","paths":[{"hash":"99aa06d3014798d86001c324468d497f",'
    rb'"mtime":1795339212100000,"path":"a.ma","size":0},{"hash":"6bba86c7e069f56d5a10b435f1c8e49c",'
    rb'"mtime":1795339212100679,"path":"tex/\u00e9.tx","size":6}],"totalSize":6}'
)


@pytest.mark.parametrize(
    ("data", "known"),
    [
        (b"", "99aa06d3014798d86001c324468d497f"),
        (b"hello\n", "6bba86c7e069f56d5a10b435f1c8e49c"),
        (DOCUMENT, "a96007cbc36905e317b3dcc88dd1fa13"),
    ],
)
def test_hashes_are_known(data: bytes, known: str) -> None:
    """A hash is XXH3 with 128 bits and no seed."""
    assert hash_of(data) == known


def test_names_of_manifests() -> None:
    """A manifest is named for its root; that of outputs also for its location."""
    hashed = "3e5ab71d3a98ba46c25873f301dffe80"
    assert manifest_name("/mnt/show/shot010") == f"{hashed}_input"
    assert manifest_name("/mnt/show/shot010", location="Show") == f"{hashed}_input"
    assert manifest_name("/mnt/show/shot010", "output") == f"{hashed}_output"
    assert manifest_name("/shot010", "output", location="/mnt/show") == f"{hashed}_output"


def test_a_manifest_is_written_in_one_way() -> None:
    """Keys, order, escapes and sum are those of the canonical form, whatever the files come in."""
    assert write_manifest(ENTRIES) == write_manifest(reversed(ENTRIES)) == DOCUMENT
    assert read_manifest(DOCUMENT, "m") == ENTRIES[::-1]


def test_paths_are_ordered_by_utf_16() -> None:
    """A character beyond the first plane comes before the last ones in it, and broken names are kept."""
    paths = ["z", "\uffee", "\U0001f600", "a\udc80", "A"]
    entries = [Entry(path, "0", 1, 0) for path in paths]
    ordered = [entry.path for entry in read_manifest(write_manifest(entries), "m")]
    assert ordered == ["A", "a\udc80", "z", "\U0001f600", "\uffee"]


NAMES = st.text(st.characters(exclude_characters="/\\\0"), min_size=1).filter(
    lambda name: name not in {".", ".."} and not leads_away(name)
)


@given(
    st.dictionaries(
        st.lists(NAMES, min_size=1, max_size=3).map("/".join).filter(lambda path: not leads_away(path)),
        st.tuples(
            st.text("0123456789abcdef", min_size=32, max_size=32),
            st.integers(0),
            st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999),
        ),
    )
)
def test_what_is_written_is_read(files: dict[str, tuple[str, int, int]]) -> None:
    """Whatever the names, sizes and times are, they come back."""
    entries = [Entry(path, *facts) for path, facts in files.items()]
    again = read_manifest(write_manifest(entries), "m")
    assert sorted(again, key=lambda entry: entry.path) == sorted(entries, key=lambda entry: entry.path)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "../a",
        "a/../../b",
        "a//b",
        "a/",
        "./a",
        "..",
        "a/..\\b",
        "\\\\server\\share",
        "C:/windows",
        "c:a",
        "a\0b",
    ],
)
def test_a_path_that_leads_away(path: str) -> None:
    """A manifest with a file outside of its root is refused whole."""
    with pytest.raises(IntegrityError, match="leads out of its root"):
        read_manifest(write_manifest([Entry("fine", "0", 1, 0), Entry(path, "0", 1, 0)]), "m")


@pytest.mark.parametrize("path", ["a", "a.b", "..a", "a..", "...", "a b/c", "-", "~", "%2e%2e", "CON"])
def test_a_path_that_stays(path: str) -> None:
    """Odd names are no harm by themselves."""
    assert [entry.path for entry in read_manifest(write_manifest([Entry(path, "0", 1, 0)]), "m")] == [path]


def changed(**changes: Any) -> bytes:
    """Return the manifest with other values in it, or in its first file."""
    document = json.loads(DOCUMENT)
    for name, value in changes.items():
        (document["paths"][0] if name in document["paths"][0] else document)[name] = value
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("data", "path"),
    [
        (b"", "$"),
        (b"\xff", "$"),
        (b"[" * 100_000, "$"),
        (b"[]", "$"),
        (b"{}", "$.manifestVersion"),
        (changed(manifestVersion="2099-01-01"), "$.manifestVersion"),
        (changed(hashAlg="md5"), "$.manifestVersion"),
        (changed(paths={}), "$.paths"),
        (changed(paths=["a"]), "$.paths[0]"),
        (changed(paths=[{"path": "a"}]), "$.paths[0]"),
        (changed(path=1), "$.paths[0].path"),
        (changed(hash=None), "$.paths[0].hash"),
        (changed(hash="../../secret"), "$.paths[0].hash"),
        (changed(size="1"), "$.paths[0].size"),
        (changed(size=True), "$.paths[0].size"),
        (changed(size=-1), "$.paths[0].size"),
        (changed(mtime=1.5), "$.paths[0].mtime"),
        (changed(mtime=-62_135_596_800_000_001), "$.paths[0].mtime"),
        (changed(mtime=253_402_300_800_000_000), "$.paths[0].mtime"),
    ],
)
def test_what_is_no_manifest(data: bytes, path: str) -> None:
    """A manifest that cannot be read is an error that names it and the place."""
    with pytest.raises(InvalidResponse, match=r"^manifest the/key ") as caught:
        read_manifest(data, "the/key")
    assert caught.value.path == path

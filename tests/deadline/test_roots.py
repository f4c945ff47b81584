"""Roots: which files and folders travel together, as AWS's own library groups them."""

from __future__ import annotations

from pathlib import Path

import pytest

from callsheet import InvalidRequest
from callsheet.providers.deadline._roots import Places, Root, below, roots_of
from callsheet.providers.deadline.details import FileSystemLocation


def test_one_root_for_all() -> None:
    """Without locations, everything on one drive shares the folder that all of it is in."""
    assert roots_of(
        ["/show/shot/b.ma", "/show/shot/tex/a.tx"], ["/show/shot/renders"], ["/show/shot/ref/x"]
    ) == [Root("/show/shot", None, ("/show/shot/b.ma", "/show/shot/tex/a.tx"), ("/show/shot/renders",))]


def test_a_single_file() -> None:
    """The root of one file is its folder; given twice it travels once."""
    assert roots_of(["/show/a.ma", "/show/a.ma"]) == [Root("/show", None, ("/show/a.ma",))]


def test_outputs_alone() -> None:
    """A single output folder is its own root."""
    assert roots_of([], ["/show/renders"]) == [Root("/show/renders", None, (), ("/show/renders",))]
    assert roots_of([]) == []


def test_a_reference_that_is_a_file(tmp_path: Path) -> None:
    """A root is never a file, though only spoken of."""
    (tmp_path / "a").write_bytes(b"")
    assert roots_of([], [], [str(tmp_path / "a")]) == [Root(str(tmp_path))]


def test_locations() -> None:
    """What is below a local location travels apart, the innermost one; what is below a shared one stays."""
    places = Places.of(
        [
            FileSystemLocation(name="Show", path="/show", type="LOCAL"),
            FileSystemLocation(name="Shot", path="/show/shot", type="LOCAL"),
            FileSystemLocation(name="Tools", path="/tools", type="SHARED"),
            FileSystemLocation(name="Nowhere", path="", type="LOCAL"),
        ]
    )
    files = ["/show/shot/a", "/show/shot/deep/b", "/show/c", "/shower/d", "/tools/e", "/show/shot2/f"]
    assert roots_of(files, ["/tools/out", "/show/renders"], ["/show/shot/ref"], places) == [
        Root("/show", "Show", ("/show/c", "/show/shot2/f"), ("/show/renders",)),
        Root("/show/shot", "Shot", ("/show/shot/a", "/show/shot/deep/b")),
        Root("/shower", None, ("/shower/d",)),
    ]


def test_too_many_roots() -> None:
    """More roots, or outputs of one, than Deadline takes are refused before anything is sent."""
    places = Places({f"/{number}": str(number) for number in range(11)})
    with pytest.raises(InvalidRequest, match="11 drives or locations"):
        roots_of([f"/{number}/a" for number in range(11)], places=places)
    files = [f"/{number}/a" for number in range(10)]
    assert len(roots_of(files, places=places)) == 10
    with pytest.raises(InvalidRequest, match="10 drives or locations, and some have no place"):
        roots_of(files, places=places, spare=1)
    with pytest.raises(InvalidRequest, match="outputs: 101 folders below /a"):
        roots_of([], [f"/a/{number}" for number in range(101)])


@pytest.mark.parametrize(
    ("path", "root", "written"), [("/a/b/c", "/a", "b/c"), ("/a", "/", "a"), ("/a/b/c", "/a/b", "c")]
)
def test_paths_below_a_root(path: str, root: str, written: str) -> None:
    """A path is written as it is below its root, also below the topmost."""
    assert below(path, root) == written

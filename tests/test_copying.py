"""What a mirror goes by: its key, and which pattern gives back the names of frames that are copied."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet import FrameSequence
from callsheet._copying import pattern_of
from callsheet._mirroring import mirror_key


def test_a_mirror_is_of_one_job_of_one_tracker() -> None:
    """Jobs of one id on two trackers have two mirrors; another version of callsheet finds the same ones."""
    one, other = "vidispine+https://one", "vidispine+https://two"
    assert mirror_key(one, "VX-1") == "fe2ee348-938b-5bbe-9781-546c8b4a10d9"
    assert mirror_key(other, "VX-1") == "1b94468a-802b-5d4c-b190-7861bc400ac6"
    assert mirror_key(one, "VX-2") == "d26b49af-8a65-5148-99de-d43b376e89b1"


@pytest.mark.parametrize(
    ("name", "frames", "found"),
    [
        ("beauty.%04d.exr", ["beauty.1001.exr", "beauty.1002.exr"], ("beauty.%04d.exr", 1001)),
        ("beauty", ["sh010_v2.0009.exr", "sh010_v2.0010.exr"], ("sh010_v2.%04d.exr", 9)),
        ("beauty", ["sh010.9.exr", "sh010.10.exr"], ("sh010.%01d.exr", 9)),
        ("beauty", ["99.exr", "100.exr"], ("%02d.exr", 99)),
        ("beauty", ["a.1001"], ("a.%04d", 1001)),
        ("beauty", ["a.1001.mp4"], ("a.%04d.mp4", 1001)),
        ("100%", ["100%.7.exr", "100%.8.exr"], ("100%%.%01d.exr", 7)),
        ("v2.%d.exr", ["v2.8.exr"], ("v2.%d.exr", 8)),
        ("2%d.exr", ["29.exr", "210.exr"], ("2%d.exr", 9)),
        ("v2_%04d8.exr", ["v2_00018.exr", "v2_00028.exr"], ("v2_%04d8.exr", 1)),
        ("beauty", ["29.exr", "210.exr"], None),
        ("beauty", ["a.10.exr", "a.20.exr"], None),
        ("beauty", ["a.1.exr", "a.3.exr"], None),
        ("beauty", ["a.1.exr", "b.2.exr"], None),
        ("beauty", ["a.2.exr", "a.1.exr"], None),
        ("beauty", ["a.1.exr", "a.01.exr"], None),
        ("beauty", ["a.exr"], None),
        ("beauty", ["folder/a.1.exr"], None),
        ("beauty", [], None),
    ],
)
def test_the_pattern_of_frames(name: str, frames: list[str], found: tuple[str, int] | None) -> None:
    """Numbers without a gap make a pattern; where it could be several, the sequence's own name tells."""
    assert pattern_of(name, frames) == found


DIGITS = {*"0123456789"}
TEXT = st.text(st.characters(exclude_characters="/\\\0", exclude_categories=["Cs"]), max_size=6)


@given(TEXT, TEXT, st.integers(0, 5), st.integers(0, 120), st.integers(2, 12), st.booleans())
def test_any_sequence_is_found_again(
    before: str, after: str, width: int, first: int, count: int, named: bool
) -> None:
    """Whatever a sequence's files are called, the pattern that is found gives just their names.

    Where digits of the name stand beside the number, only a sequence that is called so can be found.
    """
    named = named or before[-1:] in DIGITS or after[:1] in DIGITS
    pattern = f"{before.replace('%', '%%')}%0{width}d{after.replace('%', '%%')}"
    names = [file.name for file in FrameSequence(pattern, first, first + count - 1).files()]
    found = pattern_of(pattern if named else "beauty", names)
    assert found is not None
    assert [file.name for file in FrameSequence(*found, found[1] + count - 1).files()] == names

"""Names that a tracker gives, made safe for a folder: harmless whatever they were, unchanged if they were."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet._names import part_name, safe_name

HOSTILE = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("/\\:*?\"<>|.\0\n\r\t ~%$&;'`\u202e\u2066\u2028\ufeff\ud800\udcff"),
    ),
    max_size=400,
)


@given(HOSTILE)
def test_any_name_becomes_one_visible_file(name: str) -> None:
    """It is one part of a path, not hidden, printable, not too long, and no device on any system."""
    safe = safe_name(name)
    assert Path(safe).parts == (safe,)
    assert len(os.fsencode(part_name(safe))) <= 255
    assert not safe.startswith((".", " "))
    assert not safe.endswith((".", " "))
    assert not set('\\/:*?"<>|') & set(safe)
    assert {unicodedata.category(character) for character in safe}.isdisjoint({"Cc", "Cf", "Cs", "Zl", "Zp"})
    assert safe.partition(".")[0].strip().upper() not in {"CON", "PRN", "AUX", "NUL", "COM1", "LPT9"}


@given(HOSTILE)
def test_a_safe_name_stays(name: str) -> None:
    """What was made safe is safe: doing it again changes nothing."""
    assert safe_name(safe_name(name)) == safe_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "beauty.1001.exr",
        "sh010 comp v002.mov",
        "a",
        "ä",
        "日本.txt",
        "console.log",
        "com.txt",
        "x" * 240,
        "a..b",
    ],
)
def test_harmless_names_stay(name: str) -> None:
    """An ordinary name is left alone."""
    assert safe_name(name) == name


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("", "_"),
        (".", "_"),
        ("..", "_"),
        ("../../etc/passwd", "__.._etc_passwd"),
        ("/abs", "_abs"),
        ("C:\\a.bat", "C__a.bat"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("com1 .exr", "_com1 .exr"),
        (".bashrc", "_bashrc"),
        ("trailing. .", "trailing"),
        ("a\u202egpj.exe", "a_gpj.exe"),
        ("a\0b\nc", "a_b_c"),
        ("x" * 300 + ".exr", "x" * 236 + ".exr"),
        ("ä" * 200 + ".exr", "ä" * 118 + ".exr"),
        ("." + "x" * 300, "_" + "x" * 239),
        ("a." + "x" * 300, "a." + "x" * 238),
    ],
)
def test_hostile_names_by_hand(name: str, safe: str) -> None:
    """What becomes of the names that have done harm elsewhere."""
    assert safe_name(name) == safe


def test_the_part_lies_beside_and_hidden() -> None:
    """A temporary name is the name itself, hidden and marked."""
    assert part_name("a.mov") == ".a.mov.part"

"""What is read out of a command's output as its progress."""

from __future__ import annotations

import itertools
import re
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

import callsheet
from callsheet._cli._progress_lines import LINE_LIMIT, Latest, ProgressLines, compile_pattern

Said = tuple[float | None, str | None, str | None]


def said(*blocks: bytes, pattern: str | None = None) -> Said:
    """Return value, message and failure after the blocks, and the stream's end."""
    latest = Latest()
    lines = ProgressLines(latest, compile_pattern(pattern) if pattern else None)
    for block in blocks:
        lines.feed(block)
    lines.finish()
    return latest.value, latest.message, latest.failure


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (b"Progress: 40%\n", (0.4, None, None)),
        (b"12:01:07 INFO  PROGRESS:  7.5 % of sh010\n", (0.075, None, None)),
        (b"progress:100%", (1.0, None, None)),
        (b"Progress: 10%\rProgress: 20%\rProgress: 30%", (0.3, None, None)),
        (b"Progress: 10%\nProgress: 140%\n", (None, None, None)),
        (b"Progress: forty%\nInprogress: 3%\nProgress: 40\n40%\n", (None, None, None)),
        (b"openjd_progress: 40\n", (0.4, None, None)),
        (b"openjd_progress: 40.25\r\n", (0.4025, None, None)),
        (b"openjd_progress: nan\nopenjd_progress: ten\n", (None, None, None)),
        (b"  openjd_progress: 40\nopenjd_progress:40\n", (None, None, None)),
        (b"openjd_status: baking \xc3\xa4 \x1b[1m\nnext\n", (None, "baking ä [1m", None)),
        (b"openjd_fail: no licence\n", (None, None, "no licence")),
        (b"openjd_progress: 1\nopenjd_status: a\nopenjd_progress: 2\n", (0.02, "a", None)),
        (b"Progress: 30%\nopenjd_progress: 20\n", (0.2, None, None)),
        (b"openjd_progress: 20\nProgress: 30%\n", (0.3, None, None)),
        (b"\x00\xff\xfe%openjd_\x00", (None, None, None)),
        (b"", (None, None, None)),
    ],
)
def test_known_lines_are_read(output: bytes, expected: Said) -> None:
    """The known forms are found, the last of each counts, and anything else is no progress."""
    assert said(output) == expected


@pytest.mark.parametrize(
    ("pattern", "output", "expected"),
    [
        (r"(\d+)% done", b"Progress: 5%\n  12% done - 40 rays\n", (0.12, None, None)),
        (r"^at (?P<percent>[\d.,]+)", b"at 12,5\nnot at 9\n", (0.125, None, None)),
        (r"Fra:(?P<done>\d+)/(?P<total>\d+)", b"Fra:3/12 Mem:1M\n", (0.25, None, None)),
        (r"(?P<done>\d+)/(?P<total>\d+) (?P<message>.*)", b"1/4 foo\r2/4 bar\r", (0.5, "bar", None)),
        (r"(?P<done>\d+)/(?P<total>\d+)", b"3/0\n", (None, None, None)),
        (r"step (?P<message>\w+)", b"step one\nopenjd_progress: 9\n", (0.09, "one", None)),
        (r"step (?P<message>\w+)", b"step 7\n", (None, "7", None)),
        (r"(\d+)%|(nothing)", b"nothing\n", (None, None, None)),
        (r"größe (\d+)", "größe 12\n".encode(), (0.12, None, None)),
    ],
)
def test_the_users_pattern_stands_for_progress(pattern: str, output: bytes, expected: Said) -> None:
    """A pattern's groups tell percent, share or message; it replaces `Progress: 40%` only."""
    assert said(output, pattern=pattern) == expected


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (r"(\d+", "is no regular expression: missing )"),
        (r"\d+%", "has no group for the number"),
        (r"(?P<done>\d+)", "needs both groups"),
        (r"(\d+)\udc80", "is no regular expression"),
    ],
)
def test_unusable_patterns_are_refused(pattern: str, words: str) -> None:
    """A pattern that cannot work says so before anything is run."""
    with pytest.raises(callsheet.InvalidRequest, match=re.escape(words)):
        compile_pattern(pattern)


OUTPUT = (
    b"start\nProgress: 10%\ropenjd_status: one\r\nopenjd_progress: 20\n"
    b"\x00\xff Progress: 30%\n\nopenjd_fail: no\nopenjd_status: two"
)


@given(st.lists(st.integers(0, len(OUTPUT)), max_size=8))
def test_it_does_not_matter_where_blocks_are_cut(cuts: list[int]) -> None:
    """The same output says the same, however it arrives."""
    places = sorted({0, *cuts, len(OUTPUT)})
    blocks = [OUTPUT[start:end] for start, end in itertools.pairwise(places)]
    assert said(*blocks) == (0.3, "two", "no")


def test_a_line_without_end_is_not_kept() -> None:
    """Output without line ends takes no memory, and a line's beginning is still read."""
    latest = Latest()
    lines = ProgressLines(latest)
    tracemalloc.start()
    lines.feed(b"openjd_status: " + b"x" * LINE_LIMIT)
    for _ in range(1000):
        lines.feed(b"x" * 65536)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000
    lines.feed(b"\nProgress: 40%\n")
    assert latest.value == 0.4
    assert latest.message is not None
    assert latest.message.startswith("xxx")

"""The last lines of output, as they become the problem of a failed job."""

from __future__ import annotations

import tracemalloc

import pytest

from callsheet._cli._tail import LINE_LIMIT, LINES, Tail


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        (b"one\n\n  two\n", "one\n  two"),
        (b"no end", "no end"),
        (b"\x1b[31mred\x1b[0m \x1b]0;title\x07text\x1b(B\n", "red text(B"),
        (b"10%\r20%\r30%\r\nend\r\n", "30%\nend"),
        (b"a\tb\x00\x07c \xff \xc3\xa4\n", "a       bc � ä"),
        (b"openjd_redacted_env: KEY=hunter2\nopenjd_progress: 3\nreal\n", "real"),
        (b"x" * (LINE_LIMIT + 9) + b"end\n", "x" * (LINE_LIMIT - 3) + "end"),
        (b"", ""),
    ],
)
def test_lines_are_shown_as_people_read_them(output: bytes, shown: str) -> None:
    """Colours, rewritten lines, control characters and lines for machines are left out."""
    tail = Tail()
    tail.stream()(output)
    assert tail.text() == shown


def test_streams_are_shown_in_the_order_of_arrival() -> None:
    """Lines of two streams are never mixed up, wherever they are cut."""
    tail = Tail()
    out, err = tail.stream(), tail.stream()
    out(b"first ha")
    err(b"warning\npart")
    out(b"lf\nsecond\n")
    err(b"ial")
    assert tail.text() == "warning\nfirst half\nsecond\npartial"


def test_only_the_last_lines_are_kept() -> None:
    """A flood, with lines or without, takes no memory, and its end is there."""
    tail = Tail()
    feed = tail.stream()
    tracemalloc.start()
    for _ in range(200):
        feed(b"x" * 65536)
    for number in range(20_000):
        feed(b"line %d\n" % number)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000
    assert tail.text() == "\n".join(f"line {number}" for number in range(20_000 - LINES, 20_000))
    feed(b"line 20000")
    assert tail.text() == "\n".join(f"line {number}" for number in range(20_001 - LINES, 20_001))

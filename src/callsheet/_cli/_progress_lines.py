"""What a command says of its own progress, read from copies of its output.

Three kinds of line are known: `Progress: 40%` anywhere in a line, the `openjd_` lines of the Open Job
Description (https://github.com/OpenJobDescription/openjd-specifications/wiki), and a pattern of the user's.
"""

from __future__ import annotations

import re
from contextlib import suppress

from callsheet import InvalidRequest

__all__ = ["LINE_LIMIT", "Latest", "ProgressLines", "compile_pattern"]

LINE_LIMIT = 4096
"""Bytes of a line that are looked at; a longer one is looked at no further."""

OPENJD = re.compile(rb"^openjd_(?P<word>progress|status|fail): (?P<text>.+)", re.MULTILINE)
PERCENT = re.compile(rb"\b(?:[Pp]rogress|PROGRESS):[ \t]*(?P<percent>\d+(?:\.\d+)?)[ \t]*%")
MARKS = (b"openjd_", b"rogress:", b"ROGRESS:")
"""Nearly all output holds none of these, and finding that out costs next to nothing."""


class Latest:
    """The latest that a command has said of itself; each stream's thread writes here, the loop reads.

    Attributes:
        value: How far it is, from 0.0 to 1.0.
        message: What it is doing.
        failure: Why it fails, in its own words.
    """

    value: float | None = None
    message: str | None = None
    failure: str | None = None


class ProgressLines:
    """Reads one stream, block by block, wherever its lines are cut."""

    def __init__(self, latest: Latest, pattern: re.Pattern[bytes] | None = None) -> None:
        self._latest = latest
        self._pattern = pattern
        self._rest = b""

    def feed(self, block: bytes) -> None:
        """Take in the next bytes; lines may end with a carriage return, as progress counters do."""
        text = self._rest + block
        end = max(text.rfind(b"\n"), text.rfind(b"\r")) + 1
        self._rest = text[end : end + LINE_LIMIT]
        self._read(text[:end])

    def finish(self) -> None:
        """Take what is left as the last line."""
        self._read(self._rest)
        self._rest = b""

    def _read(self, lines: bytes) -> None:
        if not (self._pattern or any(mark in lines for mark in MARKS)):
            return
        lines = lines.replace(b"\r", b"\n")
        # Of each kind only the last counts: a flood of them costs little more than one.
        last = {match["word"]: match for match in OPENJD.finditer(lines)}
        last.update((b"", match) for match in (self._pattern or PERCENT).finditer(lines))
        for match in sorted(last.values(), key=re.Match.start):
            if match.re is OPENJD:
                self._read_openjd(match["word"], match["text"])
            else:
                self._read_match(match)

    def _read_openjd(self, word: bytes, text: bytes) -> None:
        if word == b"progress":
            self._see_percent(text)
        elif word == b"status":
            self._latest.message = _readable(text)
        else:
            self._latest.failure = _readable(text)

    def _read_match(self, match: re.Match[bytes]) -> None:
        named = match.groupdict()
        if "total" in named:
            self._see_share(named["done"], named["total"])
        elif "percent" in named or "message" not in named:
            self._see_percent(named.get("percent") or match[1])
        if named.get("message"):
            self._latest.message = _readable(named["message"])

    def _see_percent(self, number: bytes | None) -> None:
        self._see_share(number, b"100")

    def _see_share(self, done: bytes | None, total: bytes | None) -> None:
        # What is no number, or out of range, is no progress: a command may print what it likes.
        with suppress(ValueError, ZeroDivisionError):
            share = _number(done) / _number(total)
            if 0 <= share <= 1:
                self._latest.value = share


def compile_pattern(text: str) -> re.Pattern[bytes]:
    """Return the user's pattern, to be searched in each line.

    Its groups tell what is found: `percent`, or the first group, from 0 to 100; or `done` and `total`, whose
    ratio counts; and `message`.

    Raises:
        InvalidRequest: It is no regular expression, or has no such group.
    """
    option = f"--progress-pattern {text!r}"
    try:
        pattern = re.compile(text.encode(), re.MULTILINE)
    except (re.error, UnicodeEncodeError) as exc:
        raise InvalidRequest(f"{option} is no regular expression: {exc}") from exc
    if pattern.groups == 0:
        raise InvalidRequest(rf"{option} has no group for the number, such as '(\d+)% done'")
    if ("done" in pattern.groupindex) != ("total" in pattern.groupindex):
        raise InvalidRequest(f"{option} needs both groups, (?P<done>…) and (?P<total>…)")
    return pattern


def _number(text: bytes | None) -> float:
    return float((text or b"").replace(b",", b"."))


def _readable(text: bytes) -> str:
    return "".join(c for c in text.decode(errors="replace").strip() if c.isprintable())

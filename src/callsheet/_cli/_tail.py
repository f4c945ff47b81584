"""The last lines of a command's output: what people look at first when it has failed."""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Callable

__all__ = ["Tail"]

LINES = 20
LINE_LIMIT = 500
"""Bytes kept of a line: its end."""
SCANNED = 16 << 10
"""Bytes at the end of a block that are looked at; the lines before them are pushed out anyway."""

ESCAPES = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
"""Terminal control sequences (ECMA-48): colours, cursor movements, window titles."""
OPENJD = re.compile(rb"^openjd_\w+: ")
"""A line for a render farm; it may tell it a secret (openjd_redacted_env), and tells people nothing new."""


class Tail:
    """Keeps the last lines of several streams in the order of their arrival; may be fed from any thread."""

    def __init__(self) -> None:
        self._lines: deque[bytes] = deque(maxlen=LINES)
        self._partial: list[bytes] = []
        self._lock = threading.Lock()

    def stream(self) -> Callable[[bytes], None]:
        """Return what takes in the blocks of one more stream."""
        number = len(self._partial)
        self._partial.append(b"")

        def feed(block: bytes) -> None:
            with self._lock:
                *lines, rest = (self._partial[number] + block)[-SCANNED:].split(b"\n")
                self._lines.extend(line for line in lines if line.strip())
                self._partial[number] = rest[-SCANNED // 4 :]

        return feed

    def text(self) -> str:
        """Return the lines as one would read them: of a line that was rewritten, the last form."""
        with self._lock:
            lines = [*self._lines, *self._partial]
        shown = (_shown(line) for line in lines)
        return "\n".join([line for line in shown if line][-LINES:])


def _shown(line: bytes) -> str:
    plain = ESCAPES.sub(b"", line)
    if OPENJD.match(plain):
        return ""
    last = plain.rstrip(b"\r").rpartition(b"\r")[2]
    text = last[-LINE_LIMIT:].decode(errors="replace").expandtabs()
    return "".join(c for c in text if c.isprintable()).rstrip()

"""A terminal: a pseudo-terminal pair, and the screen that what is written to it would give. Unix only."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

__all__ = ["Screen", "Terminal"]

WHOLE = re.compile(r"\x1b\[[?\d;]*[A-Za-z]")
QUIET = 0.1
"""Seconds without a byte after which a command that has ended has written everything."""

SEQUENCE = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)|\x1b")


class Screen:
    """Text as it stands on a screen, for the few control sequences that programs of today need.

    Attributes:
        lines: Its lines, with those that have scrolled away, without blanks at their ends.
        colours: The words that were written in each colour (SGR parameters).
    """

    def __init__(self) -> None:
        self._rows: list[list[str]] = [[]]
        self._row = self._column = 0
        self._colour = ""
        self.colours: dict[str, list[str]] = {}

    @property
    def lines(self) -> list[str]:
        """The lines that are not empty, from the top."""
        texts = ("".join(row).rstrip() for row in self._rows)
        return [text for text in texts if text]

    def write(self, text: str) -> None:
        """Show a text; a control sequence must not be cut."""
        for match in SEQUENCE.finditer(text):
            parameters, command, move, plain = match.groups()
            if command:
                self._obey(command, parameters)
            elif move == "\r":
                self._column = 0
            elif move == "\n":
                self._row += 1
                self._rows += [[] for _ in range(self._row + 1 - len(self._rows))]
            elif plain:
                self._put(plain)

    def _obey(self, command: str, parameters: str) -> None:
        if command == "m":
            self._colour = "" if parameters in ("", "0") else parameters
        elif command == "A":
            self._row = max(0, self._row - int(parameters or 1))
        elif command == "K":
            self._rows[self._row] = [] if parameters == "2" else self._rows[self._row][: self._column]

    def _put(self, plain: str) -> None:
        row = self._rows[self._row]
        row += " " * (self._column - len(row))
        row[self._column : self._column + len(plain)] = plain
        self._column += len(plain)
        if self._colour:
            self.colours.setdefault(self._colour, []).append(plain)


class Terminal:
    """A command in a terminal of its own, which it controls as under a login.

        with Terminal(["sh"], columns=100) as terminal:
            terminal.type("echo hello\\n")
            terminal.shows("hello")

    Attributes:
        screen: What it shows.
        process: The command.
    """

    def __init__(self, command: Sequence[str], *, columns: int = 100, rows: int = 40) -> None:
        self.screen = Screen()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._waiting = ""  # the beginning of a control sequence
        # Our own end of the command's side keeps what it wrote last from being lost with its end.
        self._master, self._slave = pty.openpty()
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        modes = termios.tcgetattr(self._slave)
        modes[3] |= termios.NOFLSH  # else Ctrl-C would take back what was written and we have not read yet
        termios.tcsetattr(self._slave, termios.TCSANOW, modes)
        environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(columns), "PS1": "$ "}
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *command],
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env=environment,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._master)  # a hang-up
        os.close(self._slave)
        try:
            self.process.wait(20)
        finally:
            self.process.kill()
            self.process.wait()

    def type(self, keys: str) -> None:
        """Press keys; `\\x03` is Ctrl-C."""
        os.write(self._master, keys.encode())

    def shows(self, words: str, within: float = 40) -> None:
        """Wait until the words stand on the screen, in one line."""
        deadline = time.monotonic() + within
        while not any(words in line for line in self.screen.lines):
            if not self._read(deadline):
                raise AssertionError(self._unexpected(f"{words!r} never came"))

    def ended(self, within: float = 40) -> int:
        """Read until the command has ended and written no more, and return its exit code."""
        deadline = time.monotonic() + within
        while True:
            has_ended = self.process.poll() is not None
            if not self._read(time.monotonic() + QUIET) and has_ended:
                return self.process.wait()
            if time.monotonic() > deadline:
                raise AssertionError(self._unexpected("it never ended"))

    def _unexpected(self, what: str) -> str:
        return "\n".join([f"{what}; on the screen is", *self.screen.lines])

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))
        block = os.read(self._master, 1 << 16) if ready else b""
        text = self._waiting + self._decoder.decode(block)
        cut = text.rfind("\x1b")
        if cut < 0 or WHOLE.match(text, cut):
            cut = len(text)
        self.screen.write(text[:cut])
        self._waiting = text[cut:]
        return bool(block)

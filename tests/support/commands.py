"""Commands as tests call them: in this process, or as processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any, TypeAlias

import attrs

__all__ = ["COMMAND", "Answer", "Cli", "Run", "finished"]

COMMAND = [sys.executable, "-m", "callsheet"]

Record = dict[str, Any]


@attrs.frozen
class Answer:
    """What a command gave: its exit code, what it wrote, and what it said."""

    code: int
    out: str
    err: str

    @property
    def records(self) -> list[Record]:
        """Its JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def ids(self) -> list[str]:
        """The ids of its JSON lines, or the lines themselves."""
        return [json.loads(line)["id"] if line.startswith("{") else line for line in self.out.splitlines()]


Cli: TypeAlias = Callable[..., Answer]
"""Calls a command in this process."""

Run: TypeAlias = Callable[..., subprocess.Popen[bytes]]
"""Starts a command as a process."""


def finished(process: subprocess.Popen[bytes], timeout: float = 50) -> Answer:
    """Wait for a process, and return what it gave."""
    out, err = process.communicate(timeout=timeout)
    return Answer(process.returncode, (out or b"").decode(), (err or b"").decode())

"""The wrapped command as a process: started, signalled and waited for with all that it starts itself."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from typing import IO

import attrs

from callsheet._cli._messages import say

__all__ = ["Child", "Ended", "NotStarted"]


class NotStarted(Exception):
    """The command could not be started.

    Attributes:
        ended: What stands for its end, with the code that a shell would give.
    """

    def __init__(self, command: str, error: OSError) -> None:
        missing = isinstance(error, FileNotFoundError)
        problem = f"cannot run {command!r}: {error.strerror or error}"
        super().__init__(problem)
        self.ended = Ended(127 if missing else 126, problem)


@attrs.frozen
class Ended:
    """How a command ended.

    Attributes:
        code: The exit code to hand on: its own, or 128 and the number of the signal that killed it.
        problem: What went wrong, in a few words; `None` if nothing did.
    """

    code: int
    problem: str | None

    @classmethod
    def of(cls, returncode: int) -> Ended:
        """Read the `returncode` of a process."""
        if returncode >= 0:
            return cls(returncode, f"exit code {returncode}" if returncode else None)
        with suppress(ValueError):
            return cls(128 - returncode, f"killed by {signal.Signals(-returncode).name}")
        return cls(128 - returncode, f"killed by signal {-returncode}")


class Child:
    """A command with its output on pipes, in a session of its own.

    A group alone would do for signalling all of it at once. But in our session only the terminal's foreground
    group may read from it, and any other is stopped (ffmpeg tries); another session is let read. And Ctrl-C
    reaches us only, so that we can tell the tracker.

    Attributes:
        streams: The read ends of its pipes, each with the number of our own stream that it belongs to.
    """

    def __init__(self, process: subprocess.Popen[bytes], streams: list[tuple[IO[bytes], int]]) -> None:
        self._process = process
        self.streams = streams

    @classmethod
    def start(cls, command: Sequence[str]) -> Child:
        """Start the command.

        Raises:
            NotStarted: There is no such program, or it may not be run.
        """
        # Where both our streams are one file, one pipe keeps the order of lines between them.
        is_one = os.path.samestat(os.fstat(1), os.fstat(2))
        try:
            process = subprocess.Popen(  # noqa: S603 - to run the user's command is what we are for
                command,
                stdin=subprocess.DEVNULL if _is_in_background() else None,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if is_one else subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            raise NotStarted(command[0], error) from error
        pipes = zip((process.stdout, process.stderr), (1, 2), strict=True)
        return cls(process, [(pipe, number) for pipe, number in pipes if pipe is not None])

    def signal(self, number: int) -> None:
        """Send a signal to the command and to everything it started that has not left its group.

        Also after its own end: the kernel keeps a group's number while any process is in it.
        """
        with suppress(ProcessLookupError):
            try:
                os.killpg(self._process.pid, number)
            except PermissionError as error:
                # It has become another user (sudo); we have done what we may.
                name = signal.Signals(number).name
                say(f"cannot send {name} to the command: {error.strerror}")

    def wait(self) -> Ended:
        """Block until the command itself has ended."""
        return Ended.of(self._process.wait())


def _is_in_background() -> bool:
    # There, a read would take the keys meant for the shell: in its own session nothing stops the command.
    with suppress(OSError):
        return os.isatty(0) and os.tcgetpgrp(0) != os.getpgrp()
    return False

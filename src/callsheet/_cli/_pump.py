"""Carries a command's output from its pipe to ours, untouched, and shows copies to whoever wants them."""

from __future__ import annotations

import array
import errno
import fcntl
import os
import select
import termios
from collections.abc import Callable, Sequence
from typing import IO

__all__ = ["Pump"]

BLOCK = 1 << 16
"""Bytes read at a time: as much as a pipe holds."""

GONE = {errno.EPIPE, errno.EBADF, errno.EIO}
"""Nobody reads our output any more: closed, or the terminal is gone."""


class Pump:
    """One stream of a command. `run` works in a thread of its own until the stream ends or `stop` is called.

    Whatever becomes of our own output, the command's is read on: it must not wait, or die, for want of a
    reader.

    Attributes:
        trouble: Why output could not be passed on; a reader who has gone away is none.
    """

    def __init__(self, source: IO[bytes], target: int, takers: Sequence[Callable[[bytes], None]]) -> None:
        self._source = source
        self._target = target
        self._takers = takers
        self._passes_on = True
        self._wake, self._bell = os.pipe()
        self.trouble: OSError | None = None

    def run(self) -> None:
        """Carry blocks until no writer is left or, once stopped, until what is in the pipe is carried."""
        source = self._source.fileno()
        waiting = select.poll()
        waiting.register(source, select.POLLIN)
        waiting.register(self._wake, select.POLLIN)
        while True:
            if self._wake in dict(waiting.poll()):
                self._carry_rest(source)
                return
            if not self._carry(source, BLOCK):
                return

    def stop(self) -> None:
        """Let `run` end, though somebody may still hold the other end of the pipe."""
        os.write(self._bell, b"!")

    def close(self) -> None:
        """Close our ends of all pipes, when `run` has ended."""
        self._source.close()
        os.close(self._wake)
        os.close(self._bell)

    def _carry(self, source: int, limit: int) -> int:
        block = os.read(source, limit)
        if block:
            self._pass_on(block)
            for take in self._takers:
                take(block)
        return len(block)

    def _carry_rest(self, source: int) -> None:
        # Not more than was there: a process left behind may go on writing for ever.
        there = array.array("i", [0])
        fcntl.ioctl(source, termios.FIONREAD, there)
        left = there[0]
        while left > 0 and (carried := self._carry(source, min(left, BLOCK))):
            left -= carried

    def _pass_on(self, block: bytes) -> None:
        rest = memoryview(block)
        while rest and self._passes_on:
            try:
                rest = rest[os.write(self._target, rest) :]
            except BlockingIOError:
                # Somebody we share our output with has made it non-blocking.
                _wait_for_room(self._target)
            except OSError as error:
                self._passes_on = False
                self.trouble = None if error.errno in GONE else error


def _wait_for_room(target: int) -> None:
    room = select.poll()
    room.register(target, select.POLLOUT)
    room.poll()

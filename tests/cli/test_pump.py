"""Output on its way from a command's pipe to ours."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from callsheet._cli._pump import Pump


@contextmanager
def pumping(target: int) -> Iterator[tuple[Pump, int, list[bytes]]]:
    """Run a pump to the target; give it, the write end of its source, and the copies it hands out."""
    source, sink = os.pipe()
    copies: list[bytes] = []
    with os.fdopen(source, "rb", buffering=0) as reader:
        pump = Pump(reader, target, [copies.append])
        thread = threading.Thread(target=pump.run)
        thread.start()
        try:
            yield pump, sink, copies
        finally:
            pump.stop()
            thread.join()
            pump.close()


@pytest.fixture
def target(tmp_path: Path) -> Iterator[int]:
    """An empty file to write to."""
    with (tmp_path / "target").open("wb") as file:
        yield file.fileno()


def test_bytes_arrive_untouched(tmp_path: Path, target: int) -> None:
    """What goes in comes out, and the copies are the same, with and without line ends."""
    data = os.urandom(300_000) + b"\n" * 1000 + b"\0" * 100_000
    with pumping(target) as (pump, sink, copies):
        with os.fdopen(sink, "wb") as file:
            file.write(data)
    assert (tmp_path / "target").read_bytes() == data
    assert b"".join(copies) == data
    assert pump.trouble is None


def test_a_reader_who_leaves_does_not_stop_the_command() -> None:
    """After the first write to nobody, output is only read, and copied."""
    reader, writer = os.pipe()
    os.close(reader)
    with pumping(writer) as (pump, sink, copies):
        with os.fdopen(sink, "wb") as file:
            file.write(b"x" * 1_000_000)
    os.close(writer)
    assert sum(map(len, copies)) == 1_000_000
    assert pump.trouble is None


def test_a_full_disk_is_told_and_does_not_stop_the_command() -> None:
    """Output that cannot be written is trouble to be told, once the command has ended."""
    full = os.open("/dev/full", os.O_WRONLY)
    with pumping(full) as (pump, sink, copies):
        with os.fdopen(sink, "wb") as file:
            file.write(b"x" * 200_000)
    os.close(full)
    assert sum(map(len, copies)) == 200_000
    assert pump.trouble is not None
    assert pump.trouble.errno == errno.ENOSPC


def test_a_target_that_does_not_block_is_waited_for() -> None:
    """Output that somebody else has made non-blocking loses nothing."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    data = os.urandom(1_000_000)
    received: list[bytes] = []

    def read() -> None:
        with os.fdopen(reader, "rb") as file:
            received.append(file.read())

    thread = threading.Thread(target=read)
    with pumping(writer) as (_, sink, _):
        thread.start()
        with os.fdopen(sink, "wb") as file:
            file.write(data)
    os.close(writer)
    thread.join()
    assert received == [data]


def test_stopping_carries_what_is_there_and_no_more(tmp_path: Path, target: int) -> None:
    """A process left behind that holds the pipe, and goes on writing, does not hold us."""
    source, sink = os.pipe()
    os.write(sink, b"last words\n")

    def go_on(_: bytes) -> None:
        os.write(sink, b"more\n")

    with os.fdopen(source, "rb", buffering=0) as reader:
        pump = Pump(reader, target, [go_on])
        pump.stop()
        pump.run()
        pump.close()
    os.close(sink)
    assert (tmp_path / "target").read_bytes() == b"last words\n"

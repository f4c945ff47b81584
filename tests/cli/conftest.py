"""The command line, called in this process or as a process of its own, with a tracker of the test's own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from callsheet._cli import main
from support.commands import COMMAND, Answer, Cli, Run


@pytest.fixture
def tracker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an empty tracker, which the environment names; the test works in an empty folder."""
    address = f"local:{tmp_path / 'tracker'}"
    monkeypatch.setenv("CALLSHEET_URL", address)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home" / "data"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return address


@pytest.fixture
def cli(tracker: str, capfd: pytest.CaptureFixture[str]) -> Cli:
    """Call a command in this process."""

    def call(*words: str) -> Answer:
        capfd.readouterr()
        code = main(words)
        return Answer(code, *capfd.readouterr())

    return call


@pytest.fixture
def run(tracker: str) -> Iterator[Run]:
    """Start a command as a process, in a session of its own, as a farm would; those left are killed."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*words: str, before: Sequence[str] = (), **options: Any) -> subprocess.Popen[bytes]:
        given = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        process = subprocess.Popen([*before, *COMMAND, *words], start_new_session=True, **given)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()

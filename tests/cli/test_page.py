"""The page about the command line, and the example, run as their reader would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from callsheet._cli._commands import COMMANDS
from callsheet._cli._exits import Exit
from support.commands import Cli

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "command-line.md").read_text()
BLOCK = re.compile(r"(<!-- shown only -->\n)?^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command is on the path, as after an installation."""
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    monkeypatch.setenv("USER", "jane")


@pytest.mark.timeout(180)  # each command is a process
def test_the_commands_of_the_page_work(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Typed one after the other, all commands of the page succeed, and say nothing of trouble."""
    script = "".join(match[2] for match in BLOCK.finditer(PAGE) if not match[1])
    for folder in ("out", "projects"):
        Path(folder).mkdir()
        Path(folder, "file").touch()
    done = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", script], capture_output=True, text=True, check=False
    )
    said = [line for line in done.stderr.splitlines() if not line.startswith("+")]
    assert (done.returncode, said) == (0, [])
    monkeypatch.setenv("CALLSHEET_URL", "local:./jobs")
    jobs = cli("jobs", "list", "--oldest-first").records
    assert [(job["name"], job["state"]) for job in jobs] == [
        ("Backup of projects", "done"),
        ("Denoise", "done"),
        ("Frames", "done"),
        ("Render sh010", "done"),
        ("Publish sh010", "cancelled"),
        ("Publish sh010", "queued"),
    ]
    assert jobs[2]["message"] == "beauty"
    assert (jobs[4]["priority"], jobs[4]["attributes"]) == (80, {"show": "heron", "shot": 10})
    assert {path.name for path in Path("copies").iterdir()} == {"beauty.1001.exr", "backup.tar.gz"}


def test_the_page_shows_every_command() -> None:
    """No command is left out."""
    assert [command.name for command in COMMANDS if f"callsheet {command.name}" not in PAGE] == []


def test_the_page_explains_every_exit_code() -> None:
    """The table of exit codes is that of the program."""
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)] == [
        int(code) for code in Exit
    ]


RENDERER = """#!/bin/sh
echo "rendering $2"
echo "00:01  50% done - 40 rays/pixel"
echo beauty > "$4/beauty.1001.exr"
if [ "$5" = -broken ]; then
    echo "no licence" >&2
    exit 3
fi
echo "00:02  100% done - 40 rays/pixel"
"""


@pytest.mark.parametrize(
    ("option", "code", "state", "progress"), [("-fast", 0, "done", 1.0), ("-broken", 3, "failed", 0.5)]
)
def test_the_wrapper_tracks_its_renderer(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, option: str, code: int, state: str, progress: float
) -> None:
    """The example shows a render as a job, with its frames and its log, and hands on the exit code."""
    Path("kick").write_text(RENDERER)
    Path("kick").chmod(0o755)
    monkeypatch.setenv("RENDERER", "./kick")
    words = [str(ROOT / "examples" / "render_wrapper.sh"), "shots/sh010.ass", "frames/out", option]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert done.stdout.startswith("rendering shots/sh010.ass\n")
    (id_,) = cli("jobs", "list", "--ids").ids
    (job,) = cli("jobs", "show", id_).records
    assert {name: job[name] for name in ("name", "type", "state", "progress", "attributes")} == {
        "name": "Render sh010.ass",
        "type": "render",
        "state": state,
        "progress": progress,
        "attributes": {"scene": "shots/sh010.ass"},
    }
    assert sorted(one["name"] for one in job["components"]) == ["beauty.1001.exr", "output.log"]
    assert job["problem"] is None or job["problem"].startswith("exit code 3\n")

"""The command line on a real terminal: tables, bars, errors and keys."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from support.commands import COMMAND, Cli
from support.terminal import Screen, Terminal

KEYS = {"interrupt": "\x03", "end": "\x04", "suspend": "\x1a"}


def on_screen(*words: str, columns: int = 100) -> tuple[int, list[str], Screen]:
    """Run a command on a terminal; return its exit code, the lines on the screen, and the screen."""
    with Terminal([*COMMAND, *words], columns=columns) as terminal:
        code = terminal.ended()
        return code, terminal.screen.lines, terminal.screen


def test_jobs_are_listed_as_a_table(cli: Cli) -> None:
    """On a terminal jobs stand in columns, in colour, whole ids and all; nothing in a name is obeyed."""
    hostile = "sh010 \x1b[2J\x1b]0;title\x07 [red]x[/red]\nnext"
    first = cli("jobs", "create", "Publish", "--state", "running").ids[0]
    second = cli("jobs", "create", hostile, "--state", "failed").ids[0]
    cli("jobs", "update", first, "--progress", "40%")
    code, lines, screen = on_screen("jobs", "list")
    assert code == 0
    assert [re.sub(" +", " ", line) for line in lines] == [
        "id name state progress",
        f"{second} sh010 �[2J�]0;title� [red]x[/red]�next failed",
        f"{first} Publish running 40%",
    ]
    assert {colour: words[0].strip() for colour, words in screen.colours.items()} == {
        "1": "id",
        "31": "failed",
        "36": "running",
    }


def test_a_wide_terminal_shows_more(cli: Cli) -> None:
    """With room for it, user, time and message are shown; without, a long name is folded, never an id."""
    id_ = cli("jobs", "create", "x" * 60, "--user", "jane").ids[0]
    cli("jobs", "update", id_, "--message", "frame 1 of 9")
    _, wide, _ = on_screen("jobs", "list", columns=200)
    assert wide[0].split() == ["id", "name", "state", "progress", "user", "created", "message"]
    assert re.fullmatch(rf"{id_} +x{{60}} +queued +jane +\d{{4}}-\d\d-\d\d \d\d:\d\d +frame 1 of 9", wide[1])
    _, narrow, _ = on_screen("jobs", "list", columns=70)
    assert all(len(line) <= 70 for line in narrow)
    assert narrow[1].startswith(f"{id_} ")
    assert "".join(narrow[1:]).count("x") == 60


@pytest.mark.parametrize("columns", [120, 160, 200])
def test_a_long_message_hides_nothing(cli: Cli, columns: int) -> None:
    """What is too long for its column is cut or folded, while id, state, progress and time stay whole."""
    name, user, message = "publish " * 30, "jane" * 9, "frame " * 60
    id_ = cli("jobs", "create", name, "--user", user, "--state", "cancelled").ids[0]
    cli("jobs", "update", id_, "--message", message, "--progress", "100%")
    short = cli("jobs", "create", "sh010", "--state", "running").ids[0]
    _, lines, _ = on_screen("jobs", "list", columns=columns)
    assert lines[0].split() == ["id", "name", "state", "progress", "user", "created", "message"]
    created = r"\d{4}-\d\d-\d\d \d\d:\d\d"
    assert re.match(rf"{short} +sh010 +running  ", lines[1])
    assert re.match(rf"{id_}  publish.* cancelled +100%  janejanejan…  {created}  frame f.*…$", lines[2])
    assert " ".join(line[37:] for line in lines[2:]).count("publish") == 30
    assert all(len(line) <= columns for line in lines)


def test_a_narrow_terminal_shows_all_there_is(cli: Cli) -> None:
    """Where not even an id has room, everything is folded, and nothing is left out."""
    id_ = cli("jobs", "create", "Publish", "--state", "failed").ids[0]
    _, lines, _ = on_screen("jobs", "list", columns=40)
    assert all(len(line) <= 40 for line in lines)
    rows = "".join("".join(lines).split())
    assert sorted(rows) == sorted(f"idnamestateprogress{id_}Publishfailed")


def test_a_job_is_shown_field_by_field(cli: Cli) -> None:
    """What a job has is shown in words, its files below; what it has not is left out."""
    Path("a.exr").write_bytes(b"x" * 1234)
    id_ = cli("jobs", "create", "Publish", "--attribute", "shot=10", "--user", "jane").ids[0]
    cli("attach", id_, "a.exr")
    problem = "exit code 3\nlast words"
    cli("jobs", "update", id_, "--state", "failed", "--problem", problem, "--progress", "50%")
    code, lines, _ = on_screen("jobs", "show", id_)
    fields = dict(re.split(r"\s{2,}", line, maxsplit=1) for line in lines[:12] if not line.startswith(" "))
    assert code == 0
    assert fields.items() >= {
        ("id", id_),
        ("name", "Publish"),
        ("state", "failed"),
        ("ended", "True"),
        ("progress", "50%"),
        ("problem", "exit code 3"),
        ("user", "jane"),
    }
    assert "item" not in fields
    assert [line for line in lines if line.strip() == "last words"] == [" " * 14 + "last words"]
    assert lines[-2].split() == ["id", "name", "size"]
    assert lines[-1].split()[1:] == ["a.exr", "1,234"]


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (["jobs", "list"], 0, "no jobs"),
        (["jobs", "list", "--json"], 0, None),
        (
            ["jobs", "wait", "x"],
            3,
            "callsheet: error: 1 of 1 jobs cannot be waited for: job 'x' does not exist",
        ),
        (["jobs", "watch"], 2, "callsheet: error: say which jobs to watch: their ids, or an option such as"),
    ],
)
def test_small_answers(tracker: str, words: Sequence[str], code: int, line: str | None) -> None:
    """Nothing is said to be nothing, unless for a program; an error is one line."""
    found, lines, _ = on_screen(*words)
    assert (found, len(lines)) == (code, 1 if line else 0)
    assert line is None or line in lines[0]


def test_watched_jobs_are_bars(cli: Cli) -> None:
    """Jobs that match are followed as bars, those that end leave a line, and Ctrl-C ends it cleanly."""
    one, two = (cli("jobs", "create", name, "--state", "running").ids[0] for name in ("One", "Two"))
    cli("jobs", "update", one, "--progress", "25%", "--message", "frame 1 of 4")
    with Terminal([*COMMAND, "jobs", "watch", "--state", "running"]) as terminal:
        terminal.shows("25% running frame 1 of 4")
        terminal.shows("Two")
        cli("jobs", "update", one, "--progress", "75%", "--message", "frame 3 of 4")
        terminal.shows("75% running frame 3 of 4")
        cli("jobs", "update", two, "--state", "failed", "--problem", "no licence\nat all")
        terminal.shows(f"{two}  failed  Two  no licence")
        terminal.type(KEYS["interrupt"])
        assert terminal.ended() == 130
        left = [line.removeprefix("^C") for line in terminal.screen.lines]
        assert left == [f"{two}  failed  Two  no licence", "callsheet: interrupted"]


def test_waiting_shows_bars_and_then_the_table(cli: Cli) -> None:
    """While one waits there are bars; then they give way to the jobs as they ended."""
    one = cli("jobs", "create", "One", "--state", "running").ids[0]
    with Terminal([*COMMAND, "jobs", "wait", one]) as terminal:
        terminal.shows("running")
        cli("jobs", "update", one, "--state", "done", "--progress", "100%")
        assert terminal.ended() == 0
        assert [line.split() for line in terminal.screen.lines] == [
            ["id", "name", "state", "progress"],
            [one, "One", "done", "100%"],
        ]


def test_transfers_are_bars(cli: Cli) -> None:
    """Files on their way are bars, several at once, which give way to the table of what arrived."""
    job = cli("jobs", "create", "a").ids[0]
    names = ["one.exr", "two.exr", "three.exr"]
    for name in names:
        with Path(name).open("wb") as file:
            file.truncate(64 << 20)
    with Terminal([*COMMAND, "attach", job, *names]) as terminal:
        for name in names:
            terminal.shows(name)
        terminal.shows("MB/s")
        assert terminal.ended() == 0
        lines = [line.split() for line in terminal.screen.lines]
    assert lines[0] == ["id", "name", "size"]
    assert [line[1:] for line in lines[1:]] == [[name, "67,108,864"] for name in names]


def test_an_interrupt_cancels_the_job(cli: Cli) -> None:
    """Ctrl-C in a terminal stops the command and leaves its job cancelled."""
    script = "trap 'echo asked; exit 5' INT; echo ready; while :; do sleep 0.05; done"
    with Terminal([*COMMAND, "run", "--", "sh", "-c", script]) as terminal:
        terminal.shows("ready")
        terminal.type(KEYS["interrupt"])
        assert terminal.ended() == 5
        assert terminal.screen.lines == [
            "ready",
            "^Ccallsheet: stopping the command; Ctrl-C once more kills it",
            "asked",
        ]
    assert [job["state"] for job in cli("jobs", "list").records] == ["cancelled"]


def test_the_command_reads_from_the_terminal(cli: Cli) -> None:
    """A command that reads what is typed gets it, and its job ends with it."""
    with Terminal([*COMMAND, "run", "--", "cat"]) as terminal:
        terminal.type("typed\n")
        terminal.shows("typed")
        terminal.type(KEYS["end"])
        assert terminal.ended() == 0
        assert terminal.screen.lines == ["typed", "typed"]
    assert [job["state"] for job in cli("jobs", "list").records] == ["done"]


def test_a_command_can_be_suspended_and_resumed(cli: Cli) -> None:
    """Ctrl-Z stops the command with us, and `fg` lets both go on; one in the background takes no keys."""
    command = " ".join(COMMAND)
    with Terminal(["bash", "--norc", "--noediting", "-i"]) as terminal:
        terminal.shows("$")
        os.mkfifo("go")
        # It starts no program: one that is stopped before it has begun would keep its parent from stopping.
        script = "echo $$ > pid; echo me $$; read line < go; echo end"
        terminal.type(f"{command} run -- sh -c '{script}'\n")
        while not Path("pid").exists() or not (pid := Path("pid").read_text().strip()):
            time.sleep(0.02)
        terminal.shows(f"me {pid}")
        terminal.type(KEYS["suspend"])
        terminal.shows("Stopped")
        assert state_of(pid) == "T"
        terminal.type("fg\n")
        Path("go").write_text("on\n")
        terminal.shows("end")
        terminal.type(f"clear; {command} run -- cat & wait; echo code $?\n")
        terminal.shows("code 0")
        terminal.type("exit\n")
        terminal.ended()
    assert [job["state"] for job in cli("jobs", "list").records] == ["done", "done"]


def state_of(pid: str) -> str:
    """Return the state of a process, once it no longer changes."""
    state = ""
    for _ in range(100):
        before, state = state, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        if state == before == "T":
            break
        time.sleep(0.02)
    return state


def test_the_end_of_a_terminal_cancels_the_job(cli: Cli) -> None:
    """When the terminal goes away, the command is told so, and the job ends cancelled."""
    script = "trap 'echo bye > bye; exit 5' HUP; echo ready; while :; do sleep 0.05; done"
    with Terminal([*COMMAND, "run", "--", "sh", "-c", script]) as terminal:
        terminal.shows("ready")
        while not cli("jobs", "list", "--state", "running").out:
            time.sleep(0.05)
    assert Path("bye").read_text() == "bye\n"
    assert terminal.process.returncode == 5
    assert [job["state"] for job in cli("jobs", "list").records] == ["cancelled"]

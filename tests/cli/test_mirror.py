"""`callsheet mirror`: a job of one tracker shown on another, also by a process that is killed."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from callsheet.sandbox import Sandbox
from support.commands import COMMAND, Answer, Cli, Run


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """An ftrack server, which the environment names."""
    with Sandbox() as sandbox:
        for name, value in sandbox.environment.items():
            monkeypatch.setenv(name, value)
        yield sandbox


@pytest.fixture
def outputs() -> dict[str, bytes]:
    """Files that a job puts out: more than are copied at a time."""
    made = {f"beauty.{frame}.exr": os.urandom(50_000) for frame in range(1001, 1061)}
    for name, content in made.items():
        Path(name).write_bytes(content)
    return made


@pytest.fixture
def job(cli: Cli, outputs: dict[str, bytes]) -> str:
    """The id of a running job that has put them out."""
    (id_,) = cli("jobs", "create", "Render sh010", "--state", "running", "--ids").ids
    assert cli("attach", id_, *outputs).code == 0
    return id_


def downloaded(answer: Answer) -> dict[str, bytes]:
    """Return what a download has written, each file once."""
    assert (answer.code, answer.err) == (0, "")
    paths = [Path(one["path"]) for one in answer.records]
    assert len({path.name for path in paths}) == len(paths)
    return {path.name: path.read_bytes() for path in paths}


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that another process brings about."""
    deadline = time.monotonic() + 50
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_job_is_shown_elsewhere(cli: Cli, job: str, outputs: dict[str, bytes]) -> None:
    """The mirror ends as the job has, with its files, and is written; a second call changes nothing."""
    assert cli("jobs", "update", job, "--state", "done", "--message", "60 frames").code == 0
    answer = cli("mirror", job, "--into", "local:./other", "--user", "jane")
    assert (answer.code, answer.err) == (0, "")
    (mirror,) = answer.records
    assert {name: mirror[name] for name in ("name", "state", "message", "user", "source_id")} == {
        "name": "Render sh010",
        "state": "done",
        "message": "60 frames",
        "user": "jane",
        "source_id": job,
    }
    found = cli("--url", "local:./other", "download", mirror["id"], "--to", "copies")
    assert downloaded(found) == outputs
    assert cli("mirror", job, "--into", "local:./other").records == [mirror]


def test_without_files(cli: Cli, job: str) -> None:
    """Its files stay away if they are not wanted, and a job that failed makes the exit code tell."""
    cli("jobs", "update", job, "--state", "failed", "--problem", "no licence")
    answer = cli("mirror", job, "--into", "local:./other", "--without-files")
    assert (answer.code, answer.err) == (4, "")
    (mirror,) = answer.records
    assert (mirror["state"], mirror["problem"]) == ("failed", "no licence")
    assert cli("--url", "local:./other", "jobs", "show", mirror["id"]).records[0]["components"] == []


def test_it_goes_on(cli: Cli, job: str) -> None:
    """After the time there is a line that says so and an exit code of its own; the mirror runs."""
    answer = cli("mirror", job, "--into", "local:./other", "--timeout", "0")
    (mirror,) = cli("jobs", "list", "--url", "local:./other").records
    assert mirror["state"] == "running"
    assert (answer.code, answer.out) == (124, "")
    assert answer.err == (
        f"callsheet: error: job {job}: it has not ended after 0 s; its mirror {mirror['id']} stays as it is;"
        " they go on; wait again\n"
    )


def test_files_that_cannot_be_copied(cli: Cli, job: str) -> None:
    """Each file that cannot be copied is named in a line; the others are there, and the end."""
    cli("jobs", "update", job, "--state", "done")
    for path in Path("../tracker/files").glob("??/*"):
        if path.read_bytes() == Path("beauty.1007.exr").read_bytes():
            path.unlink()
    answer = cli("mirror", job, "--into", "local:./other")
    assert answer.code == 1
    assert answer.err.startswith("callsheet: error: beauty.1007.exr is not copied: ")
    assert answer.err.count("\n") == 1
    (mirror,) = cli("jobs", "list", "--url", "local:./other").records
    assert mirror["state"] == "done"
    (shown,) = cli("jobs", "show", mirror["id"], "--url", "local:./other").records
    assert len(shown["components"]) == 59


@pytest.mark.timeout(180)  # commands that copy 60 files each
def test_killed_half_way(cli: Cli, run: Run, sandbox: Sandbox, job: str, outputs: dict[str, bytes]) -> None:
    """Left while the job goes on, killed while it copies, it goes on: one job, its end, each file once."""
    into = ["--into", "ftrack:"]
    assert cli("mirror", job, *into, "--timeout", "0").code == 124
    cli("jobs", "update", job, "--state", "done", "--message", "60 frames")

    sandbox.faults.add("latency", path="/component/*", method="PUT", seconds=60, nth=list(range(30, 1000)))
    copying = run("mirror", job, *into)
    until(lambda: len([put for put in sandbox.requests(method="PUT") if put.status == 200]) >= 20)
    copying.kill()
    copying.wait()
    sandbox.faults.clear()
    (half,) = cli("jobs", "list", "--url", "ftrack:").records
    assert half["state"] == "running"

    last = cli("mirror", job, *into)
    assert (last.code, last.err) == (0, "")
    (mirror,) = last.records
    assert cli("jobs", "list", "--url", "ftrack:").records == [mirror]
    assert (mirror["id"], mirror["state"], mirror["message"]) == (half["id"], "done", "60 frames")
    assert downloaded(cli("download", mirror["id"], "--url", "ftrack:", "--to", "copies")) == outputs


def peak(*words: str) -> int:
    """Run a command, and return the most bytes of memory that it had."""
    process = subprocess.Popen([*COMMAND, *words], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss * 1024


def test_the_memory_of_a_copy(cli: Cli) -> None:
    """A file is streamed across: however large it is, only some chunks of it are in memory."""
    needed = []
    for size in (1, 96 << 20):
        with Path("plate.mov").open("wb") as file:
            file.truncate(size)
        (job,) = cli("jobs", "create", f"{size} bytes", "--state", "done", "--ids").ids
        cli("attach", job, "plate.mov")
        needed.append(peak("mirror", job, "--into", "local:./other"))
    assert needed[1] - needed[0] < 40 << 20
    (large,) = cli("jobs", "list", "--url", "local:./other", "--limit", "1").records
    (shown,) = cli("jobs", "show", large["id"], "--url", "local:./other").records
    assert [one["size"] for one in shown["components"]] == [96 << 20]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "requires an argument; see: callsheet mirror --help"),
        (["nope", "--into", "local:./other"], 3, "there is no job 'nope'"),
        (["nope", "--into", "nowhere"], 2, "url: 'nowhere' names no tracker"),
        (["nope", "--into", "local:../tracker"], 2, "into must be another tracker than the job's own"),
        (["nope", "--into", "local:./other", "--timeout", "-1"], 2, "timeout must be a number of seconds"),
    ],
)
def test_what_makes_no_sense(cli: Cli, words: list[str], code: int, said: str) -> None:
    """What cannot work is said in one line."""
    answer = cli("mirror", *words)
    assert (answer.code, answer.out) == (code, "")
    assert said in answer.err
    assert answer.err.count("\n") == 1

"""`callsheet jobs`: what each command does to a tracker, and what it writes."""

from __future__ import annotations

import json
import signal
from datetime import datetime
from pathlib import Path

import pytest

import callsheet
from support.commands import Cli, Run, finished

FIELDS = {
    "id", "tracker", "name", "state", "vendor_state", "ended", "type", "priority", "progress", "message",
    "description", "problem", "user", "item", "source_id", "created_at", "started_at", "updated_at",
    "finished_at", "attributes", "missing",
}  # fmt: skip


def test_create_sets_every_field(cli: Cli, tracker: str) -> None:
    """Each option becomes the field of its name, and the new job is written as one line of JSON."""
    Path("plate.exr").write_bytes(b"exr")
    words = ["--user", "jane", "--type", "publish", "--state", "running", "--description", "12 files"]
    words += ["--priority", "70", "--item", "VX-1", "--attribute", "shot=10", "--attribute", "show=heron"]
    answer = cli("jobs", "create", "Publish ü", *words, "--file", "plate.exr", "--idempotency-key", "k")
    assert (answer.code, answer.err) == (0, "")
    (job,) = answer.records
    assert job.keys() == FIELDS
    times = {name: job.pop(name) for name in ("created_at", "started_at", "updated_at")}
    assert all(datetime.fromisoformat(time).tzinfo for time in times.values())
    assert job == {
        "id": job["id"],
        "tracker": tracker,
        "name": "Publish ü",
        "state": "running",
        "vendor_state": "running",
        "ended": False,
        "type": "publish",
        "priority": 70,
        "progress": None,
        "message": None,
        "description": "12 files",
        "problem": None,
        "user": "jane",
        "item": "VX-1",
        "source_id": None,
        "finished_at": None,
        "attributes": {"shot": 10, "show": "heron"},
        "missing": [],
    }
    again = cli("jobs", "create", "Publish ü", *words, "--file", "plate.exr", "--idempotency-key", "k")
    assert again.ids == [job["id"]]
    (shown,) = cli("jobs", "show", job["id"]).records
    assert [(one["name"], one["size"], one["role"]) for one in shown["components"]] == [
        ("plate.exr", 3, "input")
    ]


def test_list_filters_and_orders(cli: Cli) -> None:
    """Each option of `list` narrows it, and jobs come newest first."""
    made = {
        name: cli("jobs", "create", name, *words).ids[0]
        for name, words in {
            "a": ["--user", "jane", "--state", "running"],
            "b": ["--user", "john", "--type", "transcode", "--attribute", "shot=10"],
            "c": ["--user", "john", "--item", "VX-1", "--state", "failed"],
        }.items()
    }

    def listed(*words: str) -> str:
        answer = cli("jobs", "list", "--ids", *words)
        assert (answer.code, answer.err) == (0, "")
        return "".join(name for id_ in answer.ids for name in made if made[name] == id_)

    assert {
        "": listed(),
        "user": listed("--user", "john"),
        "states": listed("--state", "running", "--state", "failed"),
        "type": listed("--type", "transcode"),
        "item": listed("--item", "VX-1"),
        "attribute": listed("--attribute", "shot=10"),
        "since": listed("--since", "1h"),
        "until": listed("--until", "1h"),
        "oldest": listed("--oldest-first"),
        "limit": listed("--limit", "2"),
        "all": listed("--limit", "0"),
        "none": listed("--user", "nobody"),
    } == {
        "": "cba",
        "user": "cb",
        "states": "ca",
        "type": "b",
        "item": "c",
        "attribute": "b",
        "since": "cba",
        "until": "",
        "oldest": "abc",
        "limit": "cb",
        "all": "cba",
        "none": "",
    }


def test_a_list_never_shortens_silently(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are more jobs than are listed unasked, a line says so."""
    monkeypatch.setattr("callsheet._cli._jobs.USUAL_LIMIT", 2)
    for number in range(3):
        cli("jobs", "create", str(number))
    answer = cli("jobs", "list")
    assert [job["name"] for job in answer.records] == ["2", "1"]
    assert answer.err == "callsheet: there are more than these 2 jobs; --limit 0 lists all\n"
    assert cli("jobs", "list", "--limit", "3").err == ""


def test_update_changes_jobs_together(cli: Cli) -> None:
    """The fields that are given change, those that are not stay; one unknown job, and nothing changes."""
    one, two = (cli("jobs", "create", name, "--priority", "5", "--ids").out.strip() for name in ("a", "b"))
    words = [
        "--state",
        "failed",
        "--progress",
        "40%",
        "--message",
        "m",
        "--problem",
        "p",
        "--attribute",
        "x=1",
    ]
    answer = cli("jobs", "update", one, two, *words)
    assert answer.code == 0
    got = [
        {
            name: job[name]
            for name in ("id", "state", "progress", "message", "problem", "attributes", "priority")
        }
        for job in answer.records
    ]
    same = {"state": "failed", "progress": 0.4, "message": "m", "problem": "p", "attributes": {"x": 1}}
    assert got == [{"id": id_, **same, "priority": 5} for id_ in (one, two)]
    refused = cli("jobs", "update", one, "nope", "--name", "new")
    assert (refused.code, refused.out) == (3, "")
    assert refused.err.startswith("callsheet: error: there is no job 'nope'")
    assert cli("jobs", "show", one).records[0]["name"] == "a"


def test_cancel_and_rerun(cli: Cli) -> None:
    """Jobs are cancelled, and run again as new ones, each for itself."""
    one, two = (cli("jobs", "create", name).ids[0] for name in ("a", "b"))
    cancelled = cli("jobs", "cancel", one, "nope", two)
    assert [(job["id"], job["state"]) for job in cancelled.records] == [
        (one, "cancelled"),
        (two, "cancelled"),
    ]
    assert cancelled.code == 3
    assert cancelled.err == (
        "callsheet: error: there is no job 'nope'; `callsheet jobs list` shows what is there\n"
    )
    rerun = cli("jobs", "rerun", one)
    assert [(job["source_id"], job["name"], job["state"]) for job in rerun.records] == [(one, "a", "queued")]


def test_show_writes_everything(cli: Cli) -> None:
    """A job is shown with its fields and files, or with its id only."""
    id_ = cli("jobs", "create", "a").ids[0]
    (shown,) = cli("jobs", "show", id_).records
    assert shown.keys() == FIELDS | {"components"}
    assert shown["components"] == []
    assert cli("jobs", "show", id_, "--ids").out == f"{id_}\n"


def test_wait_tells_how_jobs_ended(cli: Cli) -> None:
    """The exit code says whether all went well, and jobs come in the order in which they were named."""
    done, failed = (cli("jobs", "create", name, "--state", name).ids[0] for name in ("done", "failed"))
    well = cli("jobs", "wait", done, "--timeout", "20")
    assert (well.code, well.ids) == (0, [done])
    badly = cli("jobs", "wait", failed, done, "--ids")
    assert (badly.code, badly.ids) == (4, [failed, done])
    assert cli("jobs", "wait", failed, "--until", "failed").code == 0


def test_wait_gives_up(cli: Cli) -> None:
    """A wait that lasts too long, or for a job that is not there, ends with a code of its own."""
    queued = cli("jobs", "create", "a").ids[0]
    late = cli("jobs", "wait", queued, "--timeout", "0.05")
    assert (late.code, late.out) == (124, "")
    assert (
        late.err == f"callsheet: error: job {queued} is still queued after 0.05 s; they go on; wait again\n"
    )
    gone = cli("jobs", "wait", "nope", queued, "--timeout", "5", "--until", "queued")
    assert gone.code == 3
    assert "1 of 2 jobs cannot be waited for: job 'nope' does not exist" in gone.err


def test_watch_writes_each_change(cli: Cli) -> None:
    """Named jobs are followed to their end, a line of JSON for each change."""
    job = cli("jobs", "create", "a", "--state", "done").records[0]
    answer = cli("jobs", "watch", job["id"])
    assert (answer.code, answer.err) == (0, "")
    assert answer.records == [{"previous": None, "current": job}]


def test_a_watch_writes_each_change_at_once(cli: Cli, run: Run) -> None:
    """Whoever reads a pipe has a change when it happens; Ctrl-C ends the watch."""
    first = cli("jobs", "create", "a", "--state", "running").records[0]
    # With that variable, Python itself would hand out each line.
    process = run("jobs", "watch", "--state", "running", before=["env", "-u", "PYTHONUNBUFFERED"])
    assert process.stdout is not None
    assert json.loads(process.stdout.readline()) == {"previous": None, "current": first}
    second = cli("jobs", "create", "b", "--state", "running").records[0]
    assert json.loads(process.stdout.readline()) == {"previous": None, "current": second}
    process.send_signal(signal.SIGINT)
    answer = finished(process)
    assert (answer.code, answer.out, answer.err) == (130, "", "callsheet: interrupted\n")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["jobs"], 0, ""),
        (["bogus"], 2, 'Unknown command "bogus". Available commands: jobs, run, attach, download, '),
        (["bogus"], 2, "; see: callsheet --help"),
        (["jobs", "bogus"], 2, "see: callsheet jobs --help"),
        (["--json", "jobs", "list"], 2, "; options come after the command: callsheet COMMAND --json"),
        (["jobs", "--limit=1", "list"], 2, "options come after the command: callsheet jobs COMMAND --limit"),
        (["--url"], 2, "; options come after the command: callsheet COMMAND --url"),
        (["jobs", "list", "--bogus"], 2, "Unknown option: --bogus. Did you mean --user?; see: callsheet "),
        (["jobs", "list", "--state", "bad"], 2, 'Invalid value "bad" for --state. Choose from: "queued", '),
        (["jobs", "list", "--limit", "-1"], 2, 'Invalid value "-1" for --limit. Must be >= 0'),
        (["jobs", "list", "--since", "then"], 2, "--since: 'then' is no time; write 2h, or 2026-03-01T12:00"),
        (["jobs", "list", "--attribute", "x"], 2, "'x' is no attribute; write NAME=VALUE"),
        (["jobs", "list", "--url", "nowhere"], 2, "url: 'nowhere' names no tracker; use local:DIR"),
        (["jobs", "list", "--url", "local:/dev/null"], 2, "/dev/null is a file; the tracker needs a dir"),
        (["jobs", "create"], 2, "see: callsheet jobs create --help"),
        (["jobs", "create", ""], 2, "name must not be empty"),
        (["jobs", "create", "x", "--priority", "101"], 2, "priority"),
        (["jobs", "cancel"], 2, "parameter JOBS requires an argument; see: callsheet jobs cancel --help"),
        (["jobs", "update", "x", "--progress", "40"], 2, "'40' is no progress; write 40% or 0.4"),
        (["jobs", "show", "nope"], 3, "there is no job 'nope'; `callsheet jobs list` shows what is there"),
        (["jobs", "watch"], 2, "say which jobs to watch: their ids, or an option such as --state running"),
        (["jobs", "watch", "nope"], 3, "there is no job 'nope'"),
        (["run"], 2, "; -- comes before the command: callsheet run [OPTIONS] -- COMMAND"),
        (["run", "--nmae", "x", "--", "true"], 2, "Did you mean --name?; see: callsheet run --help"),
        (["run", "--progress-pattern", "x", "--", "true"], 2, "has no group for the number"),
        (["run", "--kill-after", "0", "--", "true"], 2, "--kill-after"),
        (["run", "--log-limit", "inf", "--", "true"], 2, "--log-limit. Must be <= 1048576"),
        (["run", "--log-limit", "nan", "--", "true"], 2, "--log-limit"),
        (["run", "--beat", "0.001", "--", "true"], 2, "--beat. Must be >= 0.01"),
        (["run", "--beat", "1e9", "--", "true"], 2, "--beat. Must be <= 86400"),
        (["jobs", "list", "--url", "local:~nobody-of-that-name"], 2, "~nobody-of-that-name in 'local:"),
        (["run", "ls", "-l"], 2, "Unknown option: -l; -- comes before the command: callsheet run "),
        (["completion", "tcsh"], 2, 'Choose from: "bash", "zsh", "fish"'),
    ],
)  # fmt: skip
def test_errors_are_one_line_that_says_what_to_do(cli: Cli, words: list[str], code: int, said: str) -> None:
    """Whatever was wrong is said in one line on standard error, with the exit code of its kind."""
    answer = cli(*words)
    assert answer.code == code
    assert said in answer.err
    assert answer.err.count("\n") == (1 if code else 0)
    assert answer.err == "" or answer.err.startswith("callsheet: error: ")


@pytest.mark.parametrize(
    ("error", "code", "advice"),
    [
        (callsheet.Unavailable("busy"), 5, "busy; check --url, or try again later"),
        (callsheet.Timeout("late"), 5, "late; check --url, or try again later"),
        (callsheet.RateLimited("slow", retry_after=3), 5, "slow; check --url, or try again later"),
        (callsheet.Denied("no"), 1, "no; check your rights there, or choose another tracker by --url"),
        (callsheet.QuotaExceeded("full"), 1, "full; make room, or choose another tracker by --url"),
        (callsheet.Unsupported("rerun", hint="x()"), 2, "this tracker does not support rerun; instead: x()"),
        (callsheet.Conflict("held"), 1, "held"),
        (PermissionError(13, "Permission denied", "f"), 1, "[Errno 13] Permission denied: 'f'"),
        (callsheet.TransportError("two\nlines\x1b[1m"), 5, "two lines [1m; check --url, or try again later"),
    ],
)
def test_every_kind_of_trouble_has_a_code(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int, advice: str
) -> None:
    """What a tracker raises becomes a code that scripts can tell apart, and advice."""

    async def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(callsheet.Jobs, "get", fail)
    answer = cli("jobs", "show", "x")
    assert (answer.code, answer.out, answer.err) == (code, "", f"callsheet: error: {advice}\n")


def test_without_an_address_ones_own_tracker_is_used(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With neither --url nor CALLSHEET_URL one line says which tracker is used."""
    monkeypatch.delenv("CALLSHEET_URL")
    answer = cli("jobs", "create", "mine")
    place = tmp_path / "home" / "data" / "callsheet" / "jobs"
    assert answer.err == (
        f"callsheet: neither --url nor CALLSHEET_URL is given: using your own tracker in {place}\n"
    )
    assert answer.records[0]["tracker"] == f"local:{place}"
    assert cli("jobs", "list", "--url", f"local:{place}").records == answer.records


def test_the_option_wins_over_the_environment(cli: Cli, tmp_path: Path) -> None:
    """--url names another tracker than CALLSHEET_URL."""
    other = f"local:{tmp_path / 'other'}"
    assert cli("jobs", "create", "there", "--url", other).records[0]["tracker"] == other
    assert cli("jobs", "list").out == ""


def test_json_lines_survive_any_terminal(cli: Cli) -> None:
    """JSON is written in ASCII, and hostile names come back as they were."""
    name = "sh010 \x1b[31m\t[red]\u2028 ü \N{PILE OF POO}"
    answer = cli("jobs", "create", name)
    assert answer.out.isascii()
    assert json.loads(answer.out)["name"] == name


@pytest.mark.parametrize("words", [["--url", "local:./other"], ["--url=local:./other"]])
def test_the_tracker_may_come_first(cli: Cli, words: list[str]) -> None:
    """`--url` before the command counts as if it came behind it, where a command's own words may follow."""
    job = cli(*words, "jobs", "create", "elsewhere").records[0]
    assert job["tracker"].endswith("/other")
    assert cli(*words, "run", "--name", "run", "--", "true").code == 0
    assert cli(*words, "--version").out == cli("--version").out
    assert [one["name"] for one in cli("jobs", "list", "--url", "local:./other").records] == [
        "run",
        "elsewhere",
    ]
    assert cli("jobs", "list").records == []

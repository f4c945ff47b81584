"""`callsheet run`: a command as a tracked job, as a process among processes."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.commands import Cli, Run, finished


def the_job(cli: Cli) -> dict[str, Any]:
    """Return the one job of the tracker, with its files."""
    (id_,) = cli("jobs", "list", "--ids").ids
    job: dict[str, Any] = cli("jobs", "show", id_).records[0]
    return job


def has_come(condition: Callable[[], Any], within: float = 40) -> Any:
    """Wait until something is true, and return it."""
    deadline = time.monotonic() + within
    while not (found := condition()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)
    return found


def running_job(cli: Cli) -> str:
    """Wait until a job runs, and return its id."""
    return str(has_come(lambda: cli("jobs", "list", "--state", "running", "--ids").out.strip()))


def said(process: subprocess.Popen[bytes], words: bytes) -> None:
    """Wait until a line of the process's output holds the words."""
    assert process.stdout is not None
    for line in process.stdout:
        if words in line:
            return
    pytest.fail(f"never said {words!r}")


@pytest.mark.parametrize(
    ("script", "code", "state", "progress", "problem"),
    [
        ("echo out; echo err >&2; echo 'Progress: 40%'", 0, "done", 1.0, None),
        ("echo 'Progress: 40%'; echo bad >&2; exit 3", 3, "failed", 0.4, r"exit code 3\n(.*\n)?bad(\n.*)?"),
        ("echo openjd_fail: no licence; echo why; exit 1", 1, "failed", None, "exit code 1\nno licence\nwhy"),
        ("echo last words; kill -SEGV $$", 139, "failed", None, "killed by SIGSEGV\nlast words"),
        ("kill -40 $$", 168, "failed", None, "killed by (signal 40|SIGRTMIN.*)"),
    ],
)
def test_the_end_of_the_command_is_the_end_of_the_job(
    cli: Cli, run: Run, script: str, code: int, state: str, progress: float | None, problem: str | None
) -> None:
    """Exit code and signal become the state, the last lines the problem, and the code is handed on."""
    bare = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    answer = finished(run("run", "--name", "Work", "--user", "jane", "--", "sh", "-c", script))
    assert (answer.code, answer.out, answer.err) == (code, bare.stdout, bare.stderr)
    job = the_job(cli)
    assert (job["name"], job["user"], job["state"], job["progress"]) == ("Work", "jane", state, progress)
    assert re.fullmatch(problem, job["problem"]) if problem else job["problem"] is None


@pytest.mark.parametrize(
    ("command", "code", "problem"),
    [
        ("./nosuch", 127, "cannot run './nosuch': No such file or directory"),
        ("./plain", 126, "cannot run './plain': Permission denied"),
        ("..", 126, "cannot run '..': Permission denied"),
        (".", 126, "cannot run '.': Permission denied"),
    ],
)
def test_a_command_that_cannot_be_started_is_a_failed_job(
    cli: Cli, run: Run, command: str, code: int, problem: str
) -> None:
    """The code is a shell's, one line says why, and so does the job, which is named after the program."""
    Path("plain").write_text("no program")
    answer = finished(run("run", "--", command))
    assert (answer.code, answer.out, answer.err) == (code, "", f"callsheet: {problem}\n")
    job = the_job(cli)
    assert (job["name"], job["state"], job["problem"]) == (command.removeprefix("./"), "failed", problem)


def test_progress_and_message_are_seen_while_it_runs(cli: Cli, run: Run) -> None:
    """What the command says is on the tracker before it has ended; `wait` sees its end."""
    script = "echo 'frame 3/12 beauty'; read go"
    pattern = r"frame (?P<done>\d+)/(?P<total>\d+) (?P<message>\w+)"
    process = run("run", "--progress-pattern", pattern, "--", "sh", "-c", script, stdin=subprocess.PIPE)
    id_ = running_job(cli)
    has_come(lambda: cli("jobs", "show", id_).records[0]["progress"])
    job = cli("jobs", "show", id_).records[0]
    assert (job["state"], job["progress"], job["message"]) == ("running", 0.25, "beauty")
    assert process.stdin is not None
    process.stdin.write(b"go\n")
    process.stdin.flush()
    waited = cli("jobs", "wait", id_)
    assert [job["state"] for job in waited.records] == ["done"]
    assert finished(process).code == 0


def test_binary_output_passes_untouched(run: Run) -> None:
    """Both streams give the very bytes, without line ends too, each on its own."""
    data = os.urandom(1_000_000)
    Path("data").write_bytes(data)
    process = run("run", "--", "sh", "-c", "cat data; tac -s x data >&2; printf end")
    out, err = process.communicate(timeout=50)
    reversed_ = subprocess.run(["tac", "-s", "x", "data"], capture_output=True, check=True).stdout
    assert (out, err) == (data + b"end", reversed_)


def test_streams_into_one_file_keep_their_order(run: Run) -> None:
    """Where our two streams are one, lines of the command's two come in the order of their writing."""
    script = "for i in $(seq 300); do echo out $i; echo err $i >&2; done"
    process = run("run", "--", "sh", "-c", script, stderr=subprocess.STDOUT)
    assert finished(process).out == "".join(f"out {number}\nerr {number}\n" for number in range(1, 301))


def test_100_mb_of_output_take_no_memory(run: Run) -> None:
    """The wrapper is no larger for a flood of output, without line ends and with them."""
    before = memory_of(run("run", "--", "true", stdout=subprocess.DEVNULL))
    script = "head -c 50000000 /dev/zero; yes 'frame 1 of 2' | head -c 50000000"
    words = ["--attach-log", "--log-limit", "1", "--", "sh", "-c", script]
    after = memory_of(run("run", *words, stdout=subprocess.DEVNULL))
    assert after < before + 12_000  # KiB


def memory_of(process: subprocess.Popen[bytes]) -> int:
    """Wait for a process, and return the most memory it had, in KiB."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss


def test_files_are_attached_at_the_end(cli: Cli, run: Run) -> None:
    """Files that match are attached, and the output, also after a failure; a pattern for nothing is said."""
    Path("out").mkdir()
    script = "echo one > out/a.exr; echo two > out/b.exr; mkdir out/c.exr; echo log; echo err >&2; exit 5"
    words = ["--attach", "out/*.exr", "--attach", "out/a.*", "--attach", "*.mov", "--attach-log"]
    answer = finished(run("run", *words, "--", "sh", "-c", script))
    assert (answer.code, answer.err) == (5, "err\ncallsheet: nothing to attach: no file matches *.mov\n")
    job = the_job(cli)
    assert job["state"] == "failed"
    assert sorted((one["name"], one["size"]) for one in job["components"]) == [
        ("a.exr", 4),
        ("b.exr", 4),
        ("output.log", 8),
    ]
    cli("download", job["id"], "--to", "in")
    assert Path("in/b.exr").read_text() == "two\n"
    assert sorted(Path("in/output.log").read_text().split()) == ["err", "log"]


def test_any_name_is_attached(cli: Cli, run: Run) -> None:
    """A pattern may be a whole name, a name need not be Unicode, and a folder is nothing to attach."""
    for name in (b"b[1].exr", b"c\xff.mov"):
        Path(os.fsdecode(name)).write_bytes(name)
    Path("folder").mkdir()
    words = ["--attach", "b[1].exr", "--attach", "c*", "--attach", "folder", "--attach", ""]
    answer = finished(run("run", *words, "--", "true"))
    assert (answer.code, answer.err.splitlines()) == (
        0,
        [
            "callsheet: nothing to attach: no file matches folder",
            "callsheet: nothing to attach: no file matches",
        ],
    )
    names = sorted(one["name"] for one in the_job(cli)["components"])
    assert names == ["b[1].exr", "c\N{REPLACEMENT CHARACTER}.mov"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_to_us_stops_all_and_cancels_the_job(cli: Cli, run: Run, number: int) -> None:
    """The command and what it started get the signal that we got, and the job ends cancelled."""
    # A shell lets what it starts in the background ignore SIGINT: that is killed in time.
    script = "sleep 600 & echo $!; wait"
    process = run("run", "--attach-log", "--kill-after", "0.5", "--", "sh", "-c", script)
    assert process.stdout is not None
    grandchild = int(process.stdout.readline())
    running_job(cli)
    process.send_signal(number)
    assert finished(process).code == 128 + number
    assert not is_alive(grandchild)
    job = the_job(cli)
    assert (job["state"], [one["name"] for one in job["components"]]) == ("cancelled", ["output.log"])


def is_alive(pid: int) -> bool:
    """Tell whether there is such a process, and not just its remains."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_signals_for_the_command_only_are_handed_on(cli: Cli, run: Run) -> None:
    """SIGUSR1 means what it means to the command, and stops nothing."""
    script = "trap 'echo usr' USR1; echo ready; while [ ! -e go ]; do sleep 0.05; done"
    process = run("run", "--", "sh", "-c", script)
    said(process, b"ready")
    process.send_signal(signal.SIGUSR1)
    said(process, b"usr")
    Path("go").touch()
    assert finished(process).code == 0
    assert the_job(cli)["state"] == "done"


def test_a_signal_that_we_were_told_to_ignore_is_ignored(cli: Cli, run: Run) -> None:
    """Under nohup the end of a login stops nothing."""
    script = "echo ready; while [ ! -e go ]; do sleep 0.05; done"
    process = run("run", "--", "sh", "-c", script, before=["nohup"])
    said(process, b"ready")
    process.send_signal(signal.SIGHUP)
    Path("go").touch()
    assert finished(process).code == 0
    assert the_job(cli)["state"] == "done"


def test_what_ignores_a_stop_is_killed_in_time(cli: Cli, run: Run) -> None:
    """A command that ignores SIGTERM is killed after a while, with all it started; the job ends cancelled."""
    script = "trap '' TERM; sleep 600 & echo $!; wait; wait"
    process = run("run", "--kill-after", "0.3", "--", "sh", "-c", script)
    assert process.stdout is not None
    grandchild = int(process.stdout.readline())
    process.terminate()
    assert finished(process).code == 137
    assert not is_alive(grandchild)
    assert the_job(cli)["state"] == "cancelled"


@pytest.mark.parametrize(("output", "limit"), [("", "0.3"), (">/dev/null 2>&1", "600")])
def test_a_command_that_ends_leaves_nothing_of_a_stopped_group(
    cli: Cli, run: Run, output: str, limit: str
) -> None:
    """What a stopped command leaves behind is killed as well, at once if it has let go of our output."""
    script = f"(trap '' TERM; echo $(exec sh -c 'echo $PPID'); exec sleep 600 {output}) & wait"
    process = run("run", "--kill-after", limit, "--", "sh", "-c", script)
    assert process.stdout is not None
    grandchild = int(process.stdout.readline())
    process.terminate()
    assert finished(process).code == 143
    has_come(lambda: not is_alive(grandchild))


def test_a_second_interrupt_kills(cli: Cli, run: Run) -> None:
    """Ctrl-C asks, and a second one does not."""
    script = "trap 'echo asked' INT; echo ready; while :; do sleep 0.05; done"
    process = run("run", "--", "sh", "-c", script)
    said(process, b"ready")
    process.send_signal(signal.SIGINT)
    said(process, b"asked")
    process.send_signal(signal.SIGINT)
    answer = finished(process)
    assert answer.code == 137
    assert answer.err == "callsheet: stopping the command; Ctrl-C once more kills it\n"
    assert the_job(cli)["state"] == "cancelled"


def test_a_job_cancelled_from_elsewhere_stops_its_command(cli: Cli, run: Run) -> None:
    """Whoever cancels the job ends the command, which is killed if it will not stop."""
    script = "trap 'echo asked' TERM; echo ready; while :; do sleep 0.05; done"
    process = run("run", "--beat", "0.5", "--kill-after", "0.5", "--attach-log", "--", "sh", "-c", script)
    said(process, b"ready")
    id_ = running_job(cli)
    assert cli("jobs", "cancel", id_).code == 0
    answer = finished(process)
    assert (answer.code, answer.out) == (137, "asked\n")
    told = f"callsheet: job {id_} was cancelled from elsewhere; the command was stopped"
    assert answer.err.splitlines()[-1] == told
    job = the_job(cli)
    assert (job["state"], [one["name"] for one in job["components"]]) == ("cancelled", ["output.log"])


def test_a_process_left_behind_does_not_hold_us(cli: Cli, run: Run) -> None:
    """A command that leaves a daemon on its pipes ends when it ends; the daemon lives on."""
    process = run("run", "--", "sh", "-c", "sleep 600 & echo $!; echo done >&2; exit 4")
    answer = finished(process, timeout=30)
    daemon = int(answer.out)
    try:
        assert (answer.code, answer.err) == (4, "done\n")
        assert is_alive(daemon)
    finally:
        os.kill(daemon, signal.SIGKILL)
    assert the_job(cli)["state"] == "failed"


def test_closed_output_changes_nothing(cli: Cli, run: Run) -> None:
    """Without standard streams the command runs as ever, and its output is still known."""
    script = "echo out; echo err >&2; cat; exit 6"
    process = run("run", "--", "sh", "-c", script, before=["sh", "-c", '"$@" <&- >&- 2>&-', "sh"])
    assert finished(process).code == 6
    assert the_job(cli)["problem"] == "exit code 6\nout\nerr"


def test_a_reader_who_leaves_changes_nothing(cli: Cli, run: Run) -> None:
    """When nobody reads on, the command goes on to its end."""
    process = run("run", "--", "sh", "-c", "seq 100000; exit 6")
    assert process.stdout is not None
    assert process.stdout.readline() == b"1\n"
    process.stdout.close()
    assert process.wait(50) == 6
    assert the_job(cli)["problem"].endswith("\n99999\n100000")


def test_without_a_tracker_the_command_runs_after_one_warning(run: Run, tmp_path: Path) -> None:
    """A tracker that cannot be used costs one line."""
    (tmp_path / "tracker").write_text("in the way")
    answer = finished(run("run", "--attach-log", "--", "sh", "-c", "echo out; exit 7"))
    assert (answer.code, answer.out) == (7, "out\n")
    assert re.fullmatch(
        r"callsheet: warning: .*tracker is a file; .*; the command goes on without its job\n", answer.err
    )


def as_bound_by_permissions() -> list[str]:
    """Return what to put before a command so that not even root may write where nobody may."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("without setpriv, root may write everywhere")
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]


def test_a_tracker_without_write_permission_costs_one_warning(cli: Cli, run: Run, tmp_path: Path) -> None:
    """Where we may not write to the tracker's files, the command runs all the same."""
    cli("jobs", "create", "before")
    paths = [tmp_path / "tracker", *(tmp_path / "tracker").rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    answer = finished(run("run", "--", "sh", "-c", "echo out; exit 7", before=as_bound_by_permissions()))
    for path in paths:
        path.chmod(0o755 if path.is_dir() else 0o644)
    assert (answer.code, answer.out) == (7, "out\n")
    assert re.fullmatch(
        r"callsheet: warning: .*Permission denied.*; the command goes on without its job\n", answer.err
    )
    assert [job["name"] for job in cli("jobs", "list").records] == ["before"]


def test_a_tracker_that_goes_and_comes_back_is_told_the_end(cli: Cli, run: Run, tmp_path: Path) -> None:
    """While the tracker's folder is away there is one warning; when it is back, it learns the end."""
    script = "echo 'Progress: 10%'; while [ ! -e go ]; do sleep 0.05; done; echo 'Progress: 90%'; exit 8"
    process = run("run", "--beat", "0.5", "--", "sh", "-c", script)
    running_job(cli)
    assert process.stderr is not None
    (tmp_path / "tracker").rename(tmp_path / "away")
    warning = process.stderr.readline().decode()
    assert re.fullmatch(r"callsheet: warning: job \S+ cannot be reported on: .*; the work goes on\n", warning)
    Path("go").touch()
    time.sleep(1)  # it ends meanwhile, and cannot say so
    assert process.poll() is None
    (tmp_path / "away").rename(tmp_path / "tracker")
    answer = finished(process)
    assert (answer.code, answer.out, answer.err) == (8, "Progress: 10%\nProgress: 90%\n", "")
    job = the_job(cli)
    assert (job["state"], job["progress"]) == ("failed", 0.9)
    assert "exit code 8" in job["problem"]


def test_a_tracker_that_comes_late_is_told_everything(cli: Cli, run: Run, tmp_path: Path) -> None:
    """If the job cannot be made at first, that is tried again in the background."""
    folder = tmp_path / "tracker"
    cli("jobs", "create", "before")
    folder.rename(tmp_path / "away")
    folder.symlink_to("/proc/away")  # neither a folder nor a place to make one
    script = "echo 'Progress: 30%'; while [ ! -e go ]; do sleep 0.05; done; exit 9"
    process = run("run", "--name", "late", "--", "sh", "-c", script)
    assert process.stderr is not None
    assert b"; the command goes on without its job\n" in process.stderr.readline()
    folder.unlink()
    (tmp_path / "away").rename(folder)
    id_ = running_job(cli)
    has_come(lambda: cli("jobs", "show", id_).records[0]["progress"] == 0.3)
    Path("go").touch()
    answer = finished(process)
    assert (answer.code, answer.err) == (9, "")
    assert cli("jobs", "show", id_).records[0]["state"] == "failed"


def test_a_wrapper_that_dies_leaves_a_lost_job(cli: Cli, run: Run) -> None:
    """A job whose wrapper was killed is failed by its silence, which lasts as long as signs of life allow."""
    process = run("run", "--beat", "0.5", "--", "sh", "-c", "echo $$; exec sleep 600")
    assert process.stdout is not None
    command = int(process.stdout.readline())
    running_job(cli)
    process.kill()
    try:
        job = has_come(lambda: next(iter(cli("jobs", "list", "--state", "failed").records), None))
    finally:
        os.kill(command, signal.SIGKILL)
    assert job["problem"] == "lost"

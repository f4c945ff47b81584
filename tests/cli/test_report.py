"""What a tracker is told of a command at work, on both loops, whatever the tracker does."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

import callsheet
from callsheet import Client, Job, JobState
from callsheet._cli import _work
from callsheet._cli._report import Report
from callsheet._cli._work import Work
from callsheet.abc import Claim, JobChanges, NewJob
from callsheet.providers.local import LocalProvider

FAST: dict[str, Any] = {"name": "Work", "lease": 30.0, "beat": 0.05, "grace": 1.0}


class Troubled(LocalProvider):
    """A local tracker that raises what it is told to, once for each time it was told."""

    claims: list[Exception]
    beats: list[Exception]
    ends: list[Exception]

    async def claim_job(self, job: NewJob | str, *, lease: float, grace: float) -> Claim:
        """Raise, or claim."""
        if self.claims:
            raise self.claims.pop(0)
        return await super().claim_job(job, lease=lease, grace=grace)

    async def beat_job(self, claim: Claim, changes: JobChanges) -> Job:
        """Raise, or beat."""
        troubles = self.ends if isinstance(changes.state, JobState) else self.beats
        if troubles:
            (self.directory.parent / "beat").touch()
            raise troubles.pop(0)
        return await super().beat_job(claim, changes)


@pytest.fixture
def tracker_with(tmp_path: Path) -> Any:
    """Return what makes a tracker with troubles."""

    def make(**troubles: list[Exception]) -> Troubled:
        provider = Troubled(tmp_path / "jobs")
        for name in ("claims", "beats", "ends"):
            setattr(provider, name, troubles.get(name, []))
        return provider

    return make


async def report(
    provider: LocalProvider, script: str, *, stop: bool = False, **options: Any
) -> tuple[int, Job | None]:
    """Run a script as a tracked job; return its exit code, and the job, if there is one."""
    work = Work(kill_after=5)
    with anyio.fail_after(40):
        async with anyio.create_task_group() as tasks:
            work.start(["sh", "-c", script], tasks, None)
            if stop:
                tasks.start_soon(stop_when_running, provider, work)
            await Report(work=work, connect=lambda: Client(provider), job=FAST, **options).run()
            await work.ended.wait()
            tasks.cancel_scope.cancel()
    async with Client(LocalProvider(provider.directory)) as client:
        jobs = await client.jobs.list().collect()
    assert len(jobs) <= 1
    return work.result.code, jobs[0] if jobs else None


async def stop_when_running(provider: LocalProvider, work: Work) -> None:
    """Stop the command once its job runs."""
    async with Client(LocalProvider(provider.directory)) as client:
        async for change in client.jobs.watch(states={JobState.RUNNING}):
            assert change.current is not None
            work.stop()
            return


@pytest.mark.parametrize(
    ("script", "code", "state", "progress", "problem"),
    [
        ("echo openjd_progress: 30; echo openjd_status: baking", 0, JobState.DONE, 1.0, None),
        ("echo openjd_progress: 30; echo bad; exit 4", 4, JobState.FAILED, 0.3, "exit code 4\nbad"),
    ],
)
async def test_the_end_is_told(
    tracker_with: Any, script: str, code: int, state: JobState, progress: float, problem: str | None
) -> None:
    """State, progress and problem are those of the command."""
    found, job = await report(tracker_with(), script)
    assert job is not None
    assert (found, job.state, job.progress, job.problem) == (code, state, progress, problem)


async def test_a_stopped_command_is_cancelled(tracker_with: Any) -> None:
    """A command that we were told to stop leaves its job cancelled, whatever its exit code."""
    code, job = await report(tracker_with(), "trap 'exit 0' TERM; sleep 600 & wait", stop=True)
    assert job is not None
    assert (code, job.state, job.problem) == (0, JobState.CANCELLED, None)


async def test_a_lost_lease_is_the_trackers_trouble(
    tracker_with: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """When the job is somebody else's by now, the command goes on; one line says so."""
    provider = tracker_with(beats=[callsheet.LeaseLost("job j is another worker's")])
    script = f"echo 'Progress: 5%'; while [ ! -e {tmp_path}/beat ]; do sleep 0.02; done; echo end; exit 7"
    code, job = await report(provider, script)
    assert job is not None
    assert (code, job.state) == (7, JobState.RUNNING)
    out, err = capfd.readouterr()
    assert out == "Progress: 5%\nend\n"
    assert err == "callsheet: warning: job j is another worker's; the command goes on without its job\n"


async def sent(*numbers: signal.Signals) -> AsyncIterator[signal.Signals]:
    """Yield signals as they would come from outside."""
    for number in numbers:
        yield number


@pytest.mark.parametrize("command", ["true", "./nosuch"])
async def test_an_interrupt_after_the_end_lets_the_tracker_be_told(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """A Ctrl-C that comes too late for the command is answered by a line, the next one leaves."""
    left: list[int] = []
    monkeypatch.setattr(_work, "_leave", left.append)
    work = Work(kill_after=5)
    async with anyio.create_task_group() as tasks:
        work.start([command], tasks, None)
        await work.ended.wait()
    capfd.readouterr()
    await work.relay(sent(signal.SIGUSR1, signal.SIGTSTP, signal.SIGCONT, signal.SIGINT))
    told = "callsheet: the tracker is being told how the command ended; Ctrl-C once more leaves\n"
    assert (left, *capfd.readouterr()) == ([], "", told)
    await work.relay(sent(signal.SIGTERM))
    assert (left, *capfd.readouterr()) == ([work.result.code], "", "")


async def test_a_third_interrupt_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C that comes for the third time, and still before the command has ended, leaves it."""
    left: list[int] = []
    monkeypatch.setattr(_work, "_leave", left.append)
    work = Work(kill_after=5)
    async with anyio.create_task_group() as tasks:
        work.start(["sleep", "60"], tasks, None)
        await work.relay(sent(signal.SIGINT, signal.SIGINT))
        assert left == []
        await work.relay(sent(signal.SIGINT))
    assert (left, work.stopped) == ([128 + signal.SIGKILL], True)


async def test_an_interrupt_ends_what_may_be_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends the attaching of files after the end of a command; the next one leaves."""
    left: list[int] = []
    monkeypatch.setattr(_work, "_leave", left.append)
    work = Work(kill_after=5)
    async with anyio.create_task_group() as tasks:
        work.start(["true"], tasks, None)
        await work.ended.wait()
        with work.leavable():
            tasks.start_soon(work.relay, sent(signal.SIGINT))
            await anyio.sleep_forever()
        assert left == []
        await work.relay(sent(signal.SIGINT))
    assert left == [0]


@pytest.mark.parametrize(
    ("error", "line", "is_tried_again"),
    [
        (callsheet.Unavailable("busy"), "busy", True),
        (callsheet.Denied("no"), "no", True),
        (ZeroDivisionError("oops"), "ZeroDivisionError: oops", True),
        (callsheet.Unsupported("track"), "this tracker does not support track", False),
        (callsheet.ConfigError("token: expired"), "token: expired", False),
    ],
)
async def test_a_job_that_cannot_be_made_costs_one_line(
    tracker_with: Any, capfd: pytest.CaptureFixture[str], error: Exception, line: str, is_tried_again: bool
) -> None:
    """The command runs to its end; what may pass is tried again at its end at the latest."""
    code, job = await report(tracker_with(claims=[error]), "exit 3")
    assert code == 3
    assert (job is not None and job.state is JobState.FAILED) == is_tried_again
    assert capfd.readouterr().err == f"callsheet: warning: {line}; the command goes on without its job\n"


async def test_an_end_that_cannot_be_written_at_once_is_written_later(tracker_with: Any) -> None:
    """A tracker that is busy at the very end is told again."""
    provider = tracker_with(ends=[callsheet.Unavailable("busy"), callsheet.Unavailable("busy")])
    code, job = await report(provider, "echo why; exit 3")
    assert job is not None
    assert (code, job.state) == (3, JobState.FAILED)
    assert job.problem is not None
    assert job.problem.endswith("exit code 3\nwhy")


async def test_files_that_cannot_be_attached_cost_one_line(
    tracker_with: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The job ends as the command did, without its files."""
    (tmp_path / "a.exr").symlink_to("/proc/self/mem")  # a file that cannot be read
    code, job = await report(tracker_with(), "true", attach=[str(tmp_path / "*.exr")])
    assert job is not None
    assert (code, job.state) == (0, JobState.DONE)
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("callsheet: warning: 1 of 1 files could not be attached")

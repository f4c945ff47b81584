"""The house rules themselves: they must catch what they are there for, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent

pytestmark = pytest.mark.timeout(180)  # each is a run of tests of its own

PRELUDE = """
import gc, subprocess, sys, threading, time
import anyio, anyio.to_thread, pytest

kept = []

def burn(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
"""


@pytest.fixture
def outcomes(pytester: pytest.Pytester) -> Outcomes:
    """Run test code under this suite's own conftest, in another process."""
    pytester.makeconftest((HERE / "conftest.py").read_text())
    return Outcomes(pytester)


class Outcomes:
    """Runs test code; answers with what became of each test and the report."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self._pytester = pytester

    def __call__(self, code: str, *args: str) -> tuple[dict[str, set[str]], str]:
        self._pytester.makepyfile(PRELUDE + code)
        self._pytester.makepyprojecttoml(
            f"""
            [tool.pytest.ini_options]
            pythonpath = [{str(HERE)!r}]
            anyio_mode = "auto"
            addopts = ["-p", "no:cacheprovider", "--import-mode=importlib", "-rA"]
            markers = ["loop_limit(seconds, reason): as here", "timeout(seconds): as here"]
            filterwarnings = ["error"]
            """
        )
        result = self._pytester.runpytest_subprocess(*args)
        report = result.stdout.str()
        found: dict[str, set[str]] = {}
        for outcome, name in re.findall(r"^(PASSED|FAILED|ERROR) \S+::(\S+)", report, re.MULTILINE):
            found.setdefault(name, set()).add(outcome)
        return found, report


def on_both(*tests: str, outcome: set[str]) -> dict[str, set[str]]:
    """Return the outcome expected of each test on each loop."""
    return {f"{test}[{loop}]": outcome for test in tests for loop in ("asyncio", "trio")}


def alike(*tests: str, outcome: set[str]) -> dict[str, set[str]]:
    """Return the outcome expected of each plain test."""
    return dict.fromkeys(tests, outcome)


def test_watch_names_the_blocking_step(outcomes: Outcomes) -> None:
    """A step over the limit fails its test and is named, wherever it runs; short and waiting ones pass."""
    found, report = outcomes(
        """
async def guilty_child():
    burn(0.06)
    await anyio.sleep(0)

async def test_body_blocks():
    await anyio.sleep(0)
    burn(0.06)

async def test_child_blocks():
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(guilty_child)

async def test_short_steps():
    for _ in range(10):
        burn(0.01)
        await anyio.sleep(0)

async def test_only_wall_time():
    time.sleep(0.1)

async def test_work_in_a_thread():
    await anyio.to_thread.run_sync(burn, 0.1)

@pytest.fixture
async def slow_fixture():
    burn(0.06)
    yield

async def test_fixture_blocks(slow_fixture):
    pass

@pytest.mark.loop_limit(0.5, reason="proves the mark")
async def test_other_limit():
    burn(0.06)
"""
    )
    assert found == (
        on_both("test_body_blocks", "test_child_blocks", "test_fixture_blocks", outcome={"PASSED", "ERROR"})
        | on_both("test_short_steps", "test_only_wall_time", outcome={"PASSED"})
        | on_both("test_work_in_a_thread", "test_other_limit", outcome={"PASSED"})
    )
    assert re.search(r"ms of CPU in one step of task \S+, from .*test_body_blocks:\d+.* to ", report)
    assert re.search(r"ms of CPU in one step of task \S+, from .* to .*guilty_child:\d+", report)


def test_watch_names_a_blocking_callback(outcomes: Outcomes) -> None:
    """A plain asyncio callback is judged like a task."""
    found, report = outcomes(
        """
import asyncio

@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_callback(anyio_backend):
    asyncio.get_running_loop().call_soon(burn, 0.06)
    await anyio.sleep(0.01)
"""
    )
    assert found == {"test_callback[asyncio]": {"PASSED", "ERROR"}}
    assert re.search(r"ms of CPU in one step of callback <function burn", report)


def test_watch_forgives_the_garbage_collector(outcomes: Outcomes) -> None:
    """The CPU time of a collection is not counted as the step's."""
    found, _ = outcomes(
        """
gc.disable()

async def test_collection():
    rubbish = [[] for _ in range(1_000)]
    for _ in range(1_000):
        await anyio.sleep(0)
        for _ in range(1_000):
            cycle = []
            cycle.append(cycle)
    del cycle
    began = time.thread_time()
    gc.collect()
    assert time.thread_time() - began > 0.05
"""
    )
    assert found == on_both("test_collection", outcome={"PASSED"})


def test_leaks_are_named(outcomes: Outcomes) -> None:
    """A task, thread, file, socket or child process that outlives its test fails it, and says what it is."""
    found, report = outcomes(
        """
import asyncio, socket, trio
from support import leaks

leaks.GRACE = 0.2

async def linger():
    await anyio.sleep(3600)

async def test_task(anyio_backend):
    if anyio_backend == "asyncio":
        kept.append(asyncio.create_task(linger()))
    else:
        trio.lowlevel.spawn_system_task(linger)

def test_thread():
    gate = threading.Event()
    kept.append(gate)
    threading.Thread(target=gate.wait, name="lingerer", daemon=True).start()

async def test_busy_worker():
    gate, busy = threading.Event(), threading.Event()
    kept.append(gate)

    async def work():
        await anyio.to_thread.run_sync(lambda: (busy.set(), gate.wait()), abandon_on_cancel=True)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work)
        while not busy.is_set():
            await anyio.sleep(0.001)
        tasks.cancel_scope.cancel()

def test_file(tmp_path):
    kept.append(open(tmp_path / "lingering.txt", "w"))

def test_socket():
    kept.append(socket.socket())

def test_process():
    kept.append(subprocess.Popen([sys.executable, "-c", "input('lingering')"], stdin=subprocess.PIPE))

def test_over():
    for thing in kept:
        if isinstance(thing, threading.Event):
            thing.set()
        if isinstance(thing, subprocess.Popen):
            thing.communicate(b"x")
        if hasattr(thing, "close"):
            thing.close()
"""
    )
    assert found == (
        on_both("test_task", "test_busy_worker", outcome={"PASSED", "ERROR"})
        | alike("test_thread", "test_file", "test_socket", "test_process", outcome={"PASSED", "ERROR"})
        | {"test_over": {"PASSED"}}
    )
    for thing in (
        r"left behind: task .*linger",
        r"left behind: thread 'lingerer' at ",
        r"left behind: file descriptor \d+ on .*/lingering\.txt",
        r"left behind: file descriptor \d+ on socket:",
        r"left behind: child process \d+: .* -c input",
    ):
        assert re.search(thing, report), thing


def test_tidy_tests_pass(outcomes: Outcomes) -> None:
    """What a test opened and closed again, idle workers and an async fixture's own tasks are no leaks."""
    found, _ = outcomes(
        """
@pytest.fixture
async def background():
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.sleep, 3600)
        yield
        tasks.cancel_scope.cancel()

async def test_background(background):
    await anyio.to_thread.run_sync(time.sleep, 0)

async def test_process():
    await anyio.run_process([sys.executable, "-c", "pass"])

def test_file(tmp_path):
    (tmp_path / "a").write_text("a")

def test_thread():
    thread = threading.Thread(target=time.sleep, args=(0,))
    thread.start()

def test_sync_loop():
    anyio.run(anyio.to_thread.run_sync, time.sleep, 0)
"""
    )
    assert found == (
        on_both("test_background", "test_process", outcome={"PASSED"})
        | alike("test_file", "test_thread", "test_sync_loop", outcome={"PASSED"})
    )


def test_hung_test_fails_by_itself(outcomes: Outcomes) -> None:
    """A test that never ends fails after its time and shows where it hung; the tests after it run."""
    found, report = outcomes(
        """
@pytest.mark.timeout(0.2)
async def test_waits():
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.sleep_forever)

@pytest.mark.timeout(0.2)
def test_blocks():
    threading.Event().wait()

def test_next():
    pass
"""
    )
    assert found == on_both("test_waits", outcome={"FAILED"}) | {
        "test_blocks": {"FAILED"},
        "test_next": {"PASSED"},
    }
    assert report.count("hung for more than 0.2 s") >= 3

"""Every async test runs on asyncio and on trio; no test may block its loop or leave anything behind.

Async tests need no mark (`anyio_mode = "auto"`). Async fixtures are of function scope, so that each test has
a loop of its own and the leak check sees it end.
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import AsyncIterator, Generator, Iterator

import anyio
import hypothesis
import pytest
import trio

# Loading the database library takes 0.3 s of CPU, in whichever test comes first to connect().
import callsheet.providers.local  # noqa: F401 - for its effect
from support import FULL, hangs, leaks
from support.clocks import Clock
from support.loopwatch import LoopWatch

# A run in the background, or under nohup, ignores these, and so would every process that tests start.
for ignored in (signal.SIGHUP, signal.SIGQUIT, signal.SIGINT):
    if signal.getsignal(ignored) is signal.SIG_IGN:
        signal.signal(ignored, signal.default_int_handler if ignored is signal.SIGINT else signal.SIG_DFL)

# Programs are to run as they do from a user's shell, with their output buffered.
os.environ.pop("PYTHONUNBUFFERED", None)

LOOP_LIMIT = 0.05 if "COVERAGE_RUN" not in os.environ else 0.2
"""Seconds of CPU that one step of the loop may take; measuring coverage takes its own time of each."""
HANG_LIMIT = 600 if FULL else 60
"""Seconds until a test is taken to hang."""

# Deadlines of examples would fail on a busy machine. The short run tries the same examples every time.
hypothesis.settings.register_profile(
    "callsheet", deadline=None, derandomize=not FULL, max_examples=500 if FULL else 100, print_blob=True
)
hypothesis.settings.load_profile("callsheet")


def pytest_collection_finish() -> None:
    """Keep what is loaded by now out of the garbage collector's rounds, which tests call for often."""
    gc.collect()
    gc.freeze()


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name long values by their length: ids must be the same in all workers, and gzip notes the time."""
    return f"{argname}-{len(val)}" if isinstance(val, bytes | str) and len(val) > 100 else None


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run each async test once on each loop."""
    return str(request.param)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Fail the test that hangs, and let the next one run."""
    mark = pyfuncitem.get_closest_marker("timeout")
    with hangs.ended_after(mark.args[0] if mark else HANG_LIMIT, pyfuncitem):
        return (yield)


@pytest.fixture
def clock() -> Iterator[Clock]:
    """Let the test say when a deadline has passed."""
    clock = Clock()
    with clock.shown():
        yield clock


@pytest.fixture
def loop_watch(request: pytest.FixtureRequest) -> Iterator[LoopWatch]:
    """Measure the steps of the test's loop."""
    mark = request.node.get_closest_marker("loop_limit")
    watch = LoopWatch(limit=mark.args[0] if mark else LOOP_LIMIT)
    with watch.watching():
        yield watch


@pytest.fixture(autouse=True)
def house_rules(loop_watch: LoopWatch) -> Iterator[None]:
    """Fail the test that blocks its loop, or leaves a thread, file, socket, process or task behind.

    This is the first fixture a test sets up and the last one it tears down, when its loop is closed.
    """
    before = leaks.held()
    yield
    faults = [*map(str, loop_watch.slow), *(f"left behind: {thing}" for thing in leaks.left_behind(before))]
    if faults:
        pytest.fail("\n".join(faults), pytrace=False)


@pytest.fixture(autouse=True)
def house_rules_inside(request: pytest.FixtureRequest, house_rules: None) -> None:
    """Bring in the rules that must be looked at from inside the loop, where there is one."""
    if "anyio_backend" in request.fixturenames:
        request.getfixturevalue("loop_rules")


@pytest.fixture
async def loop_rules(anyio_backend: str, loop_watch: LoopWatch, house_rules: None) -> AsyncIterator[None]:
    """Watch trio's steps and fail the test that leaves a task behind."""
    if anyio_backend == "trio":
        trio.lowlevel.add_instrument(loop_watch)
    before = anyio.get_running_tasks()
    yield
    if left := await leaks.tasks_left_behind(before):
        pytest.fail("left behind: " + "\n".join(left), pytrace=False)

"""Worker threads: bounded, waited for when cancelled, left behind only where that does no harm."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from functools import partial

import anyio
import anyio.to_thread
import pytest

from callsheet._threads import Threads
from support.checkpoints import cut_at


@pytest.fixture
async def gate() -> AsyncIterator[threading.Event]:
    """Hold threads until it is set; at the end it is, and the threads are waited for."""
    gate = threading.Event()
    yield gate
    gate.set()


class Crowd:
    """Counts how many are inside at once, and lets them in or out together."""

    def __init__(self, size: int) -> None:
        self.most = 0
        self._inside = 0
        self._lock = threading.Lock()
        self._together = threading.Barrier(size)

    def enter(self) -> None:
        with self._lock:
            self._inside += 1
            self.most = max(self.most, self._inside)
        self._together.wait(10)
        with self._lock:
            self._inside -= 1


async def test_result_and_error_come_back() -> None:
    """A call returns what the function returned, or raises what it raised."""
    threads = Threads(1)
    assert await threads.run(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await threads.run(divmod, 7, 0)
    assert await threads.run(threading.get_ident) != threading.get_ident()


async def test_never_more_than_the_limit() -> None:
    """Three at once run at once, and of twelve never more than three do."""
    threads, crowd = Threads(3), Crowd(3)
    async with anyio.create_task_group() as tasks:
        for _ in range(12):
            tasks.start_soon(threads.run, crowd.enter)
    assert crowd.most == 3


async def test_the_hosts_threads_are_left_alone(gate: threading.Event) -> None:
    """However many of ours are busy, the host's own limit is untouched."""
    threads = Threads(5)
    limiter = anyio.to_thread.current_default_thread_limiter()
    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(threads.run, gate.wait)
        await anyio.wait_all_tasks_blocked()
        assert limiter.borrowed_tokens == 0
        gate.set()


async def test_a_cancelled_caller_waits_for_its_thread(gate: threading.Event) -> None:
    """Unless told otherwise, a cancelled call ends only after its function has."""
    threads = Threads(1)
    ended: list[str] = []

    def work() -> None:
        gate.wait(10)
        ended.append("thread")

    async def call() -> None:
        try:
            await threads.run(work)
        finally:
            ended.append("call")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await anyio.wait_all_tasks_blocked()
            assert ended == []
            gate.set()
    assert ended == ["thread", "call"]


async def test_an_abandoned_thread_goes_on_unseen(gate: threading.Event) -> None:
    """With `abandon`, the caller leaves at once, and `aclose` still waits for the thread."""
    threads = Threads(1)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await threads.run(gate.wait, abandon=True)
    with anyio.move_on_after(0.05) as scope:
        await threads.run(gate.wait, abandon=True)
    assert scope.cancelled_caught
    assert await threads.aclose(grace=0.02) is False
    gate.set()
    assert await threads.aclose(grace=10) is True


async def test_a_call_that_never_began_leaves_nothing(gate: threading.Event) -> None:
    """A call cancelled while it waits for a thread takes none, and its function never runs."""
    threads = Threads(1)
    ran: list[int] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(threads.run, gate.wait)
        await anyio.wait_all_tasks_blocked()
        async with anyio.create_task_group() as waiting:
            waiting.start_soon(threads.run, ran.append, 1)
            await anyio.wait_all_tasks_blocked()
            waiting.cancel_scope.cancel()
        gate.set()
    assert ran == []
    assert await threads.aclose(grace=0) is True
    assert await threads.run(len, "abc") == 3


@pytest.mark.parametrize("abandon", [False, True])
async def test_cancelled_at_any_checkpoint(*, abandon: bool) -> None:
    """Wherever a call is cut, its function runs once or not at all, and nothing is waited for in vain."""
    threads = Threads(1)
    for checkpoint in range(1, 20):
        ran: list[int] = []
        cut = await cut_at(checkpoint, partial(threads.run, ran.append, 1, abandon=abandon))
        assert await threads.aclose() is True
        assert ran in ([], [1])
        assert cut.cancelled or ran == [1]
        if not cut.reached:
            break
    assert not cut.reached
    assert checkpoint > 1


async def test_aclose_with_nothing_in_flight() -> None:
    """Closing idle threads is immediate, may be repeated, and holds even when cancelled."""
    threads = Threads(2)
    await threads.run(len, "abc")
    assert await threads.aclose() is True
    with anyio.CancelScope() as scope:
        scope.cancel()
        assert await threads.aclose() is True

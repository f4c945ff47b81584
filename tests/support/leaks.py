"""What a process and its event loop hold: threads, open files, child processes and tasks. Linux only."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
import traceback
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

import anyio
import anyio.lowlevel
import attrs
from anyio._backends._asyncio import WorkerThread  # the class tells idle workers from busy ones
from trio._core._thread_cache import THREAD_CACHE  # as above

__all__ = ["Held", "held", "left_behind", "tasks_left_behind"]


GRACE = 2.0
"""Seconds for threads and children to end by themselves."""


@attrs.frozen
class Held:
    """What the process holds at one moment."""

    threads: frozenset[threading.Thread]
    files: frozenset[tuple[int, str]]
    children: frozenset[int]

    def beyond(self, before: Held) -> Held:
        """Return what is held here and was not held before."""
        return Held(self.threads - before.threads, self.files - before.files, self.children - before.children)

    @property
    def can_end(self) -> bool:
        """Whether some of it may go away without our doing."""
        return bool(self.threads or self.children)

    def lines(self) -> list[str]:
        """Describe each thing in one line."""
        return [
            *(f"thread {thread.name!r}{_top(thread)}" for thread in self.threads),
            *(f"file descriptor {number} on {target}" for number, target in sorted(self.files)),
            *(f"child process {pid}: {_command(pid)}" for pid in sorted(self.children)),
        ]


NOTHING = Held(frozenset(), frozenset(), frozenset())


def held() -> Held:
    """Look at the process now."""
    return Held(frozenset(_busy_threads()), frozenset(_open_files()), frozenset(_children()))


def left_behind(before: Held) -> list[str]:
    """Describe what is held beyond `before`, once threads and children have had time to end."""
    if held().beyond(before) == NOTHING:
        return []
    gc.collect()  # closes a file that only a reference cycle holds; its ResourceWarning fails the test
    deadline = time.monotonic() + GRACE
    while (rest := held().beyond(before)).can_end and time.monotonic() < deadline:
        time.sleep(0.01)
    return rest.lines()


def _busy_threads() -> Iterator[threading.Thread]:
    """Yield every thread but the workers that trio and anyio keep idle for the next call."""
    cached = {worker._thread for worker in THREAD_CACHE._idle_workers.copy()}
    for thread in threading.enumerate():
        waiting = isinstance(thread, WorkerThread) and thread in thread.idle_workers
        if thread not in cached and not waiting:
            yield thread


def _open_files() -> Iterator[tuple[int, str]]:
    for entry in Path("/proc/self/fd").iterdir():
        # The descriptor that lists the directory is gone by now.
        with suppress(FileNotFoundError):
            yield int(entry.name), str(entry.readlink())


def _children() -> Iterator[int]:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return  # there is none, so the long way round need not be taken
    me = os.getpid()
    for entry in Path("/proc").iterdir():
        # Another process may end while we look; ours cannot, as nobody else waits for it.
        with suppress(FileNotFoundError, ProcessLookupError):
            if entry.name.isdecimal() and _parent((entry / "stat").read_text()) == me:
                yield int(entry.name)


def _parent(stat: str) -> int:
    # The second field is the command in brackets and may hold anything: proc_pid_stat(5).
    return int(stat.rpartition(")")[2].split()[1])


def _command(pid: int) -> str:
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return "ended"


def _top(thread: threading.Thread) -> str:
    frame = sys._current_frames().get(thread.ident or 0)
    return f" at {traceback.format_stack(frame)[-1].strip()}" if frame else ""


async def tasks_left_behind(before: Collection[anyio.TaskInfo]) -> list[str]:
    """Describe the tasks of this loop that were not there `before` and are still there some turns later."""
    for _ in range(20):
        if not _new_tasks(before):
            return []
        await anyio.lowlevel.checkpoint()
    return [f"task {task.name} ({task.coro})" for task in _new_tasks(before)]


def _new_tasks(before: Collection[anyio.TaskInfo]) -> list[anyio.TaskInfo]:
    # On asyncio anyio's plug-in hands each test and fixture in by a task of its own.
    return [
        task
        for task in anyio.get_running_tasks()
        if task not in before and getattr(task.coro, "__name__", "") != "_call_in_runner_task"
    ]

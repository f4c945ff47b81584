"""Work a local tracker for long, cancelling and killing at random, and see that nothing grows or breaks.

    python bench/soak.py [--minutes 10] [--loop asyncio|trio] [--tasks 16] [--seed N]

Tasks of one long-lived client track, attach, download, list and wait; each call may be cancelled at any
moment. Beside them, victims on the same tracker are killed while they track and attach. At the end no job may
still run, no download may be partial, and the process may hold no more files, threads or memory than before.
"""

from __future__ import annotations

import argparse
import functools
import logging
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import anyio.lowlevel

import callsheet
from callsheet import Client, File, JobState

LEASE, BEAT = 2.0, 0.5
GRACE = 15.0
ROUND = 5.0
WARM_UP_ROUNDS = 4
"""Rounds until caches and pools are taken to be full."""
UNTRACKED = "soak that is waited for"
"""The name of jobs without a lease: one whose task was cut stays as it was."""
IDLE = 11.0
"""Seconds after which trio and anyio have let go of threads that have nothing to do."""
MAY_GROW = 30_000
"""KiB that the process may grow by after that."""


class Soak:
    """One client of the tracker, and what its tasks did."""

    def __init__(self, client: Client[Any], folder: Path, chance: random.Random) -> None:
        self.client = client
        self.folder = folder
        self.chance = chance
        self.done: Counter[str] = Counter()
        self.wrong: list[str] = []

    async def work(self) -> None:
        """Do one thing after the other, at random, often cut short."""
        calls: list[Callable[[], Awaitable[object]]] = [
            self.track,
            self.fail,
            self.cancel_from_elsewhere,
            self.download,
            self.read_along,
            self.wait,
        ]
        while True:
            call = self.chance.choice(calls)
            cut = self.chance.uniform(0, 0.1) if self.chance.random() < 0.4 else 60.0
            with anyio.move_on_after(cut) as scope:
                await call()
            self.done[f"{call.__name__}{' cut' if scope.cancelled_caught else ''}"] += 1
            await anyio.lowlevel.checkpoint()

    async def track(self) -> None:
        """Track a block that attaches two files, one of them new."""
        async with self.client.jobs.track("soak", lease=LEASE, beat=BEAT) as tracked:
            for part in range(20):
                tracked.progress(part / 20, f"part {part}")
                await anyio.sleep(0.001)
            size = self.chance.randrange(1, 300_000)
            await tracked.attach([File(b"always the same", name="same"), File(os.urandom(size), name="new")])

    async def fail(self) -> None:
        """Track a block that raises."""
        try:
            async with self.client.jobs.track("soak that fails", lease=LEASE, beat=BEAT):
                raise ArithmeticError("on purpose")
        except ArithmeticError:
            return

    async def cancel_from_elsewhere(self) -> None:
        """Cancel a tracked job, and see its block stop."""
        try:
            async with self.client.jobs.track("soak that is stopped", lease=LEASE, beat=BEAT) as tracked:
                await self.client.jobs.cancel(tracked.job)
                await anyio.sleep(30)
        except callsheet.JobCancelled:
            return
        self.wrong.append("a cancelled job's block ran on")

    async def download(self) -> None:
        """Download something that was attached before."""
        component = await self.client.components.list(page_size=50).first()
        if component is not None:
            target = self.folder / f"{self.chance.randrange(50)}"
            try:
                await self.client.components.download(component, target, overwrite=True)
            except callsheet.Conflict:
                return  # another task downloads to the same place just now
            if target.stat().st_size != component.size:
                self.wrong.append(f"{target} is partial")

    async def read_along(self) -> None:
        """Read part of a listing, and leave it."""
        async with self.client.jobs.list(page_size=20) as listing:
            async for _ in listing:
                if self.chance.random() < 0.02:
                    break

    async def wait(self) -> None:
        """Wait for a job that another task ends."""
        job = await self.client.jobs.create(UNTRACKED, state=JobState.RUNNING)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(functools.partial(self.client.jobs.update, job, state=JobState.DONE))
            await self.client.jobs.wait(job, timeout=30)


async def kill_victims(tracker: Path, chance: random.Random, done: Counter[str]) -> None:
    """Start another process on the tracker, kill it at random, and start the next."""
    while True:
        command = [sys.executable, __file__, "--victim", str(tracker)]
        async with await anyio.open_process(command, stdout=None, stderr=None) as victim:
            await anyio.sleep(chance.uniform(0.5, 4))
            victim.send_signal(signal.SIGKILL)
            await victim.wait()
        done["victims killed"] += 1


async def be_victim(tracker: Path) -> None:
    """Track and attach until killed."""
    async with callsheet.connect(f"local:{tracker}") as client:
        while True:
            async with client.jobs.track("victim", lease=LEASE, beat=BEAT) as tracked:
                await tracked.attach([File(os.urandom(200_000), name="bytes")])


def held() -> tuple[int, int, int]:
    """Return what the process holds: KiB of memory, open files, threads."""
    status = Path("/proc/self/status").read_text()
    memory = int(status.partition("VmRSS:")[2].split()[0])
    return memory, len(list(Path("/proc/self/fd").iterdir())), threading.active_count()


async def soak(minutes: float, tasks: int, seed: int) -> list[str]:
    """Run it all and return what was wrong."""
    chance = random.Random(seed)
    with TemporaryDirectory(prefix="callsheet-soak-") as temporary:
        tracker, downloads = Path(temporary) / "tracker", Path(temporary) / "downloads"
        downloads.mkdir()
        async with callsheet.connect(f"local:{tracker}") as client:
            run = Soak(client, downloads, chance)
            async with anyio.create_task_group() as group:
                for _ in range(tasks):
                    group.start_soon(run.work)
                group.start_soon(kill_victims, tracker, chance, run.done)
                memory = await watch_over(run, minutes)
                group.cancel_scope.cancel()
            await anyio.sleep(LEASE + GRACE + 1)
            running = await client.jobs.list(states={JobState.RUNNING}, page_size=100).collect()
    wrong = [
        *run.wrong,
        *(f"job {job.id} ({job.name}) still runs" for job in running if job.name != UNTRACKED),
    ]
    if memory[-1] > memory[min(WARM_UP_ROUNDS, len(memory) - 1)] + MAY_GROW:
        wrong.append(f"memory grew, in KiB: {memory}")
    return wrong


async def watch_over(run: Soak, minutes: float) -> list[int]:
    """Print a line a round until the time is up; return the memory held at each."""
    memory = []
    end = time.monotonic() + 60 * minutes
    while time.monotonic() < end:
        await anyio.sleep(ROUND)
        now = held()
        memory.append(now[0])
        done = ", ".join(f"{number} {what}" for what, number in sorted(run.done.items()))
        print(f"{now[0]:8} KiB {now[1]:4} files {now[2]:3} threads: {done}", flush=True)
    return memory


def main() -> int:
    """Read the command line; return 1 if something was wrong."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--loop", choices=("asyncio", "trio"), default="asyncio")
    parser.add_argument("--tasks", type=int, default=16)
    parser.add_argument("--seed", type=int, default=os.getpid())
    parser.add_argument("--victim", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.victim:
        anyio.run(be_victim, given.victim)
    print(f"--seed {given.seed}")
    # Each cut call logs the key with which it could be repeated.
    logging.getLogger("callsheet").setLevel(logging.ERROR)
    _, files, threads = held()
    wrong = anyio.run(soak, given.minutes, given.tasks, given.seed, backend=given.loop)
    time.sleep(IDLE)
    if held()[1:] > (files, threads):
        wrong.append(f"files and threads held: {(files, threads)} before, {held()[1:]} after")
    print("\n".join(wrong) or "nothing grew, nothing broke")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

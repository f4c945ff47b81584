"""The local tracker beside what it could have been.

    python -m bench.local [--jobs 100000] [--rounds 5] [--loop asyncio]

Rounds go A B A B, so that whatever else the machine does falls on both; the table shows medians.
"""

from __future__ import annotations

import argparse
import resource
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import anyio

from callsheet import JobState, NewJob
from callsheet._threads import Threads
from callsheet.abc import JobFilter
from callsheet.providers.local import LocalProvider
from callsheet.providers.local._database import Database
from callsheet.providers.local._making import Order, create

WRITERS = 64
WRITES = 30
"""Writes of each writer in one round."""

PAGE = 1000

EVERYTHING = "SELECT * FROM jobs ORDER BY created_at DESC, id DESC"


def new_job(key: str) -> NewJob:
    """Return a job with some 600 bytes of attributes."""
    return NewJob(
        name=f"job {key}",
        idempotency_key=key,
        type="render",
        state=JobState.DONE,
        attributes={"show": "abc", "note": "x" * 560},
    )


def show(what: str, figure: str, goal: str = "", *, reached: bool = True) -> None:
    """Print one row of the table."""
    print(f"{what:<48} {figure:>14}   {goal}{'' if reached else '   FALLS SHORT'}", flush=True)


# -- writing -------------------------------------------------------------------------------------------------


async def crowd(prefix: str, writers: int, write: Callable[[NewJob], Awaitable[object]]) -> float:
    """Let so many tasks write, each one thing after the other; return the writes a second."""

    async def writer(number: int) -> None:
        for turn in range(WRITES):
            await write(new_job(f"{prefix} {number} {turn}"))

    start = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        for number in range(writers):
            tasks.start_soon(writer, number)
    return writers * WRITES / (time.perf_counter() - start)


async def writing(folder: Path, rounds: int) -> None:
    """Let 64 writers write in groups, and with one transaction a call."""
    database = Database(folder / "single", "local:single", busy=30)
    database.open()
    threads = Threads(1)  # more would only wait for each other's transactions

    def transact(new: NewJob) -> None:
        with database.writing() as transaction:
            create(transaction, [Order([new], "jane")])

    async def one_by_one(new: NewJob) -> None:
        await threads.run(transact, new)

    rates: dict[str, list[float]] = {"together": [], "one by one": [], "alone": []}
    async with LocalProvider(folder / "grouped") as provider:

        async def together(new: NewJob) -> None:
            await provider.create_jobs([new])

        for number in range(rounds):
            rates["together"].append(await crowd(f"a {number}", WRITERS, together))
            rates["one by one"].append(await crowd(f"b {number}", WRITERS, one_by_one))
            rates["alone"].append(await crowd(f"c {number}", 1, together))
    database.close()
    rate = {name: statistics.median(values) for name, values in rates.items()}
    ratio = rate["together"] / rate["one by one"]
    show("64 writers, one transaction a call", f"{rate['one by one']:,.0f} /s")
    show("64 writers, written together", f"{rate['together']:,.0f} /s")
    show("  ratio", f"{ratio:.1f} x", "at least 10 x", reached=ratio >= 10)
    show("a single writer", f"{rate['alone']:,.0f} /s")


async def counting(folder: Path) -> None:
    """Count the transactions that a thousand writes at once take."""
    async with LocalProvider(folder / "counted") as provider:
        before = provider._store.transactions
        async with anyio.create_task_group() as tasks:
            for number in range(1000):
                tasks.start_soon(provider.create_jobs, [new_job(str(number))])
        taken = provider._store.transactions - before
    show("1,000 writes at once", f"{taken} transactions", "at most 20", reached=taken <= 20)


# -- listing -------------------------------------------------------------------------------------------------


async def fill(directory: Path, jobs: int) -> None:
    """Make so many jobs."""
    async with LocalProvider(directory) as provider:
        for start in range(0, jobs, 5000):
            numbers = range(start, min(jobs, start + 5000))
            await provider.create_jobs([new_job(str(number)) for number in numbers])


async def list_all(directory: Path) -> tuple[int, float, float]:
    """List all jobs; return how many there are, the CPU seconds taken, and the growth of memory in MB."""
    async with LocalProvider(directory) as provider:
        await provider.page_jobs(JobFilter(), after=None, size=PAGE)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        count, after, more = 0, None, True
        start = time.process_time()
        while more:
            page = await provider.page_jobs(JobFilter(), after=after, size=PAGE)
            count, after = count + len(page.items), page.next
            more = after is not None
        taken = time.process_time() - start
    return count, taken, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024


def read_all(directory: Path) -> tuple[int, float]:
    """Read the same rows with a bare cursor; return how many there are, and the CPU seconds taken."""
    with closing(sqlite3.connect(directory / "callsheet.db")) as db:
        start = time.process_time()
        count = sum(1 for _ in db.execute(EVERYTHING))
        return count, time.process_time() - start


async def listing(folder: Path, rounds: int, jobs: int, loop: str) -> None:
    """List all jobs as `Job`, and read their rows with a bare cursor; look at memory in a new process."""
    await fill(folder / "listed", jobs)
    ours: list[float] = []
    bare: list[float] = []
    for _ in range(rounds):
        counts, taken, _ = await list_all(folder / "listed")
        rows, least = read_all(folder / "listed")
        assert counts == rows == jobs
        ours.append(taken)
        bare.append(least)
    ratio = statistics.median(bare) / statistics.median(ours)
    show(f"{jobs:,} rows by a bare sqlite3 cursor", f"{statistics.median(bare) / jobs * 1e6:.1f} us each")
    show(f"{jobs:,} jobs listed as `Job`", f"{statistics.median(ours) / jobs * 1e6:.1f} us each")
    show("  ratio of CPU", f"{ratio:.2f}", "at least 0.15", reached=ratio >= 0.15)
    command = [sys.executable, "-m", "bench.local", "--list", str(folder / "listed"), "--loop", loop]
    growth = float((await anyio.run_process(command, stderr=None)).stdout)
    show("  memory that listing all adds to listing a page", f"{growth:.1f} MB")


async def main(options: argparse.Namespace) -> None:
    """Print the table."""
    if options.list:
        print((await list_all(options.list))[2])
        return
    with tempfile.TemporaryDirectory() as folder:
        await writing(Path(folder), options.rounds)
        await counting(Path(folder))
        await listing(Path(folder), options.rounds, options.jobs, options.loop)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--loop", choices=["asyncio", "trio"], default="asyncio")
    parser.add_argument("--list", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    anyio.run(main, arguments, backend=arguments.loop)

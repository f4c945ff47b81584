"""Many processes on one directory: killed, frozen, and crowding."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest

from callsheet import File, JobState
from callsheet.providers.local import LocalProvider, _leases
from callsheet.providers.local._stamps import monotonic_us
from local.tools import Make, Worker, unseen
from support import scale

MEGABYTE = 1 << 20


class Books:
    """What processes said was done, before they were killed."""

    def __init__(self) -> None:
        self.messages: dict[str, int] = {}
        self.attached: dict[str, dict[str, str]] = {}
        self.claimed: set[str] = set()

    def enter(self, line: str) -> None:
        if not line.endswith("\n"):
            return  # cut off by the kill, so nobody was told
        word, *facts = json.loads(line)
        if word == "made":
            self.messages[facts[0]] = 0
        elif word == "updated":
            self.messages[facts[0]] = facts[1]
        elif word == "attached":
            self.attached.setdefault(facts[0], {})[facts[1]] = facts[2]
        else:
            self.claimed.add(facts[0])

    async def compare(self, provider: LocalProvider) -> None:
        """Look whether all of it is there."""
        jobs = await provider.get_jobs([*self.messages])
        found = {job.id: int(job.message or 0) for job in jobs if job is not None}
        # The last update may have been done without anybody being told.
        assert found == {id_: max(found.get(id_, -1), told) for id_, told in self.messages.items()}
        for job_id, files in self.attached.items():
            page = await provider.page_components(job_id=job_id, location_id=None, after=None, size=1000)
            there = {component.id: component for component in page.items}
            assert files.keys() <= there.keys()
            for id_, digest in files.items():
                async with provider.read(there[id_]) as chunks:
                    content = b"".join([chunk async for chunk in chunks])
                assert hashlib.sha256(content).hexdigest() == digest
        self.attached.clear()


def run_and_kill(process: subprocess.Popen[str], books: Books, lines: int, microseconds: int) -> None:
    """Let it work until it has told so many things, and a little longer; take down what it told till then."""
    assert process.stdout is not None
    for _ in range(lines):
        books.enter(process.stdout.readline())
    # Not to wait for anything, but to hit any point of a transaction or file.
    signal.sigtimedwait([], microseconds / 1_000_000)
    process.kill()
    for line in process.stdout:
        books.enter(line)
    assert process.wait() == -signal.SIGKILL


def faults(directory: Path) -> list[str]:
    """Return what is wrong with the database, and the files that are not what their names say."""
    with closing(sqlite3.connect(directory / "callsheet.db")) as db:
        found = [line for (line,) in db.execute("PRAGMA integrity_check") if line != "ok"]
    return found + [
        path.name
        for path in directory.glob("files/??/*")
        if hashlib.sha256(path.read_bytes()).hexdigest() != path.name
    ]


@pytest.mark.timeout(scale(240, 2400))
async def test_killed_at_any_point_nothing_acknowledged_is_lost(
    directory: Path, worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is killed at work leaves all that it was told is done, and only whole files."""
    books, chance = Books(), random.Random()
    for turn in range(scale(10, 100)):
        process = worker("churn", directory, tmp_path, turn)
        lines, microseconds = chance.randrange(2, 40), chance.randrange(3000)
        await anyio.to_thread.run_sync(run_and_kill, process, books, lines, microseconds)
        assert await anyio.to_thread.run_sync(faults, directory) == []
        async with LocalProvider(directory) as provider:
            await books.compare(provider)
    assert len(books.claimed) == scale(10, 100)
    now = monotonic_us()
    monkeypatch.setattr(_leases, "monotonic_us", lambda: now + 60_000_000)  # the last one's lease and grace
    async with LocalProvider(directory) as provider:
        jobs = await provider.get_jobs([*books.claimed])
        assert {(job and job.state, job and job.problem) for job in jobs} == {(JobState.FAILED, "lost")}
        await provider.collect_garbage()
        await books.compare(provider)
    assert [*(directory / "files").glob("tmp/*")] == []


async def test_frozen_worker_learns_that_its_lease_is_gone(
    directory: Path, provider: LocalProvider, worker: Worker
) -> None:
    """Stopped until another has its job, a worker that wakes up gets LeaseLost, and changes nothing."""
    process = worker("hold_lease", directory)
    assert process.stdout is not None
    id_ = json.loads(await anyio.to_thread.run_sync(process.stdout.readline))
    process.send_signal(signal.SIGSTOP)
    job = None
    # Nobody tells that a lease has run out: whoever looks finds out.
    while job is None or not job.ended:
        await anyio.sleep(0.02)
        (job,) = await provider.get_jobs([id_])
    assert (job.state, job.problem) == (JobState.FAILED, "lost")
    claim = await provider.claim_job(id_, lease=60, grace=15)
    process.send_signal(signal.SIGCONT)
    assert json.loads(await anyio.to_thread.run_sync(process.stdout.readline)) == "LeaseLost"
    assert await anyio.to_thread.run_sync(process.wait) == 0
    assert await provider.get_jobs([id_]) == [claim.job]


@pytest.mark.timeout(scale(240, 1200))
async def test_eight_processes_lose_no_update(
    directory: Path, provider: LocalProvider, make: Make, worker: Worker
) -> None:
    """Of 8 times 2,000 updates each is done, none writes over another, and nobody hears of a lock."""
    tasks_each = scale(8, 1)
    count = 2000 // tasks_each
    jobs = [[(await make()).id for _ in range(tasks_each)] for _ in range(8)]
    shared = await make("shared")
    before = (await provider.sweep([], [], None)).mark
    processes = [worker("update", directory, own, shared.id, count) for own in jobs]
    told: list[Any] = []

    async def end(process: subprocess.Popen[str]) -> None:
        out, _ = await anyio.to_thread.run_sync(process.communicate)
        told.append(json.loads(out))

    async with anyio.create_task_group() as tasks:
        for process in processes:
            tasks.start_soon(end, process)
    assert [(one["done"], one["errors"]) for one in told] == [(2000, [])] * 8
    found = await provider.get_jobs([id_ for own in jobs for id_ in own])
    assert [job and job.message for job in found] == [str(count)] * 8 * tasks_each
    # Each transaction has taken a number of its own.
    after = (await provider.sweep([], [], None)).mark
    assert after.seq - before.seq == sum(one["transactions"] for one in told)


async def test_killed_upload_goes_on_in_another_process(
    directory: Path, provider: LocalProvider, worker: Worker, tmp_path: Path
) -> None:
    """What a killed process has written of a file is not written again."""
    source = tmp_path / "plate.exr"
    # The test's own work is done in threads, so that what is measured on the loop is the tracker's.
    content = await anyio.to_thread.run_sync(os.urandom, 8 * MEGABYTE)
    await anyio.to_thread.run_sync(source.write_bytes, content)
    process = await anyio.to_thread.run_sync(worker, "stop_upload", directory, source, 5 * MEGABYTE)
    assert process.stdout is not None
    assert json.loads(await anyio.to_thread.run_sync(process.stdout.readline)) == 5 * MEGABYTE
    process.kill()
    await anyio.to_thread.run_sync(process.wait)
    (part,) = (directory / "files").glob("tmp/*")
    inode, size = part.stat().st_ino, part.stat().st_size
    component = await provider.upload(File(source), location=None, key="k", progress=unseen)
    (path,) = (directory / "files").glob("??/*")
    assert (path.stat().st_ino, size) == (inode, 5 * MEGABYTE)
    digest = await anyio.to_thread.run_sync(hashlib.sha256, content)
    assert component.checksum == f"sha256:{digest.hexdigest()}"
    assert await anyio.to_thread.run_sync(path.read_bytes) == content

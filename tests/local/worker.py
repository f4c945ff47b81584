"""What other processes do to a tracker in these tests: `worker.py LOOP ACT ARGUMENT…` (each as JSON)."""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import TaskStatus

from callsheet import CallsheetError, File, LeaseLost, NewJob
from callsheet.abc import JobChanges, JobFilter
from callsheet.providers.local import LocalProvider

MEGABYTE = 1 << 20


async def unseen(_: int) -> None:
    """Take progress and tell nobody."""


def tell(told: object) -> None:
    """Print for the test, at once."""
    os.write(1, json.dumps(told).encode() + b"\n")


async def create(directory: str, key: str) -> None:
    """Make a job and print its id."""
    async with LocalProvider(directory) as provider:
        (job,) = await provider.create_jobs([NewJob(name=key, idempotency_key=key)])
        print(job.id)


@contextmanager
def little_room(ballast: str | None) -> Iterator[None]:
    """Leave 600 kB: of what a file may have, or, on a small disk, by a file that takes the rest."""
    if ballast is None:
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, hard))
        yield
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    else:
        free = shutil.disk_usage(Path(ballast).parent).free
        Path(ballast).write_bytes(b"x" * (free - 600_000))
        yield
        Path(ballast).unlink()


async def fill_database(directory: str, ballast: str | None) -> None:
    """Make jobs until there is no room; then have room again."""
    async with LocalProvider(directory) as provider:

        async def make(number: int) -> None:
            new = NewJob(name=f"n{number}", idempotency_key=f"k{number}", attributes={"x": "x" * 20_000})
            await provider.create_jobs([new])

        await make(0)
        (first,) = (await provider.page_jobs(JobFilter(), after=None, size=1)).items
        number = 1
        with little_room(ballast):
            try:
                while True:
                    await make(number)
                    number += 1
            except CallsheetError as exc:
                error = [type(exc).__name__, exc.outcome.value]
            there = await provider.count_jobs(JobFilter())
            unchanged = await provider.get_jobs([first.id]) == [first]
        (after,) = await provider.update_jobs([first.id], JobChanges(message="written"))
        tell(
            {
                "error": error,
                "acknowledged": number,
                "there": there,
                "unchanged": unchanged,
                "afterwards": after.message,
            }
        )


async def fill_files(directory: str, ballast: str | None) -> None:
    """Upload more than there is room for; then have room again."""
    async with LocalProvider(directory) as provider:

        async def upload(content: bytes, key: str) -> Any:
            return await provider.upload(File(content, name=key), location=None, key=key, progress=unseen)

        first = await upload(b"first", "first")
        big = os.urandom(3 * MEGABYTE)
        with little_room(ballast):
            try:
                await upload(big, "big")
            except CallsheetError as exc:
                error = [type(exc).__name__, exc.outcome.value]
            listed = (await provider.page_components(job_id=None, location_id=None, after=None, size=9)).items
            files = Path(directory) / "files"
            told = {
                "error": error,
                "components": len(listed),
                "files": len([*files.glob("??/*")]),
                "parts": len([*files.glob("tmp/*")]),
            }
            async with provider.read(first) as chunks:
                told["first"] = [chunk async for chunk in chunks] == [b"first"]
        tell(told | {"afterwards": (await upload(big, "big")).size})


async def without_rights(name: str) -> None:
    """Give up all rights, and try to use directories that others made."""
    with tempfile.TemporaryDirectory(prefix=name) as place:
        home = Path(place)
        home.chmod(0o755)
        async with LocalProvider(home / "theirs"):
            pass
        for path in (home / "theirs", *(home / "theirs").iterdir()):
            path.chmod(0o755)
        (home / "closed").mkdir(mode=0o755)
        (home / "own").mkdir()
        os.chown(home / "own", 65534, 65534)
        told: dict[str, Any] = {}
        if os.getuid() == 0:
            os.seteuid(65534)
        else:
            (home / "theirs").chmod(0o555)
            (home / "closed").chmod(0o555)
        try:
            told |= await tried(home)
        finally:
            if os.getuid() == 0:
                os.seteuid(0)
        tell(told)


async def tried(home: Path) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for word, path in {"theirs": home / "theirs", "new": home / "closed" / "new"}.items():
        try:
            await LocalProvider(path).open()
        except CallsheetError as exc:
            told[word] = f"{type(exc).__name__}: {exc}".replace(str(home), "DIRECTORY")
    async with LocalProvider(home / "own") as provider:
        parts = home / "own" / "files" / "tmp"
        parts.chmod(0o500)
        try:
            await provider.upload(File(b"x", name="a"), location=None, key="a", progress=unseen)
        except CallsheetError as exc:
            text = f"{type(exc).__name__}: {exc}".replace(str(home), "DIRECTORY")
            told["files"] = text[: text.index("tmp/") + 4] + "…)"
        parts.chmod(0o700)
        component = await provider.upload(File(b"x", name="a"), location=None, key="a", progress=unseen)
        told["afterwards"] = component.size == 1
    return told


async def hold_upload(directory: str) -> None:
    """Stop in the middle of an upload until a line comes in."""

    async def halves() -> AsyncIterator[bytes]:
        yield b"first half, "
        tell("half")
        await anyio.to_thread.run_sync(sys.stdin.readline)
        yield b"second half"

    async with LocalProvider(directory) as provider:
        file = File(halves(), name="a", size=23)
        await provider.upload(file, location=None, key="held", progress=unseen)


async def churn(directory: str, place: str, turn: int) -> None:
    """Make, change and attach for as long as we live, and tell of each thing once it is done."""
    async with LocalProvider(directory) as provider, anyio.create_task_group() as tasks:

        async def hold(*, task_status: TaskStatus[None]) -> None:
            new = NewJob(name="claimed", idempotency_key=f"claim {turn}")
            claim = await provider.claim_job(new, lease=30, grace=10)
            tell(["claimed", claim.job.id])
            task_status.started()
            while True:
                await anyio.sleep(0.1)
                await provider.beat_job(claim, JobChanges(progress=0.5))

        async def work(number: int) -> None:
            new = NewJob(name="worked on", idempotency_key=f"work {turn} {number}")
            (job,) = await provider.create_jobs([new])
            tell(["made", job.id])
            path = Path(place) / f"{number}.exr"
            for step in range(1, 1_000_000):
                await provider.update_jobs([job.id], JobChanges(message=str(step)))
                tell(["updated", job.id, step])
                content = os.urandom(random.randrange(3 * MEGABYTE // 2))
                path.write_bytes(content)
                key = f"{turn} {number} {step}"
                component = await provider.upload(File(path), location=None, key=key, progress=unseen)
                await provider.link(job.id, [component])
                tell(["attached", job.id, component.id, hashlib.sha256(content).hexdigest()])

        await tasks.start(hold)  # so that each turn tells of a claim, however early it is killed
        for number in range(4):
            tasks.start_soon(work, number)


async def hold_lease(directory: str) -> None:
    """Beat until the lease is lost."""
    async with LocalProvider(directory) as provider:
        claim = await provider.claim_job(NewJob(name="a", idempotency_key="held"), lease=0.5, grace=0.2)
        tell(claim.job.id)
        try:
            while True:
                await anyio.sleep(0.05)
                await provider.beat_job(claim, JobChanges(message="still mine"))
        except LeaseLost as exc:
            tell(type(exc).__name__)


async def update(directory: str, own: list[str], shared: str, count: int) -> None:
    """Change each of our jobs so many times, each time with the shared one; tell every error."""
    errors: list[str] = []
    done = 0

    async def change(provider: LocalProvider, id_: str) -> None:
        nonlocal done
        for number in range(1, count + 1):
            try:
                await provider.update_jobs([id_, shared], JobChanges(message=str(number)))
                done += 1
            except CallsheetError as exc:
                errors.append(repr(exc))

    async with LocalProvider(directory) as provider:
        async with anyio.create_task_group() as tasks:
            for id_ in own:
                tasks.start_soon(change, provider, id_)
        tell({"done": done, "errors": errors, "transactions": provider._store.transactions})


async def stop_upload(directory: str, source: str, place: int) -> None:
    """Stand still in the middle of an upload."""

    async def stop(done: int) -> None:
        if done == place:
            tell(done)
            await anyio.sleep_forever()

    async with LocalProvider(directory) as provider:
        await provider.upload(File(source), location=None, key="stopped", progress=stop)


ACTS: dict[str, Any] = {
    act.__name__: act
    for act in (
        create,
        fill_database,
        fill_files,
        without_rights,
        hold_upload,
        churn,
        hold_lease,
        update,
        stop_upload,
    )
}

if __name__ == "__main__":
    loop, act, *arguments = sys.argv[1:]
    anyio.run(ACTS[act], *map(json.loads, arguments), backend=loop)

"""Large files as jobs: in little memory, through failing chunks, and gone on with after a kill."""

from __future__ import annotations

import filecmp
import hashlib
import subprocess
import sys
from collections import Counter
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from callsheet import Client
from callsheet.providers.vidispine import VidispineProvider
from callsheet.providers.vidispine._chunks import CHUNK
from callsheet.sandbox import Sandbox
from support import FULL
from support.vidispinefiles import indices

MIB = 1 << 20
SIZE = (1 << 30) - 5 if FULL else 4 * CHUNK - 5
CHUNKS = -(-SIZE // CHUNK)
RAW = "/API/import/raw"


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of many chunks, no MiB of it like another."""
    path = tmp_path_factory.mktemp("large") / "large.mov"
    block = hashlib.shake_128(b"x").digest(MIB)
    with path.open("wb") as file:
        for index in range(-(-SIZE // MIB)):
            file.write(index.to_bytes(8) + block[8:])
        file.truncate(SIZE)
    return path


def worker(sandbox: Sandbox, path: Path) -> subprocess.Popen[str]:
    """Start an import in a process of its own."""
    command = [sys.executable, str(Path(__file__).with_name("worker.py")), sandbox.url, str(path)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def noted(folder: Path) -> int:
    """Return how many chunks the journals say are there."""
    return sum(path.read_text().count('"done"') for path in folder.glob("*.journal"))


async def is_the_one_job(client: Client[VidispineProvider], sandbox: Sandbox, path: Path, copy: Path) -> bool:
    """Tell whether one job was made of the file, and has it, whole."""
    sandbox.clock.advance(3600)
    (job,) = [job async for job in client.jobs.list() if job.name == "large"]
    (part,) = await client.components.list(job).collect()
    await client.components.download(part, to=copy)
    return await anyio.to_thread.run_sync(filecmp.cmp, copy, path, False)


@pytest.mark.timeout(300)
@pytest.mark.loop_limit(0.5, reason="the test asks the sandbox for its log, which blocks")
async def test_the_memory_of_an_import(
    client: Client[VidispineProvider], sandbox: Sandbox, tmp_path: Path, large: Path
) -> None:
    """A large import holds a few chunks at a time, however many there are, and however many fail."""
    sandbox.faults.add("status", path=RAW, nth=[3, 5], status=503)
    sandbox.faults.add("reset", path=RAW, nth=4, after=MIB)
    with worker(sandbox, large) as process:
        output, _ = await anyio.to_thread.run_sync(process.communicate, None, 300)
    assert process.returncode == 0
    assert sandbox.faults.struck() == 3
    assert int(output.split()[1]) < 4 * CHUNK + 8 * MIB
    counts = Counter(indices(sandbox, RAW))
    assert sorted(counts) == list(range(0, SIZE, CHUNK))
    assert sum(counts.values()) == CHUNKS + 3
    assert await is_the_one_job(client, sandbox, large, tmp_path / "copy.mov")


@pytest.mark.timeout(300)
@pytest.mark.loop_limit(0.5, reason="the test asks the sandbox for its log, which blocks")
async def test_an_import_that_is_killed(
    client: Client[VidispineProvider], sandbox: Sandbox, tmp_path: Path, large: Path, state_folder: Path
) -> None:
    """An import whose process is killed goes on in another one, from the chunks that were noted: one job."""
    sandbox.faults.add("latency", path=RAW, nth=list(range(4, CHUNKS + 4)), seconds=60)
    with worker(sandbox, large) as process:
        # What is waited for is written by the other process.
        while process.poll() is None and noted(state_folder) < 2:  # noqa: ASYNC110
            await anyio.sleep(0.02)
        process.kill()
    sandbox.faults.clear()
    sandbox.forget_requests()
    job = await client.jobs.create("large", files=[large])
    assert indices(sandbox, RAW) == list(range(2 * CHUNK, SIZE, CHUNK))
    assert (job.name, job.type) == ("large", "RAW_IMPORT")
    assert await is_the_one_job(client, sandbox, large, tmp_path / "copy.mov")
    assert list(state_folder.iterdir()) == []

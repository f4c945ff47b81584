"""callsheet on ftrack beside ftrack's own Python client, against the same sandbox.

python -m bench.ftrack [--rounds 3] [listing] [hundreds] [creating] [attaching] [large] [--latency 0 25]
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from bench.beside import Beside, Row
from bench.ftrack_beside import JOBS
from bench.meter import Meter

from callsheet import Client, NewJob
from callsheet.providers.ftrack import FtrackProvider

if TYPE_CHECKING:
    from callsheet.sandbox import Sandbox

ROWS = {
    "listing": Row(title=f"listing {10 * JOBS:,} jobs", goals={("CPU s", 0): 1 / 8, ("CPU s", 25): 1 / 8}),
    "hundreds": Row(
        title=f"listing {10 * JOBS:,} jobs, ours in pages of 100, one after another", theirs="listing"
    ),
    "creating": Row(title=f"creating {JOBS:,} jobs"),
    "attaching": Row(
        title="attaching 100 files of 256 KiB", files=(100, 256 << 10), goals={("s", 25): 1 / 15}
    ),
    "large": Row(title="attaching one file of 1 GiB", theirs="attaching", files=(1, 1 << 30)),
}


async def take(row: str, files: list[Path]) -> None:
    """Do the work of a row once, with its files, and print what it took."""
    async with Client(FtrackProvider()) as client:
        meter = Meter()
        if row == "listing":
            count = 0
            async with client.jobs.list() as listing:
                async for _ in listing:
                    count += 1
            assert count == 10 * JOBS
        elif row == "hundreds":
            assert len(await client.jobs.list(page_size=100).collect()) == 10 * JOBS
        elif row == "creating":
            await client.jobs.create_many([NewJob(name=f"job {number}") for number in range(JOBS)])
        else:
            job = await client.jobs.create("attachments")
            await client.jobs.attach(job, files)
        print(meter.stop())


def fill(row: str, sandbox: Sandbox) -> None:
    """Make the jobs that are listed."""
    if row in {"listing", "hundreds"}:
        anyio.run(make_jobs, sandbox)


async def make_jobs(sandbox: Sandbox) -> None:
    """Make them, many at a time."""
    provider = FtrackProvider(sandbox.url, user="sandbox", api_key="sandbox-key")
    async with Client(provider) as client:
        for start in range(0, 10 * JOBS, JOBS):
            new = [NewJob(name=f"job {start + number}", description="12 files") for number in range(JOBS)]
            await client.jobs.create_many(new)


BENCH = Beside(
    module="bench.ftrack",
    others={"ftrack_api": ("ftrack", "bench.ftrack_beside")},
    rows=ROWS,
    take=take,
    fill=fill,
    pages=("listing", "hundreds", 0.25),
)

if __name__ == "__main__":
    BENCH.main()

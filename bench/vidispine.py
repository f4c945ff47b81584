"""callsheet on Vidispine beside its official Python SDK, against the same sandbox.

python -m bench.vidispine [--rounds 3] [--latency 0 25] [ROW...]
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.beside import Beside, Row
from bench.meter import Meter
from bench.vidispine_beside import JOBS

from callsheet import Client, NewJob
from callsheet.providers.vidispine import VidispineProvider

if TYPE_CHECKING:
    from callsheet.sandbox import Sandbox

CPU = {("CPU s", 0): 1 / 8, ("CPU s", 25): 1 / 8}

ROWS = {
    "listing": Row(title=f"listing {JOBS:,} jobs", goals=CPU),
    "hundreds": Row(
        title=f"listing {JOBS:,} jobs, ours in pages of 100, one after another", theirs="listing"
    ),
    "steps": Row(title=f"listing {JOBS:,} jobs with their steps", goals=CPU),
    "watching": Row(title=f"looking at {JOBS // 10:,} unfinished jobs once"),
    "importing": Row(title="importing 100 files of 256 KiB", files=(100, 256 << 10)),
    "large": Row(title="importing one file of 1 GiB", theirs="importing", files=(1, 1 << 30)),
}

DATA = {
    "item": "VX-5",
    "itemId": "VX-5",
    "originalFilename": "sh010_beauty_v003.mov",
    "destinationStorageId": "VX-1",
    "filePathMap": "VX-15=VX-15.mov",
    "bytesWritten": "3000000",
}


async def take(row: str, files: list[Path]) -> None:
    """Do the work of a row once, with its files, and print what it took."""
    async with Client(VidispineProvider(include_steps=row == "steps")) as client:
        meter = Meter()
        if row in {"listing", "steps"}:
            count = 0
            async with client.jobs.list() as listing:
                async for _ in listing:
                    count += 1
            assert count == JOBS
        elif row == "hundreds":
            assert len(await client.jobs.list(page_size=100).collect()) == JOBS
        elif row == "watching":
            jobs = await client.jobs.list().collect()
            changes = client.jobs.watch(*jobs)
            assert len([await anext(changes) for _ in jobs]) == JOBS // 10
        else:
            await client.jobs.create_many(NewJob(name=path.name, files=[path]) for path in files)
        print(meter.stop())


def fill(row: str, sandbox: Sandbox) -> None:
    """Make the jobs that are listed or looked at."""
    if row == "watching":
        sandbox.act("vidispine", "new", number=JOBS // 10, type="TRANSCODE", status="STARTED", data=DATA)
    elif not ROWS[row].files[0]:
        sandbox.act("vidispine", "new", number=JOBS, type="TRANSCODE", status="FINISHED", data=DATA)


BENCH = Beside(
    module="bench.vidispine",
    others={"vidispine": ("vidispine", "bench.vidispine_beside")},
    rows=ROWS,
    take=take,
    fill=fill,
    pages=("listing", "hundreds", 0.15),
)

if __name__ == "__main__":
    BENCH.main()

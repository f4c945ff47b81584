"""callsheet on Deadline Cloud beside boto3 and aiobotocore, against the same sandbox.

python -m bench.deadline [--rounds 3] [--latency 0 25] [ROW...]

Files on their way to Deadline are measured by `bench.attachments`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from bench.beside import Beside, Row
from bench.deadline_beside import FARM, JOBS, QUEUE, WATCHED
from bench.meter import Meter

from callsheet import Client
from callsheet.providers.deadline import DeadlineProvider

if TYPE_CHECKING:
    from callsheet.sandbox import Sandbox

THOUSANDS = 5_000
INSTANT = 20
"""Jobs made in one instant."""

CPU = {("CPU s", 0): 1 / 8, ("CPU s", 25): 1 / 8}

ROWS = {
    "listing": Row(title=f"listing {JOBS:,} jobs", goals=CPU),
    "hundreds": Row(title=f"listing {JOBS:,} jobs, one page after another", alone=True),
    "watching": Row(title=f"finding {WATCHED:,} jobs, and looking at them once"),
    "thousands": Row(title=f"finding {THOUSANDS:,} jobs, and looking at them once", alone=True),
}

TEMPLATE = json.dumps(
    {
        "specificationVersion": "jobtemplate-2023-09",
        "name": "sh010",
        "parameterDefinitions": [
            {"name": "Scene", "type": "PATH", "default": "/projects/show/sh010/sh010_v003.ma"},
            {"name": "Camera", "type": "STRING", "default": "renderCam"},
        ],
        "steps": [{"name": "Render", "script": {"actions": {"onRun": {"command": "render"}}}}],
    }
)


async def take(row: str, files: list[Path]) -> None:
    """Do the work of a row once and print what it took."""
    async with Client(DeadlineProvider(FARM, QUEUE)) as client:
        meter = Meter()
        if row == "listing":
            count = 0
            async with client.jobs.list() as listing:
                async for _ in listing:
                    count += 1
            assert count == JOBS
        elif row == "hundreds":
            assert len(await client.jobs.list().collect()) == JOBS
        else:
            jobs = await client.jobs.list().collect()
            changes = client.jobs.watch(*jobs)
            assert len([await anext(changes) for _ in jobs]) == {"watching": WATCHED}.get(row, THOUSANDS)
        print(meter.stop())


def fill(row: str, sandbox: Sandbox) -> None:
    """Make the jobs that are listed or looked at; nobody works on them."""
    sandbox.configure("deadline", workers=0, create_seconds=0)
    sandbox.clock.freeze()
    number = {"watching": WATCHED, "thousands": THOUSANDS}.get(row, JOBS)
    for _ in range(number // INSTANT):
        sandbox.act("deadline", "make", number=INSTANT, name="sh010 beauty", template=TEMPLATE)
        sandbox.clock.advance(1)


BENCH = Beside(
    module="bench.deadline",
    others={
        "boto3": ("deadline", "bench.deadline_beside"),
        "aiobotocore": ("aiobotocore", "bench.deadline_aiobotocore"),
    },
    rows=ROWS,
    take=take,
    fill=fill,
    pages=("listing", "hundreds", 1.0),
)

if __name__ == "__main__":
    BENCH.main()

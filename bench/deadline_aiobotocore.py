"""aiobotocore doing what is measured; run where that is installed.

    python -m bench.deadline_aiobotocore WORK FOLDER      with AWS_ENDPOINT_URL_DEADLINE and the like set

Prints wall time and CPU in seconds, and how much the highest memory grew in MB, as JSON.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import AsyncIterator
from typing import Any

from bench.deadline_beside import FARM, JOBS, NEWEST_FIRST, QUEUE, WATCHED
from bench.meter import Meter

__all__: list[str] = []

AT_ONCE = 10
"""Requests at a time: as many as its pool of connections holds."""


async def listing(client: Any) -> None:
    """Read every job, page after page."""
    offset, count = 0, 0
    while offset is not None:
        page = await client.search_jobs(
            farmId=FARM, queueIds=[QUEUE], itemOffset=offset, pageSize=100, sortExpressions=NEWEST_FIRST
        )
        count += sum(job["taskRunStatus"] != "" for job in page["jobs"])
        offset = page.get("nextItemOffset")
    assert count == JOBS


async def watching(client: Any) -> None:
    """Look at each job by itself, several at a time."""
    ids = [id_ async for id_ in listed(client)]
    queue, statuses = iter(ids), []

    async def work() -> None:
        for id_ in queue:
            job = await client.get_job(farmId=FARM, queueId=QUEUE, jobId=id_)
            statuses.append(job["taskRunStatus"])

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    assert statuses == ["READY"] * WATCHED


async def listed(client: Any) -> AsyncIterator[str]:
    """Yield the ids of all jobs."""
    async for page in client.get_paginator("list_jobs").paginate(farmId=FARM, queueId=QUEUE):
        for job in page["jobs"]:
            yield job["jobId"]


async def main(work: str, folder: str) -> None:
    """Do the work once and print what it took."""
    session = importlib.import_module("aiobotocore.session").get_session()
    async with session.create_client("deadline") as client:
        meter = Meter()
        await {"listing": listing, "watching": watching}[work](client)
        print(meter.stop())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

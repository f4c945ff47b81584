"""boto3 doing what is measured; run where that is installed.

    python -m bench.deadline_beside WORK FOLDER      with AWS_ENDPOINT_URL_DEADLINE and the like set

Prints wall time and CPU in seconds, and how much the highest memory grew in MB, as JSON.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from bench.meter import Meter

__all__ = ["FARM", "JOBS", "NEWEST_FIRST", "QUEUE", "WATCHED"]

FARM = f"farm-{1:032x}"
QUEUE = f"queue-{1:032x}"

JOBS = 10_000
"""Jobs that are listed."""

WATCHED = 500
"""Jobs that are looked at one by one."""

NEWEST_FIRST = [{"fieldSort": {"name": "CREATED_AT", "sortOrder": "DESCENDING"}}]


def listing(client: Any) -> None:
    """Read every job, page after page, as searches allow: no further than 10,000."""
    offset, count = 0, 0
    while offset is not None:
        page = client.search_jobs(
            farmId=FARM, queueIds=[QUEUE], itemOffset=offset, pageSize=100, sortExpressions=NEWEST_FIRST
        )
        count += sum(job["taskRunStatus"] != "" for job in page["jobs"])
        offset = page.get("nextItemOffset")
    assert count == JOBS


def watching(client: Any) -> None:
    """Look at each job, as boto3's own waiters do."""
    pages = client.get_paginator("list_jobs").paginate(farmId=FARM, queueId=QUEUE)
    ids = [job["jobId"] for page in pages for job in page["jobs"]]
    statuses = [client.get_job(farmId=FARM, queueId=QUEUE, jobId=id_)["taskRunStatus"] for id_ in ids]
    assert statuses == ["READY"] * WATCHED


def main(work: str, folder: str) -> None:
    """Do the work once and print what it took."""
    client = importlib.import_module("boto3").client("deadline")
    meter = Meter()
    {"listing": listing, "watching": watching}[work](client)
    print(meter.stop())


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Vidispine's official Python SDK doing what is measured; run where that is installed.

    python -m bench.vidispine_beside WORK FOLDER      with VIDISPINE_URL and the like set

Prints wall time and CPU in seconds, and how much the highest memory grew in MB, as JSON.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.meter import Meter

__all__ = ["JOBS"]

JOBS = 10_000
"""Jobs that are listed; a tenth of them is watched."""

PAGE = 1000


def listing(client: Any, apis: Any, folder: Path, *, step: bool = False) -> None:
    """Read every job, page after page."""
    jobs, first, count = apis.JobApi(client), 1, 0
    while True:
        page = jobs.get_jobs(
            first=first, number=PAGE, sort="jobId desc", user=False, metadata=True, step=step
        ).job
        if not page:
            break
        count += sum(job.status != "" and job.user != "" for job in page)
        first += len(page)
    assert count == JOBS


def steps(client: Any, apis: Any, folder: Path) -> None:
    """Read every job with its steps."""
    listing(client, apis, folder, step=True)


def watching(client: Any, apis: Any, folder: Path) -> None:
    """Look at each unfinished job."""
    jobs = apis.JobApi(client)
    ids = [job.job_id for job in jobs.get_jobs(number=JOBS // 10, user=False).job]
    assert sum(jobs.get_job(id_).status == "STARTED" for id_ in ids) == JOBS // 10


def importing(client: Any, apis: Any, folder: Path) -> None:
    """Import every file of a folder as a job."""
    imports = apis.ImportApi(client)
    for path in sorted(folder.iterdir()):
        assert imports.import_item_raw(path.read_bytes(), filename=path.name).job_id


WORKS: dict[str, Callable[[Any, Any, Path], None]] = {
    "listing": listing,
    "steps": steps,
    "watching": watching,
    "importing": importing,
}


def main(work: str, folder: str) -> None:
    """Do the work once and print what it took."""
    vidispine = importlib.import_module("vidispine")
    apis = importlib.import_module("vidispine.api")
    configuration = vidispine.Configuration(
        host=os.environ["VIDISPINE_URL"] + "/API",
        username=os.environ["VIDISPINE_USER"],
        password=os.environ["VIDISPINE_PASSWORD"],
    )
    client = vidispine.ApiClient(configuration)
    meter = Meter()
    WORKS[work](client, apis, Path(folder))
    print(meter.stop())


if __name__ == "__main__":
    main(*sys.argv[1:])

"""ftrack's own Python client doing what is measured; run where that is installed.

    python -m bench.ftrack_beside WORK FOLDER      with FTRACK_SERVER and the like set

Prints wall time and CPU in seconds, and how much the highest memory grew in MB, as JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.meter import Meter

__all__ = ["JOBS"]

JOBS = 1000
"""Jobs that are created."""

FIELDS = "id, type, status, data, created_at, finished_at, user_id, user.username"
"""What is asked for of each job in a listing."""


def listing(session: Any, folder: Path) -> None:
    """Read every job."""
    query = session.query(f"select {FIELDS} from Job order by created_at descending, id descending")
    assert sum(job["status"] != "" and job["user"]["username"] != "" for job in query) == 10 * JOBS


def creating(session: Any, folder: Path) -> None:
    """Make many jobs in one commit."""
    user = session.query(f'User where username is "{session.api_user}"').one()
    for number in range(JOBS):
        data = json.dumps({"description": f"job {number}"})
        session.create("Job", {"user": user, "status": "queued", "data": data})
    session.commit()


def attaching(session: Any, folder: Path) -> None:
    """Attach every file of a folder to a new job."""
    user = session.query(f'User where username is "{session.api_user}"').one()
    job = session.create("Job", {"user": user, "data": "{}"})
    location = session.query('Location where name is "ftrack.server"').one()
    for path in folder.iterdir():
        component = session.create_component(str(path), {"name": path.stem}, location=location)
        session.create("JobComponent", {"component_id": component["id"], "job_id": job["id"]})
    session.commit()


WORKS: dict[str, Callable[[Any, Path], None]] = {
    "listing": listing,
    "creating": creating,
    "attaching": attaching,
}


def main(work: str, folder: str) -> None:
    """Do the work once and print what it took."""
    import ftrack_api

    session = ftrack_api.Session(auto_connect_event_hub=False, schema_cache_path=False)
    meter = Meter()
    WORKS[work](session, Path(folder))
    print(meter.stop())


if __name__ == "__main__":
    main(*sys.argv[1:])

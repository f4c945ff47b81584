"""What Vidispine's official SDK sees and does beside callsheet; run where that is installed.

`read JOB` tells a job with its files; `write FILE` imports one; `act JOB` changes, repeats and aborts a job.
Prints JSON. The server and the credentials come from the environment.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

# By name: for a checker, `vidispine` would be this project's folder of tests.
vidispine: Any = importlib.import_module("vidispine")
apis: Any = importlib.import_module("vidispine.api")


def connect() -> Any:
    """Return a client."""
    url, user, password = (os.environ[f"VIDISPINE_{name}"] for name in ("URL", "USER", "PASSWORD"))
    return vidispine.ApiClient(vidispine.Configuration(host=f"{url}/API", username=user, password=password))


def read(job_id: str) -> Any:
    """Tell a job, and the bytes of its item's files as text."""
    client = connect()
    job = apis.JobApi(client).get_job(job_id, metadata=True)
    data = {each.key: each.value for each in job.data}
    shapes, files = apis.ShapeApi(client), apis.FileApi(client)
    found = [
        files.get_file_data(file.id, _preload_content=False).data.decode()
        for shape in shapes.get_shapes(data["itemId"]).uri or []
        for file in shapes.get_shape_files(data["itemId"], shape).file
    ]
    return {
        "status": job.status,
        "type": job.type,
        "user": job.user,
        "priority": job.priority,
        "filename": data["originalFilename"],
        "shot": data.get("shot"),
        "files": found,
    }


def write(path: str) -> Any:
    """Import a file, with metadata of the job."""
    api = apis.ImportApi(connect())
    with Path(path).open("rb") as body:
        job = api.import_item_raw(body, filename=Path(path).name, jobmetadata=["shot=sh010"], priority="HIGH")
    return job.job_id


def act(job_id: str) -> Any:
    """Change a job's priority, run it again, and abort that."""
    api = apis.JobApi(connect())
    api.update_job(job_id, priority="LOWEST")
    again = api.create_duplicate_job(job_id)
    api.abort_job(again.job_id)
    return again.job_id


COMMANDS = {"read": read, "write": write, "act": act}

if __name__ == "__main__":
    print(json.dumps(COMMANDS[sys.argv[1]](sys.argv[2])))

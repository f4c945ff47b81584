"""What ftrack's own Python client makes of a job, run where that client is installed.

python beside.py read JOB        tell what it sees of the job and its attachments
python beside.py write FILE      make a job with the file attached, and tell its id
"""

from __future__ import annotations

import json
import sys
import urllib.request
from typing import Any

import ftrack_api


def content(link: Any) -> Any:
    """Return the size of an attachment with its text, or with the names of its members."""
    component = link["component"]
    if component.entity_type == "SequenceComponent":
        return [component["size"], sorted(member["name"] for member in component["members"])]
    (place,) = component["component_locations"]
    with urllib.request.urlopen(place["url"]["value"]) as answer:
        return [component["size"], answer.read().decode()]


def read(session: Any, job_id: str) -> Any:
    """Return what a session sees of a job."""
    job = session.get("Job", job_id)
    attached = {
        link["component"]["name"] + link["component"]["file_type"]: content(link)
        for link in job["job_components"]
    }
    data = json.loads(job["data"])
    return {
        "status": job["status"],
        "user": job["user"]["username"],
        "description": data["description"],
        "kept": data.get("theirs"),
        "attached": attached,
    }


def write(session: Any, path: str) -> Any:
    """Make a job of jane's with a file attached."""
    user = session.query('User where username is "jane"').one()
    data = json.dumps({"description": "Bake", "theirs": [1, 2]})
    job = session.create("Job", {"user": user, "status": "running", "data": data})
    location = session.query("Location where name is ftrack.server").one()
    component = session.create_component(path, {"name": "plate"}, location=location)
    session.create("JobComponent", {"component_id": component["id"], "job_id": job["id"]})
    session.commit()
    return {"id": job["id"]}


if __name__ == "__main__":
    what, argument = sys.argv[1:]
    session = ftrack_api.Session(auto_connect_event_hub=False, schema_cache_path=False)
    print(json.dumps({"read": read, "write": write}[what](session, argument)))

"""What the third party `vidispine-adapter` does against a server; run where that is, with a scenario's name.

Prints what it saw as JSON. The server and the credentials come from the environment, as for any user of it.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from typing import Any
from urllib.request import Request, urlopen

# By name: for a checker, `vidispine` would be this project's folder of tests.
adapter: Any = importlib.import_module("vidispine")
errors: Any = importlib.import_module("vidispine.errors")
utils: Any = importlib.import_module("vidispine.utils")


def refused(call: Callable[[], Any]) -> list[Any]:
    """Return the kind of error that a call is answered with, and what the server told."""
    try:
        call()
    except (errors.NotFound, errors.APIError) as error:
        body = str(error).partition(" - {")[2]
        told = (
            {name: value for name, value in json.loads("{" + body).items() if value} if body else str(error)
        )
        return [type(error).__name__, told]
    raise AssertionError("the call was not refused")


def ended(vidispine: Any, job_id: str) -> Any:
    """Let the server's time pass until a job has ended, and return it."""
    clock = os.environ["VIDISPINE_URL"] + "/_sandbox/clock"
    with urlopen(Request(clock, data=b'{"seconds": 60}', method="POST")):
        job = vidispine.job.get(job_id)
        assert "finished" in job, job
        return job


def placeholder(vidispine: Any) -> str:
    """Make an item without media; return its id."""
    item: str = vidispine.item.create_placeholder(
        utils.generate_metadata({"title": "My placeholder import!"})
    )["id"]
    return item


def jobs() -> Any:
    """Import into a placeholder as the adapter's own tests do, read the job, list problems."""
    vidispine = adapter.Vidispine()
    item = placeholder(vidispine)
    made = vidispine.item.import_to_placeholder(item, "container", {"uri": "tests/a.mp4"})
    job = vidispine.job.get(made["jobId"])
    told: dict[str, Any] = {
        "made": {name: value for name, value in made.items() if name not in {"jobId", "started"}},
        "keys": [list(made), list(job)],
        "same": made["started"] == job["started"],
        "data": job["data"] == [{"key": "item", "value": item}],
        "log": job["log"],
        "end": ended(vidispine, made["jobId"])["status"],
        "problems": vidispine.job.list_problems(),
        "unknown": refused(lambda: vidispine.job.get("VX-1000000")),
        "full": refused(lambda: vidispine.item.import_to_placeholder(item, "video", {"uri": "a.mp4"})),
        "lost": refused(
            lambda: vidispine.item.import_to_placeholder("VX-1000000", "container", {"uri": "a"})
        ),
    }
    portal = vidispine.client.get(
        "job;user=False;first=1;number=10;sort=jobId%20desc?metadata=True&step=True"
    )
    told["portal"] = [portal["hits"], [each["jobId"] == made["jobId"] for each in portal["job"]]]
    acting = vidispine.client.post("job", params={"type": "STUDIO_RENDER"}, runas="jane")
    told["acting"] = acting["user"]
    told["mine"] = vidispine.client.get("job", runas="jane")["hits"]
    return told


def items() -> Any:
    """Make, read, change and delete an item and its shapes."""
    vidispine = adapter.Vidispine()
    item = placeholder(vidispine)
    told: dict[str, Any] = {"metadata": titles(vidispine, item)}
    vidispine.item.update_metadata(item, utils.generate_metadata({"title": "Other"}))
    told["changed"] = titles(vidispine, item)
    shape = vidispine.item_shape.create({"tag": ["lowres"]}, item)
    told["shape"] = {name: value for name, value in shape.items() if name != "id"}
    told["listed"] = vidispine.item_shape.list(item) == {"uri": [shape["id"]]}
    told["read"] = vidispine.item_shape.get(item, shape["id"])["id"] == shape["id"]
    imported = vidispine.item_shape.import_shape(item, {"uri": "tests/a.mp4"})
    told["imported"] = [imported["type"], imported["status"]]
    told["deleted"] = vidispine.item_shape.delete(item, shape["id"])
    told["all"] = vidispine.item_shape.delete_all(item)
    told["unknown"] = refused(lambda: vidispine.item_shape.get(item, shape["id"]))
    told["transcoded"] = vidispine.client.post(f"item/{item}/transcode", params={"tag": "lowres"})["type"]
    vidispine.item.delete(item)
    told["gone"] = [
        refused(lambda: vidispine.item.get(item)),
        refused(lambda: vidispine.item_shape.list(item)),
    ]
    return told


def titles(vidispine: Any, item: str) -> list[str]:
    """Return the titles of an item."""
    (span,) = vidispine.item.get(item)["metadata"]["timespan"]
    return [value["value"] for field in span["field"] if field["name"] == "title" for value in field["value"]]


def storages() -> Any:
    """Make, list, read, change and delete a storage and its method."""
    vidispine = adapter.Vidispine()
    method = {"uri": "file:///srv/media1/", "read": "true", "write": "true", "browse": "true"}
    wanted = {
        "type": "LOCAL",
        "capacity": "1500000",
        "method": [method],
        "metadata": {"field": [{"key": "name", "value": "test_storage"}]},
        "lowWatermarkPercentage": "90",
        "highWatermarkPercentage": "75",
        "showImportables": "true",
    }
    made = vidispine.storage.create(wanted)
    method_id = made["method"][0].pop("id")
    told: dict[str, Any] = {"made": {name: value for name, value in made.items() if name != "id"}}
    told["order"] = list(made)
    told["listed"] = made["id"] in [
        each["id"] for each in vidispine.storage.list({"state": "NONE"})["storage"]
    ]
    changed = vidispine.storage.update(made["id"], {**wanted, "capacity": "3000000"})
    told["changed"] = [changed["capacity"], changed["lowWatermark"]]
    method_id = changed["method"][0]["id"]
    updated = vidispine.storage.update_storage_method(made["id"], method_id, {"url": "file:///srv/x/"})
    told["method"] = [updated["method_id"] == method_id, updated["storage_url"]]
    told["read"] = vidispine.storage.get_storage_method(made["id"], method_id)["method"][0]["bandwidth"]
    told["none"] = vidispine.storage.get_storage_method(made["id"], "VX-1000000")
    told["test"] = refused(
        lambda: vidispine.storage.update_storage_method(made["id"], "test", {"url": "file:///srv/x/"})
    )
    vidispine.storage.delete(made["id"])
    told["gone"] = refused(lambda: vidispine.storage.get(made["id"]))
    return told


def log() -> Any:
    """Read the audit log after a request like those of Portal's job page."""
    vidispine = adapter.Vidispine()
    path = "job;user=False;first=1;number=10;sort=jobId%20desc?metadata=True&step=True"
    vidispine.client.get(path, runas="admin")
    entries = vidispine.log.list({"path": "/job", "wildcard": "true"})["entry"]
    newest = {name: value for name, value in entries[0].items() if name != "timestamp"}
    return {"newest": newest, "version": list(vidispine.version()["component"][0])}


SCENARIOS = [jobs, items, storages, log]

if __name__ == "__main__":
    (scenario,) = (each for each in SCENARIOS if each.__name__ == sys.argv[1])
    print(json.dumps(scenario()))

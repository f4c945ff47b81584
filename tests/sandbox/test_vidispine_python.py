"""Vidispine's official SDK and the third party's adapter, both unchanged, against the sandbox.

Both are the package `vidispine`, so that each has an environment of its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from callsheet.sandbox import Sandbox
from support.vendors import run_python

SDK = Path(__file__).with_name("vidispine_sdk.py")
ADAPTER = Path(__file__).with_name("vidispine_adapter.py")

JOB_STATES = (
    *("READY", "STARTED", "VIDINET_JOB", "WAITING", "HOLD", "ABORTED_PENDING"),
    *("FINISHED", "FINISHED_WARNING", "FAILED_TOTAL", "ABORTED"),
)
STEP_STATES = (
    *(
        "NONE",
        "READY",
        "STARTED",
        "STARTED_ASYNCHRONOUS",
        "STARTED_PARALLEL",
        "STARTED_PARALLEL_ASYNCHRONOUS",
    ),
    *("STARTED_SUBTASKS", "FINISHED", "FAILED_RETRY", "FAILED_FATAL", "WAITING", "DISAPPEARED"),
)


@pytest.fixture(autouse=True)
def frozen(callsheet_sandbox: Sandbox) -> None:
    """Time passes only as the scenarios say."""
    callsheet_sandbox.clock.freeze()


def sdk(scenario: str, sandbox: Sandbox) -> Any:
    """Return what a scenario of the official SDK saw."""
    return run_python("vidispine", SDK, scenario, environment=sandbox.environment)


def adapter(scenario: str, sandbox: Sandbox) -> Any:
    """Return what a scenario of the adapter saw."""
    return run_python("vidispine-adapter", ADAPTER, scenario, environment=sandbox.environment)


def not_found(kind: str, identity: str) -> dict[str, Any]:
    """Return what an error says about a thing that is not there."""
    return {"notFound": {"type": kind, "id": identity, "context": None}}


FULL_PLACEHOLDER = {
    "invalidInput": {
        "context": "job",
        "id": None,
        "explanation": "No more components of that type is accepted",
        "value": "VIDEO_COMPONENT",
    }
}


def test_the_sdk_logs_in(callsheet_sandbox: Sandbox) -> None:
    """It is somebody by password and by token, acts for others, and is refused otherwise."""
    assert sdk("login", callsheet_sandbox) == {
        "me": "admin",
        "as": "jane",
        "token": ["admin", "admin"],
        "wrong": 401,
        "nobody": 403,
        "version": ["API"],
        "roles": ["_administrator", "_job_read", "_job_write"],
    }


def test_the_sdk_works_with_jobs(callsheet_sandbox: Sandbox) -> None:
    """It makes, filters, counts, changes, aborts, repeats and deletes jobs, in its own spelling."""
    assert sdk("jobs", callsheet_sandbox) == {
        "made": ["READY", "STUDIO_RENDER", "admin", "LOW", "jane"],
        "own": [1, ["STUDIO_RENDER"]],
        "all": [2, ["STUDIO_RENDER", "STUDIO_COMP"]],
        "filtered": [1, ["STUDIO_RENDER"]],
        "count": [2, 1],
        "none": None,
        "update": None,
        "priority": "HIGHEST",
        "abort": None,
        "aborted": "ABORTED",
        "again": [True, "STUDIO_COMP", "admin"],
        "delete": None,
        "gone": [404, not_found("Job", "VX-2"), 9],
        "problems": [None, None],
        "done": ["FINISHED", "sh010", 3, ["FINISHED"] * 3],
        "types": True,
    }
    spelled = [request.target for request in callsheet_sandbox.requests("/API/job", method="GET")]
    assert any("user=False" in target and "jobmetadata=shot%3Dsh0%2A" in target for target in spelled), (
        spelled
    )


def test_the_sdk_reads_every_state(callsheet_sandbox: Sandbox) -> None:
    """Its strict models take jobs and steps in every state, with both units of progress."""
    steps: list[dict[str, Any]] = [
        {"step": 100 * number, "status": status, "progress": {"value": 1, "total": 2, "unit": unit}}
        for number, (status, unit) in enumerate(
            zip(STEP_STATES, ["bytes", "percent"] * len(STEP_STATES), strict=False)
        )
    ]
    for status in JOB_STATES:
        ids = callsheet_sandbox.act("vidispine", "new", type="STUDIO_RENDER", status=status)
        callsheet_sandbox.act("vidispine", "jobs", ids=ids, steps=steps)
    log = [[step["status"], step["progress"]["unit"]] for step in steps]
    assert sdk("states", callsheet_sandbox) == [[status, log] for status in JOB_STATES]


def test_the_sdk_works_with_definitions(callsheet_sandbox: Sandbox) -> None:
    """It reads the steps of a type, deletes one and makes a type."""
    assert sdk("definitions", callsheet_sandbox) == {
        "before": [100, 200, 5000],
        "after": [100, 5000],
        "made": 3,
    }


def test_the_sdk_works_with_notifications(callsheet_sandbox: Sandbox) -> None:
    """It makes, lists, reads, changes and deletes notifications, with its slashes at the end."""
    assert sdk("notifications", callsheet_sandbox) == {
        "listed": True,
        "url": "http://127.0.0.1:9/",
        "changed": "http://127.0.0.1:9/other",
        "left": None,
    }
    assert callsheet_sandbox.requests("/API/job/notification/", method="POST") != []


def test_the_sdk_imports(callsheet_sandbox: Sandbox) -> None:
    """It imports bytes, chunks, a file by id and a URI that leads nowhere, and reads what became of them."""
    assert sdk("imports", callsheet_sandbox) == {
        "raw": ["RAW_IMPORT", "READY", "FINISHED", "r-1"],
        "transfer": 16384,
        "item": ["VX-1"],
        "shape": [["original"], 16384, "CLOSED"],
        "chunks": ["RAW_IMPORT", "FINISHED", 16384, True],
        "placeholder": ["PLACEHOLDER_IMPORT", "FINISHED"],
        "full": [400, FULL_PLACEHOLDER, 9],
        "lost": ["READY", "FAILED_TOTAL"],
        "second": ["SHAPE_IMPORT", "FINISHED", 2],
        "transcoded": ["TRANSCODE", "LOWEST", "FINISHED"],
        "shapes": None,
        "gone": [404, not_found("item", "VX-1"), 9],
    }


def test_the_sdk_works_with_files(callsheet_sandbox: Sandbox) -> None:
    """It writes, finds, reads, notes, links, copies and deletes files of a storage."""
    assert sdk("files", callsheet_sandbox) == {
        "made": ["shots/a.bin", "CLOSED", 16384],
        "found": [1, True, None],
        "bytes": True,
        "note": "final",
        "link": True,
        "copied": ["COPY_FILE", "FINISHED", 1],
        "taken": [409],
        "state": "ARCHIVED",
        "deleted": ["DELETE_FILE", "FINISHED"],
        "gone": [404, not_found("File", "VX-1"), 9],
    }


def test_the_sdk_works_with_storages(callsheet_sandbox: Sandbox) -> None:
    """It makes and deletes a storage whose numbers it sends as text, and reads plain lines about methods."""
    assert sdk("storages", callsheet_sandbox) == {
        "made": ["NONE", 1_500_000, 1_500_000, 1_350_000, 1_125_000],
        "line": True,
        "methods": ["file:///srv/other/"],
        "unknown": None,
        "plain": [404, "404 A resource could not be found\r\nType: storage-method\r\nID: VX-9999\r\n"],
        "space": ["1500000", "NONE"],
        "delete": None,
        "gone": [404, not_found("Storage", "VX-3"), 9],
    }


def test_the_sdk_asks_for_access(callsheet_sandbox: Sandbox) -> None:
    """It is told what the owner, an administrator and somebody else may do with an item."""
    assert sdk("access", callsheet_sandbox) == {
        "jane": [["OWNER", True]],
        "admin": [["ALL", True]],
        "ada": [],
    }


def test_the_adapter_follows_imports(callsheet_sandbox: Sandbox) -> None:
    """It sees what its authors recorded of a real server: documents, their members' order, and errors."""
    made = ["jobId", "user", "started", "status", "type", "priority"]
    assert adapter("jobs", callsheet_sandbox) == {
        "made": {"user": "admin", "status": "READY", "type": "PLACEHOLDER_IMPORT", "priority": "MEDIUM"},
        "keys": [made, [*made, "data", "log"]],
        "same": True,
        "data": True,
        "log": {"task": []},
        "end": "FAILED_TOTAL",
        "problems": {},
        "unknown": ["NotFound", not_found("Job", "VX-1000000")],
        "full": ["APIError", FULL_PLACEHOLDER],
        "lost": ["NotFound", not_found("Item", "VX-1000000")],
        "portal": [1, [True]],
        "acting": "jane",
        "mine": 1,
    }


def test_the_adapter_works_with_items(callsheet_sandbox: Sandbox) -> None:
    """It reads and changes an item's metadata, and makes and deletes shapes."""
    assert adapter("items", callsheet_sandbox) == {
        "metadata": ["My placeholder import!"],
        "changed": ["Other"],
        "shape": {"essenceVersion": 0, "tag": ["lowres"]},
        "listed": True,
        "read": True,
        "imported": ["SHAPE_IMPORT", "READY"],
        "deleted": None,
        "all": None,
        "unknown": ["NotFound", not_found("shape", "VX-1")],
        "transcoded": "TRANSCODE",
        "gone": [["NotFound", not_found("item", "VX-1")], ["NotFound", not_found("Item", "VX-1")]],
    }


def test_the_adapter_works_with_storages(callsheet_sandbox: Sandbox) -> None:
    """It gets the very document that its authors recorded, and the oddities about methods."""
    method = {"uri": "file:///srv/media1/", "read": True, "write": True, "browse": True, "type": "NONE"}
    made = {
        "state": "NONE",
        "type": "LOCAL",
        "capacity": 1_500_000,
        "freeCapacity": 1_500_000,
        "method": [method],
        "metadata": {"field": [{"key": "name", "value": "test_storage"}]},
        "lowWatermark": 1_350_000,
        "highWatermark": 1_125_000,
        "lowWatermarkPercentage": 90,
        "highWatermarkPercentage": 75,
        "showImportables": True,
    }
    assert adapter("storages", callsheet_sandbox) == {
        "made": made,
        "order": ["id", *made],
        "listed": True,
        "changed": [3_000_000, 2_700_000],
        "method": [True, "file:///srv/x/"],
        "read": 0,
        "none": {},
        "test": ["NotFound", {"code": 404, "message": "HTTP 404 Not Found"}],
        "gone": ["NotFound", not_found("Storage", "VX-3")],
    }


def test_the_adapter_reads_the_log(callsheet_sandbox: Sandbox) -> None:
    """The audit log shows Portal's request for its job page as real servers log it."""
    assert adapter("log", callsheet_sandbox) == {
        "newest": {
            "username": "admin",
            "method": "GET",
            "path": "/job;user=False;first=1;number=10",
            "queryParameters": "metadata=True&step=True",
            "matrixParameters": ";sort=jobId%20desc",
            "runAs": "admin",
        },
        "version": ["name", "version"],
    }

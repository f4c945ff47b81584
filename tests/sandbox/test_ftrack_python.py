"""ftrack's own Python client, unchanged, against the sandbox."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from callsheet.sandbox import Sandbox
from support.ftrackcalls import Studio, create
from support.vendors import run_python

SCRIPT = Path(__file__).with_name("ftrack_python.py")

# Sphinx is among the client's requirements, so that its environment takes long to make and to start.
pytestmark = pytest.mark.timeout(180)


def run(scenario: str, sandbox: Sandbox) -> Any:
    """Return what a scenario of the script saw."""
    return run_python("ftrack", SCRIPT, scenario, environment=sandbox.environment)


def test_sessions_start(callsheet_sandbox: Sandbox) -> None:
    """A session starts with one or two requests: schemas are asked for once and then kept by their hash."""
    seen = run("handshake", callsheet_sandbox)
    assert seen["version"] == "25.1.0"
    assert {"Job", "JobComponent", "FileComponent", "Location", "User"} <= set(seen["types"])
    assert "InvalidCredentialsError" in seen["refused"]
    bodies = [request.body for request in callsheet_sandbox.requests("/api")]
    assert ["query_schemas" in body for body in bodies] == [False, True, False, False]


def test_jobs_are_made_and_changed(callsheet_sandbox: Sandbox) -> None:
    """What one session writes another reads: one job, many in a commit, and none after they are deleted."""
    assert run("jobs", callsheet_sandbox) == {
        "type": 'Invalid job type "encode". Must be "api_job"',
        "status": "running",
        "data": '{"description": "Bake"}',
        "user": "jane",
        "then": ["done", True, "ada"],
        "again": ["done", "ada", True],
        "many": 4,
        "left": 0,
    }


def test_commits_are_all_or_nothing(callsheet_sandbox: Sandbox) -> None:
    """A commit that is refused keeps nothing, and tells why in ftrack's words."""
    seen = run("rollback", callsheet_sandbox)
    assert seen["jobs"] is True
    assert "ValidationError(status must be one of queued" in seen["refused"]


def test_components_go_through_the_server_location(callsheet_sandbox: Sandbox) -> None:
    """Files attached to a job come back by signed link and by URL, an empty one too, and can be removed."""
    seen = run("components", callsheet_sandbox)
    assert sorted(seen["files"]) == [
        ["empty", "", 0, "file", 0, []],
        ["notes", ".txt", 5, "file", 5, [ord("n")]],
        ["plate", ".mov", 3_000_000, "file", 3_000_000, [ord("p")]],
    ]
    assert seen["where"] == [[True, 100.0]] * 3
    assert seen["removed"] == 0.0


def test_sequences_are_one_component(callsheet_sandbox: Sandbox) -> None:
    """A frame sequence is uploaded as one component with its frames as members."""
    assert run("sequences", callsheet_sandbox) == {
        "padding": 4,
        "size": 6,
        "members": [["0001", ".exr", 1], ["0002", ".exr", 2], ["0003", ".exr", 3]],
    }


def test_locations_are_well_known_or_new(callsheet_sandbox: Sandbox) -> None:
    """Built-in locations are found; a new one holds components until they are removed from it."""
    names = ("connect", "origin", "review", "server", "unmanaged")
    assert run("locations", callsheet_sandbox) == {
        "known": [f"ftrack.{name}" for name in names],
        "stored": "text",
        "both": [100.0, 100.0],
        "refused": True,
        "left": None,
    }


@pytest.mark.callsheet_sandbox(jobs=1200, seed=1)
def test_queries_page_and_fill_in(callsheet_sandbox: Sandbox) -> None:
    """1,200 jobs are read in pages of 500, relations follow, and entities are ensured."""
    assert run("queries", callsheet_sandbox) == {
        "jobs": 1200,
        "owners": True,
        "lazy": True,
        "ensured": "B",
        "metadata": ["zoe", {"phone": "3"}],
        "first": None,
    }
    assert len(callsheet_sandbox.requests("/api", contains="order by created_at desc offset")) == 3


def test_events_are_heard_and_answered(callsheet_sandbox: Sandbox) -> None:
    """A session's hub hears what another session commits, and its reply finds the one who asked."""
    assert run("events", callsheet_sandbox) == {
        "heard": [
            ["Job", "add", ["jobid", "type", "status", "created_at"]],
            ["Job", "update", ["status", "finished_at"]],
        ],
        "answers": [42],
    }


def test_each_reads_what_the_other_wrote(studio: Studio, callsheet_sandbox: Sandbox) -> None:
    """Jobs made by bare calls and jobs made by the client stand side by side."""
    studio.call(create("Job", id="j-1", status="failed"), create("Job", id="j-2", status="failed"))
    assert run("jobs", callsheet_sandbox)["many"] == 6
    assert studio.query("Job") == []

"""ftrack's published JavaScript client, unchanged, under Node, against the sandbox."""

from __future__ import annotations

from pathlib import Path

from callsheet.sandbox import Sandbox
from support.vendors import run_node

SCRIPT = Path(__file__).with_name("ftrack_javascript.mjs")


def test_the_client_works(callsheet_sandbox: Sandbox) -> None:
    """Session, jobs, batches, events, and uploads whole and in parts do what the client expects."""
    assert run_node("ftrack-js", SCRIPT, environment=callsheet_sandbox.environment) == {
        "version": "25.1.0",
        "schemas": 11,
        "created": ["api_job", "running", True],
        "updated": "done",
        "heard": {"old": "running", "new": "done"},
        "batch": ["jane", "ftrack.server"],
        "refused": ["ServerValidationError", "Job has no attribute 'nope'"],
        "uploads": [["plate", ".mov", 50_000, 50_000], ["plate", ".mov", 26_214_400, 26_214_400]],
        "deleted": True,
    }
    puts = callsheet_sandbox.requests(method="PUT")
    assert [put.size for put in puts[:1]] == [50_000]
    assert sorted(put.size for put in puts[1:]) == [1024 * 1024, *[8 * 1024 * 1024] * 3]

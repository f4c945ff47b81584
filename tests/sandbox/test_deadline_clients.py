"""AWS's own clients, boto3 and the `deadline` command, unchanged, against the sandbox."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from callsheet.sandbox import Sandbox
from support.vendors import run_python

SCRIPT = Path(__file__).with_name("deadline_clients.py")

# The clients take seconds to load, and so does S3, which some scenarios need.
pytestmark = pytest.mark.timeout(180)


def run(scenario: str, sandbox: Sandbox) -> Any:
    """Return what a scenario of the script saw."""
    return run_python("deadline", SCRIPT, scenario, environment=sandbox.environment)


def test_boto3_works_with_jobs(callsheet_sandbox: Sandbox) -> None:
    """Jobs are made, changed, suspended, cancelled, listed, searched, got many at once, and waited for."""
    callsheet_sandbox.configure("deadline", workers=0, create_seconds=0.2)
    assert run("jobs", callsheet_sandbox) == {
        "name": "sh020 render",
        "changed": ["urgent", 80, "UPDATE_SUCCEEDED", "SUSPENDED"],
        "pages": [2, 2, 1],
        "found": [1, [True]],
        "batch": [1, ["ResourceNotFoundException"]],
        "waited": "CANCELED",
    }


def test_boto3_is_refused_in_the_services_words(callsheet_sandbox: Sandbox) -> None:
    """A wrong secret, a wrong value, a missing job and a token used twice are told by code and status."""
    assert run("errors", callsheet_sandbox) == {
        "secret": ["InvalidSignatureException", 403],
        "value": ["ValidationException", 400],
        "absent": ["ResourceNotFoundException", 404],
        "again": True,
        "other": ["ValidationException", 400],
    }


def test_the_command_submits_a_bundle_and_gets_its_outputs(callsheet_sandbox: Sandbox) -> None:
    """Files go to S3 and back, the job runs by itself, and every step of its session can be traced."""
    callsheet_sandbox.configure("deadline", pick_up_seconds=0, start_seconds=0, task_seconds=0.1)
    outputs = {f"renders/Render-{number:04}.txt": 50 for number in range(2)}
    assert run("bundle", callsheet_sandbox) == {
        "listed": True,
        "files": {"scene.ma": 5, "tex/a.tx": 1000, **outputs},
        "scene": "scene",
    }


def test_the_command_cancels_and_requeues(callsheet_sandbox: Sandbox) -> None:
    """A job that was cancelled is told as such to whoever waits for it, and its tasks can be run again."""
    callsheet_sandbox.configure("deadline", workers=0, create_seconds=0)
    assert run("cancel", callsheet_sandbox) == {"waited": "CANCELED", "requeued": "READY"}


def test_the_command_looks_around(callsheet_sandbox: Sandbox) -> None:
    """Farm, queue and job are found by id and by word; credentials are had; new outputs come home."""
    callsheet_sandbox.configure("deadline", pick_up_seconds=0, start_seconds=0, task_seconds=0.1)
    assert run("around", callsheet_sandbox) == {
        "farm": [True, True],
        "queue": [True, True],
        "job": [True, True],
        "absent": True,
        "access": "AUTHENTICATED",
        "credentials": ["AccessKeyId", "Expiration", "SecretAccessKey", "SessionToken", "Version"],
        "outputs": ["Render-0000.txt", "Render-0001.txt"],
    }

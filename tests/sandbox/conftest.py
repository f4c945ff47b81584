"""A sandbox for each test, from callsheet's own pytest plug-in, and bare calls to it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from callsheet.sandbox import Sandbox
from support import FULL
from support.deadlinecalls import Farm
from support.ftrackcalls import Studio
from support.vidispinecalls import Archive

# The npm packages of this one are installed by the full run.
collect_ignore = [] if FULL else ["test_ftrack_javascript.py"]


@pytest.fixture(autouse=True)
def no_server_errors(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail the test during which a server logged an error of its own."""
    yield
    told = [*caplog.get_records("setup"), *caplog.get_records("call")]
    assert [record.getMessage() for record in told if record.name == "uvicorn.error"] == []


@pytest.fixture
def studio(callsheet_sandbox: Sandbox) -> Iterator[Studio]:
    """The sandbox's ftrack server."""
    credentials = {"ftrack-user": "sandbox", "ftrack-api-key": "sandbox-key"}
    # Without TLS there is nothing to verify, and nothing to load for it.
    with (
        httpx.Client(base_url=callsheet_sandbox.url, headers=credentials, verify=False, timeout=60) as http,
        httpx.Client(verify=False, timeout=60) as bare,
    ):
        yield Studio(http, bare)


@pytest.fixture
def still_farm(callsheet_sandbox: Sandbox) -> Iterator[Farm]:
    """The sandbox's Deadline Cloud, where nothing happens by itself and all that is asked for at once."""
    callsheet_sandbox.configure("deadline", workers=0, create_seconds=0, interrupt_seconds=0)
    with httpx.Client(base_url=callsheet_sandbox.url, verify=False, timeout=60) as http:
        yield Farm(http)


@pytest.fixture
def archive(callsheet_sandbox: Sandbox) -> Iterator[Archive]:
    """The sandbox's Vidispine server, on which time passes only as tests say."""
    callsheet_sandbox.clock.freeze()
    with httpx.Client(
        base_url=callsheet_sandbox.url, auth=("admin", "admin"), verify=False, timeout=60
    ) as http:
        yield Archive(http)

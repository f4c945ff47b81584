"""A sandbox for each test, from callsheet's own pytest plug-in, and bare calls to it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from callsheet.sandbox import Sandbox
from support import FULL
from support.ftrackcalls import Studio

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
        httpx.Client(base_url=callsheet_sandbox.url, headers=credentials, verify=False) as http,
        httpx.Client(verify=False) as bare,
    ):
        yield Studio(http, bare)

"""Fixtures for tests of your own: a sandbox for one test, its faults and its clock.

They are there as soon as callsheet is installed with its extra `sandbox`; a session that uses none of them
loads nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from callsheet.sandbox import ClockControl, FaultControl, Sandbox

__all__ = ["callsheet_clock", "callsheet_faults", "callsheet_sandbox"]


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers", "callsheet_sandbox(jobs=, latency=, seed=): how this test's callsheet_sandbox is set up."
    )


@pytest.fixture
def callsheet_sandbox(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Servers of all vendors, empty and for this test alone; their clients' variables are set.

    `@pytest.mark.callsheet_sandbox(jobs=10)` sets it up otherwise.
    """
    from callsheet.sandbox import Sandbox

    mark = request.node.get_closest_marker("callsheet_sandbox")
    if mark is not None and mark.args:
        pytest.fail(
            f"callsheet_sandbox{mark.args!r}: name the settings: jobs=, latency=, seed=", pytrace=False
        )
    with Sandbox(**(mark.kwargs if mark else {})) as sandbox:
        for name, value in sandbox.environment.items():
            monkeypatch.setenv(name, value)
        yield sandbox


@pytest.fixture
def callsheet_faults(callsheet_sandbox: Sandbox) -> FaultControl:
    """What makes the sandbox's servers fail: `callsheet_faults.add("lost", path="/api", nth=1)`."""
    return callsheet_sandbox.faults


@pytest.fixture
def callsheet_clock(callsheet_sandbox: Sandbox) -> ClockControl:
    """What moves the sandbox's time: `callsheet_clock.advance(3600)`."""
    return callsheet_sandbox.clock

"""Each behaviour test runs on every tracker, through a client of it, and knows no vendor."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from callsheet import Client
from rig import RIGS, Rig


@pytest.fixture(params=RIGS, ids=lambda kind: kind.__name__.removesuffix("Rig").lower())
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    """A tracker with nothing in it."""
    async with request.param(tmp_path) as rig:
        yield rig


@pytest.fixture
async def client(rig: Rig) -> AsyncIterator[Client[Any]]:
    """A client of the tracker."""
    async with rig.another_client() as client:
        yield client

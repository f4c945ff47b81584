"""Each behaviour test runs on every tracker, through a client of it, and knows no vendor."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from callsheet import Client, _mirroring
from rig import RIGS, FtrackRig, LocalRig, Rig
from support.wrapping import Wrapping


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


@pytest.fixture
async def other(rig: Rig, tmp_path: Path) -> AsyncIterator[Rig]:
    """The tracker that jobs are mirrored into: of another kind than theirs."""
    kind = FtrackRig if isinstance(rig, LocalRig) else LocalRig
    async with kind(tmp_path / "other") as other:
        yield other


@pytest.fixture
def into(other: Rig, monkeypatch: pytest.MonkeyPatch) -> Wrapping:
    """The other tracker's provider, which likes to hear news at any time; trouble is not waited out long."""
    monkeypatch.setattr(_mirroring, "PAUSES", (0.01, 0.01))
    provider = other.wrapped()
    provider.progress_interval = 0.01
    return provider

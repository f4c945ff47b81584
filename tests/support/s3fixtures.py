"""Fixtures of a small S3 for each test, and a bucket of it; a folder's conftest imports them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from callsheet._s3 import Bucket
from faultserver import FaultServer
from support.queues import QUICK
from support.s3store import Store

__all__ = ["bucket", "server", "state_folder", "store"]


@pytest.fixture(autouse=True)
def state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where journals are kept: nobody else's folder."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "callsheet" / "transfers"


@pytest.fixture
def store() -> Store:
    """A store with nothing in it."""
    return Store()


@pytest.fixture
def server(store: Store) -> Iterator[FaultServer]:
    """The server of the store."""
    with FaultServer(store.play) as server:
        yield server


@pytest.fixture
async def bucket(server: FaultServer) -> AsyncIterator[Bucket]:
    """A bucket of the store, without signatures."""
    async with Bucket(f"{server.url}/bucket", provider="deadline", options=QUICK) as bucket:
        yield bucket

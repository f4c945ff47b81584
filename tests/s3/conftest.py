"""A small store for each test, and a bucket of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from callsheet._http._options import HttpOptions
from callsheet._http._retry import Retry
from callsheet._s3 import Bucket
from faultserver import FaultServer
from support.s3store import Store

QUICK = HttpOptions(proxy="", retry=Retry(base=0.001, throttled=0.001))


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
    async with Bucket(f"{server.url}/bucket", provider="test", options=QUICK) as bucket:
        yield bucket

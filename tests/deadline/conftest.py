"""A farm of the sandbox's for each test, on which nothing happens by itself, a client, and a small S3."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from callsheet import Client
from callsheet.providers.deadline import DeadlineProvider
from callsheet.sandbox import Sandbox
from support.deadlinehand import FARM, QUEUE, quiet_farm
from support.s3fixtures import bucket, server, state_folder, store

__all__ = ["bucket", "client", "folders", "sandbox", "server", "state_folder", "store"]


@pytest.fixture(autouse=True)
def folders(state_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep journals and the cache of hashes in nobody else's folders."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A farm without jobs or workers, which the environment leads to."""
    with Sandbox() as sandbox:
        # Through the same hand as what tests change of it, so that all is put back in order.
        for name, value in sandbox.environment.items():
            monkeypatch.setenv(name, value)
        quiet_farm(sandbox)
        yield sandbox


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[Client[DeadlineProvider]]:
    """A client of the queue, whose requests so far are forgotten."""
    async with Client(DeadlineProvider(FARM, QUEUE, watch_interval=0.02)) as client:
        sandbox.forget_requests()
        yield client

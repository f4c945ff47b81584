"""A server of the sandbox's for each test, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import attrs
import pytest

from callsheet import Client
from callsheet.providers.vidispine import VidispineProvider
from callsheet.sandbox import Sandbox
from support.roads import QUICK
from support.vidispinefiles import BIG, noise, small_chunks


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A server with no jobs."""
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(autouse=True)
def state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where journals are kept: nobody else's folder."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "callsheet" / "transfers"


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[Client[VidispineProvider]]:
    """A client of the server that is quick to try again; its requests so far are forgotten."""
    provider = VidispineProvider(sandbox.url, user="admin", password="admin", watch_interval=0.02)
    provider._server.http.options = attrs.evolve(provider._server.http.options, retry=QUICK)
    async with Client(provider) as client:
        sandbox.forget_requests()
        yield client


@pytest.fixture
def chunks() -> Iterator[None]:
    """Files of more than 16 KiB go in chunks."""
    with small_chunks():
        yield


@pytest.fixture
def big(chunks: None, tmp_path: Path) -> Path:
    """A file of ten chunks."""
    path = tmp_path / "big.mov"
    path.write_bytes(noise(BIG))
    return path

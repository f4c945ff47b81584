"""A tracker in a directory of its own, and short ways to use it."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from callsheet import Component, File, Job, NewJob
from callsheet.providers.local import LocalProvider
from local.tools import Make, Upload, Worker, unseen

WORKER = Path(__file__).with_name("worker.py")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where the tracker is to be; not made yet."""
    return tmp_path / "tracker"


@pytest.fixture
async def provider(anyio_backend: str, directory: Path) -> AsyncIterator[LocalProvider]:
    """An open tracker."""
    async with LocalProvider(directory, user="jane") as provider:
        yield provider


@pytest.fixture
def make(provider: LocalProvider) -> Make:
    """Make one job, under a key of its own."""
    numbers = itertools.count()

    async def make(name: str = "Publish", **fields: Any) -> Job:
        fields = {"idempotency_key": f"make {next(numbers)}"} | fields
        (job,) = await provider.create_jobs([NewJob(name=name, **fields)])
        return job

    return make


@pytest.fixture
def upload(provider: LocalProvider) -> Upload:
    """Upload bytes, or a file, under a key of its own."""
    numbers = itertools.count()

    async def upload(file: Any, name: str = "a.exr", *, key: str | None = None) -> Component:
        file = File(file, name=name) if isinstance(file, bytes) else file
        key = key or f"upload {next(numbers)}"
        return await provider.upload(file, location=None, key=key, progress=unseen)

    return upload


@pytest.fixture
def worker(anyio_backend: str) -> Iterator[Worker]:
    """Start processes that work on a tracker; those still there at the end are killed."""
    started: list[subprocess.Popen[str]] = []

    def start(act: str, *arguments: Any) -> subprocess.Popen[str]:
        command = [sys.executable, str(WORKER), anyio_backend, act, *map(json.dumps, map(_plain, arguments))]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def _plain(argument: Any) -> Any:
    return str(argument) if isinstance(argument, Path) else argument

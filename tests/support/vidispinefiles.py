"""What the tests of files on Vidispine share: bytes, small chunks, and the requests that carried them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock
from urllib.parse import parse_qs, urlsplit

import anyio

from callsheet import Client
from callsheet.providers.vidispine import VidispineProvider, _chunks, _imports, _uploads
from callsheet.sandbox import Sandbox

__all__ = ["BIG", "CHUNK", "bytes_of", "cut_off", "indices", "noise", "parameters", "sha1", "small_chunks"]

CHUNK = 16 << 10
"""Bytes of a small chunk."""

BIG = CHUNK * 9 + 7
"""A size of ten small chunks, the last one short."""


def noise(size: int, seed: bytes = b"x") -> bytes:
    """Return bytes in which no part is like another."""
    return hashlib.shake_128(seed).digest(size)


def sha1(data: bytes) -> str:
    """Return the checksum of bytes, as a component has it."""
    return f"sha1:{hashlib.sha1(data, usedforsecurity=False).hexdigest()}"


@contextmanager
def small_chunks() -> Iterator[None]:
    """Let files of more than 16 KiB go in chunks of 16 KiB, so that tests of chunks are quick."""
    with (
        mock.patch.object(_chunks, "CHUNK", CHUNK),
        mock.patch.object(_uploads, "CHUNK", CHUNK),
        mock.patch.object(_imports, "CHUNK", CHUNK),
    ):
        yield


async def bytes_of(client: Client[VidispineProvider], component: Any) -> bytes:
    """Return a component's bytes, verified."""
    async with client.components.open(component) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def cut_off(call: Any, *args: Any, after: int, **kwargs: Any) -> None:
    """Make a call, and cancel it once so many bytes have gone."""
    with anyio.CancelScope() as scope:

        def stop(transfer: Any) -> None:
            if transfer.done >= after:
                scope.cancel()

        await call(*args, on_progress=stop, **kwargs)
    assert scope.cancelled_caught


def parameters(target: str) -> dict[str, list[str]]:
    """Return the parameters behind a path."""
    return parse_qs(urlsplit(target).query)


def indices(sandbox: Sandbox, path: str) -> list[int]:
    """Return where each chunk that was sent to a path began, in the order of sending."""
    return [
        int(request.headers["index"])
        for request in sandbox.requests(path, method="POST")
        if "index" in request.headers
    ]

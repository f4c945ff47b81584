"""The body of a request, put into a file while it arrives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio.to_thread
from starlette.requests import Request

__all__ = ["PIECE", "keep_body"]

PIECE = 1024 * 1024
"""Bytes that are written, or read, at once."""


async def keep_body(request: Request, target: Path, *, see: Callable[[bytes], Any] | None = None) -> int:
    """Append a request's body to a file, and return its size; `see` is shown each piece, in a thread."""
    size, waiting = 0, bytearray()

    def keep(data: bytes) -> None:
        # Opened each time: a file that is open meanwhile would stay so if the request were cancelled.
        with target.open("ab") as file:
            file.write(data)
        if see is not None:
            see(data)

    async for chunk in request.stream():
        size += len(chunk)
        waiting += chunk
        if len(waiting) >= PIECE:
            await anyio.to_thread.run_sync(keep, bytes(waiting))
            waiting.clear()
    await anyio.to_thread.run_sync(keep, bytes(waiting))
    return size

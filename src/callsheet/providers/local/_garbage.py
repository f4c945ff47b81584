"""Bytes that nobody refers to any more."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path

import attrs

from callsheet._errors import Conflict
from callsheet._locks import lock
from callsheet.providers.local._trouble import translating

__all__ = ["Garbage", "claim_all", "collect"]


@attrs.frozen
class Garbage:
    """A file that was removed, or would be: where it was, and its size in bytes."""

    path: Path
    size: int


def claim_all(descriptor: int, directory: Path) -> None:
    """Keep uploads out until the descriptor, of the file that they lock, is closed.

    Raises:
        Conflict: One is running.
    """
    with translating(directory):
        if not lock(descriptor, wait=False):
            raise Conflict(f"files are being uploaded to {directory}; try again later", provider="local")


def collect(directory: Path, used: Collection[str], *, dry_run: bool) -> list[Garbage]:
    """Remove whole files that are not used, and parts that nobody writes; return them by path."""
    found: list[Garbage] = []
    with translating(directory):
        for path in sorted([*_unused(directory, used), *_left_parts(directory)]):
            found.append(Garbage(path, path.stat().st_size))
            if not dry_run:
                path.unlink()
    return found


def _unused(directory: Path, used: Collection[str]) -> Iterator[Path]:
    for path in directory.glob("[0-9a-f][0-9a-f]/*"):
        if re.fullmatch("[0-9a-f]{64}", path.name) and path.name not in used:
            yield path


def _left_parts(directory: Path) -> Iterator[Path]:
    """Yield the parts that not even a thread left behind has open."""
    for path in directory.glob("tmp/*.part"):
        with path.open("rb") as part:
            if lock(part.fileno(), wait=False):
                yield path

"""Files that go with a new job: found, looked at and hashed, before anything is sent."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
from xxhash import xxh3_128

from callsheet._errors import CallsheetError, InvalidRequest
from callsheet._files import File, FrameSequence
from callsheet._models import Component
from callsheet._threads import Threads
from callsheet._transfers import as_file
from callsheet.providers.deadline._hash_cache import HashCache
from callsheet.providers.deadline._hashing import Hashed, Stamp, hash_files, look
from callsheet.providers.deadline._manifests import Entry
from callsheet.providers.deadline._templates import References

__all__ = ["Input", "Inputs", "find_inputs"]


@attrs.frozen(eq=False)
class Input:
    """A file, hashed.

    Attributes:
        given: The file as the user gave it, or its path.
        file: Where its bytes are read from.
        path: Where it is, absolute; for a file without a place of its own, its name.
        size: In bytes.
        hash: xxh128.
        mtime_ns: When it was last changed; 0 if unknown.
    """

    given: Any
    file: File
    path: str
    size: int
    hash: str
    mtime_ns: int = 0

    def entry(self, path: str) -> Entry:
        """Return it as it stands in a manifest, under a path below its root."""
        return Entry(path, self.hash, self.size, self.mtime_ns // 1000)


@attrs.frozen
class Inputs:
    """What goes with a job.

    Attributes:
        placed: Files by their path.
        loose: Files that have no place of their own, such as bytes.
        empty: Folders with nothing in them.
        failed: Why each of the others cannot be sent, by the file as it was given.
    """

    placed: dict[str, Input]
    loose: list[Input]
    empty: tuple[str, ...]
    failed: dict[Any, Exception]


async def find_inputs(
    given: Sequence[Any], references: References, *, cache: HashCache, threads: Threads
) -> Inputs:
    """Return all files of a new job, hashed; those that cannot be had stand in `failed`.

    Args:
        given: What the user handed over, in any form.
        references: What the template and its bundle name.
        cache: Hashes from earlier jobs.
        threads: Look, read and hash.

    Raises:
        InvalidRequest: What was given is no file that Deadline could be sent.
    """
    files = [(one, as_file(one)) for one in given]
    loose = [(one, file) for one, file in files if isinstance(file, File) and not _is_placed(file)]
    _check(loose, [file for _, file in files])
    paths: dict[str, Any] = {}
    for one, file in files:
        for member in file.files() if isinstance(file, FrameSequence) else [file]:
            if isinstance(member, File) and _is_placed(member):
                paths.setdefault(absolute(member.source), one)
    failed: dict[Any, Exception] = {}
    unread: dict[Any, Exception] = {}
    found, empty = await threads.run(_walk, references, unread)
    for path in found:
        paths.setdefault(path, Path(path))
    placed = await _hashed(paths, failed, cache, threads)
    hashed = [await _read(one, file, failed, threads) for one, file in loose]
    return Inputs(placed, [one for one in hashed if one is not None], empty, failed | unread)


def absolute(path: Any) -> str:
    """Return a path as Deadline is told it: absolute, without dot segments, its links as they are."""
    # Not resolved: workers map the path as the user wrote it.
    return os.path.normpath(os.path.join(os.getcwd(), os.fspath(path)))  # noqa: PTH109, PTH118


def _is_placed(file: File) -> bool:
    return isinstance(file.source, Path) and file.source.name == file.name


def _check(loose: Iterable[tuple[Any, File]], files: Iterable[Any]) -> None:
    if any(isinstance(file, Component) for file in files):
        raise InvalidRequest("files: a component cannot be given to another job here; give its file")
    names: set[str] = set()
    for _, file in loose:
        if isinstance(file.source, AsyncIterable) or not (
            isinstance(file.source, Path | bytes) or file.source.seekable()
        ):
            raise InvalidRequest(
                f"files: {file.name!r} is a stream, which can be read only once, and its hash is wanted first"
            )
        if "/" in file.name or "\\" in file.name or file.name in {".", ".."}:
            raise InvalidRequest(f"files: {file.name!r} is no name of a file")
        if file.name in names:
            raise InvalidRequest(f"files: two of them would be {file.name!r}")
        names.add(file.name)


def _walk(references: References, failed: dict[Any, Exception]) -> tuple[list[str], tuple[str, ...]]:
    """Return all files that are referred to, and the folders among them that are empty."""
    files = [absolute(path) for path in references.files]
    empty = []
    for folder in references.folders:
        try:
            inside = list(_files_below(absolute(folder)))
        except OSError as error:
            failed[folder] = error
            continue
        files += inside
        if not inside:
            empty.append(absolute(folder))
    return files, tuple(empty)


def _files_below(folder: str) -> Iterator[str]:
    def fail(error: OSError) -> None:
        raise error

    for place, _, names in os.walk(folder, onerror=fail):
        yield from (os.path.join(place, name) for name in sorted(names))  # noqa: PTH118 - many, and texts


async def _hashed(
    paths: dict[str, Any], failed: dict[Any, Exception], cache: HashCache, threads: Threads
) -> dict[str, Input]:
    looked, known = await threads.run(_look, paths, failed, cache)
    rest = [(path, stamp) for path, stamp in looked if path not in known]
    outcomes = await hash_files(rest, threads)
    new: list[tuple[str, Hashed]] = []
    for (path, _), outcome in zip(rest, outcomes, strict=True):
        if isinstance(outcome, Hashed):
            new.append((path, outcome))
        else:
            failed[paths[path]] = outcome
    await threads.run(cache.note_hashes, new)
    hashes = known | dict(new)
    return {path: _input(paths[path], path, hashes[path]) for path, _ in looked if path in hashes}


def _look(
    paths: dict[str, Any], failed: dict[Any, Exception], cache: HashCache
) -> tuple[list[tuple[str, Stamp]], dict[str, Hashed]]:
    looked: list[tuple[str, Stamp]] = []
    for path, given in paths.items():
        try:
            looked.append((path, look(path)))
        except (OSError, InvalidRequest) as error:
            failed[given] = error
    return looked, cache.hashes(looked)


def _input(given: Any, path: str, hashed: Hashed) -> Input:
    # Folders may hold names that are no text; they travel as they are, and are only told differently.
    name = os.fsencode(path.rpartition(os.sep)[2]).decode(errors="replace").strip() or "file"
    file = File(path, name=name)
    return Input(given, file, path, hashed.stamp.size, hashed.hash, hashed.stamp.mtime_ns)


async def _read(given: Any, file: File, failed: dict[Any, Exception], threads: Threads) -> Input | None:
    """Hash a file that has no place of its own."""
    hasher = xxh3_128()
    try:
        async with file.open(threads) as reader:
            while await reader.read(hasher.update):
                pass
            mtime_ns = reader.identity[2] if reader.identity else 0
            return Input(given, file, file.name, reader.size, hasher.hexdigest(), mtime_ns)
    except (OSError, CallsheetError) as error:
        failed[given] = error
        return None

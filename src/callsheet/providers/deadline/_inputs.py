"""Files that go with a new job: found, looked at and hashed, before anything is sent."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import attrs
from xxhash import xxh3_128

from callsheet._errors import CallsheetError, InvalidRequest
from callsheet._files import File, FrameSequence
from callsheet._models import Component
from callsheet._threads import Threads
from callsheet._transfers import as_file
from callsheet.providers.deadline._hash_cache import HashCache
from callsheet.providers.deadline._hashing import Hashed, Outcome, Stamp, hash_files, look
from callsheet.providers.deadline._manifests import Entry
from callsheet.providers.deadline._roots import is_below_any
from callsheet.providers.deadline._templates import References

__all__ = ["Input", "Inputs", "find_inputs"]


class Input(NamedTuple):
    """A file, hashed.

    Attributes:
        path: Where it is, absolute; for a file without a place of its own, its name.
        size: In bytes.
        hash: xxh128.
        mtime_ns: When it was last changed; 0 if unknown.
        given: The file as the user gave it; `None` if something that was given named its path.
        loose: Where its bytes are read from, if it has no place of its own.
    """

    path: str
    size: int
    hash: str
    mtime_ns: int
    given: Any = None
    loose: File | None = None

    @property
    def called(self) -> Any:
        """What it is called in errors: as it was given, or its path."""
        return _called(self.path, self.given)

    @property
    def file(self) -> File:
        """Where its bytes are read from."""
        if self.loose is not None:
            return self.loose
        # Folders may hold names that are no text; they travel as they are, and are only told differently.
        name = os.fsencode(self.path.rpartition(os.sep)[2]).decode(errors="replace").strip() or "file"
        return File(self.path, name=name)

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
    given: Sequence[Any],
    references: References,
    *,
    cache: HashCache,
    threads: Threads,
    shared: Sequence[str] = (),
) -> Inputs:
    """Return all files of a new job that travel, hashed; those that cannot be had stand in `failed`.

    Args:
        given: What the user handed over, in any form.
        references: What the template and its bundle name.
        cache: Hashes from earlier jobs.
        threads: Look, read and hash.
        shared: Folders that the workers mount, too: files below them must be there, and stay there.

    Raises:
        InvalidRequest: What was given is no file that Deadline could be sent.
    """
    paths, loose = await threads.run(_resolved, given)
    failed: dict[Any, Exception] = {}
    unread: dict[Any, Exception] = {}
    found, empty = await threads.run(_walk, references, shared, unread)
    for path in found:
        paths.setdefault(path, None)
    if shared:
        paths = await threads.run(_travelling, paths, shared, failed)
    placed = await _hashed(paths, failed, cache, threads)
    hashed = [await _read(one, file, failed, threads) for one, file in loose]
    return Inputs(placed, [one for one in hashed if one is not None], empty, failed | unread)


def _resolved(given: Sequence[Any]) -> tuple[dict[str, Any], list[tuple[Any, File]]]:
    """Return what was given by path, and the files that have no place of their own."""
    files = [(one, as_file(one)) for one in given]
    loose = [(one, file) for one, file in files if isinstance(file, File) and not _is_placed(file)]
    _check(loose, [file for _, file in files])
    paths: dict[str, Any] = {}
    for one, file in files:
        for member in file.files() if isinstance(file, FrameSequence) else [file]:
            if isinstance(member, File) and _is_placed(member):
                paths.setdefault(absolute(member.source), one)
    return paths, loose


def absolute(path: Any) -> str:
    """Return a path as Deadline is told it: absolute, without dot segments, its links as they are."""
    # Not resolved: workers map the path as the user wrote it.
    return os.path.normpath(os.path.join(os.getcwd(), os.fspath(path)))  # noqa: PTH109, PTH118 - a text


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


def _walk(
    references: References, shared: Sequence[str], failed: dict[Any, Exception]
) -> tuple[list[str], tuple[str, ...]]:
    """Return all files that are referred to, and the folders among them that have nothing to send."""
    files = [absolute(path) for path in references.files]
    empty = []
    for folder in references.folders:
        try:
            inside = list(_files_below(absolute(folder), shared))
        except OSError as error:
            failed[folder] = error
            continue
        files += inside
        if not inside:
            empty.append(absolute(folder))
    return files, tuple(empty)


def _files_below(folder: str, shared: Sequence[str]) -> Iterator[str]:
    def fail(error: OSError) -> None:
        raise error

    for place, folders, names in os.walk(folder, onerror=fail):
        if is_below_any(place, shared):
            folders.clear()  # what workers mount may be large, and is not looked through
            continue
        yield from (os.path.join(place, name) for name in sorted(names))  # noqa: PTH118 - many, and texts


def _travelling(
    paths: Mapping[str, Any], shared: Sequence[str], failed: dict[Any, Exception]
) -> dict[str, Any]:
    """Return those paths that travel; of the others it is enough that they are there."""
    travelling = {}
    for path, given in paths.items():
        if not is_below_any(path, shared):
            travelling[path] = given
            continue
        try:
            look(path)
        except OSError as error:
            failed[_called(path, given)] = error
    return travelling


async def _hashed(
    paths: dict[str, Any], failed: dict[Any, Exception], cache: HashCache, threads: Threads
) -> dict[str, Input]:
    known = await threads.run(_unchanged, list(paths), cache)
    rest = [path for path in paths if path not in known]
    outcomes = await hash_files(rest, threads)
    return await threads.run(_joined, paths, known, dict(zip(rest, outcomes, strict=True)), failed, cache)


def _joined(
    paths: dict[str, Any],
    known: dict[str, Hashed],
    outcomes: dict[str, Outcome],
    failed: dict[Any, Exception],
    cache: HashCache,
) -> dict[str, Input]:
    """Return the inputs of which the hash is known by now, and remember the new ones."""
    new = {path: outcome for path, outcome in outcomes.items() if isinstance(outcome, Hashed)}
    for path, outcome in outcomes.items():
        if isinstance(outcome, Exception):
            failed[_called(path, paths[path])] = outcome
    cache.note_hashes(new.items())
    found = known | new
    return {
        path: Input(path, found[path].stamp.size, found[path].hash, found[path].stamp.mtime_ns, given)
        for path, given in paths.items()
        if path in found
    }


def _unchanged(paths: Sequence[str], cache: HashCache) -> dict[str, Hashed]:
    """Return the files whose hash is known and that have not changed since."""
    return {path: hashed for path, hashed in cache.hashes(paths).items() if _is_still(path, hashed.stamp)}


def _is_still(path: str, stamp: Stamp) -> bool:
    try:
        return look(path) == stamp
    except OSError:
        return False  # it is told when the file is to be read


def _called(path: str, given: Any) -> Any:
    return Path(path) if given is None else given


async def _read(given: Any, file: File, failed: dict[Any, Exception], threads: Threads) -> Input | None:
    """Hash a file that has no place of its own."""
    hasher = xxh3_128()
    try:
        async with file.open(threads) as reader:
            while await reader.read(hasher.update):
                pass
            mtime_ns = reader.identity[2] if reader.identity else 0
            return Input(file.name, reader.size, hasher.hexdigest(), mtime_ns, given, file)
    except (OSError, CallsheetError) as error:
        failed[given] = error
        return None

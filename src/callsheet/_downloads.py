"""Downloads: written under a temporary name, verified, and only then given the final one."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from callsheet._errors import Conflict, IntegrityError, InvalidRequest
from callsheet._files import CHUNK
from callsheet._locks import lock, sync_directory
from callsheet._models import Component
from callsheet._names import part_name, safe_name
from callsheet._threads import Threads
from callsheet.abc import Progress, Provider

__all__ = ["VerifiedChunks", "download", "opened", "target_of"]

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

LINKLESS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
"""What file systems without hard links answer, as many shares are."""


# -- bytes that are checked ----------------------------------------------------------------------------------


class Check:
    """Counts and hashes the bytes of a component, and compares at the end with what the tracker knows."""

    def __init__(self, component: Component) -> None:
        self._component = component
        algorithm, _, self._expected = (component.checksum or "").partition(":")
        self._hash = _hasher(algorithm)
        self.done = 0

    @property
    def can_prove(self) -> bool:
        """Whether a part from an earlier try can be trusted, since the whole is hashed at the end."""
        return self._hash is not None

    def update(self, chunk: bytes) -> None:
        if self._hash is not None:
            self._hash.update(chunk)
        self.done += len(chunk)

    def bound(self) -> None:
        """Raise `IntegrityError` as soon as there are more bytes than there should be."""
        size = self._component.size
        if size is not None and self.done > size:
            raise IntegrityError(f"{self._component.name}: more than its {size} bytes came")

    def finish(self) -> None:
        """Raise `IntegrityError` unless size and checksum are those of the component."""
        component = self._component
        if component.size is not None and self.done != component.size:
            raise IntegrityError(f"{component.name}: {self.done} bytes came instead of {component.size}")
        if self._hash is not None and self._hash.hexdigest() != self._expected.lower():
            raise IntegrityError(f"{component.name}: the bytes do not match {component.checksum}")


def _hasher(algorithm: str) -> Any:
    """Return a hash of the algorithm; `None` for one that is not known here: the size is still checked."""
    if algorithm == "xxh128":
        try:
            from xxhash import xxh3_128  # comes with the trackers that use it
        except ModuleNotFoundError:
            return None
        return xxh3_128()
    known = algorithm in hashlib.algorithms_available and not algorithm.startswith("shake")
    return hashlib.new(algorithm, usedforsecurity=False) if known else None


class VerifiedChunks:
    """The bytes of a component; the end is reached only if they are whole and right."""

    def __init__(self, component: Component, chunks: AsyncIterator[bytes], threads: Threads) -> None:
        self._chunks = chunks
        self._check = Check(component)
        self._threads = threads

    def __aiter__(self) -> VerifiedChunks:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk = await anext(self._chunks)
        except StopAsyncIteration:
            self._check.finish()
            raise
        await self._threads.run(self._check.update, chunk)
        self._check.bound()
        return chunk


@asynccontextmanager
async def opened(
    provider: Provider, component: Component, threads: Threads
) -> AsyncIterator[AsyncIterator[bytes]]:
    """Open a component for reading; the bytes are verified as the last chunk has been read."""
    if await provider.members(component) is not None:
        raise InvalidRequest(f"{component.name} is a frame sequence: download it, or open one of its frames")
    async with provider.read(component) as chunks:
        yield VerifiedChunks(component, chunks, threads)


# -- files ---------------------------------------------------------------------------------------------------


def target_of(to: str | os.PathLike[str], name: str) -> Path:
    """Return where a component goes: into `to` if that is a folder or ends with `/`, else `to` itself."""
    text = os.fspath(to) if isinstance(to, str | os.PathLike) else to
    if not isinstance(text, str) or not text or "\0" in text:
        raise InvalidRequest(f"to must be a path, not {to!r}")
    path = Path(text)
    return path / safe_name(name) if text.endswith(os.sep) or path.is_dir() else path


async def download(
    provider: Provider,
    component: Component,
    target: Path,
    *,
    threads: Threads,
    report: Progress,
    overwrite: bool,
) -> Path:
    """Write a component to its target, or a frame sequence into a folder of that name."""
    await threads.run(_refuse_existing, target, overwrite)
    frames = await provider.members(component)
    if frames is None:
        await _download_file(provider, component, target, threads, report, overwrite)
    else:
        part = target.with_name(part_name(target.name))
        await threads.run(_make_folder, part)
        await _download_frames(provider, _by_name(component, frames), part, threads, report)
        await threads.run(_publish_folder, part, target, overwrite)
    return target


def _by_name(component: Component, frames: Sequence[Component]) -> dict[str, Component]:
    named: dict[str, Component] = {}
    for frame in frames:
        name = safe_name(frame.name)
        if name in named:
            raise IntegrityError(f"{component.name}: more than one of its frames would be the file {name!r}")
        named[name] = frame
    return named


async def _download_frames(
    provider: Provider, frames: Mapping[str, Component], folder: Path, threads: Threads, report: Progress
) -> None:
    """Write the frames into the folder, but those that an earlier try has left there whole."""
    before = 0

    async def total(done: int) -> None:
        await report(before + done)

    for name, frame in frames.items():
        if not await _is_there(frame, folder / name, threads):
            await _download_file(provider, frame, folder / name, threads, total, overwrite=True)
        before += frame.size or 0
        await total(0)


async def _is_there(frame: Component, path: Path, threads: Threads) -> bool:
    check = Check(frame)
    if not check.can_prove:
        return False
    try:
        file = await threads.run(os.open, path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        while chunk := await threads.run(os.read, file, CHUNK):
            await threads.run(check.update, chunk)
            check.bound()
        check.finish()
    except IntegrityError:
        return False
    finally:
        os.close(file)
    return True


async def _download_file(
    provider: Provider,
    component: Component,
    target: Path,
    threads: Threads,
    report: Progress,
    overwrite: bool,
) -> None:
    part = await threads.run(_Part, target, component)
    try:
        try:
            await _fill(provider, component, part, threads, report)
        except IntegrityError:
            if not part.resumed:
                raise
            # What an earlier try left was not this component: once more, from the start.
            await threads.run(part.restart)
            await _fill(provider, component, part, threads, report)
        await threads.run(part.publish, overwrite)
    except IntegrityError:
        await threads.run(part.remove)
        raise
    except OSError as error:
        # What a full disk cut short would only stand in the way; all else can be gone on with.
        if error.errno in FULL:
            await threads.run(part.remove)
        _tell_folder(error, target)
        raise
    finally:
        part.close()


async def _fill(
    provider: Provider, component: Component, part: _Part, threads: Threads, report: Progress
) -> None:
    while await threads.run(part.rehash):
        pass
    await report(part.check.done)
    if part.check.done != component.size:
        async with provider.read(component, start=part.check.done) as chunks:
            async for chunk in chunks:
                await threads.run(part.write, chunk)
                part.check.bound()
                await report(part.check.done)
    part.check.finish()


class _Part:
    """The temporary file beside a target; the folder is held open, so that no swapped link leads away."""

    def __init__(self, target: Path, component: Component) -> None:
        self._target = target
        self._component = component
        self._name = part_name(target.name)
        self._has_its_name = False
        _make_parents(target)
        self._folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._file = self._open_locked()
        except BaseException:
            os.close(self._folder)
            raise
        self.check = Check(component)
        self._left = os.fstat(self._file).st_size
        self.resumed = self._left > 0
        if not self.check.can_prove or self._left > (component.size or 0):
            self.restart()

    def rehash(self) -> bool:
        """Hash one chunk of what an earlier try left; return whether there was one."""
        chunk = os.read(self._file, min(CHUNK, self._left))
        self._left -= len(chunk)
        self.check.update(chunk)
        return bool(chunk)

    def restart(self) -> None:
        """Forget what is there."""
        os.ftruncate(self._file, 0)
        os.lseek(self._file, 0, os.SEEK_SET)
        self.check = Check(self._component)
        self._left = 0
        self.resumed = False

    def write(self, chunk: bytes) -> None:
        rest = memoryview(chunk)
        while rest:
            rest = rest[os.write(self._file, rest) :]
        self.check.update(chunk)

    def publish(self, overwrite: bool) -> None:
        """Give the file its final name, in one step."""
        os.fsync(self._file)
        name = self._target.name
        if overwrite:
            os.replace(self._name, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        else:
            self._publish_as_new(name)
        self._has_its_name = True
        os.fsync(self._folder)

    def _publish_as_new(self, name: str) -> None:
        try:
            # A hard link, unlike a rename, never replaces what has come there meanwhile.
            os.link(self._name, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
            os.unlink(self._name, dir_fd=self._folder)
        except OSError as error:
            if error.errno not in LINKLESS:
                raise
            if self._is_taken(name):
                raise FileExistsError(errno.EEXIST, "it has come meanwhile", str(self._target)) from error
            os.rename(self._name, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)

    def _is_taken(self, name: str) -> bool:
        try:
            os.stat(name, dir_fd=self._folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def remove(self) -> None:
        with suppress(FileNotFoundError):
            os.unlink(self._name, dir_fd=self._folder)

    def close(self) -> None:
        # Without a byte there is nothing to go on with.
        if not self._has_its_name and os.fstat(self._file).st_size == 0:
            self.remove()
        os.close(self._file)
        os.close(self._folder)

    def _open_locked(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        while True:
            try:
                file = os.open(self._name, flags, 0o666, dir_fd=self._folder)
            except OSError as error:
                _tell_folder(error, self._target)
                raise
            if not lock(file, wait=False):
                os.close(file)
                raise Conflict(f"{self._target} is being downloaded by somebody else")
            if self._is_named(file):
                return file
            # Whoever had it before us has just given it its final name: that file is not ours to write.
            os.close(file)

    def _is_named(self, file: int) -> bool:
        try:
            named = os.stat(self._name, dir_fd=self._folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(named, os.fstat(file))


def _tell_folder(error: OSError, target: Path) -> None:
    # What is below a folder that is held open is called by its mere name, and what is open by none.
    name = error.filename or target.name
    if os.sep not in str(name):
        error.filename = str(target.parent / name)


def _refuse_existing(target: Path, overwrite: bool) -> None:
    if os.path.lexists(target) and not overwrite:
        raise FileExistsError(errno.EEXIST, "it exists already; overwrite=True replaces it", str(target))


def _make_parents(target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, "it is no folder", str(target.parent)) from error


def _make_folder(folder: Path) -> None:
    if folder.is_symlink():
        raise FileExistsError(errno.EEXIST, "it is a symbolic link, which is never followed", str(folder))
    folder.mkdir(parents=True, exist_ok=True)


def _publish_folder(part: Path, target: Path, overwrite: bool) -> None:
    _refuse_existing(target, overwrite)
    aside = part.with_name(f"{part.name}.old")
    if os.path.lexists(target):
        _remove(aside)
        target.rename(aside)
    try:
        part.rename(target)
    except OSError:
        if os.path.lexists(aside):
            aside.rename(target)
        raise
    sync_directory(target.parent)
    _remove(aside)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)

"""Files that threads still use when nobody waits for them, and systems that lack what Linux has."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import anyio
import pytest

from callsheet import File, Timeout, _locks
from callsheet._threads import Threads
from callsheet.providers.local import LocalProvider, _blobs, _stamps
from callsheet.providers.local._handle import Handle, acquire
from callsheet.providers.local._parts import Part
from local.tools import Upload


@pytest.fixture
def threads(anyio_backend: str) -> Threads:
    """A thread to work in."""
    return Threads(1)


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


async def test_handle_is_closed_by_whoever_is_last(threads: Threads, tmp_path: Path) -> None:
    """Closed while a thread reads, a file stays open until that is done; then nobody gets it any more."""
    descriptor = os.open(tmp_path, os.O_RDONLY)
    said: list[str] = []
    handle = Handle(descriptor, lambda: said.append("last"))
    reached, leave = threading.Event(), threading.Event()

    def use() -> None:
        with handle.using():
            reached.set()
            leave.wait(10)
            said.append("used")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(threads.run, use)
        await anyio.to_thread.run_sync(reached.wait, 10)
        handle.close()
        handle.close()
        assert is_open(descriptor)
        leave.set()
    assert said == ["used", "last"]
    assert not is_open(descriptor)
    with pytest.raises(Timeout, match="given up"), handle.using():
        pass


async def test_what_is_made_for_nobody_is_released(threads: Threads) -> None:
    """A caller that is cancelled while a thread makes something leaves nothing behind."""
    reached, leave = threading.Event(), threading.Event()
    released: list[str] = []

    def make() -> str:
        reached.set()
        leave.wait(10)
        return "made"

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(acquire, threads, make, released.append)
        await anyio.to_thread.run_sync(reached.wait, 10)
        tasks.cancel_scope.cancel()
    assert released == []
    leave.set()
    assert await threads.aclose()
    assert released == ["made"]
    assert await acquire(threads, make, released.append) == "made"
    assert released == ["made"]


async def test_disk_that_stands_still_ends_an_upload(
    provider: LocalProvider, upload: Upload, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that is left behind touches no final name, and takes its part along in the end."""
    reached, leave = threading.Event(), threading.Event()
    sync = Part.sync

    def stuck(part: Part) -> None:
        with part._handle.using():
            reached.set()
            leave.wait(10)

    monkeypatch.setattr(_blobs, "STALL", 0.05)
    monkeypatch.setattr(Part, "sync", stuck)
    with pytest.raises(Timeout, match=r"'a\.exr': no byte was moved for 0\.05 s"):
        await upload(b"bytes")
    assert reached.is_set()
    parts = directory / "files" / "tmp"
    assert len([*parts.iterdir()]) == 1
    leave.set()
    assert await provider._blobs.threads.aclose()
    assert [*parts.iterdir()] == []
    assert [*directory.glob("files/??/*")] == []
    monkeypatch.setattr(Part, "sync", sync)
    assert (await upload(b"bytes")).size == 5


async def test_part_that_was_just_finished_is_made_anew(
    provider: LocalProvider, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between finding a part and locking it, its owner may have given it its final name."""
    source = tmp_path / "a.exr"
    source.write_bytes(b"bytes")
    taken: list[Path] = []

    def lock(descriptor: int, **options: bool) -> bool:
        parts = [*directory.glob("files/tmp/*")]
        if parts and not taken:
            taken.append(parts[0].rename(tmp_path / "final"))
        return _locks.lock(descriptor, **options)

    monkeypatch.setattr("callsheet.providers.local._parts.lock", lock)

    async def unseen(_: int) -> None: ...

    component = await provider.upload(File(source), location=None, key="k", progress=unseen)
    assert component.size == 5
    assert [path.read_bytes() for path in taken] == [b""]


def test_system_without_locks_still_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are no advisory locks, every lock is granted, and no folder is synced."""
    monkeypatch.setattr(_locks, "fcntl", None)
    with (tmp_path / "a").open("w") as one, (tmp_path / "a").open("w") as other:
        assert [_locks.lock(file.fileno(), wait=False) for file in (one, other)] == [True, True]
    with _locks.locked_directory(tmp_path / "missing", patience=1):
        _locks.sync_directory(tmp_path / "missing")


def test_system_that_does_not_name_its_boots(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Elsewhere than on Linux the boot has no name."""
    name = _stamps.boot_id()
    assert len(name) == 36
    _stamps.boot_id.cache_clear()
    monkeypatch.setattr(_stamps, "BOOT_ID", tmp_path / "missing")
    assert _stamps.boot_id() == ""
    _stamps.boot_id.cache_clear()
    monkeypatch.undo()
    assert _stamps.boot_id() == name

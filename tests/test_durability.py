"""What is on disk, and in which order: a name that outlasts a crash never leads to bytes that do not."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from callsheet import Client, File, FrameSequence
from callsheet.providers.local import LocalProvider, _components


class Disk:
    """Notes what is synced, made and renamed below a folder, in order; a tracker's temporary file is PART."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._root = root
        self.told: list[str] = []
        calls: dict[str, Callable[..., list[Path]]] = {
            "fsync": self._fsync,
            "mkdir": self._one,
            "unlink": self._one,
            "rename": self._two,
            "replace": self._two,
            "link": self._two,
        }
        for name, noted in calls.items():
            monkeypatch.setattr(os, name, self._noting(name, getattr(os, name), noted))

    def since(self) -> list[str]:
        """Return what was noted since this was last asked."""
        told, self.told = self.told, []
        return told

    def _noting(self, name: str, call: Callable[..., Any], noted: Callable[..., list[Path]]) -> Any:
        def noting(*args: Any, **kwargs: Any) -> Any:
            paths = noted(*args, **kwargs)
            call(*args, **kwargs)
            if paths[0].is_relative_to(self._root):
                self.told.append(" ".join([name, *map(self._shown, paths)]))

        return noting

    def _fsync(self, descriptor: int) -> list[Path]:
        return [opened(descriptor)]

    def _one(self, path: str | Path, *_: int, dir_fd: int | None = None) -> list[Path]:
        return [Path(path) if dir_fd is None else opened(dir_fd) / path]

    def _two(self, one: str, other: str, *, src_dir_fd: Any = None, dst_dir_fd: Any = None) -> list[Path]:
        return [*self._one(one, dir_fd=src_dir_fd), *self._one(other, dir_fd=dst_dir_fd)]

    def _shown(self, path: Path) -> str:
        shown = path.relative_to(self._root)
        return str(shown.parent / "PART" if shown.parent.name == "tmp" else shown)


def opened(descriptor: int) -> Path:
    """Return the path of an open file."""
    return Path(f"/proc/self/fd/{descriptor}").readlink()


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    """The disk below the test's folder."""
    return Disk(tmp_path, monkeypatch)


async def test_a_new_tracker_is_on_disk(tmp_path: Path, disk: Disk) -> None:
    """Each folder of a new tracker is synced into the one that holds it; opening it again syncs none."""
    async with LocalProvider(tmp_path / "deep" / "jobs"):
        assert disk.since() == [
            *("mkdir deep", "mkdir deep/jobs", "fsync deep", "fsync ."),
            *("mkdir deep/jobs/files", "fsync deep/jobs"),
            *("mkdir deep/jobs/files/tmp", "fsync deep/jobs/files"),
        ]
    async with LocalProvider(tmp_path / "deep" / "jobs"):
        assert disk.since() == []


async def test_every_transaction_is_synced(tmp_path: Path) -> None:
    """SQLite waits for the disk at each commit, on every connection, and keeps a log."""
    async with LocalProvider(tmp_path / "jobs") as provider:
        database = provider._store._database
        with database.reading() as read, database.writing() as written:
            for db in (read, written.db):
                facts = [
                    db.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("synchronous", "journal_mode")
                ]
                assert facts == [2, "wal"]  # FULL


async def test_a_component_is_noted_when_its_bytes_are_on_disk(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes are synced, then get their name, which is synced before a row speaks of them."""

    def store(*args: Any) -> Any:
        disk.told.append("row")
        return real(*args)

    real = _components.store
    monkeypatch.setattr(_components, "store", store)
    digest = hashlib.sha256(b"plate").hexdigest()
    folder = f"jobs/files/{digest[:2]}"
    async with Client(LocalProvider(tmp_path / "jobs")) as client:
        disk.since()
        await client.components.upload(File(b"plate", name="a"))
        assert disk.since() == [
            "fsync jobs/files/tmp/PART",
            f"mkdir {folder}",
            "fsync jobs/files",
            f"replace jobs/files/tmp/PART {folder}/{digest}",
            f"fsync {folder}",
            "row",
        ]
        await client.components.upload(File(b"plate", name="b"))
        assert disk.since() == [
            "fsync jobs/files/tmp/PART",
            "unlink jobs/files/tmp/PART",
            f"fsync {folder}",
            "row",
        ]


async def test_a_download_gets_its_name_when_it_is_on_disk(tmp_path: Path, disk: Disk) -> None:
    """Bytes are synced before they get their final name, new or over another file's, and the name after."""
    async with Client(LocalProvider(tmp_path / "jobs")) as client:
        part = await client.components.upload(File(b"plate", name="a"))
        disk.since()
        await client.components.download(part, tmp_path / "a")
        assert disk.since() == ["fsync .a.part", "link .a.part a", "unlink .a.part", "fsync ."]
        await client.components.download(part, tmp_path / "a", overwrite=True)
        assert disk.since() == ["fsync .a.part", "replace .a.part a", "fsync ."]


async def test_frames_get_their_folder_when_all_are_on_disk(tmp_path: Path, disk: Disk) -> None:
    """A sequence's folder gets its name when each frame is synced in it."""
    for number in (1, 2):
        (tmp_path / f"a.{number}.exr").write_bytes(b"plate")
    async with Client(LocalProvider(tmp_path / "jobs")) as client:
        part = await client.components.upload(FrameSequence(tmp_path / "a.%d.exr", 1, 2))
        disk.since()
        await client.components.download(part, tmp_path / "a")
        frames = [
            [f"fsync .a.part/.{name}.part", f"replace .a.part/.{name}.part .a.part/{name}", "fsync .a.part"]
            for name in ("a.1.exr", "a.2.exr")
        ]
        assert disk.since() == ["mkdir .a.part", *frames[0], *frames[1], "rename .a.part a", "fsync ."]

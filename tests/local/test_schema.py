"""Directories and databases that can be a tracker, and those that cannot."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from callsheet import ConfigError, NewJob
from callsheet.providers.local import LocalProvider, _database, _directory
from callsheet.providers.local._directory import check_file_system
from local.tools import Worker

MOUNTS = r"""
22 28 0:21 / /proc rw,relatime - proc proc rw
28 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 28 0:40 / /mnt/farm rw,relatime shared:2 master:3 - nfs4 server:/export rw,vers=4.2
41 40 0:41 / /mnt/farm/scratch rw - xfs /dev/vdb rw
42 28 0:42 / /mnt/two\040words rw - cifs //server/share rw
43 28 0:43 / /home/jane rw - fuse.sshfs jane@server: rw
44 28 0:44 / /over rw - nfs server:/hidden rw
45 28 0:45 / /over rw - tmpfs tmpfs rw
46 28 0:46 / /mnt/farmhouse rw - btrfs /dev/vdc rw
not a line of this file
"""


async def test_directory_and_files_are_for_their_owner_only(provider: LocalProvider, directory: Path) -> None:
    """Nobody else on the machine can read jobs or files."""
    modes = {path.relative_to(directory): stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert modes == {
        Path("callsheet.db"): 0o600,
        Path("callsheet.db-wal"): 0o600,
        Path("callsheet.db-shm"): 0o600,
        Path("files"): 0o700,
    }


NOT_UNICODE = os.fsdecode(b"not \xff Unicode")


@pytest.mark.parametrize(
    "name", ["sp ace", "que?stion", "ha#sh", "per%20cent", "umläut", "a&b=c", NOT_UNICODE]
)
async def test_any_name_of_a_directory_works(tmp_path: Path, name: str) -> None:
    """A path is a path, not a URL."""
    async with LocalProvider(tmp_path / name) as provider:
        await provider.create_jobs([NewJob(name="a", idempotency_key="k")])
    assert sorted(path.name for path in (tmp_path / name).iterdir()) == ["callsheet.db", "files"]
    assert [path.name for path in tmp_path.iterdir()] == [name]


async def test_symlink_leads_to_the_same_tracker(provider: LocalProvider, directory: Path) -> None:
    """However a directory is named, its tracker has one address."""
    link = directory.with_name("link")
    link.symlink_to(directory)
    assert provider.tracker == f"local:{directory.resolve()}" == LocalProvider(link).tracker


def test_constructor_touches_nothing(directory: Path) -> None:
    """Making a provider is cheap and leaves no trace."""
    LocalProvider(directory)
    assert not directory.exists()


async def test_newer_schema_is_refused(directory: Path) -> None:
    """A database of a later callsheet is left as it is, and both versions are named."""
    async with LocalProvider(directory):
        pass
    with closing(sqlite3.connect(directory / "callsheet.db")) as db, db:
        db.execute("UPDATE meta SET value = '17' WHERE name = 'schema'")
    before = (directory / "callsheet.db").read_bytes()
    with pytest.raises(ConfigError, match=r"schema version 17, this callsheet knows versions up to 1;"):
        await LocalProvider(directory).open()
    assert (directory / "callsheet.db").read_bytes() == before


def _foreign_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE jobs (id INTEGER)")


def _foreign_namesake(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        for table in ("meta", "counters", "jobs"):
            db.execute(f"CREATE TABLE {table} (name TEXT, value TEXT)")


def _half_a_namesake(path: Path) -> None:
    _foreign_namesake(path)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("INSERT INTO meta VALUES ('application', 'callsheet'), ('schema', 'new')")


def _no_database(path: Path) -> None:
    path.write_bytes(b"not a database at all " * 1000)


@pytest.mark.parametrize("spoil", [_foreign_database, _foreign_namesake, _half_a_namesake, _no_database])
async def test_database_of_something_else_is_refused(directory: Path, spoil: Callable[[Path], None]) -> None:
    """A file that only has our name is named, and not a byte of it changes."""
    directory.mkdir()
    database = directory / "callsheet.db"
    spoil(database)
    before = database.read_bytes()
    with pytest.raises(ConfigError, match=str(database)):
        await LocalProvider(directory).open()
    assert [path.name for path in directory.iterdir()] == ["callsheet.db"]
    assert database.read_bytes() == before


async def test_directory_of_something_else_is_refused(directory: Path) -> None:
    """A folder with other people's files is no tracker, and nothing is written into it."""
    directory.mkdir()
    (directory / "thesis.tex").write_text("x")
    with pytest.raises(ConfigError, match=f"{directory} is not empty"):
        await LocalProvider(directory).open()
    assert [path.name for path in directory.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *(("timeout", value) for value in (-1, 0, float("nan"), float("inf"), "60", True)),
        ("watch_interval", -1),
        ("directory", 5),
        ("directory", "a\0b"),
        ("user", ""),
        ("user", 5),
        ("user", "a\0b"),
        ("policy", 5),
    ],
)
async def test_settings_that_make_no_sense(directory: Path, setting: str, value: Any) -> None:
    """A bad setting is refused by name when the tracker is named, and nothing is made."""
    with pytest.raises(ConfigError, match=f"{setting} must be"):
        LocalProvider(**({"directory": directory} | {setting: value}))
    assert not directory.exists()


@pytest.mark.parametrize("leading", ["~nobody-of-that-name/jobs", "circle", "circle/jobs"])
async def test_path_that_leads_nowhere_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leading: str
) -> None:
    """A home of nobody's, and links that lead in a circle, are named, and nothing is made."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(ConfigError, match=leading):
        await LocalProvider(leading).open()
    assert [path.name for path in tmp_path.iterdir()] == ["circle"]


@pytest.mark.parametrize("below", ["", "deeper", "deeper/still"])
async def test_file_in_the_place_of_the_directory_is_refused(directory: Path, below: str) -> None:
    """A file cannot be a tracker, nor hold one."""
    directory.write_text("x")
    with pytest.raises(ConfigError, match=f"{directory}.* is a file"):
        await LocalProvider(directory / below).open()
    assert directory.read_text() == "x"


async def test_database_whose_making_was_killed_is_completed(directory: Path) -> None:
    """An empty file under our name is what a process leaves that was killed in its first step."""
    directory.mkdir()
    (directory / "callsheet.db").touch()
    async with LocalProvider(directory) as provider:
        (job,) = await provider.create_jobs([NewJob(name="a", idempotency_key="k")])
        assert await provider.get_jobs([job.id]) == [job]


@pytest.mark.timeout(180)  # each has the database library to load
async def test_many_processes_make_one_tracker(directory: Path, worker: Worker) -> None:
    """When eight processes open the same new directory at once, each finds the same database."""
    processes = [worker("create", directory, f"key {number}") for number in range(8)]
    made = {process.communicate()[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0] * 8
    async with LocalProvider(directory) as provider:
        found = await provider.get_jobs(sorted(made))
    assert len(made) == 8
    assert None not in found


@pytest.mark.parametrize(
    ("directory", "kind"),
    [
        ("/mnt/farm/jobs", "nfs4"),
        ("/mnt/farm", "nfs4"),
        ("/mnt/two words/jobs", "cifs"),
        ("/home/jane/jobs", "fuse.sshfs"),
        ("/mnt/farm/scratch/jobs", None),
        ("/mnt/farmhouse/jobs", None),
        ("/over/jobs", None),
        ("/var/jobs", None),
    ],
)
def test_network_file_systems_are_told_by_their_mount_point(directory: str, kind: str | None) -> None:
    """The longest mount point above a directory decides, the latest of several at one point."""
    if kind is None:
        check_file_system(Path(directory), MOUNTS)
    else:
        with pytest.raises(
            ConfigError, match=rf"{directory} is on a network file system \({kind}\).*local disk"
        ):
            check_file_system(Path(directory), MOUNTS)


async def test_tracker_is_not_made_on_a_network_file_system(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite can lose data there, so nothing is even begun."""
    mount = f"40 28 0:40 / {directory.parent} rw - nfs server:/export rw"
    monkeypatch.setattr(_directory, "_mounts", lambda: mount)
    with pytest.raises(ConfigError, match="network file system"):
        await LocalProvider(directory).open()
    assert not directory.exists()


async def test_file_system_that_keeps_no_log_is_refused(
    anyio_backend: str, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where SQLite falls back to another journal, many processes could not share the tracker."""

    def without_log(path: Path, busy: float) -> sqlite3.Connection:
        # One in memory keeps no log either, and says so in the same way.
        return sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)

    monkeypatch.setattr(_database, "_connection", without_log)
    with pytest.raises(ConfigError, match=rf"{directory}.*SQLite cannot keep a log on this file system"):
        await LocalProvider(directory).open()


async def test_system_without_mount_table_is_taken_at_its_word(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing tells the file system, a tracker can still be made."""
    monkeypatch.setattr(_directory, "MOUNTS", directory / "missing")
    async with LocalProvider(directory) as provider:
        assert await provider.get_jobs(["none"]) == [None]

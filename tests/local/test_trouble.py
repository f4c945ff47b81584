"""Disks that are full, databases that are busy or damaged, and directories that move away."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from sqlalchemy.exc import OperationalError

from callsheet import (
    ConfigError,
    Denied,
    File,
    IntegrityError,
    JobState,
    NewJob,
    NotFound,
    Outcome,
    QuotaExceeded,
    ResponseError,
    Unavailable,
)
from callsheet.abc import JobChanges, JobFilter
from callsheet.providers.local import LocalProvider, _store
from callsheet.providers.local._database import Database, Transaction
from callsheet.providers.local._trouble import translating
from local.tools import Make, Upload, Worker


def answer(process: subprocess.Popen[str]) -> Any:
    """Return what a process printed, once it has ended well."""
    out, _ = process.communicate()
    assert process.returncode == 0
    return json.loads(out)


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the database for writing, as some other process."""
    with closing(sqlite3.connect(directory / "callsheet.db", isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield


async def test_database_that_others_keep_busy_is_unavailable_and_comes_back(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that gets no turn says so and is not done; reads go on; later writes work."""
    monkeypatch.setattr(_store, "BUSY", 0.1)
    async with LocalProvider(directory) as provider:
        (job,) = await provider.create_jobs([NewJob(name="a", idempotency_key="k")])
        with locked(directory):
            with pytest.raises(Unavailable, match="kept busy by others") as caught:
                await provider.update_jobs([job.id], JobChanges(state=JobState.DONE))
            assert await provider.get_jobs([job.id]) == [job]
        error = caught.value
        assert (error.outcome, error.code, error.provider) == (Outcome.NOT_DONE, "SQLITE_BUSY", "local")
        assert isinstance(error.__cause__, Exception)
        (changed,) = await provider.update_jobs([job.id], JobChanges(message="free"))
    assert (changed.state, changed.message) == (JobState.QUEUED, "free")


async def test_writes_together_ask_a_busy_database_once(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is told so after one patience, not after those of all who wait with it."""
    monkeypatch.setattr(_store, "BUSY", 0.1)
    told: list[Unavailable] = []
    tries = 0

    @contextmanager
    def counted(database: Database) -> Iterator[Transaction]:
        nonlocal tries
        tries += 1
        with writing(database) as transaction:
            yield transaction

    async def write(key: str) -> None:
        with pytest.raises(Unavailable, match="kept busy by others") as caught:
            await provider.create_jobs([NewJob(name="a", idempotency_key=key)])
        told.append(caught.value)

    async with LocalProvider(directory) as provider:
        writing = Database.writing
        monkeypatch.setattr(Database, "writing", counted)
        with locked(directory):
            async with anyio.create_task_group() as tasks:
                for key in "abc":
                    tasks.start_soon(write, key)
    assert tries == 1
    assert sorted((error.idempotency_key or "", error.outcome) for error in told) == [
        (key, Outcome.NOT_DONE) for key in "abc"
    ]


async def test_directory_that_others_keep_locked_is_unavailable(directory: Path) -> None:
    """Who opens a tracker does not wait for ever for another process that stands still while it does so."""
    directory.mkdir()
    descriptor = os.open(directory, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(Unavailable, match=rf"somebody else keeps it locked \({directory}\)") as caught:
        await LocalProvider(directory, timeout=0.2).open()
    assert (caught.value.outcome, caught.value.code) == (Outcome.NOT_DONE, "ETIMEDOUT")
    assert [*directory.iterdir()] == []
    os.close(descriptor)
    async with LocalProvider(directory, timeout=20) as provider:
        assert await provider.count_jobs(JobFilter()) == 0


async def test_directory_that_was_renamed_is_gone_until_it_is_back(
    directory: Path, provider: LocalProvider, make: Make
) -> None:
    """No write goes into a directory that nobody finds at its path; back again, all goes on."""
    job = await make("before")
    away = directory.with_name("away")
    directory.rename(away)
    for _ in range(2):
        with pytest.raises(Unavailable, match=rf"{directory}.* is gone") as caught:
            await make("meanwhile")
        assert caught.value.outcome is Outcome.NOT_DONE
        with pytest.raises(Unavailable, match="is gone"):
            await provider.get_jobs([job.id])
    assert not directory.exists()
    away.rename(directory)
    later = await make("after")
    found = (await provider.page_jobs(JobFilter(newest_first=False), after=None, size=10)).items
    assert found == [job, later]


async def test_another_tracker_put_in_place_is_the_one_that_is_used(
    directory: Path, provider: LocalProvider, make: Make, tmp_path: Path
) -> None:
    """Writes go into what is at the path now, not into the old files that are still open."""
    old = await make("old")
    async with LocalProvider(tmp_path / "other") as other:
        (theirs,) = await other.create_jobs([NewJob(name="theirs", idempotency_key="k")])
    mark = (await provider.sweep([old.id], [], None)).mark
    directory.rename(tmp_path / "away")
    (tmp_path / "other").rename(directory)
    new = await make("new")
    sweep = await provider.sweep([old.id, theirs.id, new.id], [], mark)
    assert {id_: job and job.name for id_, job in sweep.jobs.items()} == {
        old.id: None,
        theirs.id: "theirs",
        new.id: "new",
    }
    with closing(sqlite3.connect(tmp_path / "away" / "callsheet.db")) as db:
        assert db.execute("SELECT name FROM jobs").fetchall() == [("old",)]


async def test_write_into_a_directory_that_moves_away_is_not_called_done(
    directory: Path, provider: LocalProvider
) -> None:
    """Renamed in the middle of a transaction, the outcome is unknown to who waits for it."""

    def moving(transaction: Transaction, wanted: list[Any]) -> list[Any]:
        directory.rename(directory.with_name("away"))
        return wanted

    with pytest.raises(Unavailable, match="moved away") as caught:
        await provider._store.write(moving, None, key="mine")
    assert (caught.value.outcome, caught.value.idempotency_key) == (Outcome.UNKNOWN, "mine")


async def test_files_of_a_directory_that_is_gone_are_unavailable(
    directory: Path, provider: LocalProvider, upload: Upload
) -> None:
    """No upload makes the directory anew, and no download mistakes its loss for an empty file."""
    component = await upload(b"bytes")
    shutil.rmtree(directory / "files")
    with pytest.raises(IntegrityError, match=r"the bytes of component 'a.exr' .* are gone"):
        async with provider.read(component):
            pass
    with pytest.raises(Unavailable):
        await upload(b"more")
    assert not (directory / "files").exists()


@pytest.mark.parametrize("size", [0, 4, 6])
async def test_bytes_of_another_length_are_not_handed_out(
    provider: LocalProvider, upload: Upload, directory: Path, size: int
) -> None:
    """A stored file that was cut or grew names its component; storing it again heals it."""
    component = await upload(b"bytes")
    (path,) = (directory / "files").glob("??/*")
    path.write_bytes(b"x" * size)
    with pytest.raises(IntegrityError, match=rf"component 'a.exr' \({component.id}\) has {size} bytes of 5"):
        async with provider.read(component):
            pass
    await upload(b"bytes")
    async with provider.read(component) as chunks:
        assert [chunk async for chunk in chunks] == [b"bytes"]


async def test_damaged_database_is_told_as_that(directory: Path) -> None:
    """Pages that were overwritten give a clear error, not one of a database library."""
    async with LocalProvider(directory) as provider:
        await provider.create_jobs([NewJob(name=f"n{n}", idempotency_key=f"k{n}") for n in range(2000)])
    database = directory / "callsheet.db"
    with database.open("r+b") as file:
        file.seek(4096 * 3)
        file.write(os.urandom(4096 * 60))
    async with LocalProvider(directory) as provider:
        with pytest.raises(ResponseError, match=r"database of the tracker in .* is damaged") as caught:
            await provider.page_jobs(JobFilter(), after=None, size=1000)
    assert (caught.value.code, caught.value.provider) == ("SQLITE_CORRUPT", "local")


async def test_vanished_source_is_the_callers_own_error(upload: Upload, tmp_path: Path) -> None:
    """A file of the user's that is not there is a plain FileNotFoundError, not trouble of the tracker."""
    with pytest.raises(FileNotFoundError, match=r"missing\.exr"):
        await upload(File(tmp_path / "missing.exr"))


async def test_database_without_room_keeps_what_it_has(worker: Worker, directory: Path) -> None:
    """At the limit of a file's size a write fails; the old state stands, and with room writes go on."""
    told = answer(worker("fill_database", directory, None))
    assert told == {
        "error": ["QuotaExceeded", "not done"],
        "acknowledged": told["there"],
        "there": told["there"],
        "unchanged": True,
        "afterwards": "written",
    }
    assert told["there"] > 3


async def test_files_without_room_leave_nothing_behind(worker: Worker, directory: Path) -> None:
    """At the limit of a file's size an upload ends with an error, without a part or a component."""
    told = answer(worker("fill_files", directory, None))
    assert told == {
        "error": ["QuotaExceeded", "not done"],
        "components": 1,
        "files": 1,
        "parts": 0,
        "first": True,
        "afterwards": 3 << 20,
    }


@pytest.fixture
def small_disk(tmp_path: Path) -> list[str]:
    """The beginning of a command that runs with 4 MB of disk in a place of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    script = f'mount -t tmpfs -o size=4m tmpfs {place} && exec "$@"'
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"]
    if shutil.which("unshare") is None or subprocess.run([*command, "true"], check=False).returncode:
        pytest.skip("mounting a small disk needs root; the limit of a file's size is tested everywhere")
    return command


@pytest.mark.parametrize("act", ["fill_database", "fill_files"])
async def test_full_disk(anyio_backend: str, small_disk: list[str], tmp_path: Path, act: str) -> None:
    """On a disk that is really full the same holds, and with room again all goes on."""
    place = tmp_path / "disk"
    arguments = [anyio_backend, act, json.dumps(str(place / "tracker")), json.dumps(str(place / "ballast"))]
    command = [*small_disk, sys.executable, str(Path(__file__).with_name("worker.py")), *arguments]
    done = await anyio.run_process(command, stderr=None)
    told = json.loads(done.stdout)
    assert told["error"] == ["QuotaExceeded", "not done"]
    if act == "fill_database":
        assert told["acknowledged"] == told["there"] > 3
        assert (told["unchanged"], told["afterwards"]) == (True, "written")
    else:
        assert told == {
            "error": ["QuotaExceeded", "not done"],
            "components": 1,
            "files": 1,
            "parts": 0,
            "first": True,
            "afterwards": 3 << 20,
        }


async def test_directory_that_may_not_be_written_is_denied(worker: Worker, tmp_path: Path) -> None:
    """Another user's tracker is refused at open, and so is a folder in which none can be made."""
    told = answer(worker("without_rights", tmp_path.name))
    denied = "Denied: no right to the tracker's files: Permission denied"
    assert told == {
        "theirs": f"{denied} (DIRECTORY/theirs/callsheet.db)",
        "new": "Denied: may not make DIRECTORY/closed/new",
        "files": f"{denied} (DIRECTORY/own/files/tmp/…)",
        "afterwards": True,
    }


async def test_error_of_a_missing_job_names_it(provider: LocalProvider) -> None:
    """Calls for a job that is not there are told apart from trouble."""
    for call in (
        provider.cancel_job("none"),
        provider.delete_job("none"),
        provider.rerun_job("none", key=None),
        provider.job_problem("none"),
        provider.allows("none", "view", "jane"),
        provider.update_jobs(["none"], JobChanges(name="x")),
    ):
        with pytest.raises(NotFound, match="there is no job 'none'") as caught:
            await call
        assert (caught.value.outcome, caught.value.provider) == (Outcome.NOT_DONE, "local")


def sqlite_error(code: int, name: str) -> sqlite3.Error:
    """Return an error as the database's driver makes it."""
    error = sqlite3.OperationalError("the database's own words")
    error.sqlite_errorcode = code
    error.sqlite_errorname = name
    return error


@pytest.mark.parametrize(
    ("code", "name", "kind", "outcome"),
    [
        (sqlite3.SQLITE_BUSY, "SQLITE_BUSY", Unavailable, Outcome.NOT_DONE),
        (sqlite3.SQLITE_BUSY | 2 << 8, "SQLITE_BUSY_SNAPSHOT", Unavailable, Outcome.NOT_DONE),
        (sqlite3.SQLITE_LOCKED, "SQLITE_LOCKED", Unavailable, Outcome.NOT_DONE),
        (sqlite3.SQLITE_FULL, "SQLITE_FULL", QuotaExceeded, Outcome.NOT_DONE),
        (sqlite3.SQLITE_READONLY, "SQLITE_READONLY", Denied, Outcome.NOT_DONE),
        (sqlite3.SQLITE_PERM, "SQLITE_PERM", Denied, Outcome.NOT_DONE),
        (sqlite3.SQLITE_AUTH, "SQLITE_AUTH", Denied, Outcome.NOT_DONE),
        (sqlite3.SQLITE_IOERR | 4 << 8, "SQLITE_IOERR_FSYNC", Unavailable, Outcome.UNKNOWN),
        (sqlite3.SQLITE_CANTOPEN, "SQLITE_CANTOPEN", Unavailable, Outcome.UNKNOWN),
        (sqlite3.SQLITE_CORRUPT, "SQLITE_CORRUPT", ResponseError, Outcome.UNKNOWN),
        (sqlite3.SQLITE_ERROR, "SQLITE_ERROR", ResponseError, Outcome.UNKNOWN),
    ],
)
@pytest.mark.parametrize("wrapped", [True, False])
def test_errors_of_the_database_are_told_as_our_own(
    tmp_path: Path, code: int, name: str, kind: type[Exception], outcome: Outcome, wrapped: bool
) -> None:
    """Each has its class, the database's word as code, and at a commit the outcome that is certain."""
    original = sqlite_error(code, name)
    for committing in (True, False):
        with pytest.raises(ResponseError) as caught, translating(tmp_path, committing=committing):
            raise OperationalError("COMMIT", {}, original) if wrapped else original
        error = caught.value
        assert (type(error), error.code, error.provider) == (kind, name, "local")
        assert error.outcome is (outcome if committing else Outcome.NOT_DONE)
        assert error.__cause__ is not None
        assert str(tmp_path) in str(error)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, QuotaExceeded),
        (errno.EDQUOT, QuotaExceeded),
        (errno.EFBIG, QuotaExceeded),
        (errno.EACCES, Denied),
        (errno.EPERM, Denied),
        (errno.EROFS, Denied),
        (errno.EIO, Unavailable),
        (errno.ENOENT, Unavailable),
    ],
)
def test_errors_of_the_disk_are_told_as_our_own(
    tmp_path: Path, number: int, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it answers us or SQLite, which does not say what it answered."""
    answer = OSError(number, os.strerror(number), "/some/file")
    with pytest.raises(ResponseError, match=rf"{os.strerror(number)} \(/some/file\)") as caught:
        with translating(tmp_path):
            raise answer
    assert (type(caught.value), caught.value.code) == (kind, errno.errorcode[number])

    def probe(**_: object) -> None:
        raise answer

    monkeypatch.setattr("tempfile.TemporaryFile", probe)
    with pytest.raises(ResponseError) as caught, translating(tmp_path, committing=True):
        raise sqlite_error(sqlite3.SQLITE_IOERR | 3 << 8, "SQLITE_IOERR_WRITE")
    assert (type(caught.value), caught.value.code) == (kind, errno.errorcode[number])


def test_other_errors_pass(tmp_path: Path) -> None:
    """What is no trouble of disk or database is not dressed up as such."""
    for error in (KeyError("x"), NotFound("y"), OperationalError("SELECT", {}, ValueError("z"))):
        with pytest.raises(type(error)) as caught, translating(tmp_path):
            raise error
        assert caught.value is error


def test_closed_database_says_so(directory: Path) -> None:
    """A read that comes after the end is told, whatever thread it is in."""
    database = Database(directory, "local:x", busy=1)
    database.open()
    database.close()
    database.close()
    with pytest.raises(ConfigError, match="not open"), database.reading():
        pass

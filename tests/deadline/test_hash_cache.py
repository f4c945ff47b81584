"""Hashes of files, and what is remembered of them from one submission to the next."""

from __future__ import annotations

import os
import platform
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from xxhash import xxh3_128_hexdigest

from callsheet import IntegrityError, InvalidRequest
from callsheet._threads import Threads
from callsheet.providers.deadline import _hash_cache, _hashing
from callsheet.providers.deadline._hash_cache import HashCache
from callsheet.providers.deadline._hashing import Hashed, Stamp, hash_file, hash_files, look


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HashCache:
    """A cache that trusts files however young they are."""
    monkeypatch.setattr(_hash_cache, "RACY", 0)
    return HashCache(tmp_path / "cache" / "hashes.db")


def written(path: Path, data: bytes = b"data") -> tuple[str, Stamp]:
    """Write a file, and return it as it is looked at."""
    path.write_bytes(data)
    return str(path), look(str(path))


def still(cache: HashCache, path: str) -> bool:
    """Tell whether the cache knows the hash of the file as it is now."""
    known = cache.hashes([path])
    return path in known and known[path] == Hashed(look(path), "hash")


# -- hashing -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 4096, 65535, 65536, 65537, 1 << 20, (3 << 20) + 7])
async def test_files_of_any_size(tmp_path: Path, size: int) -> None:
    """A file's hash is that of its bytes, on either side of what is read in one piece."""
    data = os.urandom(size)
    path, stamp = written(tmp_path / "a", data)
    assert await hash_files([path], Threads(2)) == [Hashed(stamp, xxh3_128_hexdigest(data))]


async def test_many_files_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes come in the order of their files, in few trips to a thread, and a bad file stops no other."""
    monkeypatch.setattr("callsheet.providers.deadline._hashing.BATCH", 10)
    monkeypatch.setattr("callsheet.providers.deadline._hashing.AT_ONCE", 1)
    files = [written(tmp_path / f"{number}", b"%d" % number) for number in range(45)]
    Path(files[7][0]).unlink()
    Path(files[8][0]).unlink()
    Path(files[8][0]).mkdir()
    threads = Threads(2)
    trips = []
    run = threads.run

    async def counted(*arguments: object, **options: object) -> object:
        trips.append(arguments)
        return await run(*arguments, **options)  # type: ignore[arg-type]  # handed on

    monkeypatch.setattr(threads, "run", counted)
    outcomes = await hash_files([path for path, _ in files], threads)
    assert len(trips) == 5
    assert isinstance(outcomes[7], FileNotFoundError)
    assert isinstance(outcomes[8], InvalidRequest)
    good = [number for number in range(45) if number not in {7, 8}]
    assert [outcomes[number] for number in good] == [
        Hashed(files[number][1], xxh3_128_hexdigest(b"%d" % number)) for number in good
    ]
    assert await hash_files([], threads) == []


async def test_nobody_waits_for_the_hashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that was cancelled leaves no thread that goes on through its files."""
    begun, go = threading.Event(), threading.Event()
    read: list[str] = []

    def wait(path: str, is_stopped: object) -> Hashed:
        read.append(path)
        begun.set()
        go.wait(30)
        return Hashed(Stamp(1, 1, 1, 1, 1), "hash")

    monkeypatch.setattr(_hashing, "AT_ONCE", 1)
    monkeypatch.setattr(_hashing, "hash_file", wait)
    threads = Threads(1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hash_files, [str(number) for number in range(40)], threads)
        await anyio.to_thread.run_sync(begun.wait)
        tasks.cancel_scope.cancel()
    go.set()
    assert await threads.aclose(30)
    assert read == ["0"]


@pytest.mark.parametrize("change", ["longer", "shorter", "other bytes"])
def test_a_file_that_changes_while_it_is_read(tmp_path: Path, change: str) -> None:
    """A large file that is written to between two chunks is an error that names it."""
    path, _ = written(tmp_path / "a.exr", b"x" * (3 << 20))
    os.utime(path, ns=(1, 1))
    asked = 0

    def meddle() -> bool:
        nonlocal asked
        asked += 1
        if asked == 2:
            with Path(path).open("r+b") as file:
                if change != "other bytes":
                    file.truncate(2 << 20) if change == "shorter" else file.seek(0, os.SEEK_END)
                file.write(b"y")
        return False

    with pytest.raises(IntegrityError, match=r"a\.exr.*changed while it was read; nothing was created"):
        hash_file(path, meddle)


def test_a_small_file_that_grows_as_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is longer by the time it was read is an error, though it was read in one piece."""
    path, _ = written(tmp_path / "a.exr")
    fstat = os.fstat

    def grown(file: int) -> os.stat_result:
        with Path(path).open("ab") as more:
            more.write(b"more")
        return fstat(file)

    monkeypatch.setattr(os, "fstat", grown)
    with pytest.raises(IntegrityError, match=r"a\.exr.*changed while it was read; nothing was created"):
        hash_file(path)


def test_what_is_no_file(tmp_path: Path) -> None:
    """Folders and pipes are refused by name."""
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        with pytest.raises(InvalidRequest, match="is not a regular file"):
            hash_file(str(tmp_path / name))
    with pytest.raises(FileNotFoundError):
        hash_file(str(tmp_path / "missing"))


# -- the cache -----------------------------------------------------------------------------------------------


def test_a_hash_is_remembered(cache: HashCache, tmp_path: Path) -> None:
    """What was noted is found again, by another cache too, as long as the file is the same."""
    file, other = written(tmp_path / "a"), written(tmp_path / "b")
    assert not still(cache, file[0])
    cache.note_hashes([(file[0], Hashed(file[1], "hash"))])
    again = HashCache(tmp_path / "cache" / "hashes.db")
    assert again.hashes([file[0], other[0]]) == {file[0]: Hashed(file[1], "hash")}
    assert stat.S_IMODE((tmp_path / "cache").stat().st_mode) == 0o700
    assert still(again, file[0])


def test_another_size_at_the_same_time(cache: HashCache, tmp_path: Path) -> None:
    """A file of another size has another hash, even if its time was set back."""
    path, stamp = written(tmp_path / "a", b"one")
    cache.note_hashes([(path, Hashed(stamp, "hash"))])
    Path(path).write_bytes(b"three")
    os.utime(path, ns=(stamp.mtime_ns, stamp.mtime_ns))
    assert not still(cache, path)


@pytest.mark.parametrize("keep_time", [False, True])
def test_another_content_of_the_same_size(cache: HashCache, tmp_path: Path, keep_time: bool) -> None:
    """A file that was written to is hashed again, even if its time was set back."""
    path, stamp = written(tmp_path / "a", b"one")
    cache.note_hashes([(path, Hashed(stamp, "hash"))])
    time.sleep(0.02)  # the clock of file systems moves in steps
    Path(path).write_bytes(b"two")
    if keep_time:
        os.utime(path, ns=(stamp.mtime_ns, stamp.mtime_ns))
    assert not still(cache, path)


def test_another_file_of_the_name(cache: HashCache, tmp_path: Path) -> None:
    """A file that was moved into the place of another is another."""
    path, stamp = written(tmp_path / "a", b"one")
    cache.note_hashes([(path, Hashed(stamp, "hash"))])
    written(tmp_path / "b", b"two")
    os.utime(tmp_path / "b", ns=(stamp.mtime_ns, stamp.mtime_ns))
    (tmp_path / "b").rename(path)
    assert not still(cache, path)


def test_a_time_zone_changes_nothing(
    cache: HashCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hash holds in any time zone."""
    file = written(tmp_path / "a")
    cache.note_hashes([(file[0], Hashed(file[1], "hash"))])
    for zone in ("Pacific/Auckland", "America/Los_Angeles"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        assert still(cache, file[0])
    monkeypatch.undo()
    time.tzset()


def test_a_file_too_young_to_trust(tmp_path: Path) -> None:
    """A file that was just written is not remembered: it could be written again within the same tick."""
    cache = HashCache(tmp_path / "hashes.db")
    file = written(tmp_path / "a")
    cache.note_hashes([(file[0], Hashed(file[1], "hash"))])
    assert not still(cache, file[0])


def test_names_that_are_no_text(cache: HashCache, tmp_path: Path) -> None:
    """A file whose name is no UTF-8 is remembered like any other."""
    file = written(Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff")))
    cache.note_hashes([(file[0], Hashed(file[1], "hash"))])
    assert still(cache, file[0])


def test_objects_that_were_seen(cache: HashCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object is taken to be in its bucket for a day after it was seen there."""
    cache.note_seen("one", ["a", "b"])
    assert cache.seen("one", ["a", "b", "c"]) == {"a", "b"}
    assert cache.seen("other", ["a"]) == set()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + _hash_cache.RECHECK + 1)
    assert cache.seen("one", ["a"]) == set()
    cache.note_seen("one", ["c"])
    assert cache.seen("one", ["a", "b", "c"]) == {"c"}
    monkeypatch.undo()
    assert cache.seen("one", ["a", "b", "c"]) == {"c"}  # the others are forgotten, not just passed over


def test_machines_that_share_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each machine has a cache of its own in the user's folder, as a database is not to be shared by many."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for machine in ("one", "two/é", ""):
        monkeypatch.setattr(platform, "node", lambda name=machine: name)
        assert HashCache().seen("bucket", ["a"]) == set()
        HashCache().note_seen("bucket", ["a"])
        assert HashCache().seen("bucket", ["a"]) == {"a"}
    found = sorted(path.name for path in (tmp_path / "callsheet").glob("*.db"))
    assert found == ["attachments-machine.db", "attachments-one.db", "attachments-two_é.db"]


def test_old_hashes_are_forgotten(cache: HashCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was noted long ago goes when something else is noted."""
    old, new = written(tmp_path / "old"), written(tmp_path / "new")
    cache.note_hashes([(old[0], Hashed(old[1], "hash"))])
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now + (_hash_cache.KEPT + 1) * 10**9)
    cache.note_hashes([(new[0], Hashed(new[1], "hash"))])
    assert list(cache.hashes([old[0], new[0]])) == [new[0]]


def test_a_damaged_cache_is_begun_anew(cache: HashCache, tmp_path: Path) -> None:
    """A database that is none costs the hashes in it, and no more."""
    path = tmp_path / "cache" / "hashes.db"
    path.parent.mkdir()
    path.write_bytes(b"this is no database, however long one looks at it" * 100)
    file = written(tmp_path / "a")
    cache.note_hashes([(file[0], Hashed(file[1], "hash"))])
    assert still(cache, file[0])


def test_no_place_for_a_cache(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without a place for it, nothing is known, and a log line says so."""
    (tmp_path / "cache").write_bytes(b"in the way")
    cache = HashCache(tmp_path / "cache" / "hashes.db")
    assert cache.hashes([str(tmp_path / "a")]) == {}
    assert cache.seen("one", ["a"]) == set()
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]


def test_a_cache_that_is_locked(
    cache: HashCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A writer that never ends keeps nobody waiting for ever, and its database is left alone."""
    monkeypatch.setattr(_hash_cache, "PATIENCE", 0.01)
    cache.note_seen("one", ["a"])
    path = tmp_path / "cache" / "hashes.db"
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    cache.note_seen("one", ["b"])
    assert ["locked" in record.message for record in caplog.records] == [True]
    assert cache.seen("one", ["a", "b"]) == {"a"}  # readers do not wait
    holder.execute("ROLLBACK")
    holder.close()


WRITER = """
import sys
from pathlib import Path
from callsheet.providers.deadline._hash_cache import HashCache
from callsheet.providers.deadline._hashing import Hashed, Stamp
cache = HashCache(Path(sys.argv[1]))
for turn in range(10):
    mine = [(f"/{sys.argv[2]}/{turn}/{n}", Hashed(Stamp(1, n, 1, 1, 1), f"{turn}-{n}")) for n in range(20)]
    cache.note_hashes(mine)
    assert len(cache.hashes([path for path, _ in mine])) == 20
"""


def test_many_processes_share_it(tmp_path: Path) -> None:
    """Processes that begin at once on no database at all lose nothing that any of them noted."""
    path = tmp_path / "hashes.db"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(number)], stderr=subprocess.PIPE)
        for number in range(3)
    ]
    for writer in writers:
        said = writer.communicate()[1].decode()
        assert writer.returncode == 0, said
    everything = [f"/{number}/{turn}/{n}" for number in range(3) for turn in range(10) for n in range(20)]
    assert len(HashCache(path).hashes(everything)) == 600

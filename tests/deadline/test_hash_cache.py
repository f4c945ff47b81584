"""Hashes of files, and what is remembered of them from one submission to the next."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from xxhash import xxh3_128_hexdigest

from callsheet import IntegrityError, InvalidRequest
from callsheet._threads import Threads
from callsheet.providers.deadline import _hash_cache
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


# -- hashing -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 4096, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, (3 << 20) + 7])
async def test_files_of_any_size(tmp_path: Path, size: int) -> None:
    """A file's hash is that of its bytes, on either side of what is read in one piece."""
    data = os.urandom(size)
    path, stamp = written(tmp_path / "a", data)
    assert await hash_files([(path, stamp)], Threads(2)) == [Hashed(stamp, xxh3_128_hexdigest(data))]


async def test_many_files_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes come in the order of their files, in few trips to a thread, and a bad file stops no other."""
    monkeypatch.setattr("callsheet.providers.deadline._hashing.BATCH_FILES", 10)
    files = [written(tmp_path / f"{number}", b"%d" % number) for number in range(45)]
    Path(files[7][0]).unlink()
    Path(files[8][0]).write_bytes(b"other bytes")
    threads = Threads(2)
    trips = []
    run = threads.run

    async def counted(*arguments: object, **options: object) -> object:
        trips.append(arguments)
        return await run(*arguments, **options)  # type: ignore[arg-type]  # handed on

    monkeypatch.setattr(threads, "run", counted)
    outcomes = await hash_files(files, threads)
    assert len(trips) == 5
    assert isinstance(outcomes[7], FileNotFoundError)
    assert isinstance(outcomes[8], IntegrityError)
    good = [number for number in range(45) if number not in {7, 8}]
    assert [outcomes[number] for number in good] == [
        Hashed(files[number][1], xxh3_128_hexdigest(b"%d" % number)) for number in good
    ]
    assert await hash_files([], threads) == []


@pytest.mark.parametrize("data", [b"", b"longer than it was", b"same"])
def test_a_file_that_changed(tmp_path: Path, data: bytes) -> None:
    """A file that is not what it was when it was looked at is an error that names it."""
    path, stamp = written(tmp_path / "a.exr", b"data")
    os.utime(path, ns=(1, 1))
    Path(path).write_bytes(data)
    with pytest.raises(IntegrityError, match=r"a\.exr.*changed while it was read; nothing was created"):
        hash_file(path, stamp)


def test_other_rights_are_no_change(tmp_path: Path) -> None:
    """A file whose rights or links change has the same bytes."""
    path, stamp = written(tmp_path / "a.exr")
    Path(path).chmod(0o400)
    os.link(path, tmp_path / "b.exr")
    assert hash_file(path, stamp).hash == xxh3_128_hexdigest(b"data")


def test_what_is_no_file(tmp_path: Path) -> None:
    """Folders and pipes are refused by name."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidRequest, match="pipe' is not a regular file"):
        look(str(tmp_path / "pipe"))
    with pytest.raises(InvalidRequest, match="is a directory"):
        look(str(tmp_path))
    with pytest.raises(FileNotFoundError):
        look(str(tmp_path / "missing"))


# -- the cache -----------------------------------------------------------------------------------------------


def test_a_hash_is_remembered(cache: HashCache, tmp_path: Path) -> None:
    """What was noted is found again, by another cache too, as long as the file is the same."""
    file, other = written(tmp_path / "a"), written(tmp_path / "b")
    assert cache.hashes([file]) == {}
    cache.note_hashes([(file[0], Hashed(file[1], "hash"))])
    again = HashCache(tmp_path / "cache" / "hashes.db")
    assert again.hashes([file, other]) == {file[0]: Hashed(file[1], "hash")}


def test_another_size_at_the_same_time(cache: HashCache, tmp_path: Path) -> None:
    """A file of another size has another hash, even if its time was set back."""
    path, stamp = written(tmp_path / "a", b"one")
    cache.note_hashes([(path, Hashed(stamp, "hash"))])
    Path(path).write_bytes(b"three")
    os.utime(path, ns=(stamp.mtime_ns, stamp.mtime_ns))
    assert cache.hashes([(path, look(path))]) == {}


@pytest.mark.parametrize("keep_time", [False, True])
def test_another_content_of_the_same_size(cache: HashCache, tmp_path: Path, keep_time: bool) -> None:
    """A file that was written to is hashed again, even if its time was set back."""
    path, stamp = written(tmp_path / "a", b"one")
    cache.note_hashes([(path, Hashed(stamp, "hash"))])
    time.sleep(0.02)  # the clock of file systems moves in steps
    Path(path).write_bytes(b"two")
    if keep_time:
        os.utime(path, ns=(stamp.mtime_ns, stamp.mtime_ns))
    assert cache.hashes([(path, look(path))]) == {}


def test_another_file_of_the_name(cache: HashCache, tmp_path: Path) -> None:
    """A file that was moved into the place of another is another."""
    path, stamp = written(tmp_path / "a", b"one")
    cache.note_hashes([(path, Hashed(stamp, "hash"))])
    written(tmp_path / "b", b"two")
    os.utime(tmp_path / "b", ns=(stamp.mtime_ns, stamp.mtime_ns))
    (tmp_path / "b").rename(path)
    assert cache.hashes([(path, look(path))]) == {}


def test_a_time_zone_changes_nothing(
    cache: HashCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hash holds in any time zone."""
    file = written(tmp_path / "a")
    cache.note_hashes([(file[0], Hashed(file[1], "hash"))])
    for zone in ("Pacific/Auckland", "America/Los_Angeles"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        assert list(cache.hashes([(file[0], look(file[0]))])) == [file[0]]
    monkeypatch.undo()
    time.tzset()


def test_a_file_too_young_to_trust(tmp_path: Path) -> None:
    """A file that was just written is not remembered: it could be written again within the same tick."""
    cache = HashCache(tmp_path / "hashes.db")
    file = written(tmp_path / "a")
    cache.note_hashes([(file[0], Hashed(file[1], "hash"))])
    assert cache.hashes([file]) == {}


def test_names_that_are_no_text(cache: HashCache, tmp_path: Path) -> None:
    """A file whose name is no UTF-8 is remembered like any other."""
    file = written(Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff")))
    cache.note_hashes([(file[0], Hashed(file[1], "hash"))])
    assert list(cache.hashes([file])) == [file[0]]


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


def test_old_hashes_are_forgotten(cache: HashCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was noted long ago goes when something else is noted."""
    old, new = written(tmp_path / "old"), written(tmp_path / "new")
    cache.note_hashes([(old[0], Hashed(old[1], "hash"))])
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now + (_hash_cache.KEPT + 1) * 10**9)
    cache.note_hashes([(new[0], Hashed(new[1], "hash"))])
    assert list(cache.hashes([old, new])) == [new[0]]


def test_a_damaged_cache_is_begun_anew(cache: HashCache, tmp_path: Path) -> None:
    """A database that is none costs the hashes in it, and no more."""
    path = tmp_path / "cache" / "hashes.db"
    path.parent.mkdir()
    path.write_bytes(b"this is no database, however long one looks at it" * 100)
    file = written(tmp_path / "a")
    cache.note_hashes([(file[0], Hashed(file[1], "hash"))])
    assert list(cache.hashes([file])) == [file[0]]


def test_no_place_for_a_cache(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without a place for it, nothing is known, and a log line says so."""
    (tmp_path / "cache").write_bytes(b"in the way")
    cache = HashCache(tmp_path / "cache" / "hashes.db")
    assert cache.hashes([written(tmp_path / "a")]) == {}
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
    assert len(cache.hashes([(path, hashed.stamp) for path, hashed in mine])) == 20
"""


def test_many_processes_share_it(tmp_path: Path) -> None:
    """Processes that begin at once on no database at all lose nothing that any of them noted."""
    path = tmp_path / "hashes.db"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(number)], stderr=subprocess.PIPE)
        for number in range(3)
    ]
    assert [(writer.communicate()[1], writer.returncode) for writer in writers] == [(b"", 0)] * 3
    everything = [
        (f"/{number}/{turn}/{n}", Stamp(1, n, 1, 1, 1))
        for number in range(3)
        for turn in range(10)
        for n in range(20)
    ]
    assert len(HashCache(path).hashes(everything)) == 600

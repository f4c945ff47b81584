"""Files of new jobs on their way into a queue's bucket, which misbehaves on command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import Process
from xxhash import xxh3_128_hexdigest

from callsheet import (
    AttachError,
    Component,
    Denied,
    File,
    FrameSequence,
    IntegrityError,
    InvalidRequest,
    Outcome,
    RateLimited,
)
from callsheet._s3 import Bucket
from callsheet._threads import Threads
from callsheet.providers.deadline import _hash_cache
from callsheet.providers.deadline._attachments import Uploads
from callsheet.providers.deadline._hash_cache import HashCache
from callsheet.providers.deadline._hashing import Hashed, look
from callsheet.providers.deadline._manifests import Entry, read_manifest, write_manifest
from callsheet.providers.deadline._templates import References
from callsheet.providers.deadline.details import FileSystemLocation, StorageProfile
from faultserver import FaultServer, Line, Request
from support import scale
from support.queues import PROFILES, uploads
from support.roads import until
from support.s3store import Store, error, lose_answer, slow_down

MANIFESTS = "root/Manifests/"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HashCache:
    """What is remembered, of files however young."""
    monkeypatch.setattr(_hash_cache, "RACY", 0)
    return HashCache(tmp_path / "cache" / "hashes.db")


@pytest.fixture
def queue(bucket: Bucket, cache: HashCache) -> Uploads:
    """What puts files into the bucket."""
    return uploads(bucket, cache)


@pytest.fixture
def shot(tmp_path: Path) -> Path:
    """A folder with a scene and its textures, two of which are equal."""
    shot = tmp_path / "shot"
    for name, data in {"a.ma": b"scene", "tex/é.tx": b"wood", "tex/b.tx": b"wood", "tex/c.tx": b""}.items():
        path = shot / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, ns=(1795339212100679123, 1795339212100679123))
    return shot


def data_key(data: bytes) -> str:
    """Return the key of a content."""
    return f"root/Data/{xxh3_128_hexdigest(data)}.xxh128"


def data_of(store: Store) -> dict[str, bytes]:
    """Return the contents in the bucket."""
    return {key: data for key, data in store.objects.items() if "/Data/" in key}


def entry(path: str, data: bytes) -> Entry:
    """Return how a file of the shot stands in a manifest."""
    return Entry(path, xxh3_128_hexdigest(data), len(data), 1795339212100679)


def files_below(folder: Path) -> list[Path]:
    """Return the files of a folder."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


async def test_files_and_their_manifest(queue: Uploads, store: Store, shot: Path) -> None:
    """Each content is stored once under its hash, and the manifest says which file has it."""
    document = await queue.prepare(files_below(shot), outputs=[shot / "renders"], key="k-1")
    manifest = write_manifest(
        [
            entry("a.ma", b"scene"),
            entry("tex/b.tx", b"wood"),
            entry("tex/c.tx", b""),
            entry("tex/é.tx", b"wood"),
        ]
    )
    assert document is not None
    (root,) = document["manifests"]
    path = root["inputManifestPath"]
    farm, queue_id, inputs, unique, name = path.split("/")
    assert (farm, queue_id, inputs, len(unique)) == ("farm-1", "queue-1", "Inputs", 32)
    assert name == f"{xxh3_128_hexdigest(str(shot).encode())}_input"
    assert document == {
        "fileSystem": "COPIED",
        "manifests": [
            {
                "rootPath": str(shot),
                "rootPathFormat": "posix",
                "outputRelativeDirectories": ["renders"],
                "inputManifestPath": path,
                "inputManifestHash": xxh3_128_hexdigest(manifest),
            }
        ],
    }
    assert store.objects == {
        f"{MANIFESTS}{path}": manifest,
        **{data_key(data): data for data in (b"scene", b"wood", b"")},
    }
    assert [kind for kind, _ in store.calls] == ["PUT"] * 4
    assert store.calls[-1] == ("PUT", f"{MANIFESTS}{path}")


async def test_nothing_unchanged_is_sent_again(
    bucket: Bucket, cache: HashCache, store: Store, tmp_path: Path
) -> None:
    """Files that were sent before cost no request beyond the manifest, from another client, too."""
    count = scale(50, 5000)
    files = [tmp_path / f"{number}.exr" for number in range(count)]
    await Threads(1).run(lambda: [path.write_bytes(path.name.encode() * 100) for path in files])
    await uploads(bucket, cache).prepare(files, key="k-1")
    assert len(data_of(store)) == count
    store.calls.clear()
    document = await uploads(bucket, HashCache(tmp_path / "cache" / "hashes.db")).prepare(files, key="k-2")
    assert document is not None
    assert store.calls == [("PUT", f"{MANIFESTS}{document['manifests'][0]['inputManifestPath']}")]


async def test_contents_that_have_left_the_bucket(queue: Uploads, store: Store, shot: Path) -> None:
    """What the bucket's own rules removed is found missing when that is asked for, and sent again, alone."""
    files = files_below(shot)
    await queue.prepare(files, key="k-1")
    del store.objects[data_key(b"wood")]
    store.calls.clear()
    await queue.prepare(files, key="k-2")
    assert [kind for kind, key in store.calls if "/Data/" in key] == []
    await queue.prepare(files, key="k-3", checked=True)
    asked = [key for kind, key in store.calls if kind == "HEAD"]
    assert sorted(asked) == sorted(data_key(data) for data in (b"scene", b"wood", b""))
    sent = [key for kind, key in store.calls if kind == "PUT" and "/Data/" in key]
    assert sent == [data_key(b"wood")]
    assert store.objects[data_key(b"wood")] == b"wood"


async def test_the_same_call_again(queue: Uploads, store: Store, shot: Path) -> None:
    """With the same key and files the answer is the same; with another of either, nothing is overwritten."""
    first = await queue.prepare([shot / "a.ma"], key="k-1")
    before = dict(store.objects)
    assert await queue.prepare([shot / "a.ma"], key="k-1") == first
    assert store.objects == before
    assert await queue.prepare([shot / "a.ma"], key="k-2") != first
    (shot / "a.ma").write_bytes(b"other")
    assert await queue.prepare([shot / "a.ma"], key="k-1") != first
    assert {key: store.objects[key] for key in before} == before
    assert len(store.objects) == len(before) + 3


async def test_what_is_there_already(queue: Uploads, store: Store, shot: Path, cache: HashCache) -> None:
    """A content that somebody else has sent is left alone, small or large."""
    large = b"x" * (1 << 20) + b"y"
    (shot / "large").write_bytes(large)
    store.objects = {data_key(b"scene"): b"theirs", data_key(large): b"theirs"}
    await queue.prepare([shot / "a.ma", shot / "large"], key="k-1")
    assert sorted(store.calls)[:2] == [("HEAD", data_key(large)), ("PUT", data_key(b"scene"))]
    assert len(store.calls) == 3
    assert data_of(store) == {data_key(b"scene"): b"theirs", data_key(large): b"theirs"}


async def test_who_may_not_list_the_bucket(queue: Uploads, store: Store, shot: Path) -> None:
    """Where asking for a content is forbidden, it is sent on the condition that it is not there."""
    one, other = b"x" * (1 << 20) + b"y", b"z" * (1 << 20) + b"y"
    (shot / "one").write_bytes(one)
    (shot / "other").write_bytes(other)
    store.objects = {data_key(other): b"theirs"}
    store.strike("HEAD", *[lambda line, store, request: line.send(error(403, ""))] * 2)
    await queue.prepare([shot / "one", shot / "other"], key="k-1")
    assert data_of(store) == {data_key(one): one, data_key(other): b"theirs"}


async def test_files_of_a_bundle(queue: Uploads, store: Store, shot: Path) -> None:
    """Folders travel with all that is in them, and paths that are only spoken of move the root."""
    (shot / "empty").mkdir()
    references = References(
        files=(shot / "a.ma",),
        folders=(shot / "tex", shot / "empty"),
        outputs=(shot / "renders",),
        referenced=(shot.parent / "elsewhere" / "x",),
    )
    document = await queue.prepare(references=references, key="k-1", file_system="VIRTUAL")
    assert document is not None
    (root,) = document["manifests"]
    assert (document["fileSystem"], root["rootPath"]) == ("VIRTUAL", str(shot.parent))
    assert root["outputRelativeDirectories"] == ["shot/renders"]
    manifest = read_manifest(store.objects[MANIFESTS + root["inputManifestPath"]], "m")
    assert [found.path for found in manifest] == [
        "shot/a.ma",
        "shot/tex/b.tx",
        "shot/tex/c.tx",
        "shot/tex/é.tx",
    ]


async def test_a_folder_with_nothing_in_it(queue: Uploads, store: Store, shot: Path) -> None:
    """An empty folder of a bundle moves the root, as with AWS's own library."""
    (shot / "empty").mkdir()
    references = References(files=(shot / "tex/b.tx",), folders=(shot / "empty",))
    document = await queue.prepare(references=references, key="k-1")
    assert document is not None
    (root,) = document["manifests"]
    assert root["rootPath"] == str(shot)
    (found,) = read_manifest(store.objects[MANIFESTS + root["inputManifestPath"]], "m")
    assert found == entry("tex/b.tx", b"wood")


async def test_outputs_alone(queue: Uploads, store: Store, tmp_path: Path) -> None:
    """A job that only writes has roots without manifests, and nothing is sent."""
    document = await queue.prepare(outputs=[str(tmp_path / "renders")], key="k-1")
    assert document == {
        "fileSystem": "COPIED",
        "manifests": [
            {
                "rootPath": str(tmp_path / "renders"),
                "rootPathFormat": "posix",
                "outputRelativeDirectories": ["."],
            }
        ],
    }
    assert await queue.prepare(key="k-1") is None
    assert store.calls == []


async def test_locations(queue: Uploads, store: Store, shot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files below a local location have a manifest of their own, and what workers mount stays at home."""
    places = [
        FileSystemLocation(name="Textures", path=str(shot / "tex"), type="LOCAL"),
        FileSystemLocation(name="Scenes", path=str(shot / "a.ma"), type="SHARED"),
    ]
    profile = StorageProfile(
        storage_profile_id="sp-1", display_name="Mine", os_family="LINUX", file_system_locations=tuple(places)
    )
    monkeypatch.setitem(PROFILES, "storage-profiles/sp-1", profile)
    document = await queue.prepare(files_below(shot), key="k-1", profile="sp-1")
    assert document is not None
    assert [(one["rootPath"], one["fileSystemLocationName"]) for one in document["manifests"]] == [
        (str(shot / "tex"), "Textures")
    ]
    assert sorted(data_of(store).values()) == [b"", b"wood"]


async def test_what_workers_mount_is_not_read(
    queue: Uploads, store: Store, shot: Path, cache: HashCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that stay are neither looked through nor hashed; those that were named must be there."""
    place = FileSystemLocation(name="Textures", path=str(shot / "tex"), type="SHARED")
    profile = StorageProfile(storage_profile_id="sp-2", file_system_locations=(place,))
    monkeypatch.setitem(PROFILES, "storage-profiles/sp-2", profile)
    (shot / "tex/deep").mkdir()
    (shot / "tex/deep/d.tx").write_bytes(b"deep")
    (shot / "linked").symlink_to(shot / "tex", target_is_directory=True)
    references = References(folders=(shot, shot / "tex"), files=(shot / "tex/b.tx", shot / "linked/c.tx"))
    document = await queue.prepare([shot / "tex/é.tx"], references, key="k-1", profile="sp-2")
    assert document is not None
    assert [one["rootPath"] for one in document["manifests"]] == [str(shot)]
    assert data_of(store) == {data_key(b"scene"): b"scene"}
    everything = [str(path) for path in files_below(shot)]
    assert list(cache.hashes(everything)) == [str(shot / "a.ma")]
    store.calls.clear()
    assert await queue.prepare([shot / "tex/é.tx"], key="k-1", profile="sp-2") is None
    assert store.calls == []
    missing = [shot / "tex/gone.tx", str(shot / "linked/lost.tx")]
    with pytest.raises(AttachError) as caught:
        await queue.prepare(missing, key="k-1", profile="sp-2")
    assert {file: type(why) for file, why in caught.value.failed.items()} == dict.fromkeys(
        missing, FileNotFoundError
    )


async def test_files_without_a_place(queue: Uploads, store: Store, shot: Path) -> None:
    """Bytes, open files and files by another name travel in a root of their own; frames by their paths."""
    for frame in (1, 2):
        (shot / f"f.{frame}.exr").write_bytes(b"%d" % frame)
    with (shot / "a.ma").open("rb") as opened:
        files = [
            File(b"bytes", name="b.txt"),
            File(opened, name="o.ma"),
            File(shot / "tex/b.tx", name="wood"),
            FrameSequence(shot / "f.%d.exr", 1, 2),
        ]
        document = await queue.prepare(files, key="k-1")
    assert document is not None
    frames, loose = document["manifests"]
    assert (frames["rootPath"], loose["rootPath"]) == (str(shot), "/callsheet")
    names = [
        [found.path for found in read_manifest(store.objects[MANIFESTS + one["inputManifestPath"]], "m")]
        for one in (frames, loose)
    ]
    assert names == [["f.1.exr", "f.2.exr"], ["b.txt", "o.ma", "wood"]]
    told = read_manifest(store.objects[MANIFESTS + loose["inputManifestPath"]], "m")
    assert (told[0].mtime, told[2]) == (0, entry("wood", b"wood"))
    assert sorted(data_of(store).values()) == [b"1", b"2", b"bytes", b"scene", b"wood"]


async def test_one_root_too_many(
    queue: Uploads, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files without a place are a root as well: with ten others, nothing is sent."""
    files, places = [], []
    for number in range(10):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "a").write_bytes(b"%d" % number)
        files.append(folder / "a")
        places.append(FileSystemLocation(name=f"Place {number}", path=str(folder), type="LOCAL"))
    profile = StorageProfile(storage_profile_id="sp-ten", file_system_locations=tuple(places))
    monkeypatch.setitem(PROFILES, "storage-profiles/sp-ten", profile)
    with pytest.raises(InvalidRequest, match="takes 10 roots"):
        await queue.prepare([*files, File(b"bytes", name="b.txt")], key="k-1", profile="sp-ten")
    assert store.objects == {}
    document = await queue.prepare(files, key="k-1", profile="sp-ten")
    assert document is not None
    assert len(document["manifests"]) == 10


async def chunks() -> AsyncIterator[bytes]:
    """Yield some bytes."""
    yield b"bytes"


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ([File(b"a", name="a"), File(b"b", name="a")], "two of them would be 'a'"),
        ([File(b"a", name="a/b")], "no name of a file"),
        ([File(b"a", name="a\\b")], "no name of a file"),
        ([File(b"a", name="..")], "no name of a file"),
        ([Component(id="c", name="a")], "component"),
        ([7], "cannot read from int"),
    ],
)
async def test_files_that_make_no_sense(queue: Uploads, store: Store, files: list[Any], why: str) -> None:
    """What could not be sent as it is meant is refused before any request."""
    with pytest.raises(InvalidRequest, match=why):
        await queue.prepare(files, key="k-1")
    assert store.calls == []


async def test_streams_are_refused(queue: Uploads, store: Store) -> None:
    """A stream can be read only once, so that it cannot be hashed first."""
    with pytest.raises(InvalidRequest, match="'s' is a stream"):
        await queue.prepare([File(chunks(), name="s", size=5)], key="k-1")
    reading, writing = os.pipe()
    with (
        os.fdopen(reading, "rb") as pipe,
        os.fdopen(writing, "wb"),
        pytest.raises(InvalidRequest, match="'p' is a stream"),
    ):
        await queue.prepare([File(pipe, name="p", size=5)], key="k-1")
    with pytest.raises(InvalidRequest, match="outputs must be a list"):
        await queue.prepare(outputs="renders", key="k-1")
    with pytest.raises(InvalidRequest, match="fileSystem must be COPIED or VIRTUAL"):
        await queue.prepare(file_system="MAGIC", key="k-1")
    assert store.calls == []


async def test_files_that_are_missing(queue: Uploads, store: Store, shot: Path) -> None:
    """Every file that cannot be had is told, by what it was given as, and nothing is sent."""
    secret = shot / "tex"
    missing = [shot / "gone.exr", str(shot / "lost.exr")]
    renamed = File(shot / "away.ma", name="scene.ma")
    references = References(files=(shot / "none.ma",), folders=(shot / "nowhere",))
    with pytest.raises(AttachError, match=r"^6 of 6 files .* no job was made.*gone\.exr") as caught:
        await queue.prepare([*missing, secret, renamed, shot / "a.ma"], references, key="k-1")
    assert {file: type(why) for file, why in caught.value.failed.items()} == {
        missing[0]: FileNotFoundError,
        missing[1]: FileNotFoundError,
        secret: InvalidRequest,
        renamed: FileNotFoundError,
        shot / "none.ma": FileNotFoundError,
        shot / "nowhere": FileNotFoundError,
    }
    assert (caught.value.outcome, caught.value.attached) == (Outcome.NOT_DONE, [])
    assert store.calls == []


async def test_a_file_that_was_sent_before_and_is_gone(queue: Uploads, store: Store, shot: Path) -> None:
    """That its hash is known makes no file of it: it is missing like any other."""
    path = shot / "a.ma"
    await queue.prepare([path], key="k-1")
    path.unlink()
    store.calls.clear()
    with pytest.raises(AttachError, match=r"^1 of 1 files .* no job was made.*a\.ma") as caught:
        await queue.prepare([path], key="k-2")
    assert {file: type(why) for file, why in caught.value.failed.items()} == {path: FileNotFoundError}
    assert store.calls == []


def meddling(act: Any) -> Any:
    """Return a strike that does something, and then lets the request pass."""

    def strike(line: Line, store: Store, request: Request) -> None:
        act()
        line.send(store.answer(request))

    return strike


@pytest.mark.parametrize("size", [5, (1 << 20) + 5, (8 << 20) + 5])
async def test_a_file_that_changes_on_the_way(
    queue: Uploads, store: Store, tmp_path: Path, cache: HashCache, size: int
) -> None:
    """A file that is not what was hashed is never stored under that hash; the error names it."""
    path = tmp_path / "a.exr"
    await anyio.to_thread.run_sync(path.write_bytes, bytes(size))
    cache.note_hashes([(str(path), Hashed(look(str(path)), xxh3_128_hexdigest(b"before")))])
    with pytest.raises(AttachError, match=r"no job was made.*a\.exr.*changed after it was hashed") as caught:
        await queue.prepare([path], key="k-1")
    assert isinstance(caught.value.failed[path], IntegrityError)
    assert (store.objects, store.uploads) == ({}, {})


async def test_a_file_that_vanishes_on_the_way(
    queue: Uploads, store: Store, shot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is gone when its turn comes is an error, and what was sent is not sent again."""
    monkeypatch.setattr("callsheet.providers.deadline._sending.SMALL_AT_ONCE", 1)
    store.strike("PUT", meddling((shot / "tex/b.tx").unlink))
    files = [shot / "a.ma", shot / "tex/b.tx"]
    with pytest.raises(AttachError, match=r"b\.tx") as caught:
        await queue.prepare(files, key="k-1")
    assert {file: type(why) for file, why in caught.value.failed.items()} == {files[1]: FileNotFoundError}
    assert list(data_of(store).values()) == [b"scene"]
    files[1].write_bytes(b"wood")
    store.calls.clear()
    await queue.prepare(files, key="k-1")
    assert store.calls[0] == ("PUT", data_key(b"wood"))
    assert len(store.calls) == 2


async def test_what_was_sent_before_the_end(
    queue: Uploads, store: Store, shot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a call had sent before it was cancelled is not sent again by the next."""
    monkeypatch.setattr("callsheet.providers.deadline._sending.SMALL_AT_ONCE", 1)
    store.strike("PUT", meddling(lambda: None), lambda line, store, request: line.until_closed())
    files = [shot / "a.ma", shot / "tex/b.tx"]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(queue.prepare, files, key="k-1"))
        await until(lambda: len(store.calls) >= 2)
        tasks.cancel_scope.cancel()
    assert data_of(store) == {data_key(b"scene"): b"scene"}
    store.calls.clear()
    await queue.prepare(files, key="k-1")
    assert [key for _, key in store.calls if "/Data/" in key] == [data_key(b"wood")]


async def test_a_store_in_trouble(queue: Uploads, store: Store, shot: Path) -> None:
    """Lost answers and a busy store are ridden out, and each content is there once and whole."""
    store.strike("PUT", lose_answer, slow_down, lose_answer, slow_down, slow_down)
    await queue.prepare(files_below(shot), key="k-1")
    assert data_of(store) == {data_key(data): data for data in (b"scene", b"wood", b"")}


async def test_a_store_that_refuses(queue: Uploads, store: Store, shot: Path) -> None:
    """What the store says is the file's own error, and that no job was made."""

    def deny(line: Line, store: Store, request: Request) -> None:
        line.send(error(403, "AccessDenied"))

    store.strike("PUT", *[deny] * 9)
    with pytest.raises(AttachError, match=r"no job was made.*AccessDenied") as caught:
        await queue.prepare([shot / "a.ma"], key="k-1")
    assert isinstance(caught.value.failed[shot / "a.ma"], Denied)
    assert caught.value.outcome is Outcome.NOT_DONE


async def test_a_manifest_that_is_refused(queue: Uploads, store: Store, shot: Path) -> None:
    """If only the manifest cannot be written, that is the store's own error."""
    await queue.prepare([shot / "a.ma"], key="k-1")
    store.strike("PUT", *[slow_down] * 5)
    with pytest.raises(RateLimited):
        await queue.prepare([shot / "a.ma"], key="k-2")


@pytest.mark.parametrize("size", [(1 << 20) + 5, (8 << 20) + 5])
async def test_jobs_of_the_same_files_at_once(
    queue: Uploads, store: Store, tmp_path: Path, size: int
) -> None:
    """What several jobs need that are made together is sent once, in one piece or in parts."""
    path = tmp_path / "scene.ma"
    path.write_bytes(b"x" * size)
    made = []

    async def make(key: str) -> None:
        made.append(await queue.prepare([path], key=key))

    async with anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(make, f"k-{number}")
    assert len({json.dumps(document) for document in made}) == 5
    assert {key: len(data) for key, data in data_of(store).items()} == {data_key(b"x" * size): size}
    sent = [kind for kind, key in store.calls if "/Data/" in key and kind in {"PUT", "PART"}]
    assert len(sent) == -(-size // (8 << 20))


@pytest.mark.parametrize("end", ["refused", "cancelled"])
async def test_who_waits_for_another_sends_itself_in_the_end(
    queue: Uploads, store: Store, shot: Path, end: str
) -> None:
    """A content that another call could not bring is sent by the one that waited for it."""
    held, go = threading.Event(), threading.Event()
    scope = anyio.CancelScope()
    made: list[str] = []

    def hold(line: Line, store: Store, request: Request) -> None:
        held.set()
        go.wait(30)
        line.send(error(403, "AccessDenied"))

    async def make(key: str) -> None:
        await queue.prepare([shot / "a.ma"], key=key)
        made.append(key)

    async def first() -> None:
        with scope, pytest.raises(AttachError):
            await make("k-1")

    store.strike("PUT", hold)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(first)
        await until(held.is_set)
        tasks.start_soon(make, "k-2")
        (flight,) = queue._flights.values()
        await until(lambda: bool(flight.over.statistics().tasks_waiting))
        if end == "cancelled":
            scope.cancel()
            await flight.over.wait()
        go.set()
    assert (made, scope.cancelled_caught) == (["k-2"], end == "cancelled")
    assert data_of(store) == {data_key(b"scene"): b"scene"}


async def test_who_waits_for_another_sends_nothing(queue: Uploads, store: Store, shot: Path) -> None:
    """A content that another call has brought meanwhile is not sent again, however small."""
    held, go = threading.Event(), threading.Event()
    made: list[str] = []

    def hold(line: Line, store: Store, request: Request) -> None:
        held.set()
        go.wait(30)
        line.send(store.answer(request))

    async def make(key: str) -> None:
        await queue.prepare([shot / "a.ma"], key=key)
        made.append(key)

    store.strike("PUT", hold)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(make, "k-1")
        await until(held.is_set)
        tasks.start_soon(make, "k-2")
        (flight,) = queue._flights.values()
        await until(lambda: bool(flight.over.statistics().tasks_waiting))
        go.set()
    assert sorted(made) == ["k-1", "k-2"]
    assert [kind for kind, key in store.calls if key == data_key(b"scene")] == ["PUT"]


# -- large files ---------------------------------------------------------------------------------------------

PART = 100_000
LARGE = os.urandom(5 * PART + 1)


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of six parts."""
    for module in ("callsheet._s3._parts", "callsheet.providers.deadline._sending"):
        monkeypatch.setattr(f"{module}.PART", PART)
    monkeypatch.setattr("callsheet.providers.deadline._sending.SMALL", 1000)
    path = tmp_path / "large.exr"
    path.write_bytes(LARGE)
    return path


async def test_a_large_file_goes_on(queue: Uploads, store: Store, large: Path, state_folder: Path) -> None:
    """A call that was cancelled leaves its parts to the next, which sends the others only."""
    store.strike("PART", meddling(lambda: None), *[lambda line, store, request: line.until_closed()] * 5)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(queue.prepare, [large], key="k-1"))
        await until(lambda: [kind for kind, _ in store.calls].count("PART") >= 6)
        await until(lambda: bool(store.uploads["upload-0"].parts))
        tasks.cancel_scope.cancel()
    assert len(store.uploads["upload-0"].parts) == 1
    store.calls.clear()
    await queue.prepare([large], key="k-1")
    assert data_of(store) == {data_key(LARGE): LARGE}
    assert [kind for kind, _ in store.calls].count("PART") == 5
    assert "BEGIN" not in {kind for kind, _ in store.calls}
    assert list(state_folder.iterdir()) == []


KILLED = """
import sys
from pathlib import Path

import anyio

from callsheet._s3 import Bucket, _parts
from callsheet.providers.deadline import _sending
from callsheet.providers.deadline._hash_cache import HashCache
from support.queues import QUICK, uploads

_parts.PART = _sending.PART = int(sys.argv[3])
_parts.AT_ONCE = 1


async def main() -> None:
    async with Bucket(sys.argv[1], provider="deadline", options=QUICK) as bucket:
        await uploads(bucket, HashCache(Path(sys.argv[4]))).prepare([Path(sys.argv[2])], key="k-1")


anyio.run(main)
"""


async def test_a_large_file_goes_on_after_a_kill(
    queue: Uploads, store: Store, server: FaultServer, large: Path, tmp_path: Path
) -> None:
    """The parts that a killed process has sent are not sent again."""
    child: list[Process] = []

    def kill(line: Line, store: Store, request: Request) -> None:
        os.kill(child[0].pid, signal.SIGKILL)
        line.until_closed()

    store.strike("PART", *[meddling(lambda: None)] * 3, kill)
    arguments = [f"{server.url}/bucket", str(large), str(PART), str(tmp_path / "other.db")]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    child.append(
        await anyio.open_process(
            [sys.executable, "-c", KILLED, *arguments], env=environment, stdin=None, stdout=None, stderr=None
        )
    )
    async with child[0]:
        assert await child[0].wait() == -signal.SIGKILL
    (begun,) = store.uploads.values()
    assert len(begun.parts) == 3
    store.calls.clear()
    await queue.prepare([large], key="k-1")
    assert data_of(store) == {data_key(LARGE): LARGE}
    assert [kind for kind, _ in store.calls].count("PART") == 3


async def test_a_large_file_that_was_sent_by_another(queue: Uploads, store: Store, large: Path) -> None:
    """A content that came meanwhile is left alone, and the parts are given up."""

    def overtake(line: Line, store: Store, request: Request) -> None:
        store.objects[data_key(LARGE)] = b"theirs"
        line.send(store.answer(request))

    store.strike("COMPLETE", overtake)
    assert json.dumps(await queue.prepare([large], key="k-1"))
    assert (data_of(store), store.uploads) == ({data_key(LARGE): b"theirs"}, {})


MEASURED = """
import re
import sys
from pathlib import Path

import anyio

from callsheet._s3 import Bucket
from callsheet.providers.deadline._hash_cache import HashCache
from support.queues import QUICK, uploads


def peak() -> int:
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) << 10


async def main(url: str, cache: Path, files: list[Path]) -> None:
    async with Bucket(url, provider="deadline", options=QUICK) as bucket:
        await uploads(bucket, HashCache(cache)).prepare(files[:1], key="k-1")
        Path("/proc/self/clear_refs").write_text("5")  # a process is born with its parent's peak
        before = peak()
        await uploads(bucket, HashCache(cache)).prepare(files, key="k-2")
        print(peak() - before)


anyio.run(main, sys.argv[1], Path(sys.argv[2]), [Path(file) for file in sys.argv[3:]])
"""


def test_memory_does_not_grow_with_the_files(server: FaultServer, tmp_path: Path) -> None:
    """Many files at once, small and large, take no more memory than a chunk or two of each."""
    sizes = [100, *[4 << 20] * scale(24, 100), *[scale(16, 512) << 20]]
    files = []
    for number, size in enumerate(sizes):
        files.append(tmp_path / f"{number}.exr")
        with files[-1].open("wb") as file:
            file.write(b"%d" % number)
            file.truncate(size)
    run = subprocess.run(
        [
            sys.executable,
            "-c",
            MEASURED,
            f"{server.url}/bucket",
            str(tmp_path / "other.db"),
            *map(str, files),
        ],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) < 80 << 20

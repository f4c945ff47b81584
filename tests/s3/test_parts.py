"""Objects that are sent in parts, against a store that misbehaves on command."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import anyio
import pytest

from callsheet import IntegrityError, NotFound, Unavailable
from callsheet._files import File
from callsheet._s3 import Bucket, upload
from callsheet._s3._parts import MAX_PARTS, MIB, part_size_for
from callsheet._threads import Threads
from faultserver import Line, Request
from support.roads import until
from support.s3store import Store, error, lose_answer, slow_down

PART = 1000
WHOLE = os.urandom(10 * PART + 7)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of 1000 bytes."""
    monkeypatch.setattr("callsheet._s3._parts.PART", PART)


@pytest.fixture
def file(tmp_path: Path) -> File:
    """A file of eleven parts."""
    path = tmp_path / "a.exr"
    path.write_bytes(WHOLE)
    return File(path)


async def send(bucket: Bucket, file: File, **more: Any) -> bool:
    """Upload the file as `key`, known by its name."""
    options = {"identity": (file.name,), "threads": Threads(4), "progress": ignore, **more}
    return await upload(bucket, "key", file, len(WHOLE), **options)


async def ignore(done: int) -> None:
    """Hear of progress."""


@pytest.mark.parametrize(
    ("size", "part"),
    [
        (1, PART),
        (MAX_PARTS * PART, PART),
        (MAX_PARTS * MIB, MIB),
        (MAX_PARTS * MIB + 1, 2 * MIB),
        (5 << 40, 525 * MIB),
    ],
)
def test_parts_suffice(size: int, part: int) -> None:
    """An object has at most 10,000 parts, of whole MiB where that decides."""
    assert part_size_for(size) == part
    assert -(-size // part) <= MAX_PARTS


async def test_all_parts_make_the_object(
    bucket: Bucket, store: Store, file: File, state_folder: Path
) -> None:
    """A file is stored whole, its progress ends with its size, and no journal stays."""
    seen: list[int] = []

    async def note(done: int) -> None:
        seen.append(done)

    assert await send(bucket, file, progress=note) is True
    assert store.objects == {"key": WHOLE}
    assert seen[-1] == max(seen) == len(WHOLE)
    assert [kind for kind, _ in store.calls].count("PART") == 11
    assert list(state_folder.iterdir()) == []


async def test_an_upload_goes_on(bucket: Bucket, store: Store, file: File, state_folder: Path) -> None:
    """A call that is cancelled leaves its parts to the next, which sends the others only."""
    store.strike("PART", *[_stored] * 5, *[_unanswered] * 6)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send, bucket, file)
        await until(lambda: len(store.calls) >= 12 and len(store.uploads["upload-0"].parts) >= 5)
        tasks.cancel_scope.cancel()
    assert len(list(state_folder.iterdir())) == 1
    stored = list(store.uploads["upload-0"].parts.values())
    assert len(stored) == 5
    store.calls.clear()
    seen: list[int] = []

    async def listen(done: int) -> None:
        seen.append(done)

    assert await send(bucket, file, progress=listen) is True
    assert store.objects == {"key": WHOLE}
    sent = [kind for kind, _ in store.calls]
    assert sent.count("PART") == 6
    assert (sent[0], sent[-1], sent.count("BEGIN")) == ("PARTS", "COMPLETE", 0)
    assert seen[0] == sum(len(part) for part in stored)
    assert list(state_folder.iterdir()) == []


async def test_an_upload_that_the_store_has_forgotten(bucket: Bucket, store: Store, file: File) -> None:
    """When the parts are gone, the file is sent from the start."""
    store.strike("COMPLETE", *[_unavailable] * 5)
    with pytest.raises(Unavailable):
        await send(bucket, file)
    store.uploads.clear()
    assert await send(bucket, file) is True
    assert store.objects == {"key": WHOLE}


async def test_parts_of_another_size(bucket: Bucket, store: Store, file: File) -> None:
    """A part that the store has with another length is sent again."""
    store.strike("COMPLETE", *[_unavailable] * 5)
    with pytest.raises(Unavailable):
        await send(bucket, file)
    (begun,) = store.uploads.values()
    begun.parts[3] = b"short"
    store.calls.clear()
    assert await send(bucket, file) is True
    assert store.objects == {"key": WHOLE}
    assert [kind for kind, _ in store.calls] == ["PARTS", "PART", "COMPLETE"]


async def test_a_part_is_tried_again(bucket: Bucket, store: Store, file: File) -> None:
    """Lost answers and a busy store cost another request for that part alone."""
    store.strike("PART", lose_answer, slow_down, slow_down, lose_answer)
    assert await send(bucket, file) is True
    assert store.objects == {"key": WHOLE}
    assert [kind for kind, _ in store.calls].count("PART") == 15


async def test_the_answer_to_the_last_request_is_lost(
    bucket: Bucket, store: Store, file: File, state_folder: Path
) -> None:
    """An upload that was completed, but nobody heard of it, counts as done."""
    store.strike("COMPLETE", lose_answer)
    assert await send(bucket, file) is True
    assert store.objects == {"key": WHOLE}
    assert list(state_folder.iterdir()) == []


@pytest.mark.parametrize("there", [{}, {"key": b"of another size"}])
async def test_an_upload_that_is_gone_for_no_reason(
    bucket: Bucket, store: Store, file: File, there: dict[str, bytes]
) -> None:
    """An upload that somebody gave up is an error, unless its object is there."""
    store.objects = dict(there)

    def forget(line: Line, store: Store, request: Request) -> None:
        store.uploads.clear()
        line.send(store.answer(request))

    store.strike("COMPLETE", forget)
    with pytest.raises(NotFound, match="NoSuchUpload"):
        await send(bucket, file)
    assert store.objects == there


async def test_somebody_else_was_quicker(
    bucket: Bucket, store: Store, file: File, state_folder: Path
) -> None:
    """With `new_only` the object that is there stays, and the parts are given up."""

    def overtake(line: Line, store: Store, request: Request) -> None:
        store.objects["key"] = b"theirs"
        line.send(store.answer(request))

    store.strike("COMPLETE", overtake)
    assert await send(bucket, file, new_only=True) is False
    assert (store.objects, store.uploads) == ({"key": b"theirs"}, {})
    assert list(state_folder.iterdir()) == []


async def test_a_file_that_changes(bucket: Bucket, store: Store, file: File, state_folder: Path) -> None:
    """A file that becomes shorter while it is sent becomes no object, and its parts are given up."""

    def cut(line: Line, store: Store, request: Request) -> None:
        assert isinstance(file.source, Path)
        os.truncate(file.source, 20)
        line.send(store.answer(request))

    store.strike("BEGIN", cut)
    with pytest.raises(IntegrityError, match=r"source gave 20 of the 1000 bytes|became shorter"):
        await send(bucket, file)
    assert (store.objects, store.uploads) == ({}, {})
    assert list(state_folder.iterdir()) == []


async def test_a_proof_that_fails(bucket: Bucket, store: Store, file: File) -> None:
    """Bytes that are proved wrong never become an object, even if they cannot be removed."""

    async def disprove() -> None:
        raise IntegrityError("they are others")

    store.strike("ABORT", *[_unavailable] * 5)
    with pytest.raises(IntegrityError, match="they are others"):
        await send(bucket, file, proof=disprove)
    assert store.objects == {}


async def test_one_upload_at_a_time_has_the_journal(
    bucket: Bucket, store: Store, file: File, caplog: pytest.LogCaptureFixture
) -> None:
    """Two calls at once do not share parts, and both store the file."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send, bucket, file)
        tasks.start_soon(send, bucket, file)
    assert store.objects == {"key": WHOLE}
    assert [kind for kind, _ in store.calls].count("BEGIN") == 2


async def test_no_place_for_a_journal(
    bucket: Bucket, store: Store, file: File, state_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a place for its journal an upload goes on, and says that it cannot be resumed."""
    state_folder.parent.parent.mkdir(parents=True, exist_ok=True)
    state_folder.parent.write_bytes(b"in the way")
    assert await send(bucket, file) is True
    assert [record.levelname for record in caplog.records if "no journal" in record.message] == ["WARNING"]


def _stored(line: Line, store: Store, request: Request) -> None:
    line.send(store.answer(request))


def _unanswered(line: Line, store: Store, request: Request) -> None:
    line.until_closed()


def _unavailable(line: Line, store: Store, request: Request) -> None:
    line.send(error(503, "ServiceUnavailable"))

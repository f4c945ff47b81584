"""What Deadline's jobs brought forth: found by their sessions' manifests, verified, put in its place."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest
from xxhash import xxh3_128_hexdigest

from callsheet import Client, Component, IntegrityError, InvalidRequest, Job, NotFound, Transfer, Unsupported
from callsheet._s3 import Bucket
from callsheet._threads import Threads
from callsheet.providers.deadline import (
    DeadlineFile,
    DeadlineProvider,
    DeadlineQueue,
    DeadlineSession,
    DeadlineSessionAction,
    TaskRun,
)
from callsheet.providers.deadline._components import EPOCH
from callsheet.providers.deadline._manifests import Entry, manifest_name, write_manifest
from callsheet.providers.deadline._outputs import chosen, filled_in, missing, written
from callsheet.providers.deadline._storage import Storage
from callsheet.providers.deadline._templates import References
from callsheet.providers.deadline._wire import job_of
from callsheet.providers.deadline.details import (
    EnvEnter,
    JobAttachmentSettings,
    ManifestProperties,
    OutputManifest,
)
from faultserver import FaultServer, Line, Request
from support.queues import QUICK, Place
from support.s3store import Store, lose_answer

ID = f"job-{7:032x}"
BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
ROOTS = (
    {"rootPath": "/show", "rootPathFormat": "posix"},
    {"rootPath": "C:\\tex", "rootPathFormat": "windows"},
)

TIME = 1_700_000_000_000_001
"""Of every file, in microseconds."""


def action(
    number: int,
    *,
    step: str = "s",
    task: str | None = "t",
    status: str = "SUCCEEDED",
    manifests: tuple[str | None, ...] = (),
    minutes: float | None = None,
) -> DeadlineSessionAction:
    """Return an action that ended so many minutes later than all began."""
    ended = BEGUN + timedelta(minutes=number if minutes is None else minutes)
    return DeadlineSessionAction(
        session_action_id=f"sessionaction-{number:032x}-0",
        status=status,
        ended_at=ended,
        definition=TaskRun(step_id=step, task_id=task, parameters={}),
        manifests=tuple(OutputManifest(output_manifest_path=path) for path in manifests),
    )


# -- which manifests count -----------------------------------------------------------------------------------


def test_the_last_success_of_each_task_counts() -> None:
    """Failed tries, earlier ones and what is no task have no say; the order is that of their ends."""
    actions = [
        action(5, task="a"),
        action(1, task="a"),
        action(2, task="b"),
        action(9, task="b", status="FAILED"),
        action(3, task=None),
        action(4, task=None),
        action(6, step="other", task="a", minutes=0),
        DeadlineSessionAction(
            session_action_id="sessionaction-x", status="SUCCEEDED", definition=EnvEnter(environment_id="e")
        ),
        attrs.evolve(action(7, task="c"), ended_at=None),
    ]
    ids = [int(one.session_action_id.split("-")[1], 16) for one in chosen(actions)]
    assert ids == [7, 6, 2, 3, 4, 5]


def test_manifests_of_older_workers() -> None:
    """What actions do not tell is read from the names of what is in the bucket."""
    roots = (
        ManifestProperties(root_path="/show", root_path_format="posix"),
        ManifestProperties(root_path="/tex", root_path_format="posix", file_system_location_name="Tex"),
    )
    prefix = "root/Manifests/"
    folder = f"farm/queue/{ID}/step-1/task-1/2026-01-01T00:00:00.000000Z_sessionaction-{1:032x}-0"
    chunk = f"farm/queue/{ID}/step-1/2026-01-01T00:00:00.000000Z_sessionaction-{2:032x}-0"
    keys = [
        f"{prefix}{folder}/{manifest_name('/show', 'output')}",
        f"{prefix}{chunk}/{manifest_name('/tex', 'output', location='Tex')}",
        f"{prefix}{folder}/readme",
    ]
    told = action(3, task="c", manifests=("told", None))
    actions = [action(1, task="a"), action(2, task=None), told]
    assert missing(actions)
    assert not missing([told])
    assert written(filled_in(actions, roots, keys, prefix)) == [
        *written([action(1, manifests=(keys[0].removeprefix(prefix),))]),
        *written([action(2, manifests=(None, keys[1].removeprefix(prefix)))]),
        *written([told]),
    ]


# -- files ---------------------------------------------------------------------------------------------------


@attrs.define
class Shelf:
    """A job, and the bucket that has its files."""

    store: Store
    actions: list[DeadlineSessionAction] = attrs.field(factory=list)
    roots: list[dict[str, Any]] = attrs.field(factory=lambda: [dict(root) for root in ROOTS])
    state: str = "SUCCEEDED"

    def job(self) -> Job:
        """Return the job."""
        raw = {
            "jobId": ID,
            "name": "render",
            "lifecycleStatus": "CREATE_COMPLETE",
            "taskRunStatus": self.state,
            "priority": 50,
            "createdAt": BEGUN.isoformat(),
            "attachments": {"manifests": self.roots, "fileSystem": "COPIED"},
        }
        return job_of(raw, tracker="deadline://farm-1/queue-1?region=us-west-2")

    def manifest(self, name: str, files: Mapping[str, bytes]) -> str:
        """Put files and their manifest into the bucket, and return its path."""
        entries = [Entry(path, xxh3_128_hexdigest(data), len(data), TIME) for path, data in files.items()]
        for data in files.values():
            self.store.objects[f"root/Data/{xxh3_128_hexdigest(data)}.xxh128"] = data
        self.store.objects[f"root/Manifests/{name}"] = write_manifest(entries)
        return name

    def task(self, number: int, *manifests: Mapping[str, bytes] | None, **more: Any) -> None:
        """Let a task write files below each root."""
        paths = tuple(
            None if files is None else self.manifest(f"out-{number}-{index}", files)
            for index, files in enumerate(manifests)
        )
        self.actions.append(action(number, manifests=paths, **{"task": f"t{number}", **more}))


class ShelfProvider(DeadlineProvider):
    """Deadline's provider with one job, whose bucket is the real road to a small store."""

    def __init__(self, shelf: Shelf, storage: Storage) -> None:
        super().__init__("farm-1", "queue-1", region="us-west-2")
        self.shelf = shelf
        self._storage = storage

    async def open(self) -> None:
        self._server.threads = Threads(4)

    async def aclose(self) -> None:
        await self._server.threads.aclose()

    async def get_jobs(self, ids: Any) -> list[Job | None]:
        return [self.shelf.job() if id_ == ID else None for id_ in ids]

    async def sessions(self, job: Any) -> list[DeadlineSession]:
        return [DeadlineSession(session_id="one"), DeadlineSession(session_id="two")]

    async def actions(self, job: Any, *, session_id: Any = None, task_id: Any = None) -> list[Any]:
        half = len(self.shelf.actions) // 2
        return self.shelf.actions[:half] if session_id == "one" else self.shelf.actions[half:]


@pytest.fixture
def shelf() -> Shelf:
    """A job without files."""
    return Shelf(Store())


@pytest.fixture
def server(shelf: Shelf) -> Iterator[FaultServer]:
    """The server of its bucket."""
    with FaultServer(shelf.store.play) as server:
        yield server


@pytest.fixture
async def client(shelf: Shelf, server: FaultServer) -> AsyncIterator[Client[ShelfProvider]]:
    """A client that sees the job."""
    async with Bucket(f"{server.url}/bucket", provider="deadline", options=QUICK) as bucket:
        async with Client(ShelfProvider(shelf, Place(bucket))) as client:
            yield client


async def outputs(client: Client[Any]) -> dict[str, str | None]:
    """Return the checksum of each file of the job by its id."""
    return {one.id: one.checksum for one in await client.components.list(ID).collect()}


async def test_inputs_and_outputs(client: Client[Any], shelf: Shelf) -> None:
    """A job's files are what its manifests say, inputs first, with all that is known of them."""
    shelf.roots[0]["inputManifestPath"] = shelf.manifest("in", {"b.ma": b"scene", "a/b.ma": b"other"})
    shelf.roots[0]["inputManifestHash"] = xxh3_128_hexdigest(shelf.store.objects["root/Manifests/in"])
    shelf.roots[1]["fileSystemLocationName"] = "Tex"
    shelf.task(1, {"renders/a.exr": b"one"}, None)
    shelf.task(2, None, {"b.tx": b"two"})
    found = await client.components.list(ID).collect()
    common: dict[str, Any] = {"job_id": ID, "location_id": "bucket/root"}
    assert found == [
        Component(
            id=f"{ID}/{role}/{index}/{path}",
            name=path.rpartition("/")[2],
            size=len(data),
            checksum=f"xxh128:{xxh3_128_hexdigest(data)}",
            role=role,
            created_at=BEGUN + timedelta(minutes=minutes),
            **common,
        )
        for role, index, path, data, minutes in (
            ("input", 0, "a/b.ma", b"other", 0),
            ("input", 0, "b.ma", b"scene", 0),
            ("output", 0, "renders/a.exr", b"one", 1),
            ("output", 1, "b.tx", b"two", 2),
        )
    ]
    assert found[3].details == DeadlineFile(
        path="b.tx",
        hash=xxh3_128_hexdigest(b"two"),
        size=3,
        modified_at=datetime(2023, 11, 14, 22, 13, 20, 1, tzinfo=UTC),
        root_path="C:\\tex",
        root_path_format="windows",
        file_system_location_name="Tex",
    )
    for one in found:
        assert await client.components.get(one.id) == one


async def test_a_file_that_was_written_twice(client: Client[Any], shelf: Shelf) -> None:
    """Of a path that several tasks wrote, the last content counts."""
    shelf.task(2, {"a": b"new"}, None)
    shelf.task(1, {"a": b"old", "b": b"old"}, None)
    assert await outputs(client) == {
        f"{ID}/output/0/a": f"xxh128:{xxh3_128_hexdigest(b'new')}",
        f"{ID}/output/0/b": f"xxh128:{xxh3_128_hexdigest(b'old')}",
    }


async def test_a_root_that_the_job_does_not_have(client: Client[Any], shelf: Shelf) -> None:
    """A task that tells of more roots than its job has takes no other file away."""
    shelf.task(1, None, {"a": b"one"}, {"b": b"two"})
    assert await outputs(client) == {f"{ID}/output/1/a": f"xxh128:{xxh3_128_hexdigest(b'one')}"}


async def test_outputs_that_actions_do_not_tell(client: Client[Any], shelf: Shelf) -> None:
    """Outputs of older workers are found in the bucket itself, by one listing."""
    folder = f"farm-1/queue-1/{ID}/step-1/task-1/2026-01-01T00:00:00.000000Z_sessionaction-{1:032x}-0"
    shelf.manifest(f"{folder}/{manifest_name('/show', 'output')}", {"a": b"found"})
    shelf.actions.append(action(1))
    assert await outputs(client) == {f"{ID}/output/0/a": f"xxh128:{xxh3_128_hexdigest(b'found')}"}
    assert [kind for kind, _ in shelf.store.calls] == ["LIST", "GET"]


async def test_many_files_page_by_page(client: Client[Any], shelf: Shelf) -> None:
    """Pages join to the whole, each manifest is read once, and a cursor goes on in another process."""
    shelf.roots[0]["inputManifestPath"] = shelf.manifest("in", {f"{n:03}": b"x" for n in range(25)})
    shelf.task(1, {f"{n:03}": b"y" for n in range(25)}, None)
    listing = client.components.list(ID, page_size=10)
    first = await listing.collect(limit=17)
    cursor = listing.cursor
    rest = await listing.collect()
    assert [one.id for one in first + rest] == [
        f"{ID}/{role}/0/{n:03}" for role in ("input", "output") for n in range(25)
    ]
    assert [kind for kind, _ in shelf.store.calls] == ["GET", "GET"]
    assert await client.components.list(ID, page_size=10, cursor=cursor).collect() == rest


async def test_a_job_without_files(client: Client[Any], shelf: Shelf) -> None:
    """A job that has none, or wrote none, has an empty list; one that is not there is an error."""
    assert await outputs(client) == {}
    shelf.task(1, None, None)
    assert await outputs(client) == {}
    assert shelf.store.calls == []
    with pytest.raises(NotFound):
        await client.components.list(f"job-{8:032x}").collect()
    for id_ in (f"{ID}/output/0/a", f"job-{8:032x}/input/0/a", "a", f"{ID}/output/x/a"):
        with pytest.raises(NotFound):
            await client.components.get(id_)
    with pytest.raises(Unsupported, match=r"components\.list\(job\)"):
        await client.components.list().collect()


@pytest.mark.parametrize("path", ["../../../etc/cron.d/evil", "/etc/passwd", "a/..\\..\\b", "C:evil"])
async def test_hostile_names(client: Client[Any], shelf: Shelf, tmp_path: Path, path: str) -> None:
    """A manifest with a path that leads out of its root is refused, and nothing is written."""
    shelf.task(1, {"fine": b"fine", path: b"evil"}, None)
    with pytest.raises(IntegrityError, match="leads out of its root"):
        await client.components.list(ID).collect()
    with pytest.raises(IntegrityError, match="leads out of its root"):
        await client.provider.download_outputs(ID, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


async def test_a_manifest_that_is_not_the_one(client: Client[Any], shelf: Shelf) -> None:
    """A manifest whose bytes are not what Deadline says is refused."""
    shelf.roots[0]["inputManifestPath"] = shelf.manifest("in", {"a": b"x"})
    shelf.roots[0]["inputManifestHash"] = xxh3_128_hexdigest(b"another")
    with pytest.raises(IntegrityError, match="manifest in: its bytes do not match"):
        await client.components.list(ID).collect()


async def bytes_of(client: Client[Any], component: Component) -> bytes:
    """Return the bytes of a file, read through."""
    async with client.components.open(component) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def test_reading_a_file(client: Client[Any], shelf: Shelf, tmp_path: Path) -> None:
    """A file is read whole and verified, also one that the bucket has under its old name."""
    shelf.task(1, {"a": b"new", "b": b"old"}, None)
    old = f"root/Data/{xxh3_128_hexdigest(b'old')}"
    shelf.store.objects[old] = shelf.store.objects.pop(f"{old}.xxh128")
    for one, data in zip(await client.components.list(ID).collect(), (b"new", b"old"), strict=True):
        assert (await client.components.download(one, to=f"{tmp_path}/")).read_bytes() == data
        assert await bytes_of(client, one) == data
        assert old.split("/")[-1] in await client.components.url(one) or data == b"new"
    shelf.store.objects.clear()
    with pytest.raises(NotFound):
        await client.components.url(one)
    with pytest.raises(InvalidRequest, match="has no xxh128"):
        await client.components.url(Component(id="c", name="c"))


async def test_bytes_that_are_not_the_ones(client: Client[Any], shelf: Shelf, tmp_path: Path) -> None:
    """Bytes of the right size that have another hash never get the file's name."""
    shelf.task(1, {"a": b"right"}, None)
    shelf.store.objects[f"root/Data/{xxh3_128_hexdigest(b'right')}.xxh128"] = b"wrong"
    (one,) = await client.components.list(ID).collect()
    with pytest.raises(IntegrityError, match="do not match xxh128"):
        await client.components.download(one, to=tmp_path / "a")
    with pytest.raises(IntegrityError, match="do not match xxh128"):
        await bytes_of(client, one)
    assert list(tmp_path.iterdir()) == []


async def test_a_download_goes_on(client: Client[Any], shelf: Shelf, tmp_path: Path) -> None:
    """A download that was cut off continues where it was, and is verified as a whole."""
    data = os.urandom(3 << 20)
    shelf.task(1, {"a": data}, None)
    (one,) = await client.components.list(ID).collect()

    def cut(line: Line, store: Store, request: Request) -> None:
        answer = store.answer(request)
        line.send(answer[: len(answer) // 2])
        line.acknowledged()
        line.reset()

    with anyio.CancelScope() as scope:

        async def note(transfer: Transfer) -> None:
            if transfer.done >= 1 << 20:
                scope.cancel()

        await client.components.download(one, to=tmp_path / "a", on_progress=note)
    assert [path.name for path in tmp_path.iterdir()] == [".a.part"]
    there = (tmp_path / ".a.part").stat().st_size
    shelf.store.strike("GET", cut)
    seen: list[int] = []

    async def listen(transfer: Transfer) -> None:
        seen.append(transfer.done)

    path = await client.components.download(one, to=tmp_path / "a", on_progress=listen)
    assert path.read_bytes() == data
    assert seen[0] == there > 0


async def test_a_queue_that_keeps_no_files(tmp_path: Path) -> None:
    """A queue without a bucket takes no files, and what a template names is taken to be the workers' own."""
    provider = DeadlineProvider("farm-1", "queue-1", region="us-west-2")
    server = provider._server
    for settings in (None, JobAttachmentSettings(s3_bucket_name="", root_prefix="")):

        async def queue(settings: Any = settings) -> DeadlineQueue:
            return DeadlineQueue(queue_id="queue-1", job_attachment_settings=settings)

        server.settings = queue  # type: ignore[method-assign]  # for this server alone
        assert (await provider.page_locations(after=None, size=10)).items == []
        with pytest.raises(NotFound):
            await provider.get_location("bucket")
        with pytest.raises(InvalidRequest, match="has no job attachments bucket"):
            await provider._uploads.prepare([tmp_path / "a"], key="k-1")
        named = References(files=(tmp_path / "mounted",), outputs=(tmp_path / "renders",))
        assert await provider._uploads.prepare(references=named, key="k-1") is None


# -- whole trees ---------------------------------------------------------------------------------------------


def tree(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_outputs_as_a_tree(client: Client[ShelfProvider], shelf: Shelf, tmp_path: Path) -> None:
    """Outputs come into the folders they were written into, with their times, and inputs stay away."""
    shelf.roots[0]["inputManifestPath"] = shelf.manifest("in", {"a.ma": b"scene"})
    shelf.task(1, {"renders/v1/a.exr": b"one", "renders/v2/a.exr": b"two"}, None)
    shelf.store.strike("GET", lose_answer)
    paths = await client.provider.download_outputs(ID, tmp_path)
    assert tree(tmp_path) == {"renders/v1/a.exr": b"one", "renders/v2/a.exr": b"two"}
    assert sorted(paths) == sorted(tmp_path.rglob("*.exr"))
    assert {path.stat().st_mtime_ns for path in paths} == {TIME * 1000}


@pytest.mark.parametrize("mtime", [-62_135_596_800_000_000, -1, 253_402_300_799_999_999])
async def test_times_of_any_age(
    client: Client[ShelfProvider], shelf: Shelf, tmp_path: Path, mtime: int
) -> None:
    """The first and the last moment that can be told do no harm."""
    shelf.task(1, {"a": b"one"}, None)
    entry = Entry("a", xxh3_128_hexdigest(b"one"), 3, mtime)
    shelf.store.objects["root/Manifests/out-1-0"] = write_manifest([entry])
    (path,) = await client.provider.download_outputs(ID, tmp_path)
    (listed,) = await client.components.list(ID).collect()
    assert path.read_bytes() == b"one"
    assert listed.details.modified_at == EPOCH + timedelta(microseconds=mtime)


async def test_several_roots(client: Client[ShelfProvider], shelf: Shelf, tmp_path: Path) -> None:
    """Files of several roots go into a folder for each; roots of one name are told apart."""
    shelf.roots.append({"rootPath": "/other/show", "rootPathFormat": "posix"})
    shelf.task(1, {"a": b"1"}, {"a": b"2"}, {"a": b"3"})
    await client.provider.download_outputs(ID, tmp_path)
    assert tree(tmp_path) == {"show/a": b"1", "tex/a": b"2", "show 2/a": b"3"}
    listed = await client.components.list(ID).collect()
    assert client.provider.folders(listed) == ["show", "tex", "show 2"]
    assert client.provider.folders(listed[:1]) == [""]


async def test_what_is_there(client: Client[ShelfProvider], shelf: Shelf, tmp_path: Path) -> None:
    """A second call fetches only what is missing; what differs is never replaced unless that is asked for."""
    shelf.task(1, {"a": b"one", "b": b"two"}, None)
    (first, second) = await client.provider.download_outputs(ID, tmp_path)
    second.unlink()
    shelf.store.calls.clear()
    await client.provider.download_outputs(ID, tmp_path)
    data = [key for kind, key in shelf.store.calls if "/Data/" in key]
    assert data == [f"root/Data/{xxh3_128_hexdigest(b'two')}.xxh128"]
    first.write_bytes(b"own")
    second.unlink()
    with pytest.raises(FileExistsError, match="overwrite=True replaces it"):
        await client.provider.download_outputs(ID, tmp_path)
    assert tree(tmp_path) == {"a": b"own"}
    await client.provider.download_outputs(ID, tmp_path, overwrite=True)
    assert tree(tmp_path) == {"a": b"one", "b": b"two"}


async def test_a_link_in_the_way(client: Client[ShelfProvider], shelf: Shelf, tmp_path: Path) -> None:
    """A symbolic link in the place of a file is never written through."""
    shelf.task(1, {"a": b"one"}, None)
    (tmp_path / "precious").write_bytes(b"mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").symlink_to(tmp_path / "precious")
    with pytest.raises(FileExistsError):
        await client.provider.download_outputs(ID, tmp_path / "out")
    await client.provider.download_outputs(ID, tmp_path / "out", overwrite=True)
    assert (tmp_path / "precious").read_bytes() == b"mine"
    assert not (tmp_path / "out" / "a").is_symlink()


async def test_names_that_would_be_one(client: Client[ShelfProvider], shelf: Shelf, tmp_path: Path) -> None:
    """Files whose harmless names are the same are an error, not one file."""
    shelf.task(1, {"a?": b"one", "a*": b"two"}, None)
    with pytest.raises(IntegrityError, match="would both be the file"):
        await client.provider.download_outputs(ID, tmp_path)
    assert tree(tmp_path) == {}


async def test_folders_are_harmless(client: Client[ShelfProvider], shelf: Shelf) -> None:
    """Each part of a folder's name is made safe, as names of files are."""
    shelf.task(1, {".git/con/a?/b\udcff/c": b"one", "plain": b"two"}, None)
    listed = await client.components.list(ID).collect()
    assert client.provider.folders(listed) == ["_git/_con/a_/b_", ""]

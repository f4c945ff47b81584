"""The examples, run as their reader would."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import MutableMapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest

import callsheet
from callsheet import JobState
from callsheet.sandbox import Sandbox
from faultserver import FaultServer
from support.deadlinehand import FARM, QUEUE
from support.s3store import Store

EXAMPLES = Path(__file__).parent.parent / "examples"

# An example is a process of its own, which takes its time to start on a busy machine.
pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]


def run(example: str, *arguments: object, folder: Path, warns: bool = False) -> str:
    """Run an example in a folder, with warnings as errors; return what it printed, or what it logged."""
    done = started(example, *arguments, folder=folder)
    assert done.returncode == 0, done.stderr
    assert warns or done.stderr == ""
    return done.stderr if warns else done.stdout


def started(example: str, *arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run an example in a folder, with warnings as errors; return how it ended."""
    return subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / example), *map(str, arguments)],
        cwd=folder,
        env=os.environ | {"COLUMNS": "100", "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def load(example: str) -> ModuleType:
    """Import an example as a module."""
    spec = importlib.util.spec_from_file_location(example.removesuffix(".py"), EXAMPLES / example)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def test_quickstart_tracks_its_own_source_tree(tmp_path: Path) -> None:
    """The main job ends done, with at least 20 attachments that came back bit for bit."""
    printed = run("quickstart.py", folder=tmp_path)

    (attachments,) = re.findall(r"(\d+) attachments are the same, bit for bit", printed)
    assert int(attachments) >= 20
    assert re.findall(r"^state: +(\w+)", printed, re.MULTILINE) == ["done"]
    async with callsheet.connect(f"local:{tmp_path}/quickstart-jobs") as client:
        (job,) = await client.jobs.list().collect()
        components = await client.components.list(job=job).collect()
    assert (job.state, job.progress) == (JobState.DONE, 1.0)
    assert len(components) == int(attachments)
    downloads = tmp_path / "quickstart-jobs" / "downloads" / job.id
    assert sorted(path.name for path in downloads.iterdir()) == sorted(part.name for part in components)


async def test_quickstart_takes_files_and_folders(tmp_path: Path) -> None:
    """Files that are named are packed instead, whatever their names, and a second run adds a job."""
    names = ["plates/a.exr", "plates/b.exr", "a/x/y/f", "b/x/y/f", os.fsdecode(b"c\xff.mov")]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(os.fsencode(name) * (0 if "b.exr" in name else 1000))

    for _ in range(2):
        printed = run("quickstart.py", "plates", *names[2:], folder=tmp_path)
        assert "6 attachments are the same, bit for bit" in printed

    async with callsheet.connect(f"local:{tmp_path}/quickstart-jobs") as client:
        jobs = await client.jobs.list().collect()
        found = [part.name async for part in client.components.list(job=jobs[0])]
    assert [job.name for job in jobs] == ["Pack 5 files"] * 2
    # Files of one name in folders of one name do not meet; a name need not be Unicode.
    packed = ["plates_a.exr", "plates_b.exr", "x_y_f", "2_x_y_f", "c\N{REPLACEMENT CHARACTER}.mov"]
    assert sorted(found) == sorted([*(f"{name}.gz" for name in packed), "everything.zip"])
    downloads = tmp_path / "quickstart-jobs" / "downloads" / jobs[0].id
    with zipfile.ZipFile(downloads / "everything.zip") as archive:
        contents = {info.filename: archive.read(info) for info in archive.infolist()}
    expected = [(tmp_path / name).read_bytes() for name in names]
    assert contents == dict(zip(packed, expected, strict=True))


def test_quickstart_names_what_is_not_there(tmp_path: Path) -> None:
    """A file or folder that is not there is not left out silently."""
    (tmp_path / "a.exr").touch()
    with pytest.raises(SystemExit, match=r"there is no .*nowhere"):
        load("quickstart.py").source_files([tmp_path / "a.exr", tmp_path / "nowhere"])


async def test_worker_tracks_each_task(tmp_path: Path) -> None:
    """Each task of the queue becomes one job, and the one that cannot be done shows why."""
    here = sorted(EXAMPLES.glob("*.py"))
    tracker = f"local:{tmp_path}/jobs"
    warned = run("worker.py", tracker, folder=tmp_path, warns=True)
    assert "missing.mov failed" in warned

    async with callsheet.connect(tracker) as client:
        jobs = await client.jobs.list().collect()
    ended = {job.name: job.state for job in jobs}
    expected = {f"Checksum {path.name}": JobState.DONE for path in here}
    assert ended == expected | {"Checksum missing.mov": JobState.FAILED}
    (failed,) = (job for job in jobs if job.state is JobState.FAILED)
    assert "FileNotFoundError" in (failed.problem or "")


async def test_ftrack_publish_shows_in_ftrack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files and a frame sequence become one job that is done; a file that is missing makes it fail."""
    for name in ("shot.mov", *(f"beauty.{number}.exr" for number in range(1001, 1004))):
        (tmp_path / name).write_bytes(name.encode())
    with Sandbox() as sandbox:
        for name, value in sandbox.environment.items():
            monkeypatch.setenv(name, value)
        printed = run("ftrack_publish.py", "shot.mov", "beauty.%04d.exr:1001-1002", folder=tmp_path)
        with pytest.raises(AssertionError, match=r"missing\.mov"):
            run("ftrack_publish.py", "shot.mov", "missing.mov", folder=tmp_path)
        async with callsheet.connect("ftrack:") as client:
            # Made in one second, they come in no order of theirs.
            listed = await client.jobs.list().collect()
            by_state = {job.state: job for job in listed}
            done, failed = by_state[JobState.DONE], by_state[JobState.FAILED]
            names = [[part.name async for part in client.components.list(job)] for job in (failed, done)]
    assert f"job {done.id} is running, for sandbox" in printed
    assert f"job {done.id} is done" in printed
    assert "sandbox-key" not in printed
    assert len(listed) == 2
    assert failed.problem == "1 of 2 files could not be published"
    assert [sorted(found) for found in names] == [["shot.mov"], ["beauty.%04d.exr", "shot.mov"]]


async def test_follow_import_tells_what_came_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three files one becomes an item, one's job fails and one is missing; each is told, step by step."""
    (tmp_path / "A001.mov").write_bytes(b"good")
    (tmp_path / "A002.mov").write_bytes(b"bad")
    with Sandbox() as sandbox:
        sandbox.clock.freeze()
        for name, value in sandbox.environment.items():
            monkeypatch.setenv(name, value)
        ran: list[subprocess.CompletedProcess[str]] = []

        def follow() -> None:
            command = ["follow_import.py", "A001.mov", "A002.mov", "missing.mov", "--every", "0.1"]
            ran.append(started(*command, folder=tmp_path))

        async with callsheet.connect("vidispine:") as client, anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.to_thread.run_sync, follow)
            while await client.jobs.count() < 2:  # noqa: ASYNC110 - another process makes them
                await anyio.sleep(0.05)
            bad = [job.id for job in await client.jobs.list().collect() if job.name == "A002.mov"]
            sandbox.act("vidispine", "jobs", ids=bad, status="FAILED_TOTAL", errorMessage="no such codec")
            sandbox.clock.advance(600)
        async with callsheet.connect("vidispine:") as client:
            jobs = await client.jobs.list().collect()
    (done,) = ran
    lines = done.stdout.splitlines()
    assert done.returncode == 2, done.stderr
    assert "A001.mov: done 100%" in lines
    assert lines[-1].startswith("A001.mov is item VX-1: A001.mov, 4 bytes, sha1:")
    assert done.stderr.splitlines() == [
        "missing.mov: [Errno 2] No such file or directory: 'missing.mov'",
        "A002.mov: failed at 'Creating entities.': no such codec",
    ]
    assert {job.name: job.state for job in jobs} == {"A001.mov": JobState.DONE, "A002.mov": JobState.FAILED}


def test_deadline_render_goes_there_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bundle is rendered, and what it wrote comes back; a missing file and a task that failed are told."""
    bundle = tmp_path / "sh010"
    bundle.mkdir()
    (bundle / "template.yaml").write_text(BUNDLE)
    (bundle / "scene.ma").write_bytes(b"scene")
    with FaultServer(Store().play) as s3, Sandbox(s3=s3.url) as sandbox:
        still = ("pick_up_seconds", "start_seconds", "task_seconds", "create_seconds")
        sandbox.configure("deadline", **dict.fromkeys(still, 0))
        for name, value in sandbox.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("CALLSHEET_URL", f"deadline://{FARM}/{QUEUE}")
        printed = run("deadline_render.py", bundle, "--to", "here", folder=tmp_path)
        (bundle / "scene.ma").unlink()
        missing = started("deadline_render.py", bundle, folder=tmp_path)
        sandbox.configure("deadline", workers=0)
        job = sandbox.act("deadline", "make", name="sh020")["jobs"][0]
        sandbox.act("deadline", "fail", job=job, message="no licence")
        failed = started("deadline_render.py", bundle, "--job", job, folder=tmp_path)
        made = [request.method for request in sandbox.requests("*/jobs", method="POST")]
    lines = printed.splitlines()
    assert "sh010: done 100%" in lines
    assert lines[-1] == "here/renders/Render-0000.txt"
    assert (tmp_path / lines[-1]).read_text() != ""
    assert (missing.returncode, missing.stdout) == (1, "")
    assert f"{bundle}/scene.ma: " in missing.stderr
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1].endswith("no licence")
    assert made == ["POST"]


BUNDLE = """
specificationVersion: jobtemplate-2023-09
name: Turntable
parameterDefinitions:
  - {name: Scene, type: PATH, objectType: FILE, dataFlow: IN, default: scene.ma}
  - {name: Renders, type: PATH, objectType: DIRECTORY, dataFlow: OUT, default: renders}
steps:
  - name: Render
    script: {actions: {onRun: {command: render, args: ["{{Param.Scene}}", "{{Param.Renders}}"]}}}
"""
"""A job that reads a scene and writes into a folder."""


async def test_mirror_jobs_shows_what_is_under_way(tmp_path: Path) -> None:
    """Each job that runs is shown on the other tracker until it has ended, with its outputs; no other is."""
    addresses = [f"local:{tmp_path}/{name}" for name in ("jobs", "mirrors")]
    async with callsheet.connect(addresses[0]) as here, callsheet.connect(addresses[1]) as there:
        await here.jobs.create("over", state=JobState.DONE)
        jobs = [await here.jobs.create(name, state=JobState.RUNNING) for name in ("good", "bad")]
        await here.jobs.attach(jobs[0], [callsheet.File(b"image", name="a.exr")])
        async with anyio.create_task_group() as tasks:
            printed: list[str] = []

            async def show() -> None:
                call = partial(run, "mirror_jobs.py", *addresses, folder=tmp_path)
                printed.append(await anyio.to_thread.run_sync(call))

            tasks.start_soon(show)
            while await there.jobs.count() < len(jobs):  # noqa: ASYNC110 - another process makes them
                await anyio.sleep(0.05)
            await here.jobs.update(jobs[0], state=JobState.DONE)
            await here.jobs.update(jobs[1], state=JobState.FAILED, problem="no licence")
        mirrors = {job.name: job for job in await there.jobs.list().collect()}
    assert sorted(printed[0].splitlines()) == ["bad is failed, with 0 files", "good is done, with 1 files"]
    assert {name: job.source_id for name, job in mirrors.items()} == {job.name: job.id for job in jobs}
    assert mirrors["bad"].problem == "no licence"


async def test_service_awaits_the_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job is started, waited for and listed over HTTP, and each refusal has its status."""
    monkeypatch.setenv("CALLSHEET_URL", f"local:{tmp_path}/jobs")
    service = load("service.py")
    async with service.lifespan(service.app) as state:

        async def app(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
            await service.app({**scope, "state": dict(state)}, receive, send)

        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app), base_url="http://service"
        ) as http:
            started = await http.post("/jobs", json={"name": "Publish"}, headers={"Idempotency-Key": "k1"})
            location = started.headers["Location"]
            ended = await http.get(location, params={"wait": 30})
            listed = await http.get("/jobs", params={"state": "done"})
            missing = await http.get("/jobs/nope")
            nonsense = await http.get("/jobs", params={"state": "gone"})
            damaged = await http.get("/jobs", params={"cursor": "x"})
            garbled = [await http.post("/jobs", content=body) for body in (b"not JSON", b"[1]", b"{}")]
            repeated = [
                await http.post("/jobs", json={"name": "Publish"}, headers={"Idempotency-Key": key})
                for key in ("k1", "k2", "k2")
            ]
            second = await http.get(repeated[1].headers["Location"], params={"wait": 30})

    id_ = started.json()["id"]
    done = {"id": id_, "name": "Publish", "state": "done", "progress": 1.0}
    assert (started.status_code, location) == (202, f"/jobs/{id_}")
    assert ended.json() == done
    assert listed.json() == {"jobs": [done], "cursor": None}
    assert [answer.status_code for answer in (missing, nonsense, damaged)] == [404, 400, 400]
    assert "'gone' is not a state" in nonsense.json()["error"]
    assert [answer.status_code for answer in garbled] == [400, 400, 400]
    assert [answer.json()["error"] for answer in garbled[1:]] == [
        f"name must be a text, not {kind}" for kind in ("list", "NoneType")
    ]
    assert [answer.status_code for answer in repeated] == [202, 202, 202]
    assert repeated[0].json() == done
    assert second.json() == done | {"id": repeated[2].json()["id"]}

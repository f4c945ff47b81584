"""Renders shown on other trackers, in ftrack's jobs menu and on the local one, also by killed processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import attrs
import pytest

import callsheet
from callsheet import Client, Job, JobState, WaitTimeout
from callsheet.sandbox import Sandbox
from faultserver import FaultServer, Line, Request
from support.commands import COMMAND
from support.deadlinehand import FARM, QUEUE, TEMPLATE, environment, quiet_farm
from support.s3store import Store

ADDRESS = f"deadline://{FARM}/{QUEUE}?region=us-west-2"
EXAMPLE = Path(__file__).parents[2] / "examples" / "render_to_ftrack.py"
OUTPUTS = {f"out/beauty.{frame}.exr": f"frame {frame}" for frame in range(1001, 1016)}


@attrs.frozen
class Farm:
    """A farm whose job puts out `OUTPUTS`, and the bucket that they are in."""

    sandbox: Sandbox
    store: Store

    async def act(self, action: str, job: Job, **words: Any) -> None:
        """Let something happen to the job."""
        await anyio.to_thread.run_sync(lambda: self.sandbox.act("deadline", action, job=job.id, **words))


@pytest.fixture
def farm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Farm]:
    """Servers of a farm, a bucket and ftrack, which the environment leads to."""
    monkeypatch.chdir(tmp_path)
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    store = Store()
    with FaultServer(store.play) as s3, Sandbox(s3=s3.url) as sandbox, environment(sandbox.environment):
        quiet_farm(sandbox)
        yield Farm(sandbox, store)


@pytest.fixture
async def client(farm: Farm) -> AsyncIterator[Client[Any]]:
    """A client of the farm's queue."""
    async with callsheet.connect(ADDRESS) as client:
        yield client


@pytest.fixture
async def render(farm: Farm, client: Client[Any], tmp_path: Path) -> Job:
    """A render that is running."""
    (tmp_path / "show" / "out").mkdir(parents=True)
    (tmp_path / "show" / "scene.ma").write_bytes(b"scene")
    files, outputs = [tmp_path / "show" / "scene.ma"], [tmp_path / "show" / "out"]
    job = await client.jobs.create("Render sh010", template=dict(TEMPLATE), files=files, outputs=outputs)
    await farm.act("start", job)
    return job


def command(*words: str) -> subprocess.Popen[str]:
    """Start a command."""
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, *words], stdout=pipe, stderr=pipe, text=True, env=os.environ)


async def shown_outputs(client: Client[Any], job: Job) -> dict[str, bytes]:
    """Return what is attached to a job, each name once."""
    found: dict[str, bytes] = {}
    for component in await client.components.list(job).collect():
        assert component.name not in found
        async with client.components.open(component) as chunks:
            found[component.name] = b"".join([chunk async for chunk in chunks])
    return found


@pytest.mark.loop_limit(0.5, reason="processes are started, which blocks")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # the command has a loop of its own
@pytest.mark.parametrize("into", ["ftrack:", "local:./mirrors"])
async def test_killed_half_way(farm: Farm, client: Client[Any], render: Job, into: str) -> None:
    """Left while the render goes on, killed while outputs are copied: one job, its end, each output once."""
    mirror = [*COMMAND[1:], "mirror", render.id, "--url", ADDRESS, "--into", into]
    hold = threading.Event()
    copied: list[Request] = []

    def let_some_pass(line: Line, store: Store, request: Request) -> None:
        copied.append(request)
        if len(copied) > 6:
            hold.wait(60)
        line.send(store.answer(request))

    async with callsheet.connect(into) as other:
        with pytest.raises(WaitTimeout):
            await client.jobs.mirror(render, into=other, timeout=0)
        await farm.act("finish", render, files=OUTPUTS)
        farm.store.strike("GET", *[let_some_pass] * 100)
        with command(*mirror) as copying:
            while len(copied) <= 6:  # noqa: ASYNC110 - another process asks for them
                await anyio.sleep(0.02)
            copying.kill()
        hold.set()
        (half,) = await other.jobs.list().collect()
        assert not half.ended
        ended = await client.jobs.mirror(render, into=other)
        assert await other.jobs.list().collect() == [ended]
        assert (ended.id, ended.state, ended.source_id) == (half.id, JobState.DONE, render.id)
        expected = {Path(path).name: content.encode() for path, content in OUTPUTS.items()}
        assert await shown_outputs(other, ended) == expected


async def test_why_a_render_failed(farm: Farm, client: Client[Any], render: Job) -> None:
    """The mirror tells what the farm's workers said, not only how many tasks have failed."""
    await farm.act("fail", render, message="no licence")
    async with callsheet.connect("local:./mirrors") as other:
        mirror = await client.jobs.mirror(render, into=other)
    assert mirror.state is JobState.FAILED
    assert "no licence" in (mirror.problem or "")


@pytest.mark.loop_limit(0.5, reason="a process is started, which blocks")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # the example has a loop of its own
async def test_the_example(farm: Farm, client: Client[Any], render: Job) -> None:
    """The example shows a render in the artist's menu to its end, with its outputs."""
    await farm.act("finish", render, files=OUTPUTS)
    with command("-W", "error", str(EXAMPLE), ADDRESS, render.id, "sandbox") as process:
        out, err = await anyio.to_thread.run_sync(process.communicate)
    assert (process.returncode, err) == (0, "")
    assert out.splitlines() == [
        "Render sh010 is done on the farm",
        f"Render sh010 is done in ftrack, for sandbox, with {len(OUTPUTS)} outputs",
    ]
    async with callsheet.connect("ftrack:") as ftrack:
        (shown,) = await ftrack.jobs.list().collect()
    assert (shown.state, shown.user, shown.source_id) == (JobState.DONE, "sandbox", render.id)

"""Mirroring: a job of any tracker shown on another, once, to its very end, with its outputs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest

from callsheet import (
    AttachError,
    Client,
    File,
    FrameSequence,
    IntegrityError,
    InvalidRequest,
    Job,
    JobState,
    NotFound,
    Unsupported,
    WaitTimeout,
    _copying,
)
from callsheet._mirroring import mirror_key
from rig import Rig
from support.mirrors import OUTPUTS, contents, files
from support.needs import needs
from support.tables import raises_for
from support.wrapping import Wrapping


@pytest.fixture
async def job(rig: Rig) -> Job:
    """A job that is running."""
    return await rig.start(await rig.make_job("Render sh010", description="two shots"))


# -- what is shown -------------------------------------------------------------------------------------------


@needs("mirror")
async def test_a_job_is_shown_to_its_end(rig: Rig, other: Rig, into: Wrapping) -> None:
    """The mirror runs while the job runs, and ends as it ends, with its outputs and all that it says."""
    waiting = await rig.make_job("Render sh011")
    async with rig.another_client() as client, Client(into) as shown:
        mirrors: list[Job] = []
        done, outputs = waiting, OUTPUTS

        async def mirror() -> None:
            mirrors.append(await client.jobs.mirror(waiting, into=shown))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(mirror)
            await into.next_calls("create_jobs")
            await rig.start(waiting)
            async for change in shown.jobs.watch(states=set(JobState)):
                if change.current is not None and change.current.state is JobState.RUNNING:
                    break
            outputs = await rig.put_out(waiting, outputs)
            (done,) = await rig.finish(waiting)
        (mirror_job,) = mirrors
        assert await shown.jobs.list().collect() == [mirror_job] == [await other.hand.jobs.get(mirror_job)]
        assert await contents(shown, mirror_job) == outputs
    for name in ("name", "state", "ended", "progress", "message", "problem", "description", "priority"):
        assert getattr(mirror_job, name) == getattr(done, name), name
    assert (mirror_job.source_id, mirror_job.user) == (waiting.id, other.user)
    assert mirror_job.attributes == {"source": {"tracker": waiting.tracker, "id": waiting.id}}


@needs("mirror", "problem")
@pytest.mark.parametrize("end", ["failed", "cancelled"])
async def test_a_job_that_ends_badly(rig: Rig, into: Wrapping, job: Job, end: str) -> None:
    """A failure is shown with its reason, a cancellation as such, and what was put out before is there."""
    outputs = await rig.put_out(job, OUTPUTS)
    ended = await (rig.fail(job, "no licence") if end == "failed" else rig.cancel(job))
    async with rig.another_client() as client, Client(into) as shown:
        mirror = await client.jobs.mirror(job.id, into=shown)
        assert await contents(shown, mirror) == outputs
        problem = await client.jobs.problem(job) or ended.problem
    assert (mirror.state, mirror.ended, mirror.problem) == (ended.state, True, problem)
    assert mirror.state.value == end


@needs("mirror")
async def test_whose_it_is(rig: Rig, other: Rig, into: Wrapping, job: Job) -> None:
    """The mirror is the given user's; whoever goes on with it leaves it theirs."""
    user = other.users[0]
    async with rig.another_client() as client, Client(into) as shown:
        with pytest.raises(WaitTimeout):
            await client.jobs.mirror(job, into=shown, user=user, timeout=0)
        await rig.finish(job)
        mirror = await client.jobs.mirror(job, into=shown)
        assert await shown.jobs.list().collect() == [mirror]
    assert mirror.user == user


@needs("mirror", "create(files=)", "attach")
async def test_inputs_stay_where_they_are(rig: Rig, into: Wrapping) -> None:
    """What the job began with is not copied, nor anything if no files are wanted."""
    job = await rig.make_job(files=[File(b"scene", name="scene.ma")])
    await rig.put_out(job, {"a.exr": b"image"})
    await rig.finish(job)
    async with rig.another_client() as client, Client(into) as shown:
        mirror = await client.jobs.mirror(job, into=shown, files=False)
        assert await contents(shown, mirror) == {}
        assert await client.jobs.mirror(job, into=shown) == mirror
        assert await contents(shown, mirror) == {"a.exr": b"image"}


# -- once, whatever happens ----------------------------------------------------------------------------------


@needs("mirror")
async def test_a_second_call_finds_all_there(rig: Rig, into: Wrapping, job: Job) -> None:
    """Mirroring again makes no job, reads no file and sends none; the mirror stays as it is."""
    outputs = await rig.put_out(job, OUTPUTS)
    await rig.finish(job)
    source = rig.wrapped()
    async with Client(source) as client, Client(into) as shown:
        mirror = await client.jobs.mirror(job, into=shown)
        before = source.made["read"], into.made["upload"], into.made["update_jobs"]
        assert await client.jobs.mirror(job, into=shown) == mirror
        assert (source.made["read"], into.made["upload"], into.made["update_jobs"]) == before
        assert into.made["create_jobs"] == 1
        assert await contents(shown, mirror) == outputs


@needs("mirror", "mirror(into=)")
async def test_between_trackers_of_one_kind(rig: Rig, tmp_path: Path, job: Job) -> None:
    """Where both hash alike, what is attached is known by name, size and hash, whoever attached it."""
    outputs = await rig.put_out(job, OUTPUTS)
    await rig.finish(job)
    async with type(rig)(tmp_path / "same") as same:
        into = same.wrapped()
        async with rig.another_client() as client, Client(into) as shown:
            mirror = await client.jobs.mirror(job, into=shown, files=False)
            await shown.jobs.attach(mirror, files(OUTPUTS)[:2])
            sent = into.made["upload"]
            await client.jobs.mirror(job, into=shown)
            assert into.made["upload"] - sent == 2
            assert await contents(shown, mirror) == outputs


@needs("mirror")
@pytest.mark.parametrize(
    ("moment", "when"),
    [
        ("create_jobs", "after"),
        ("upload", "after"),
        ("link", "before"),
        ("update_jobs", "after"),
    ],
)
async def test_a_call_that_is_cancelled(rig: Rig, into: Wrapping, job: Job, moment: str, when: str) -> None:
    """A call that ends anywhere leaves the mirror as it is; the next goes on: one job, each file once."""
    outputs = await rig.put_out(job, OUTPUTS)
    (done,) = await rig.finish(job)
    if moment in {"upload", "link"} and not outputs:
        return  # nothing would be copied
    async with rig.another_client() as client, Client(into) as shown:
        with anyio.CancelScope() as scope:

            async def leave(real: Any, *args: Any, **kwargs: Any) -> Any:
                answer = await real(*args, **kwargs) if when == "after" else None
                scope.cancel()
                await anyio.lowlevel.checkpoint()
                return answer

            into.on[moment] = leave
            await client.jobs.mirror(job, into=shown)
        assert scope.cancelled_caught
        (left,) = await shown.jobs.list().collect()
        assert left.ended == ((moment, when) == ("update_jobs", "after"))
        into.on.clear()
        mirror = await client.jobs.mirror(job, into=shown)
        assert await shown.jobs.list().collect() == [mirror]
        assert await contents(shown, mirror) == outputs
    assert mirror.state is done.state


@needs("mirror")
async def test_two_at_once(rig: Rig, other: Rig, into: Wrapping, job: Job) -> None:
    """Two who mirror the same job, one of them later and in another state, share one mirror."""
    outputs = await rig.put_out(job, OUTPUTS)
    late = other.wrapped()

    async def hide(real: Any, key: str) -> Job | None:
        if late.made["made_job"] == 1:
            return None  # the other one is just about to make it
        found: Job | None = await real(key)
        return found

    late.on["made_job"] = hide
    async with rig.another_client() as client, Client(into) as shown, Client(late) as too:
        with pytest.raises(WaitTimeout):
            await client.jobs.mirror(job, into=shown, timeout=0)
        await rig.hand.jobs.update(job, state=JobState.QUEUED)
        await rig.finish(job)
        mirrors = []
        async with anyio.create_task_group() as tasks:
            for target in (shown, too):

                async def mirror(target: Client[Any] = target) -> None:
                    mirrors.append(await client.jobs.mirror(job, into=target))

                tasks.start_soon(mirror)
        assert [one.id for one in await shown.jobs.list().collect()] == [mirrors[0].id]
        assert mirrors[0].id == mirrors[1].id
        assert await contents(shown, mirrors[0]) == outputs


# -- jobs that go --------------------------------------------------------------------------------------------


@needs("mirror")
async def test_a_source_that_goes(rig: Rig, into: Wrapping, job: Job) -> None:
    """A job that vanishes while it is followed leaves a mirror that has failed."""
    async with rig.another_client() as client, Client(into) as shown:
        mirrors: list[Job] = []

        async def mirror() -> None:
            mirrors.append(await client.jobs.mirror(job, into=shown))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(mirror)
            await into.next_calls("create_jobs")
            await rig.vanish(job)
        assert [(one.state, one.problem) for one in mirrors] == [(JobState.FAILED, "source gone")]
        # Whoever comes later finds it so.
        assert await client.jobs.mirror(job, into=shown) == mirrors[0]


@needs("mirror")
async def test_a_source_that_is_gone_when_it_goes_on(rig: Rig, into: Wrapping, job: Job) -> None:
    """A job that vanished while nobody followed it ends its mirror, too; if it had none, none is made."""
    async with rig.another_client() as client, Client(into) as shown:
        with pytest.raises(WaitTimeout):
            await client.jobs.mirror(job, into=shown, timeout=0)
        await rig.vanish(job)
        mirror = await client.jobs.mirror(job.id, into=shown)
        assert (mirror.state, mirror.problem) == (JobState.FAILED, "source gone")
        with pytest.raises(NotFound, match="nope") as caught:
            await client.jobs.mirror("nope", into=shown)
        assert await shown.jobs.list().collect() == [mirror]
    assert caught.value.provider == rig.name


# -- every kind of output ------------------------------------------------------------------------------------


@pytest.fixture
def frames(tmp_path: Path) -> FrameSequence:
    """A sequence whose numbers grow by a digit."""
    for number in range(8, 12):
        (tmp_path / f"sh010_v2.{number}.exr").write_bytes(b"frame %d" % number)
    return FrameSequence(tmp_path / "sh010_v2.%d.exr", 8, 11)


@needs("mirror", "attach", "upload(frames=)")
async def test_a_frame_sequence_stays_one(rig: Rig, into: Wrapping, job: Job, frames: FrameSequence) -> None:
    """Frames are copied as one component, with their names; a second call copies nothing."""
    await rig.hand.jobs.attach(job, [frames])
    await rig.finish(job)
    async with rig.another_client() as client, Client(into) as shown:
        mirror = await client.jobs.mirror(job, into=shown)
        assert await contents(shown, mirror) == {
            f"{frames.name}/sh010_v2.{number}.exr": b"frame %d" % number for number in range(8, 12)
        }
        (component,) = await shown.components.list(mirror).collect()
        assert component.size == 4 * 7 + 2
        await client.jobs.mirror(job, into=shown)
        assert into.made["upload"] == 1


@needs("mirror")
async def test_many_outputs(rig: Rig, into: Wrapping, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs are copied page by page, each attached by one request; what is the same twice goes once."""
    monkeypatch.setattr(_copying, "PAGE", 3)
    made = {f"beauty.{number:02}.exr": b"%d" % number for number in range(8)}
    outputs = await rig.put_out(job, made)
    await rig.put_out(job, {"beauty.00.exr": b"0"})
    await rig.finish(job)
    async with rig.another_client() as client, Client(into) as shown:
        mirror = await client.jobs.mirror(job, into=shown)
        assert await contents(shown, mirror) == outputs
    assert into.made["link"] == (3 if outputs else 0)


@needs("mirror")
async def test_an_output_that_cannot_be_copied(rig: Rig, into: Wrapping, job: Job) -> None:
    """One output that cannot be read stops neither the others nor the end; the next call copies the rest."""
    outputs = await rig.put_out(job, OUTPUTS)
    await rig.finish(job)
    if not outputs:
        return  # nothing would be copied
    source = rig.wrapped()

    @asynccontextmanager
    async def read(real: Any, component: Any, **options: Any) -> AsyncIterator[Any]:
        if component.name == "beauty.exr":
            raise IntegrityError("its bytes are gone")
        async with real(component, **options) as chunks:
            yield chunks

    source.on["read"] = read
    async with Client(source) as client, Client(into) as shown:
        with pytest.raises(AttachError, match=r"1 outputs of job .* beauty") as caught:
            await client.jobs.mirror(job, into=shown)
        error = caught.value
        (mirror,) = await shown.jobs.list().collect()
        assert mirror.state is JobState.DONE
        assert {one.name: type(why) for one, why in error.failed.items()} == {"beauty.exr": IntegrityError}
        assert {one.name for one in error.attached} == outputs.keys() - {"beauty.exr"}
        assert error.idempotency_key == mirror_key(job.tracker, job.id)
        source.on.clear()
        sent = into.made["upload"]
        assert await client.jobs.mirror(job, into=shown) == mirror
        assert into.made["upload"] - sent == 1
        assert await contents(shown, mirror) == outputs


# -- what is refused -----------------------------------------------------------------------------------------


@needs("mirror")
async def test_what_is_refused_at_once(rig: Rig, other: Rig, into: Wrapping, job: Job) -> None:
    """What cannot work is refused by name, before either tracker is asked."""
    source = rig.wrapped()
    deaf = other.wrapped(capabilities=into.capabilities - {"mirror(into=)"})
    blind = rig.wrapped(capabilities=source.capabilities - {"open"})
    async with (
        Client(source) as client,
        Client(blind) as unread,
        Client(into) as shown,
        Client(deaf) as closed,
    ):
        asked = [len(provider.calls) for provider in (source, blind, into, deaf)]
        with pytest.raises(Unsupported) as caught:
            await client.jobs.mirror(job, into=closed)
        assert (caught.value.provider, caught.value.call) == (other.name, "mirror(into=)")
        with pytest.raises(Unsupported) as caught:
            await unread.jobs.mirror(job, into=shown)
        assert (caught.value.provider, caught.value.call) == (rig.name, "open")
        bad: list[dict[str, Any]] = [
            {"into": None},
            {"into": "local:"},
            {"into": Client(other.provider())},
            {"into": shown, "timeout": -1},
            {"into": shown, "user": ""},
        ]
        for arguments in bad:
            name = (
                "not open"
                if isinstance(arguments["into"], Client) and len(arguments) == 1
                else [*arguments][-1]
            )
            with raises_for(arguments, InvalidRequest, match=name):
                await client.jobs.mirror(job, **arguments)
        assert asked == [len(provider.calls) for provider in (source, blind, into, deaf)]


@needs("mirror", "mirror(into=)")
async def test_no_mirror_of_itself(rig: Rig, client: Client[Any], job: Job) -> None:
    """A tracker is no mirror of itself, nor is a job of another tracker mirrored as this one's."""
    before = await rig.snapshot()
    async with rig.another_client() as same:
        with pytest.raises(InvalidRequest, match="another tracker"):
            await client.jobs.mirror(job, into=same)
        with pytest.raises(InvalidRequest, match="belongs to"):
            await client.jobs.mirror(attrs.evolve(job, tracker="local:/elsewhere"), into=same)
    assert await rig.snapshot() == before

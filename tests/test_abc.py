"""The contract's own part: what a tracker need not answer is refused, and what it gets for nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Self

import pytest

import callsheet.abc
from callsheet import Client, Component, File, InvalidRequest, Job, JobState, NewJob, NotFound, Unsupported
from callsheet.abc import (
    CAPABILITIES,
    Claim,
    JobChanges,
    JobFilter,
    Position,
    Provider,
    Slice,
    Sweep,
)


def job(number: int, user: str = "jane") -> Job:
    """Return a job as a tracker would."""
    return Job(
        id=f"j-{number}",
        tracker="bare:",
        name="render",
        user=user,
        state=JobState.RUNNING,
        vendor_state="running",
        ended=False,
    )


class Bare(Provider):
    """The least that a tracker is: jobs that can be read, and nothing else."""

    name = "bare"
    capabilities = frozenset({"list", "count", "wait", "watch"})
    page_size = 2
    batch_size = 3

    def __init__(self, jobs: Sequence[Job] = ()) -> None:
        self.jobs = {job.id: job for job in jobs}
        self.asked: list[Any] = []

    @property
    def tracker(self) -> str:
        return "bare:"

    @property
    def user(self) -> str:
        return "jane"

    async def open(self) -> None:
        self.asked.append("open")

    async def aclose(self) -> None:
        self.asked.append("aclose")

    def as_user(self, name: str) -> Self:
        return self

    async def get_jobs(self, ids: Sequence[str]) -> list[Job | None]:
        self.asked.append(list(ids))
        return [self.jobs.get(id_) for id_ in ids]

    async def page_jobs(self, wanted: JobFilter, *, after: Position | None, size: int) -> Slice[Job]:
        found = list(filter(wanted.matches, self.jobs.values()))
        start = int(after.key) if after else 0
        self.asked.append((wanted, start, size))
        end = start + size
        return Slice(found[start:end], Position(str(end)) if end < len(found) else None)

    async def count_jobs(self, wanted: JobFilter) -> int:
        return len(self.jobs)


CLAIM = Claim(job(1))
PART = Component(id="c-1", name="a.exr")

OPTIONAL: dict[str, Callable[[Provider], Awaitable[object]]] = {
    "create": lambda bare: bare.create_jobs([NewJob(name="render")]),
    "update": lambda bare: bare.update_jobs(["j-1"], JobChanges()),
    "cancel": lambda bare: bare.cancel_job("j-1"),
    "rerun": lambda bare: bare.rerun_job("j-1", key=None),
    "delete": lambda bare: bare.delete_job("j-1"),
    "problem": lambda bare: bare.job_problem("j-1"),
    "allows": lambda bare: bare.allows("j-1", "view", "jane"),
    "track": lambda bare: bare.claim_job("j-1", lease=60, grace=15),
    "upload": lambda bare: bare.upload(File(b"", name="a"), location=None, key="k", progress=_nothing),
    "attach": lambda bare: bare.link("j-1", [PART]),
    "mirror(into=)": lambda bare: bare.made_job("k"),
    "components.list": lambda bare: bare.page_components(job_id=None, location_id=None, after=None, size=5),
    "components.get": lambda bare: bare.get_component("c-1"),
    "components.delete": lambda bare: bare.delete_component("c-1"),
    "components.url": lambda bare: bare.component_url(PART, expires=60),
    "locations.list": lambda bare: bare.page_locations(after=None, size=5),
    "locations.get": lambda bare: bare.get_location("loc-1"),
}


async def _nothing(done: int) -> None:
    """Stand in for progress."""


@pytest.mark.parametrize("call", OPTIONAL)
async def test_what_a_tracker_need_not_answer(call: str) -> None:
    """A call that a provider leaves out is refused, under the word that its capabilities would have."""
    assert call in CAPABILITIES
    with pytest.raises(Unsupported) as caught:
        await OPTIONAL[call](Bare())
    assert (caught.value.call, caught.value.provider) == (call, "bare")


async def test_more_of_what_a_tracker_need_not_answer() -> None:
    """Beating, reading and finding by key are refused; every component is a plain file, in no folder."""
    bare = Bare()
    with pytest.raises(Unsupported, match="track"):
        await bare.beat_job(CLAIM, JobChanges())
    with pytest.raises(Unsupported, match="open"):
        bare.read(PART)
    with pytest.raises(Unsupported, match="mirror"):
        await bare.made_components(["k"])
    assert await bare.members(PART) is None
    assert bare.folders([PART, PART]) == ["", ""]


def test_what_a_tracker_must_answer() -> None:
    """A provider that leaves out what every tracker must answer cannot be made."""
    must = {"tracker", "user", "open", "aclose", "as_user", "get_jobs", "page_jobs", "count_jobs"}
    assert Provider.__abstractmethods__ == must
    with pytest.raises(TypeError, match="abstract"):
        Provider()  # type: ignore[abstract]  # the test is about this


async def test_opened_and_closed_by_itself() -> None:
    """A provider may be used without a client."""
    async with Bare() as bare:
        assert bare.asked == ["open"]
    assert bare.asked == ["open", "aclose"]


async def test_the_sweep_for_nothing() -> None:
    """Without knowing what changed, a look reads every matching page, and the other jobs in batches."""
    bare = Bare([job(number, "bob" if number < 5 else "jane") for number in range(9)])
    ids = [f"j-{number}" for number in (3, 4, 5, 6, 7, 8)] + ["gone"]
    bobs = JobFilter(user="bob")
    found = await bare.sweep(ids, [bobs], "any mark")
    assert found == Sweep({f"j-{number}": bare.jobs[f"j-{number}"] for number in range(9)} | {"gone": None})
    # Those that a page has shown are not asked for again.
    assert bare.asked == [(bobs, 0, 2), (bobs, 2, 2), (bobs, 4, 2), ["j-5", "j-6", "j-7"], ["j-8", "gone"]]


async def test_a_client_of_the_least_tracker() -> None:
    """The least tracker can be listed, counted, watched and waited for; the rest is refused."""
    bare = Bare([job(number) for number in range(5)])
    async with Client(bare) as client:
        assert await client.jobs.list(page_size=2).collect() == list(bare.jobs.values())
        assert await client.jobs.count() == 5
        with pytest.raises(NotFound):
            await client.jobs.wait("j-9")
        with pytest.raises(Unsupported):
            await client.jobs.create("render")
        with pytest.raises(InvalidRequest):
            await client.jobs.get("")


def test_every_public_name_is_there() -> None:
    """`callsheet.abc` has all that a provider needs, by name."""
    assert all(hasattr(callsheet.abc, name) for name in callsheet.abc.__all__)
    assert {"Provider", "CAPABILITIES", "Claim", "Sweep", "Slice", "Position"} <= set(callsheet.abc.__all__)

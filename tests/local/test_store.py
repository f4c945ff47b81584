"""The writer: one transaction for all who wait, an answer of its own for each, and no more than was asked."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from sqlalchemy import Connection, text

from callsheet import ConfigError, Job, JobState, NewJob, NotFound, Outcome, Timeout
from callsheet.abc import JobChanges
from callsheet.providers.local import LocalProvider
from callsheet.providers.local._database import Transaction
from callsheet.providers.local._making import Order, create
from callsheet.providers.local._store import Store, _Reading
from callsheet.providers.local._writer import BATCH, Write, Writer
from local.tools import Make
from support.clocks import Clock
from support.roads import until


class Gate:
    """A write that stands still inside its transaction until it is let on."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.open = threading.Event()

    def write(self, transaction: Transaction, wanted: list[Any]) -> list[Any]:
        self.reached.set()
        self.open.wait(30)
        return wanted

    async def until_reached(self) -> None:
        await anyio.to_thread.run_sync(self.reached.wait, 30)


@pytest.fixture
def store(provider: LocalProvider) -> Store:
    """An open store."""
    return provider._store


@pytest.fixture
async def hasty(anyio_backend: str, directory: Path, clock: Clock) -> AsyncIterator[Store]:
    """An open store whose calls end by a deadline that the test brings about."""
    store = Store(directory, f"local:{directory}", timeout=20)
    await store.open()
    yield store
    await store.aclose()


@pytest.fixture
def gate() -> Iterator[Gate]:
    """A gate that does not stay shut."""
    gate = Gate()
    yield gate
    gate.open.set()


def order(name: str) -> Order:
    """Return what makes one job of that name."""
    return Order([NewJob(name=name, idempotency_key=name)], "jane")


async def names(store: Store) -> list[str]:
    """Return the names of all jobs, in the order of their making."""
    return await store.read(lambda db: [*db.execute(text("SELECT name FROM jobs ORDER BY id")).scalars()])


async def test_thousand_writes_at_once_take_few_transactions(provider: LocalProvider, make: Make) -> None:
    """Those who are ready together are written together, up to 500 in one transaction."""
    made: dict[int, Job] = {}

    async def write(number: int) -> None:
        made[number] = await make(f"job {number}")

    before = provider._store.transactions
    async with anyio.create_task_group() as tasks:
        for number in range(1000):
            tasks.start_soon(write, number)
    assert provider._store.transactions - before <= 20
    found = await provider.get_jobs([made[number].id for number in range(1000)])
    assert [job and job.name for job in found] == [f"job {number}" for number in range(1000)]


async def test_batch_is_bounded(store: Store, gate: Gate) -> None:
    """However many wait, one transaction takes at most 500 of them."""
    sizes: list[int] = []

    def note(transaction: Transaction, wanted: list[Any]) -> list[Any]:
        sizes.append(len(wanted))
        return wanted

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store.write, gate.write, None)
        await gate.until_reached()
        for number in range(2 * BATCH + 1):
            tasks.start_soon(store.write, note, number)
        for _ in range(5):
            await checkpoint()
        gate.open.set()
    assert sizes == [BATCH, BATCH, 1]


async def test_each_caller_of_a_batch_gets_an_answer_of_its_own(provider: LocalProvider, make: Make) -> None:
    """One that asks for the impossible gets its error; the others are done, in the same transaction."""
    job = await make()
    answers: dict[int, Any] = {}

    async def change(number: int) -> None:
        id_ = job.id if number % 2 else f"none {number}"
        try:
            answers[number] = (await provider.update_jobs([id_], JobChanges(message=str(number))))[0].message
        except NotFound as exc:
            answers[number] = str(exc)

    before = provider._store.transactions
    async with anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(change, number)
    assert answers == {
        number: str(number) if number % 2 else f"there is no job 'none {number}'" for number in range(10)
    }
    assert provider._store.transactions - before == 1


async def test_batch_that_breaks_is_done_again_one_by_one(store: Store) -> None:
    """A write that fails where nobody foresaw it takes down neither its neighbours nor the writer."""
    answers: dict[int, Any] = {}

    def fragile(transaction: Transaction, wanted: list[int]) -> list[Any]:
        for number in wanted:
            transaction.db.execute(
                text("INSERT INTO tombstones (id, seq) VALUES (:id, :seq)"),
                {"id": f"stone {number}", "seq": transaction.seq},
            )
        if 3 in wanted:
            raise ZeroDivisionError("three")
        return [f"done {number}" for number in wanted]

    async def write(number: int) -> None:
        try:
            answers[number] = await store.write(fragile, number)
        except ZeroDivisionError as exc:
            answers[number] = repr(exc)

    async with anyio.create_task_group() as tasks:
        for number in range(6):
            tasks.start_soon(write, number)
    stones = await store.read(
        lambda db: [*db.execute(text("SELECT id FROM tombstones ORDER BY id")).scalars()]
    )
    assert answers == {number: f"done {number}" for number in range(6)} | {3: "ZeroDivisionError('three')"}
    assert stones == [f"stone {number}" for number in (0, 1, 2, 4, 5)]


async def test_cancelled_write_that_has_not_begun_is_withdrawn(store: Store, gate: Gate) -> None:
    """Who is cancelled while others are being written has changed nothing."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store.write, gate.write, None)
        await gate.until_reached()
        with anyio.move_on_after(0.05) as scope:
            await store.write(create, order("withdrawn"))
        gate.open.set()
    await store.write(create, order("later"))
    assert scope.cancelled_caught
    assert await names(store) == ["later"]


async def test_cancelled_write_that_has_begun_is_waited_for(store: Store, gate: Gate) -> None:
    """Who is cancelled while being written leaves when it is done: nothing goes on behind its back."""
    async with anyio.create_task_group() as tasks:
        ended = anyio.Event()

        async def write() -> None:
            try:
                await store.write(gate.write, None)
            finally:
                ended.set()

        tasks.start_soon(write)
        await gate.until_reached()
        tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.05)
            waited = not ended.is_set()
            gate.open.set()
            await ended.wait()
    assert waited


# asyncio alone cancels through a shield.
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_cancelled_caller_does_not_strand_others(store: Store) -> None:
    """The first of those who write together may be cancelled by its loop; the others are written."""
    first = asyncio.ensure_future(store.write(create, order("first")))
    others = [asyncio.ensure_future(store.write(create, order(f"other {n}"))) for n in range(3)]
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(*others)
    with pytest.raises(asyncio.CancelledError):
        await first
    assert sorted(await names(store)) in (
        ["first", "other 0", "other 1", "other 2"],
        ["other 0", "other 1", "other 2"],
    )


async def test_write_that_never_began_ends_by_its_deadline_not_done(
    hasty: Store, gate: Gate, clock: Clock
) -> None:
    """Behind a writer that stands still a call ends in time, and is not made up for later."""
    told: list[tuple[Outcome, str | None]] = []

    async def write(what: Write, argument: Any, key: str) -> None:
        with pytest.raises(Timeout, match="within 20 s") as caught:
            await hasty.write(what, argument, key=key)
        told.append((caught.value.outcome, caught.value.idempotency_key))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(write, gate.write, None, "still")
        await gate.until_reached()
        tasks.start_soon(write, create, order("late"), "late")
        await clock.skip_waiting(21)
    gate.open.set()
    assert sorted(told, key=str) == [(Outcome.NOT_DONE, "late"), (Outcome.UNKNOWN, "still")]
    await hasty.write(create, order("next"))
    assert await names(hasty) == ["next"]


async def test_write_that_began_ends_by_its_deadline_unknown(hasty: Store, gate: Gate, clock: Clock) -> None:
    """A call whose transaction stands still ends in time, and says how to repeat it safely."""

    async def write() -> None:
        with pytest.raises(Timeout) as caught:
            await hasty.write(gate.write, None, key="mine")
        assert caught.value.outcome is Outcome.UNKNOWN
        assert (caught.value.idempotency_key, caught.value.provider) == ("mine", "local")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(write)
        await gate.until_reached()
        await clock.skip_waiting(21)
    gate.open.set()


@pytest.mark.parametrize(("timeout", "patience"), [(20, 10), (600, 30)])
async def test_patience_with_other_processes_ends_before_the_deadline(
    directory: Path, timeout: float, patience: float
) -> None:
    """A write waits half its time for theirs, 30 s at most: what had no turn by then is surely not done."""

    def look(transaction: Transaction, wanted: list[None]) -> list[Any]:
        return [transaction.db.exec_driver_sql("PRAGMA busy_timeout").scalar_one() for _ in wanted]

    async with LocalProvider(directory, timeout=timeout) as provider:
        assert await provider._store.write(look, None) == patience * 1000


async def test_read_ends_by_its_deadline_and_is_interrupted(hasty: Store, clock: Clock) -> None:
    """A query without end is stopped in its thread, so that the tracker closes at once."""
    running = threading.Event()
    count_forever = text(
        "WITH RECURSIVE n(x) AS (SELECT running() UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    )

    def run(db: Connection) -> Any:
        driver: Any = db.connection.driver_connection
        driver.create_function("running", 0, running.set)
        return db.execute(count_forever).scalar_one()

    async def read() -> None:
        with pytest.raises(Timeout, match="within 20 s") as caught:
            await hasty.read(run)
        assert (caught.value.outcome, caught.value.provider) == (Outcome.NOT_DONE, "local")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        await until(running.is_set)
        await clock.skip_waiting(21)
    assert await names(hasty) == []


async def test_read_that_nobody_waits_for_is_not_begun(store: Store) -> None:
    """Who left before its turn came keeps no thread busy for nothing."""
    begun: list[Connection] = []
    reading = _Reading(store._database, begun.append)
    reading.stop()
    with pytest.raises(Timeout, match="nobody waits"):
        await anyio.to_thread.run_sync(reading.run)
    assert begun == []


async def test_thread_that_outlives_the_tracker_is_told(
    directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A disk that stands still at the end is in the log."""
    close = Writer.aclose

    async def close_too_late(writer: Writer) -> bool:
        await close(writer)
        return False

    monkeypatch.setattr(Writer, "aclose", close_too_late)
    async with LocalProvider(directory):
        pass
    assert caplog.messages == ["a thread of the local tracker did not end in time"]


async def test_close_does_what_was_begun(directory: Path) -> None:
    """Closing while calls are under way answers them first; what was answered is there."""
    provider = LocalProvider(directory)
    await provider.open()
    made: list[Job] = []

    async def write(number: int) -> None:
        made.extend(await provider.create_jobs([NewJob(name="a", idempotency_key=str(number))]))

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(write, number)
        for _ in range(3):
            await checkpoint()
        await provider.aclose()
    async with LocalProvider(directory) as again:
        assert await again.get_jobs([job.id for job in made]) == made
    assert len(made) == 20


async def test_write_that_comes_too_late_is_refused(directory: Path) -> None:
    """Who begins to write while the tracker is being closed is told at once, and nothing is done."""
    provider = LocalProvider(directory)
    await provider.open()
    writer = provider._store._writer
    assert writer is not None
    assert await writer.aclose()
    with pytest.raises(ConfigError, match="was closed") as caught:
        await provider.create_jobs([NewJob(name="late", idempotency_key="k")])
    assert (caught.value.outcome, caught.value.idempotency_key) == (Outcome.NOT_DONE, None)
    assert await names(provider._store) == []
    await provider.aclose()


async def test_closed_tracker_says_so(directory: Path) -> None:
    """Before `open` and after `aclose`, which may come twice, calls end with a clear error."""
    provider = LocalProvider(directory)
    for _ in range(2):
        with pytest.raises(ConfigError, match="not open: use `async with`"):
            await provider.get_jobs(["a"])
        with pytest.raises(ConfigError, match="not open: use `async with`"):
            await provider.cancel_job("a")
        await provider.open()
        await provider.aclose()
        await provider.aclose()


async def test_other_user_shares_everything(provider: LocalProvider, make: Make) -> None:
    """A provider for another user sees the same jobs, and closing it closes nothing."""
    other = provider.as_user("mia")
    async with other:
        (job,) = await other.create_jobs([NewJob(name="a", idempotency_key="k")])
    assert (job.user, provider.user) == ("mia", "jane")
    assert await provider.get_jobs([job.id]) == [job]


async def test_many_ids_and_changes_fit_one_call(provider: LocalProvider, make: Make) -> None:
    """Two thousand jobs are made, read and changed in one call each, whatever SQLite's limits."""
    new = [NewJob(name=f"n{number}", idempotency_key=f"k{number}") for number in range(2000)]
    made = await provider.create_jobs(new)
    ids = [job.id for job in made]
    assert ids == sorted(set(ids))
    assert await provider.get_jobs(ids[::-1]) == made[::-1]
    changed = await provider.update_jobs(ids + ids[:5], JobChanges(state=JobState.DONE))
    assert [job.id for job in changed] == ids + ids[:5]
    assert {job.state for job in changed} == {JobState.DONE}
    assert await provider.get_jobs(ids) == changed[:2000]

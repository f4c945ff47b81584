"""Many jobs made at once, each from a file of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from callsheet import BulkError, Client, Denied, Job, JobState, NewJob, Outcome, TransportError, Unavailable
from callsheet.providers.vidispine import VidispineProvider
from callsheet.providers.vidispine._jobs import _outcome
from callsheet.sandbox import Sandbox


async def test_a_file_that_is_missing_fails_alone(client: Client[VidispineProvider], tmp_path: Path) -> None:
    """Where the file of one job cannot be read, the others are made, and the error tells of all of them."""
    for name in ("A001.mov", "A003.mov"):
        (tmp_path / name).write_bytes(name.encode())
    names = ["A001.mov", "A002.mov", "A003.mov"]
    with pytest.raises(BulkError) as caught:
        await client.jobs.create_many(NewJob(name=name, files=[tmp_path / name]) for name in names)
    error = caught.value
    assert [job.name for job in error.done] == ["A001.mov", "A003.mov"]
    assert {index: type(why) for index, why in error.failed.items()} == {1: FileNotFoundError}
    assert error.outcome is Outcome.DONE
    assert await client.jobs.count() == 2


async def test_each_that_fails_tells_its_key(client: Client[VidispineProvider], sandbox: Sandbox) -> None:
    """Of many that fail before they are made, each error has the key of its own job."""
    sandbox.faults.add("status", path="/API/job*", method="GET", status=403)
    with pytest.raises(BulkError) as caught:
        await client.jobs.create_many(
            NewJob(name=key, type="STUDIO_RENDER", idempotency_key=key) for key in "ab"
        )
    told = [(type(why), getattr(why, "idempotency_key", None)) for why in caught.value.failed.values()]
    assert told == [(Denied, "a"), (Denied, "b")]


async def test_files_that_are_all_missing_make_nothing(
    client: Client[VidispineProvider], tmp_path: Path
) -> None:
    """Where no file can be read, nothing was done, and the error says so."""
    with pytest.raises(BulkError) as caught:
        await client.jobs.create_many(NewJob(name=name, files=[tmp_path / name]) for name in "ab")
    assert caught.value.done == []
    assert sorted(caught.value.failed) == [0, 1]
    assert caught.value.outcome is Outcome.NOT_DONE
    assert await client.jobs.count() == 0


def test_what_many_have_come_to() -> None:
    """One of which nobody knows what became of it makes the whole unknown, also where others were done."""
    job = Job(
        id="VX-1",
        tracker="vidispine+http://x",
        name="a",
        state=JobState.QUEUED,
        vendor_state="READY",
        ended=False,
    )
    refused, lost = Denied("no", outcome=Outcome.NOT_DONE), TransportError("cut", outcome=Outcome.UNKNOWN)
    seen = Unavailable("not seen", outcome=Outcome.DONE)
    assert _outcome([job], [refused]) is Outcome.DONE
    assert _outcome([job], [refused, lost]) is Outcome.UNKNOWN
    assert _outcome([], [refused, seen]) is Outcome.DONE
    assert _outcome([], [refused, FileNotFoundError("a")]) is Outcome.NOT_DONE

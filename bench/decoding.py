"""Decoding a page into jobs, beside `json.loads` and the bare constructor of `Job`.

    python -m bench.decoding [--rounds 30]

Rounds go A B A B, so that whatever else the machine does falls on both; the table shows the best of each, as
everything else only adds. The collector of cycles is off. With the extra `fast`, orjson decodes.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import attrs
from bench.beside import verdict

from callsheet import Job, JobState
from callsheet._http import _json
from callsheet.providers.deadline import _wire as deadline
from callsheet.providers.vidispine import _wire as vidispine

GOAL = 1.25
TRACKER = "tracker://studio"


@attrs.frozen(kw_only=True)
class Page:
    """A page of an answer.

    Attributes:
        title: What stands in the table.
        name: Under which its records are.
        record: The record of a number.
        size: How many there are.
        read: Makes a job of one.
        state: What a record calls its state.
    """

    title: str
    name: str
    record: Callable[[int], dict[str, Any]]
    size: int
    read: Callable[[Mapping[str, Any]], Job]
    state: str


def of_vidispine(number: int) -> dict[str, Any]:
    """Return a job as Vidispine lists it."""
    data = {
        "username": "admin",
        "item": f"VX-{number}",
        "itemId": f"VX-{number}",
        "originalFilename": f"sh{number:04}_beauty_v003.mov",
        "destinationStorageId": "VX-1",
        "filePathMap": f"VX-{number}=VX-{number}.mov",
        "bytesWritten": str(3_000_000 + number),
        "progress-200-0-0": "percent 100/100",
    }
    return {
        "jobId": f"VX-{number}",
        "user": "admin",
        "started": f"2026-01-02T03:04:05.{number % 1000:03}+0000",
        "finished": f"2026-01-02T03:14:05.{number % 1000:03}+0000",
        "status": "FINISHED",
        "type": "TRANSCODE",
        "priority": "MEDIUM",
        "data": [{"key": key, "value": value} for key, value in data.items()],
    }


def of_deadline(number: int) -> dict[str, Any]:
    """Return a job as a search of Deadline's finds it."""
    return {
        "jobId": f"job-{number:032x}",
        "createdAt": f"2026-01-02T03:04:05.{number % 1000:03}Z",
        "createdBy": "arn:aws:iam::123456789012:user/jane",
        "queueId": f"queue-{1:032x}",
        "name": f"sh{number:04}",
        "lifecycleStatus": "CREATE_COMPLETE",
        "lifecycleStatusMessage": "Job creation completed successfully",
        "priority": 50,
        "taskRunStatus": "READY",
        "taskRunStatusCounts": {**dict.fromkeys(deadline_words(), 0), "READY": 1},
        "taskFailureRetryCount": 0,
        "maxFailedTasksCount": 100,
        "maxRetriesPerTask": 5,
        "updatedAt": f"2026-01-02T03:04:06.{number % 1000:03}Z",
        "updatedBy": "deadline.amazonaws.com",
        "jobParameters": {
            "Scene": {"path": f"/projects/sh{number:04}.ma"},
            "Camera": {"string": "renderCam"},
        },
    }


def deadline_words() -> list[str]:
    """Return the words under which Deadline counts a job's tasks."""
    waiting = ["PENDING", "READY", "SCHEDULED", "ASSIGNED", "STARTING", "RUNNING", "INTERRUPTING"]
    return [*waiting, "SUSPENDED", "CANCELED", "FAILED", "SUCCEEDED", "NOT_COMPATIBLE"]


PAGES = [
    Page(
        title="Vidispine, 1,000 jobs",
        name="job",
        record=of_vidispine,
        size=1000,
        read=lambda row: vidispine.job_of(row, tracker=TRACKER, steps=False),
        state="status",
    ),
    Page(
        title="Deadline, 100 jobs",
        name="jobs",
        record=of_deadline,
        size=100,
        read=deadline.search_reader(TRACKER),
        state="taskRunStatus",
    ),
]


def bare(page: Page, row: Mapping[str, Any]) -> Job:
    """Return a job of what stands in the record, as it stands there."""
    return Job(
        id=row["jobId"],
        raw=row,
        tracker=TRACKER,
        name=row["jobId"],
        state=JobState.DONE,
        vendor_state=row[page.state],
        ended=True,
        type=row.get("type"),
        priority=50,
        progress=1.0,
        user=row.get("user"),
    )


def measured(page: Page, rounds: int) -> dict[str, float]:
    """Return the microseconds of CPU that a record takes each way, at best."""
    text = json.dumps({page.name: [page.record(number) for number in range(page.size)]}).encode()
    ways: dict[str, Callable[[], object]] = {
        "json": lambda: json.loads(text),
        "bare": lambda: [bare(page, row) for row in json.loads(text)[page.name]],
        "ours": lambda: [page.read(row) for row in _json._decoded(text)[page.name]],
    }
    if importlib.util.find_spec("orjson") is not None:
        ways["fast"] = lambda: [page.read(row) for row in _json.decoded(text)[page.name]]
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.process_time()
            for _ in range(1000 // page.size):
                way()
            best[name] = min(best[name], (time.process_time() - start) * 1000)
    return best


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    gc.disable()
    print(
        "| CPU of a record, in µs | json.loads | and bare constructors | callsheet | ratio | fast | ratio |"
    )
    print(f"|---|{'---:|' * 6}")
    for page in PAGES:
        best = measured(page, rounds)
        cells = [f"{best['json']:.1f}", f"{best['bare']:.1f}"]
        for way in ("ours", "fast"):
            known = way in best
            cells += [f"{best[way]:.1f}", verdict(best[way] / best["bare"], GOAL)] if known else ["", ""]
        print(f"| {page.title} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()

"""One look at many jobs: pages of those that are unfinished, and a request for each that is no more."""

from __future__ import annotations

import itertools
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import attrs

from callsheet._models import Job, JobFilter, Position
from callsheet.abc import Sweep
from callsheet.providers.vidispine._hints import Hints
from callsheet.providers.vidispine._jobs import JobCalls
from callsheet.providers.vidispine._progress import attempts_of
from callsheet.providers.vidispine._words import UNFINISHED

__all__ = ["WatchingCalls"]

FEW = 8
"""Jobs that are asked for one by one, rather than for a page of all that is unfinished, which is long."""

SLACK = timedelta(seconds=10)
"""How late a new job may come into listings, by its start time."""


@attrs.frozen
class Mark:
    """What the last look saw.

    Attributes:
        filters: What it was about, besides jobs by name.
        unfinished: Jobs that were, as far as they may concern a filter.
        newest: When the newest of all jobs was made.
        reached: The furthest progress of each unfinished job, and the failed attempts by then.
        at: When that look at everything began, on this machine's clock.
        heard: The number of the last hint before it.
    """

    filters: Sequence[JobFilter]
    unfinished: frozenset[str]
    newest: datetime | None
    reached: Mapping[str, tuple[int, float]]
    at: float
    heard: int


class WatchingCalls(JobCalls):
    """The calls of `callsheet.abc.Provider` that are about watching."""

    _hints: Hints

    async def sweep(self, ids: Collection[str], wanted: Iterable[JobFilter], mark: Any) -> Sweep:
        """Look at all that is unfinished, page by page, and then at each watched job that was not there.

        A filter also needs a look at all that was made since the last one: it may have ended in between. A
        hint in time makes this a look at the hinted jobs alone. Progress does not go back from look to look,
        unless a step begins anew.

        Raises:
            Unsupported: A filter, on a server older than 4.10.
        """
        filters = [attrs.evolve(one, newest_first=False) for one in wanted]
        before = mark if isinstance(mark, Mark) else None
        # What a filter has to be told at first, only a first look finds out.
        last = before if before is not None and all(one in before.filters for one in filters) else None
        at, heard = time.monotonic(), self._hints.count
        hinted = [] if last is None else self._hints.since(last.heard)
        if last is not None and hinted and at - last.at < self.watch_interval:
            found = dict(zip(hinted, await self.get_jobs(hinted), strict=True))
            newest, at = last.newest, last.at
        else:
            found, newest = await self._look(ids, filters, last)
        found, reached = _climbing(found, before)
        mine = {
            id_: job
            for id_, job in found.items()
            if id_ in ids or (job is not None and any(one.matches(job) for one in filters))
        }
        unfinished = _unfinished(found, filters, last)
        return Sweep(mine, Mark(filters, unfinished, newest, reached, at, heard))

    async def _look(
        self, ids: Collection[str], filters: Sequence[JobFilter], last: Mark | None
    ) -> tuple[dict[str, Job | None], datetime | None]:
        """Return what there is to see, and when the newest job was made."""
        found: dict[str, Job | None] = {}
        newest = None if last is None else last.newest
        if filters:
            newest = await self._newest() if last is None else newest
            everything = await self._all(_base(ids, filters, last), words=UNFINISHED)
            since = None if newest is None else newest - SLACK
            for one in filters if last is None else [JobFilter(created_after=since, newest_first=False)]:
                everything |= await self._all(one)
            found |= everything
            made = [job.created_at for job in everything.values() if job.created_at is not None]
            newest = max(made if newest is None else [newest, *made], default=newest)
        elif len(ids) > FEW and not self._server.is_before(4, 10):
            pages = 1 + len(ids) // FEW
            found |= await self._all(JobFilter(newest_first=False), words=UNFINISHED, pages=pages)
        rest = [id_ for id_ in {*ids, *(last.unfinished if last else ())} if id_ not in found]
        found |= zip(rest, await self.get_jobs(rest), strict=True)
        return found, newest

    async def _all(
        self, wanted: JobFilter, *, words: Sequence[str] = (), pages: int | None = None
    ) -> dict[str, Job]:
        """Return all jobs that match, with their steps: in some states only, or so many pages of them."""
        found: dict[str, Job] = {}
        after: Position | None = None
        for number in itertools.count(1):
            page = await self.page_of(wanted, after=after, size=self.page_size, steps=True, words=words)
            found |= {job.id: job for job in page.items}
            if page.next is None or number == pages:
                break
            after = page.next
        return found

    async def _newest(self) -> datetime | None:
        page = await self.page_of(JobFilter(), after=None, size=1, steps=False)
        return page.items[0].created_at if page.items else None


def _base(ids: Collection[str], filters: Sequence[JobFilter], last: Mark | None) -> JobFilter:
    """Return what of all the unfinished jobs to look at: where one filter is all, what may come to match."""
    known = frozenset() if last is None else last.unfinished
    if len(filters) == 1 and known.issuperset(ids):
        return attrs.evolve(filters[0], states=None)
    return JobFilter(newest_first=False)


def _unfinished(
    found: Mapping[str, Job | None], filters: Sequence[JobFilter], last: Mark | None
) -> frozenset[str]:
    """Return the jobs that have not ended, of those that may come to match a filter."""
    left = frozenset() if last is None else last.unfinished
    static = [attrs.evolve(one, states=None) for one in filters]
    going = {
        id_
        for id_, job in found.items()
        if job is not None and not job.ended and any(one.matches(job) for one in static)
    }
    return (left - found.keys()) | going


def _climbing(
    found: Mapping[str, Job | None], last: Mark | None
) -> tuple[dict[str, Job | None], dict[str, tuple[int, float]]]:
    """Return the jobs with the furthest progress that was seen of them, and that."""
    before = {} if last is None else last.reached
    seen, reached = dict(found), {**before}
    for id_, job in found.items():
        reached.pop(id_, None)
        if job is None or job.ended or job.progress is None:
            continue
        attempts, progress = attempts_of(job.raw), job.progress
        old_attempts, old_progress = before.get(id_, (attempts, progress))
        if attempts <= old_attempts and progress < old_progress:
            progress = old_progress
            seen[id_] = attrs.evolve(job, progress=progress)
        reached[id_] = attempts, progress
    return seen, reached

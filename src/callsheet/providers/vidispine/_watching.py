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
from callsheet.providers.vidispine._words import ENDED, FILTERED, UNFINISHED

__all__ = ["WatchingCalls"]

FEW = 8
"""Jobs that are asked for one by one, rather than for a page of all that is unfinished, which is long."""

SLACK = timedelta(seconds=10)
"""How late a new job may come into listings, by its start time, and one that has ended by its end."""


@attrs.frozen
class Mark:
    """What the last look saw.

    Attributes:
        filters: What it was about, besides jobs by name.
        unfinished: Jobs that were, as far as they may concern a filter.
        newest: When the newest of all jobs was made, and
        latest: when a job was last made or ended, as far as either was seen.
        reached: The furthest progress of each unfinished job, and the failed attempts by then.
        at: When that look at everything began, on this machine's clock.
        heard: The number of the last hint before it.
    """

    filters: Sequence[JobFilter]
    unfinished: frozenset[str]
    newest: datetime | None
    latest: datetime | None
    reached: Mapping[str, tuple[int, float]]
    at: float
    heard: int


@attrs.define
class Look:
    """What one look sees of the jobs that matter to it; of the others it keeps nothing.

    Attributes:
        ids: The jobs that are watched by name.
        filters: What else is watched, and
        static: the same whatever state a job is in: what does not match yet may come to.
        found: The jobs that matter; `None` for one that is gone.
        newest: When the newest of all jobs was made, and
        latest: when a job was last made or ended, as far as either was seen.
    """

    ids: Collection[str]
    filters: Sequence[JobFilter]
    newest: datetime | None = None
    latest: datetime | None = None
    found: dict[str, Job | None] = attrs.field(factory=dict)
    static: Sequence[JobFilter] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.static = [attrs.evolve(one, states=None) for one in self.filters]

    def take(self, jobs: Iterable[Job]) -> None:
        """Take in jobs of a page."""
        for job in jobs:
            self.newest = _later(self.newest, job.created_at)
            self.latest = _later(self.latest, job.finished_at or job.created_at)
            if job.id in self.ids or any(one.matches(job) for one in self.static):
                self.found[job.id] = job

    def told(self) -> dict[str, Job | None]:
        """Return what there is to tell: jobs by name, and those that match a filter."""
        return {
            id_: job
            for id_, job in self.found.items()
            if id_ in self.ids or (job is not None and any(one.matches(job) for one in self.filters))
        }

    def unfinished(self, last: Mark | None) -> frozenset[str]:
        """Return the jobs that have not ended, of those that may come to match a filter."""
        before = frozenset() if last is None else last.unfinished
        going = {
            id_
            for id_, job in self.found.items()
            if job is not None and not job.ended and any(one.matches(job) for one in self.static)
        }
        return (before - self.found.keys()) | going


class WatchingCalls(JobCalls):
    """The calls of `callsheet.abc.Provider` that are about watching."""

    _hints: Hints

    async def sweep(self, ids: Collection[str], wanted: Iterable[JobFilter], mark: Any) -> Sweep:
        """Look at all that is unfinished, page by page, and then at each watched job that was not there.

        A filter also needs a look at all that was made since the last one, which may have ended in between,
        and at all that has ended, which may have been in a state that no page is asked for by. A hint in time
        makes this a look at the hinted jobs alone. Progress does not go back from look to look, unless a step
        begins anew.

        Raises:
            Unsupported: A filter, on a server older than 4.10.
        """
        filters = [attrs.evolve(one, newest_first=False) for one in wanted]
        before = mark if isinstance(mark, Mark) else None
        # What a filter has to be told at first, only a first look finds out.
        last = before if before is not None and all(one in before.filters for one in filters) else None
        at, heard = time.monotonic(), self._hints.count
        hints = [] if last is None else self._hints.since(last.heard)
        look = Look(ids, filters) if last is None else Look(ids, filters, last.newest, last.latest)
        if last is not None and hints and at - last.at < self.watch_interval:
            at = last.at
            await self._take_each(look, [id_ for id_ in hints if filters or id_ in ids])
        elif filters:
            await self._look_by_filters(look, last)
        else:
            await self._look_by_name(look)
        reached = _climb(look.found, before)
        unfinished = look.unfinished(last)
        watched = {id_: it for id_, it in reached.items() if id_ in ids or id_ in unfinished}
        return Sweep(look.told(), Mark(filters, unfinished, look.newest, look.latest, watched, at, heard))

    async def _look_by_name(self, look: Look) -> None:
        if len(look.ids) > FEW and not self._server.is_before(4, 10):
            pages = 1 + len(look.ids) // FEW
            await self._take_all(look, JobFilter(newest_first=False), words=UNFINISHED, pages=pages)
        await self._take_each(look, [id_ for id_ in look.ids if id_ not in look.found])

    async def _look_by_filters(self, look: Look, last: Mark | None) -> None:
        if last is None:
            newest = await self.page_of(JobFilter(), after=None, size=1, steps=False)
            look.newest = look.latest = newest.items[0].created_at if newest.items else None
        lately = JobFilter(created_after=_slack(look.newest), newest_first=False)
        ended_after = _slack(look.latest)
        await self._take_all(look, _base(look, last), words=UNFINISHED)
        for wanted in look.filters if last is None else [lately]:
            await self._take_all(look, wanted)
        if last is not None and ended_after is not None and any(map(_may_have_ended, look.filters)):
            await self._take_all(look, _base(look, last), ended_after=ended_after)
        watched = {*look.ids, *(() if last is None else last.unfinished)}
        await self._take_each(look, [id_ for id_ in watched if id_ not in look.found])

    async def _take_all(
        self,
        look: Look,
        wanted: JobFilter,
        *,
        words: Sequence[str] = (),
        ended_after: datetime | None = None,
        pages: int | None = None,
    ) -> None:
        """Take in all jobs that match, with their steps, as `page_of` finds them; or so many pages."""
        after: Position | None = None
        for number in itertools.count(1):
            page = await self.page_of(
                wanted, after=after, size=self.page_size, steps=True, words=words, ended_after=ended_after
            )
            look.take(page.items)
            if page.next is None or number == pages:
                break
            after = page.next

    async def _take_each(self, look: Look, ids: Sequence[str]) -> None:
        """Take in jobs one by one, gone ones too."""
        look.found |= zip(ids, await self.get_jobs(ids), strict=True)


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max(one, other) if one is not None and other is not None else one or other


def _slack(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment - SLACK


def _may_have_ended(wanted: JobFilter) -> bool:
    """Tell whether jobs that have ended may match."""
    return wanted.states is None or any(not ENDED.isdisjoint(FILTERED[state]) for state in wanted.states)


def _base(look: Look, last: Mark | None) -> JobFilter:
    """Return what of all the unfinished jobs to look at: where one filter is all, what may come to match."""
    known = frozenset() if last is None else last.unfinished
    if len(look.static) == 1 and known.issuperset(look.ids):
        return look.static[0]
    return JobFilter(newest_first=False)


def _climb(found: dict[str, Job | None], last: Mark | None) -> dict[str, tuple[int, float]]:
    """Give the jobs the furthest progress that was seen of them, and return that."""
    before = {} if last is None else last.reached
    reached = {**before}
    for id_, job in found.items():
        reached.pop(id_, None)
        if job is None or job.ended or job.progress is None:
            continue
        attempts, progress = attempts_of(job.raw), job.progress
        old_attempts, old_progress = before.get(id_, (attempts, progress))
        if attempts <= old_attempts and progress < old_progress:
            progress = old_progress
            found[id_] = attrs.evolve(job, progress=progress)
        reached[id_] = attempts, progress
    return reached

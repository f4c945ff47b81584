"""Deadline's jobs found and counted by what they are."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import attrs

from callsheet._errors import InvalidCursor, Unsupported
from callsheet._http._messages import Answer
from callsheet._models import Job, JobFilter, Position, Slice
from callsheet.abc import Provider
from callsheet.providers.deadline._answers import document, readable
from callsheet.providers.deadline._search import (
    WINDOW,
    Place,
    counted,
    expression,
    is_empty,
    is_exact,
    order,
    position_after,
    pushed,
)
from callsheet.providers.deadline._server import BATCH, Server
from callsheet.providers.deadline._wire import search_reader

__all__ = ["FindCalls"]


class FindCalls(Provider):
    """The calls of `callsheet.abc.Provider` that find jobs."""

    _server: Server

    # -- pages -----------------------------------------------------------------------------------------------

    async def page_jobs(self, wanted: JobFilter, *, after: Position | None, size: int) -> Slice[Job]:
        """Return one page, by creation. What was made in one instant comes in Deadline's own order.

        A page may be short: what Deadline finds is looked at again here.

        Raises:
            InvalidCursor: More than 10,000 jobs were made in the instant that it stands at.
        """
        place = None if after is None else Place.read(after, newest_first=wanted.newest_first)
        if is_empty(wanted):
            return Slice([])
        query = {
            "filterExpressions": expression(pushed(wanted, place)),
            "sortExpressions": order(newest_first=wanted.newest_first),
        }
        jobs, following = await self._behind(query, place, size)
        more = following is not None or len(jobs) > size
        jobs = jobs[:size]
        items = [job for job in jobs if _matches(wanted, job)]
        return Slice(items, position_after(jobs, after) if more and jobs else None)

    async def _behind(
        self, query: Mapping[str, Any], place: Place | None, size: int
    ) -> tuple[list[Job], int | None]:
        """Return the jobs behind a place that one search finds, and where it goes on, if it does."""
        # All of the place's own instant come first again. If the last of those that were seen stands where it
        # stood, so do the others; else some have left, and the search begins further ahead.
        offset = 0 if place is None else len(place.ids) - 1
        while True:
            jobs, following = await self._search(query, offset, min(BATCH, size + (place is not None)))
            if place is None:
                return jobs, following
            if offset and not (jobs and place.has_passed(jobs[0])):
                offset = max(0, offset - BATCH // 2)
                size = BATCH
                continue
            new = [job for job in jobs if not place.has_passed(job)]
            if new or following is None:
                return new, following
            if following > WINDOW:
                raise InvalidCursor(f"cursor: Deadline looks no further than {WINDOW} jobs of one instant")
            offset = following

    async def _search(self, query: Mapping[str, Any], offset: int, size: int) -> tuple[list[Job], int | None]:
        answer = await self._asked({**query, "itemOffset": offset, "pageSize": size})
        body = document(answer)
        jobs = readable(answer, body, "jobs", search_reader(self.tracker))
        following = body.get("nextItemOffset")
        if following is not None and (not isinstance(following, int) or following <= offset):
            raise answer.unreadable("the same page again", path="$.nextItemOffset")
        return jobs, following

    async def _asked(self, query: Mapping[str, Any]) -> Answer:
        body = {"queueIds": [self._server.queue], **query}
        return await self._server.send(
            "POST",
            f"/2023-10-12/farms/{self._server.farm}/search/jobs",
            {name: value for name, value in body.items() if value is not None},
            reads=True,
            operation="SearchJobs",
        )

    # -- counts ----------------------------------------------------------------------------------------------

    async def count_jobs(self, wanted: JobFilter) -> int:
        """Count as Deadline does, exactly below 10,000; more are counted by spans of their creation.

        Raises:
            Unsupported: More than 10,000 of them were made in one instant.
        """
        if is_empty(wanted):
            return 0
        if not is_exact(wanted):
            return await self._count_by_pages(wanted)
        return sum([await self._count(wanted, index) for index in range(len(counted(wanted)))])

    async def _count(self, wanted: JobFilter, index: int) -> int:
        filters = counted(wanted)[index]
        query = {"filterExpressions": expression(filters)}
        answer = await self._asked({**query, "itemOffset": 0, "pageSize": 1})
        total = document(answer).get("totalResults")
        if not isinstance(total, int):
            raise answer.unreadable("no number", path="$.totalResults")
        if total < WINDOW:
            return total
        middle = _between(*[await self._outermost(query, newest=newest) for newest in (False, True)])
        if middle is None:
            raise Unsupported(
                "count",
                hint=f"a narrower filter: more than {WINDOW} jobs were made in one instant",
                provider=self.name,
            )
        halves = (attrs.evolve(wanted, created_before=middle), attrs.evolve(wanted, created_after=middle))
        return sum([await self._count(half, index) for half in halves])

    async def _outermost(self, query: Mapping[str, Any], *, newest: bool) -> datetime | None:
        jobs, _ = await self._search({**query, "sortExpressions": order(newest_first=newest)}, 0, 1)
        return jobs[0].created_at if jobs else None

    async def _count_by_pages(self, wanted: JobFilter) -> int:
        total, after = 0, None
        while True:
            page = await self.page_jobs(wanted, after=after, size=BATCH)
            total += len(page.items)
            if page.next is None:
                return total
            after = page.next


# -- steps ---------------------------------------------------------------------------------------------------


def _matches(wanted: JobFilter, job: Job) -> bool:
    if wanted.attributes and "jobParameters" not in job.raw:
        wanted = attrs.evolve(wanted, attributes=None)
    return wanted.matches(job)


def _between(first: datetime | None, last: datetime | None) -> datetime | None:
    """Return a moment after the first and not after the last; `None` if they are one instant."""
    if first is None or last is None or last - first < timedelta(milliseconds=1):
        return None
    return first + max((last - first) / 2, timedelta(milliseconds=1))

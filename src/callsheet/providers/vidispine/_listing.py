"""Jobs in lists: pages by start time and id, counts, and Vidispine's own pages by number."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import attrs

from callsheet import _checks
from callsheet._errors import InvalidRequest, InvalidResponse, ResponseError, Unsupported
from callsheet._http._messages import Answer
from callsheet._listing import Listing, Query
from callsheet._models import Job, JobFilter, Position, Slice
from callsheet.providers.vidispine._arguments import texts
from callsheet.providers.vidispine._asking import (
    Asked,
    asked,
    flag,
    is_exact,
    place_of,
    placed,
)
from callsheet.providers.vidispine._imports import ImportCalls
from callsheet.providers.vidispine._numbered import Listed, Numbered, check_number
from callsheet.providers.vidispine._server import LARGE, Row, Server
from callsheet.providers.vidispine._shape import entries
from callsheet.providers.vidispine._wire import job_of
from callsheet.providers.vidispine._words import NEWER

__all__ = ["ListingCalls"]

STEPS_PAGE = 200
"""Jobs of a page with steps, which take about ten times the room."""


NUMBERED_BY = {"states", "types", "user", "item", "created_after", "created_before"}
"""What listings by number can be asked for, besides `jobmetadata`."""


class ListingCalls(ImportCalls):
    """The calls about jobs in lists."""

    _include_steps: bool
    _unknown_states: set[str]

    async def page_jobs(self, wanted: JobFilter, *, after: Position | None, size: int) -> Slice[Job]:
        """Return one page, by start time. It may be short: some conditions are looked at again here.

        Raises:
            Unsupported: The server is older than 4.10, which knows no bounds of the start time.
        """
        return await self.page_of(wanted, after=after, size=size, steps=self._include_steps)

    async def page_of(
        self,
        wanted: JobFilter,
        *,
        after: Position | None,
        size: int,
        steps: bool,
        words: Sequence[str] = (),
        ended_after: datetime | None = None,
    ) -> Slice[Job]:
        """Return one page as `page_jobs` does: with steps or without, and by what `asked` knows besides."""
        self._check_version()
        place = placed(after)
        pairs = asked(wanted, place, words=words, ended_after=ended_after)
        if pairs is None:
            return Slice([])
        seen = frozenset() if place is None else place.ids
        number = (min(size, STEPS_PAGE) if steps else size) + len(seen)
        pairs = pairs.with_(("first", "1"), ("number", str(number)), ("metadata", "true"))
        listed = await self._listed(self._server_for(wanted), pairs, steps=steps, metadata=True)
        fresh = listed.jobs
        if place is not None:
            fresh = [job for job in fresh if place.is_before(job, newest_first=wanted.newest_first)]
        page = fresh[:size]
        matching = [job for job in page if wanted.matches(job)]
        if listed.is_last(1, number) and len(page) == len(fresh):
            return Slice(matching)
        if not page:
            raise InvalidResponse(
                f"more jobs began at one moment than the {len(listed.jobs)} that the server lists at a time",
                provider=self.name,
            )
        try:
            return Slice(matching, place_of(page, after))
        except ValueError as exc:
            raise InvalidResponse(f"GET /API/job answered with {exc}", provider=self.name) from exc

    async def count_jobs(self, wanted: JobFilter) -> int:
        """Return the number that Vidispine tells; with a `*` in the filter, or if it tells none, count."""
        self._check_version()
        pairs = asked(wanted)
        if pairs is None:
            return 0
        if not is_exact(wanted):
            return await self._counted(wanted)
        pairs = pairs.with_(("first", "1"), ("number", "1"), ("idonly", "true"), ("metadata", "false"))
        answer = await self._answered(self._server_for(wanted), pairs)
        rows, hits = ([], 0) if answer is None else rows_of(answer)
        if hits is None and rows:
            return await self._counted(wanted)
        return hits or 0

    async def _counted(self, wanted: JobFilter) -> int:
        total, after = 0, None
        while True:
            page = await self.page_of(wanted, after=after, size=self.page_size, steps=False)
            total += len(page.items)
            if page.next is None:
                return total
            after = page.next

    def jobs(
        self,
        *,
        first: int = 1,
        number: int | None = None,
        sort: str = "jobId desc",
        include_steps: bool = False,
        metadata: bool = False,
        jobmetadata: Mapping[str, str] | None = None,
        page_size: int = 100,
        cursor: str | None = None,
        **filters: Any,
    ) -> Listing[Job]:
        """Return jobs by number, as Portal's `JobHelper.getAllJobs` does; all users' unless `user=` is given.

        Such pages shift when jobs come and go in between: one met again is left out, one that slips through
        is missed. `client.jobs.list` has neither fault.

        Args:
            first: The number of the first one, from 1.
            number: The most jobs; by default all.
            sort: `jobId`, `type`, `state`, `user`, `startTime` or `priority`, each with `asc` or `desc`,
                separated by commas.
            include_steps: With their steps, from which `progress` and `message` follow.
            metadata: With all their metadata, from which `name`, `description` and `attributes` follow.
            jobmetadata: Metadata that they must have; `*` stands for anything.
            page_size: Jobs asked for at a time.
            cursor: Where an earlier such listing stopped.
            filters: `states`, `types`, `user`, `item`, `created_after`, `created_before`, as for `jobs.list`.

        Raises:
            InvalidRequest: There is no such filter, or a number is none.
            Unsupported: A state that Vidispine does not list by; or bounds in time, on a server older than
                4.10.
        """
        stored = [
            ("jobmetadata", f"{key}={value}") for key, value in texts(jobmetadata, "jobmetadata").items()
        ]
        _checks.text(sort, "sort")
        check_number(first, "first")
        if number is not None:
            check_number(number, "number")
        if unknown := filters.keys() - NUMBERED_BY:
            raise InvalidRequest(f"jobs: there is no filter {min(unknown)!r}")
        wanted = _checks.job_filter(**filters)
        if wanted.created_after is not None or wanted.created_before is not None:
            self._check_version()
        pairs = asked(wanted)
        if pairs is not None:
            kept = (pair for pair in pairs.pairs if pair[0] != "sort")
            pairs = Asked((*kept, *stored, ("sort", sort), ("metadata", flag(metadata))))
        server = self._server_for(wanted)
        numbered = Numbered(
            pairs, first, number, partial(self._listed, server, steps=include_steps, metadata=metadata)
        )
        query = Query(
            fetch=numbered.fetch,
            key=numbered.key,
            tracker=self.tracker,
            fingerprint=f"{wanted.fingerprint()} {first} {number} {sort} {jobmetadata!r}",
            size=_checks.page_size(page_size, self.page_size),
        )
        return Listing(query, cursor=cursor)

    # -- steps -----------------------------------------------------------------------------------------------

    def _check_version(self) -> None:
        if self._server.is_before(4, 10):
            hint = "provider.jobs(first=...); this server is older than 4.10"
            raise Unsupported("list", hint=hint, provider=self.name)

    def _server_for(self, wanted: JobFilter) -> Server:
        return self._server if wanted.user is None else self._server.acting_for(wanted.user)

    async def _listed(self, server: Server, pairs: Asked, *, steps: bool, metadata: bool) -> Listed:
        """Return one answer, decoded."""
        if steps:
            pairs = pairs.with_(("step", "true"))
        answer = await self._answered(server, pairs)
        if answer is None:
            return Listed([], 0)
        read = partial(listed_of, tracker=self.tracker, steps=steps, metadata=metadata)
        return await server.aside(len(answer.body) > LARGE, read, answer)

    async def _answered(self, server: Server, pairs: Asked) -> Answer | None:
        """Return one answer, or `None` if only jobs in states are wanted that the server does not know.

        States that it turns out not to know are not asked for again.
        """
        while True:
            pairs = attrs.evolve(pairs, pairs=tuple(map(self._without_unknown, pairs.pairs)))
            if ("state", "") in pairs.pairs:
                return None
            try:
                return await server.call(
                    "GET",
                    "job",
                    matrix=pairs.matrix(server.parameters),
                    query=pairs.query(server.parameters),
                )
            except ResponseError as error:
                if not self._learns(error, pairs):
                    raise

    def _without_unknown(self, pair: tuple[str, str]) -> tuple[str, str]:
        name, value = pair
        if name != "state" or not self._unknown_states:
            return pair
        return name, ",".join(word for word in value.split(",") if word not in self._unknown_states)

    def _learns(self, error: ResponseError, pairs: Asked) -> bool:
        """Note which of the states the server says it does not know; return whether there are any.

        If it only says that it is about a state, it means those that not every server has.
        """
        if error.status != 400:
            return False
        states = next((value.split(",") for name, value in pairs.pairs if name == "state"), [])
        newer = NEWER.intersection(states)
        said = set(re.findall(r"\w+", error.message))
        told = newer & said or (newer if "state" in said else set())
        self._unknown_states |= told
        return bool(told)


def listed_of(answer: Answer, *, tracker: str, steps: bool, metadata: bool) -> Listed:
    """Return the jobs of an answer.

    Raises:
        InvalidResponse: It is no JobListDocument; the error names the place.
    """
    rows, hits = rows_of(answer)
    jobs: list[Job] = []
    try:
        for row in rows:
            job = job_of(row, tracker=tracker, steps=steps, metadata=metadata)
            jobs.append(job)  # one by one, as the error tells how far it came
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise answer.unreadable(f"a job that cannot be read ({exc!r})", path=f"$.job[{len(jobs)}]") from exc
    return Listed(jobs, hits)


def rows_of(answer: Answer) -> tuple[list[Row], int | None]:
    """Return the documents of an answer, and the number of all that match, if it is told.

    Raises:
        InvalidResponse: It is no JobListDocument.
    """
    document = answer.json() if answer.body.strip() else {}
    if not isinstance(document, dict):
        raise answer.unreadable(f"{type(document).__name__} instead of a list of jobs")
    hits = document.get("hits")
    if hits is not None and (isinstance(hits, bool) or not isinstance(hits, int)):
        raise answer.unreadable(f"the number {hits!r}", path="$.hits")
    if hits is None and "job" not in document and document:
        raise answer.unreadable("no list of jobs")
    return entries(document.get("job")), hits

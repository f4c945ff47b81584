"""One sweep for all who watch or wait: whoever awaits drives it, and hands it on when satisfied."""

from __future__ import annotations

import logging
import random
import weakref
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from typing import Any, Self

import anyio

from callsheet._door import Door
from callsheet._errors import (
    CallsheetError,
    InvalidRequest,
    NotFound,
    RateLimited,
    TransportError,
    Unavailable,
)
from callsheet._models import Job, JobChange, JobFilter
from callsheet.abc import Provider

__all__ = ["PASSING", "Sweeper", "Watch"]

logger = logging.getLogger("callsheet")

PASSING = (TransportError, Unavailable, RateLimited)
"""Troubles that pass: a watch rides them out, with a warning in the log."""

MAX_PAUSE = 60.0
"""The longest pause between two sweeps while the tracker is in trouble, in seconds."""

MAX_JOBS = 100_000
"""Jobs that one watch by filter can follow."""


class Watch:
    """Changes of jobs, as an async iterator of `JobChange`.

    The first change of each job is its state at the first look (`previous` is `None`). States between two
    looks may be merged, but an end state is always reported. Named jobs are followed until each has ended or
    gone, then the watch ends; a filter is followed until you leave, and a job that no longer matches is
    reported once more. A watch may be left at any time. Trouble that passes (no connection, tracker busy) is
    logged and ridden out; any other error is raised, after which the watch may be gone on with.
    """

    def __init__(self, sweeper: Sweeper, *, ids: Iterable[str] = (), wanted: JobFilter | None = None) -> None:
        self._sweeper = sweeper
        self.following: set[str] = set(ids)
        self.wanted = wanted
        self.errors: deque[Exception] = deque()
        self._known: dict[str, Job] = {}
        self._pending: dict[str, list[JobChange | NotFound]] = {}

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> JobChange:
        if not self.ready and not self.following and self.wanted is None:
            raise StopAsyncIteration
        _, news = await self.take()
        if isinstance(news, NotFound):
            raise news
        return news

    async def take(self) -> tuple[str, JobChange | NotFound]:
        """Wait for the next change of any job, or the news that there is no such job, with its id."""
        await self._sweeper.until_ready(self)
        if self.errors:
            raise self.errors.popleft()
        id_, queue = next(iter(self._pending.items()))
        news = queue.pop(0)
        if not queue:
            del self._pending[id_]
        return id_, news

    @property
    def provider(self) -> Provider:
        """The tracker whose jobs are watched."""
        return self._sweeper.provider

    @property
    def ready(self) -> bool:
        """Whether the next item can be had without waiting."""
        return bool(self.errors or self._pending)

    def see(self, id_: str, job: Job | None) -> None:
        """Take in what a sweep found of a job, if it is one of ours and has changed."""
        known = self._known.get(id_)
        if job is None:
            self._see_gone(id_, known)
        elif job != known and (known or id_ in self.following or self._matches(job)):
            self._see_changed(known, job)

    def fail(self, error: Exception) -> None:
        """Let an item be this error."""
        self.errors.append(error)
        self._sweeper.wake(self)

    def _matches(self, job: Job) -> bool:
        return self.wanted is not None and self.wanted.matches(job)

    def _see_gone(self, id_: str, known: Job | None) -> None:
        was_named = self.wanted is None and id_ in self.following
        self.following.discard(id_)
        if known is not None:
            del self._known[id_]
            self._push(id_, JobChange(known, None))
        elif was_named:
            self._push(id_, NotFound(f"there is no job {id_!r}", provider=self.provider.name))

    def _see_changed(self, known: Job | None, job: Job) -> None:
        if self.wanted is not None and known is None and len(self._known) >= MAX_JOBS:
            self.fail(InvalidRequest(f"watch: more than {MAX_JOBS} jobs match; narrow the filter"))
            return
        self._known[job.id] = job
        # By filter, unfinished jobs are followed by id, so that one that stops matching is seen to its end.
        if job.ended or (self.wanted is not None and known is not None and not self._matches(job)):
            self.following.discard(job.id)
        elif self.wanted is not None:
            self.following.add(job.id)
        self._push(job.id, JobChange(known, job))
        if self.wanted is not None and not self._matches(job):
            del self._known[job.id]

    def _push(self, id_: str, news: JobChange | NotFound) -> None:
        queue = self._pending.setdefault(id_, [])
        last = queue[-1] if queue else None
        if _can_merge(last) and isinstance(news, JobChange) and news.current is not None:
            assert isinstance(last, JobChange)
            queue[-1] = JobChange(last.previous, news.current)
        else:
            queue.append(news)
        self._sweeper.wake(self)


class Sweeper:
    """Looks at all watched jobs of one client, once a tick, for as long as anybody waits."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self.open()

    @property
    def provider(self) -> Provider:
        """The tracker whose jobs are watched."""
        return self._door.provider

    def open(self) -> None:
        """Start afresh: nobody watches."""
        self.trouble: CallsheetError | None = None
        self._watches: weakref.WeakSet[Watch] = weakref.WeakSet()
        self._fresh: weakref.WeakSet[Watch] = weakref.WeakSet()
        self._reading: weakref.WeakSet[Watch] = weakref.WeakSet()
        self._index: Index | None = None
        self._asleep: dict[Watch, anyio.Event] = {}
        self._driver: Watch | None = None
        self._nudge = anyio.Event()
        self._mark: Any = None
        self._due = 0.0
        self._troubles = 0
        self._closed = False

    async def until_ready(self, watch: Watch) -> None:
        """Return when the watch has a change or an error; drive the sweep unless somebody else does."""
        self._door.check_loop()
        if watch in self._reading:
            raise InvalidRequest("watch: one watch is read by one task; make a watch for each")
        self._reading.add(watch)
        self._join(watch)
        try:
            while not watch.ready:
                if self._closed:
                    raise InvalidRequest("the client was closed while jobs were being watched")
                if self._driver in (None, watch):
                    self._driver = watch
                    await self._tick()
                else:
                    await self._sleep(watch)
        finally:
            self._reading.discard(watch)
            # Also when nobody drives: this one may have been woken to drive, and cancelled instead.
            if self._driver in (None, watch):
                self._driver = None
                self.wake(next(iter(self._asleep), None))

    def wake(self, watch: Watch | None) -> None:
        """Let whoever waits for this watch look again."""
        event = self._asleep.pop(watch, None) if watch is not None else None
        if event is not None:
            event.set()

    def nudge(self) -> None:
        """Let the next sweep come at once: something has changed."""
        self._nudge.set()

    def close(self) -> None:
        """Wake everybody: there will be no more sweeps."""
        self._closed = True
        self._nudge.set()
        for watch in list(self._asleep):
            self.wake(watch)

    def _join(self, watch: Watch) -> None:
        if watch not in self._watches:
            self._watches.add(watch)
            self._fresh.add(watch)
            self._index = None
            self._nudge.set()

    async def _sleep(self, watch: Watch) -> None:
        event = self._asleep[watch] = anyio.Event()
        try:
            await event.wait()
        finally:
            self._asleep.pop(watch, None)

    async def _tick(self) -> None:
        """Sleep until the next sweep is due, or somebody new has come; then sweep, and hand out the news."""
        with anyio.CancelScope(deadline=self._due):
            await self._nudge.wait()
        if self._closed:
            return
        self._nudge = anyio.Event()
        fresh = list(self._fresh)
        try:
            found = await self._sweep(fresh)
        except PASSING as error:
            self._pause(error)
        except CallsheetError as error:
            # For everybody: nobody may believe that nothing has changed.
            self._rest()
            error.provider = error.provider or self.provider.name
            for watch in list(self._watches):
                if not watch.errors:
                    watch.fail(error)
        else:
            self._rest()
            self._fresh.difference_update(fresh)
            if found:
                self._indexed().hand_out(found)
                self._index = None

    async def _sweep(self, fresh: list[Watch]) -> Mapping[str, Job | None]:
        if len(fresh) == len(self._watches):
            self._mark = None  # what has changed since an old mark is nobody's business
        found: dict[str, Job | None] = {}
        if self._mark is not None and fresh:
            index = Index(fresh)
            found.update((await self.provider.sweep(index.ids, index.filters, None)).jobs)
        index = self._indexed()
        sweep = await self.provider.sweep(index.ids, index.filters, self._mark)
        self._mark = sweep.mark
        return {**found, **sweep.jobs}

    def _indexed(self) -> Index:
        # Whoever has left without a word is noticed by the number.
        if self._index is None or self._index.watches != len(self._watches):
            self._index = Index(list(self._watches))
        return self._index

    def _rest(self) -> None:
        self._troubles, self.trouble = 0, None
        self._due = anyio.current_time() + self.provider.watch_interval

    def _pause(self, error: CallsheetError) -> None:
        self._troubles, self.trouble = self._troubles + 1, error
        if self._troubles == 1:
            logger.warning("watching %s: %s; going on", self.provider.tracker, error)
        pause = min(MAX_PAUSE, self.provider.watch_interval * 2 ** min(self._troubles, 16))
        asked = error.retry_after if isinstance(error, RateLimited) and error.retry_after else 0.0
        # Jittered, so that many clients do not come back together.
        self._due = anyio.current_time() + max(asked, random.uniform(pause / 2, pause))  # noqa: S311


class Index:
    """Who watches what: made once for as long as that does not change, so that an idle tick costs little."""

    def __init__(self, watches: list[Watch]) -> None:
        self.watches = len(watches)
        self._named: dict[str, list[weakref.ref[Watch]]] = defaultdict(list)
        self._filtering = [weakref.ref(watch) for watch in watches if watch.wanted is not None]
        for watch in watches:
            reference = weakref.ref(watch)
            for id_ in watch.following if watch.wanted is None else ():
                self._named[id_].append(reference)
        by_filter = (watch.following for watch in watches if watch.wanted is not None)
        self.ids = frozenset(self._named).union(*by_filter)
        self.filters = [watch.wanted for watch in watches if watch.wanted is not None]

    def hand_out(self, found: Mapping[str, Job | None]) -> None:
        """Tell each watch of the jobs that may be its own."""
        for id_, job in found.items():
            for reference in (*self._named.get(id_, ()), *self._filtering):
                watch = reference()
                if watch is not None:
                    watch.see(id_, job)


def _can_merge(news: JobChange | NotFound | None) -> bool:
    return isinstance(news, JobChange) and news.current is not None and not news.current.ended

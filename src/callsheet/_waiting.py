"""Waiting for jobs, any number of them, in one batched sweep a tick."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence
from typing import TypeAlias

import anyio

from callsheet import _checks
from callsheet._errors import InvalidRequest, NotFound, WaitTimeout
from callsheet._models import Job, JobState
from callsheet._watching import Sweeper, Watch
from callsheet.abc import Sweep

__all__ = ["Outcomes", "Until", "reached", "wait_for"]

Until: TypeAlias = Collection[JobState] | Callable[[Job], bool] | None
Outcomes: TypeAlias = dict[str, Job | NotFound]


def reached(until: Until) -> Callable[[Job], bool]:
    """Return the test of whether a job need not be waited for any longer; an ended job never need be."""
    if until is None:
        return lambda job: job.ended
    if callable(until):
        if inspect.iscoroutinefunction(until):
            raise InvalidRequest("until must be a plain function of the job, not an async one")
        predicate = until
        return lambda job: job.ended or predicate(job)
    states = _checks.state_set(until, "until")
    if not states:
        raise InvalidRequest("until names no state")
    return lambda job: job.ended or job.state in states


async def wait_for(
    sweeper: Sweeper, ids: Sequence[str], seen: dict[str, Job], *, timeout: float | None, until: Until
) -> Outcomes:
    """Return each job as it was when it was there, or the `NotFound` of one that is gone.

    Args:
        seen: What is known already, by id: kept up to date, for the error.

    Raises:
        WaitTimeout: Not all were there in time.
    """
    limit = None if timeout is None else _checks.seconds(timeout, "timeout")
    waiting = _Waiting(ids, reached(until), seen, sweeper.provider.name)
    if limit == 0:
        waiting.take_all(await sweeper.provider.sweep(frozenset(ids), [], None))
    else:
        with anyio.move_on_after(limit):
            await waiting.follow(Watch(sweeper, ids=ids))
    if waiting.late:
        raise waiting.timeout(limit) from sweeper.trouble
    return waiting.outcomes


class _Waiting:
    """What is known of the jobs that are waited for."""

    def __init__(
        self, ids: Sequence[str], enough: Callable[[Job], bool], seen: dict[str, Job], provider: str
    ) -> None:
        self.outcomes: Outcomes = {}
        self._ids = ids
        self._wanted = dict.fromkeys(ids)
        self._enough = enough
        self._seen = seen
        self._provider = provider

    @property
    def late(self) -> list[str]:
        """The jobs that are not there yet, in the order given."""
        return [id_ for id_ in self._wanted if id_ not in self.outcomes]

    async def follow(self, watch: Watch) -> None:
        while len(self.outcomes) < len(self._wanted):
            id_, news = await watch.take()
            self._take(id_, None if isinstance(news, NotFound) else news.current)
            if id_ in self.outcomes:
                watch.following.discard(id_)

    def take_all(self, sweep: Sweep) -> None:
        for id_, job in sweep.jobs.items():
            self._take(id_, job)

    def _take(self, id_: str, job: Job | None) -> None:
        if id_ in self.outcomes:
            return
        if job is None:
            gone = "is not there any more" if id_ in self._seen else "does not exist"
            self.outcomes[id_] = NotFound(f"job {id_!r} {gone}", provider=self._provider)
            return
        self._seen[id_] = job
        if self._enough(job):
            self.outcomes[id_] = job

    def timeout(self, limit: float | None) -> WaitTimeout:
        late = self.late
        first = self._seen.get(late[0])
        state = "not there yet" if first is None else f"still {first.state}"
        words = f"job {late[0]} is {state} after {limit:g} s"
        if len(self._wanted) > 1:
            words = f"{len(late)} of {len(self._wanted)} jobs are not there yet: {words}"
        there = {id_: job for id_, job in self.outcomes.items() if isinstance(job, Job)}
        return WaitTimeout(
            words,
            job=first,
            jobs=[there.get(id_) or self._seen.get(id_) for id_ in self._ids],
            provider=self._provider,
        )

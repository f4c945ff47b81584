"""Waiting for jobs, any number of them, in one batched sweep a tick."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeAlias

import anyio

from callsheet import _checks
from callsheet._errors import InvalidRequest, NotFound, WaitTimeout
from callsheet._models import Job, JobState
from callsheet._watching import Sweeper, Watch

__all__ = ["Outcomes", "Until", "reached", "wait_for"]

Until: TypeAlias = Collection[JobState] | Callable[[Job], bool] | None
Outcomes: TypeAlias = dict[str, Job | NotFound]


def reached(until: Until) -> Callable[[Job], bool]:
    """Return the test of whether a job need not be waited for any longer; an ended job never need be."""
    if until is None:
        return lambda job: job.ended
    if callable(until):
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
    enough = reached(until)
    limit = None if timeout is None else _checks.seconds(timeout, "timeout")
    outcomes: Outcomes = {}
    watch = Watch(sweeper, ids=ids)
    if limit == 0:
        await _look_once(watch, enough, seen, outcomes)
    else:
        with anyio.move_on_after(limit):
            await _follow(watch, enough, seen, outcomes)
    if len(outcomes) < len(set(ids)):
        late = [id_ for id_ in dict.fromkeys(ids) if id_ not in outcomes]
        words = f"{late[0]} is" if len(late) == 1 else f"{len(late)} of {len(set(ids))} jobs are"
        jobs: list[Any] = [outcomes.get(id_) or seen.get(id_) for id_ in ids]
        raise WaitTimeout(
            f"{words} not there after {limit:g} s",
            job=seen.get(late[0]),
            jobs=[None if isinstance(job, NotFound) else job for job in jobs],
            provider=sweeper.provider.name,
        ) from sweeper.trouble
    return outcomes


async def _look_once(
    watch: Watch, enough: Callable[[Job], bool], seen: dict[str, Job], outcomes: Outcomes
) -> None:
    sweep = await watch.provider.sweep(frozenset(watch.following), [], None)
    for id_, job in sweep.jobs.items():
        _take_in(id_, job, enough, seen, outcomes)


async def _follow(
    watch: Watch, enough: Callable[[Job], bool], seen: dict[str, Job], outcomes: Outcomes
) -> None:
    wanted = len(watch.following)
    while len(outcomes) < wanted:
        id_, news = await watch.take()
        if isinstance(news, NotFound):
            outcomes[id_] = news
        elif _take_in(id_, news.current, enough, seen, outcomes):
            watch.following.discard(id_)


def _take_in(
    id_: str,
    job: Job | None,
    enough: Callable[[Job], bool],
    seen: dict[str, Job],
    outcomes: Outcomes,
) -> bool:
    """Note how a job was seen; return whether it need not be waited for any longer."""
    if job is None:
        gone = "vanished while it was waited for" if id_ in seen else "does not exist"
        outcomes.setdefault(id_, NotFound(f"job {id_!r} {gone}"))
        return True
    seen[id_] = job
    if enough(job):
        outcomes.setdefault(id_, job)
    return id_ in outcomes

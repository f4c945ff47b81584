"""One look at many watched jobs: what changed since the last one, by one indexed query."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import attrs
from sqlalchemy import Connection, bindparam, select

from callsheet._models import Job, JobFilter
from callsheet.abc import Sweep
from callsheet.providers.local import _jobs, _queries
from callsheet.providers.local._rows import job_of
from callsheet.providers.local._schema import counters, jobs, meta, tombstones

__all__ = ["sweep"]

PAGE = 1000


@attrs.frozen
class Mark:
    """A moment in the life of one database: its id, and the last transaction seen."""

    tracker_id: str
    seq: int


_NOW = select(
    select(meta.c.value).where(meta.c.name == "tracker").scalar_subquery(),
    select(counters.c.value).where(counters.c.name == "seq").scalar_subquery(),
)
_CHANGED = select(jobs).where(jobs.c.seq > bindparam("since"))
_GONE = select(tombstones.c.id).where(tombstones.c.seq > bindparam("since"))


def sweep(
    db: Connection, tracker: str, ids: Collection[str], wanted: Sequence[JobFilter], mark: Any
) -> Sweep:
    """Return the jobs of `ids` and of the filters that changed since the mark, or all without one."""
    now = Mark(*db.execute(_NOW).one())
    if mark == now:
        return Sweep({}, now)
    # A database that was put in this one's place, or brought back from a copy, counts from elsewhere.
    if isinstance(mark, Mark) and mark.tracker_id == now.tracker_id and mark.seq <= now.seq:
        return Sweep(_changed(db, tracker, frozenset(ids), wanted, mark.seq), now)
    return Sweep(_all(db, tracker, list(ids), wanted), now)


def _changed(
    db: Connection, tracker: str, ids: frozenset[str], wanted: Sequence[JobFilter], since: int
) -> dict[str, Job | None]:
    found: dict[str, Job | None] = {}
    for row in db.execute(_CHANGED, {"since": since}):
        if row[0] in ids or wanted:
            job = job_of(tracker, tuple(row))
            if job.id in ids or any(filter_.matches(job) for filter_ in wanted):
                found[job.id] = job
    for id_ in db.execute(_GONE, {"since": since}).scalars():
        if id_ in ids:
            found[id_] = None
    return found


def _all(db: Connection, tracker: str, ids: list[str], wanted: Sequence[JobFilter]) -> dict[str, Job | None]:
    found: dict[str, Job | None] = dict(zip(ids, _jobs.get(db, tracker, ids), strict=True))
    for filter_ in wanted:
        after = None
        more = True
        while more:
            rows = _queries.page(db, filter_, after, PAGE)
            listed = [job_of(tracker, row) for row in rows]
            found |= {job.id: job for job in listed}
            more = len(rows) == PAGE
            after = _queries.place_of(listed[-1]) if more else None
    return found

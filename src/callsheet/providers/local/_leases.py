"""Leases: who works on a job, until when, and what becomes of it when the worker falls silent.

A lease is a deadline on the clock of this boot, and a fence: a number that grows each time the lease is given
out or taken away. A worker whose fence is not the job's has lost it, and writes nothing more.
"""

from __future__ import annotations

from typing import Any

import attrs
from sqlalchemy import BindParameter, CompoundSelect, Connection, bindparam, select, union_all

from callsheet._errors import Conflict, LeaseLost
from callsheet._models import Job, JobChanges, JobState
from callsheet.providers.local._database import Transaction
from callsheet.providers.local._jobs import changed, missing_job, rows_by_id, save
from callsheet.providers.local._making import Order, create
from callsheet.providers.local._rows import ENDED, job_of_mapping
from callsheet.providers.local._schema import jobs
from callsheet.providers.local._stamps import boot_id, monotonic_us

__all__ = ["Expired", "Lease", "beat", "check", "claim", "reap"]

LOST = "lost"
"""The problem of a job whose worker fell silent."""

# Over the end that another has set to a job, a worker writes only how its own work ended.
_LAST_WORDS = {"state", "problem", "progress", "message"}


@attrs.frozen
class Lease:
    """What a worker must show at each beat: its fence, and the length of its lease in microseconds."""

    fence: int
    length: int


def claim(
    transaction: Transaction, wanted: list[tuple[Order | str, int]]
) -> list[tuple[Job, Lease] | Exception]:
    """Make or find each job, set it RUNNING, and give out its lease of that many microseconds."""
    made = iter(create(transaction, [target for target, _ in wanted if isinstance(target, Order)]))
    found = [target if isinstance(target, str) else _id(next(made)) for target, _ in wanted]
    rows = rows_by_id(transaction.db, (id_ for id_ in found if isinstance(id_, str)))
    claimed: dict[str, dict[str, Any]] = {}
    answers: list[tuple[Job, Lease] | Exception] = []
    for id_, (_, length) in zip(found, wanted, strict=True):
        if isinstance(id_, Exception):
            answers.append(id_)
        elif id_ not in rows:
            answers.append(missing_job(id_))
        elif _is_live(rows[id_]):
            answers.append(Conflict(f"another worker holds the lease of job {id_}", provider="local"))
        else:
            row = claimed[id_] = rows[id_]
            problem = {"problem": None} if row["state"] in ENDED else {}
            changed(row, {"state": JobState.RUNNING} | problem, transaction)
            row["fence"] += 1
            lease = Lease(row["fence"], length)
            _renew(row, lease)
            answers.append((job_of_mapping(transaction.tracker, row), lease))
    save(transaction.db, claimed.values())
    return answers


def _id(made: list[Job] | Exception) -> str | Exception:
    return made if isinstance(made, Exception) else made[0].id


def _is_live(row: dict[str, Any]) -> bool:
    if row["lease_until"] is None or row["boot"] != boot_id():
        return False
    now = monotonic_us()
    # A lease from the future was not taken on this clock.
    return bool(row["lease_until"] - row["lease_length"] <= now <= row["lease_until"])


def _renew(row: dict[str, Any], lease: Lease) -> None:
    row |= {
        "lease_until": monotonic_us() + lease.length,
        "lease_length": lease.length,
        "boot": boot_id(),
    }


def beat(transaction: Transaction, wanted: list[tuple[str, Lease, JobChanges]]) -> list[Job | Exception]:
    """Renew each lease and make the changes. Without changes the job counts as unchanged."""
    rows = rows_by_id(transaction.db, (id_ for id_, _, _ in wanted))
    touched: dict[str, dict[str, Any]] = {}
    answers: list[Job | Exception] = []
    for id_, lease, changes in wanted:
        row = rows.get(id_)
        if row is None:
            answers.append(missing_job(id_))
        elif row["fence"] != lease.fence:
            answers.append(_lost(row))
        else:
            _beat(transaction, row, lease, changes.given())
            touched[id_] = row
            answers.append(job_of_mapping(transaction.tracker, row))
    save(transaction.db, touched.values())
    return answers


def _beat(transaction: Transaction, row: dict[str, Any], lease: Lease, given: dict[str, Any]) -> None:
    ending = "state" in given and given["state"].value in ENDED
    if row["state"] in ENDED:
        given = {name: given[name] for name in given if ending and name in _LAST_WORDS}
    else:
        _renew(row, lease)
    if given:
        changed(row, given, transaction)


def _lost(row: dict[str, Any]) -> LeaseLost:
    if row["problem"] == LOST:
        text = f"job {row['id']} was declared lost, as its worker was silent for too long"
    else:
        text = f"job {row['id']} was given to another worker"
    return LeaseLost(text, provider="local")


# -- leases that ran out -------------------------------------------------------------------------------------


class Expired(Exception):
    """There are jobs to reap before anything is read."""


def check(db: Connection) -> None:
    """Raise `Expired` if a lease has run out."""
    if db.execute(_ANY_EXPIRED, _clock()).first() is not None:
        raise Expired


def reap(transaction: Transaction, wanted: list[None]) -> list[None]:
    """Set the jobs FAILED whose lease has run out."""
    lost = rows_by_id(transaction.db, transaction.db.execute(_EXPIRED, _clock()).scalars().all())
    for row in lost.values():
        changed(row, {"state": JobState.FAILED, "problem": LOST}, transaction)
        row["fence"] += 1
    save(transaction.db, lost.values())
    return wanted


def _clock() -> dict[str, Any]:
    return {"here": boot_id(), "now": monotonic_us()}


def _expired() -> CompoundSelect[str]:
    """Select the ids of all jobs with a lease that has run out: four looks into small indexes."""
    here: BindParameter[str] = bindparam("here")
    now: BindParameter[int] = bindparam("now")
    ways = (
        [jobs.c.boot == here, jobs.c.lease_until < now],
        # From the future, so not taken on this clock.
        [jobs.c.boot == here, jobs.c.lease_until - jobs.c.lease_length > now],
        [jobs.c.boot < here],
        [jobs.c.boot > here],
    )
    return union_all(*(select(jobs.c.id).where(jobs.c.lease_until.is_not(None), *way) for way in ways))


# Made once: to put a statement together costs more than to run it, and every look begins with this one.
_EXPIRED = _expired()
_ANY_EXPIRED = _EXPIRED.limit(1)

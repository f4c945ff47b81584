"""Tracked jobs: a worker's lease on each, and what becomes of those whose worker fell silent."""

from __future__ import annotations

from callsheet import _checks
from callsheet._errors import Conflict, LeaseLost
from callsheet._models import Job, JobChanges, JobFilter, JobState, NewJob, Position
from callsheet.abc import Claim
from callsheet.providers.ftrack._jobs import JobCalls, check_types
from callsheet.providers.ftrack._leases import LAST_WORDS, LOST, Lease, is_live, is_stale, token_of
from callsheet.providers.ftrack._record import ENDED, STATUSES, decoded, part
from callsheet.providers.ftrack._revising import Edit, Kept
from callsheet.providers.ftrack._server import PAGE

__all__ = ["TrackingCalls"]


class TrackingCalls(JobCalls):
    """The calls of `callsheet.abc.Provider` that are about tracking."""

    async def claim_job(self, job: NewJob | str, *, lease: float, grace: float) -> Claim:
        """Make a job, or adopt one by id, set it RUNNING, and take its lease by a beat in its `data`.

        Raises:
            Conflict: Another worker holds the lease, or the job's key was used for another request.
            NotFound: There is no job of that id.
        """
        ours = Lease(lease + grace)
        if isinstance(job, NewJob):
            check_types([job])
            beat = ours.beat(self._server.now())
            (draft,) = await self._drafts([job], beat)
            made = (await self._make([draft]))[draft.id]
            if token_of(part(decoded(made.raw.get("data")))) == ours.token:
                return Claim(made, ours)
            job = made.id
        return await self._adopt(job, ours)

    async def _adopt(self, id_: str, ours: Lease) -> Claim:
        def take(kept: Kept) -> Edit:
            now = self._server.now()
            if token_of(kept.record) != ours.token and is_live(kept.record, now):
                raise Conflict(f"another worker holds the lease of job {id_}", provider=self.name)
            problem = {"problem": None} if kept.job.ended else {}
            return Edit({"state": JobState.RUNNING} | problem, {"beat": ours.beat(now)})

        return Claim((await self._revise([id_], take))[id_], ours)

    async def beat_job(self, claim: Claim, changes: JobChanges) -> Job:
        """Write a beat, and the changes with it.

        A job that has ended from elsewhere is returned as it is; only how our own work ended is written over
        that. If another program wiped our beat out together with the rest of `data`, it is written anew.

        Raises:
            LeaseLost: Another worker's beat stands there, or the job was declared lost.
            NotFound: The job is gone.
        """
        id_, ours, given = claim.job.id, claim.token, changes.given()
        assert isinstance(ours, Lease)

        def beat(kept: Kept) -> Edit | None:
            if token_of(kept.record) not in (ours.token, None):
                raise _lost(kept.job)
            if not kept.job.ended:
                return Edit(given, {"beat": ours.beat(self._server.now())})
            ending = "state" in given and STATUSES[given["state"]] in ENDED
            last_words = {name: given[name] for name in given if ending and name in LAST_WORDS}
            return Edit(last_words) if last_words else None

        return (await self._revise([id_], beat))[id_]

    async def reap(self, *, stale_for: float | None = None, dry_run: bool = True) -> list[Job]:
        """Find running jobs whose worker fell silent, and with `dry_run=False` set them FAILED, "lost".

        Only jobs of `jobs.track` and `callsheet run` are looked at: others leave no beat. Every running job
        is read for it, in pages of 500.

        Args:
            stale_for: Seconds since the last beat; by default each job's own lease, with its grace.
            dry_run: Only return them, as they are.

        Returns:
            The jobs, newest first; as they are afterwards.

        Raises:
            InvalidRequest: `stale_for` is no number of seconds.
        """
        if stale_for is not None:
            stale_for = _checks.seconds(stale_for, "stale_for")
        found: list[Job] = []
        running = JobFilter(states=frozenset({JobState.RUNNING}))
        after: Position | None = None
        while True:
            page = await self.page_jobs(running, after=after, size=PAGE)
            found += [job for job in page.items if self._is_stale(job, stale_for)]
            if page.next is None:
                break
            after = page.next
        return found if dry_run else [await self._reap(job, stale_for) for job in found]

    async def _reap(self, job: Job, stale_for: float | None) -> Job:
        def declare_lost(kept: Kept) -> Edit | None:
            # It may have come to life, or to its end, since it was found.
            if kept.job.ended or not self._is_stale(kept.job, stale_for):
                return None
            return Edit({"state": JobState.FAILED, "problem": LOST}, {"beat": {"token": LOST}})

        return (await self._revise([job.id], declare_lost))[job.id]

    def _is_stale(self, job: Job, stale_for: float | None) -> bool:
        return is_stale(part(decoded(job.raw.get("data"))), self._server.now(), stale_for)


def _lost(job: Job) -> LeaseLost:
    silent = "declared lost, as its worker was silent for too long"
    why = silent if job.problem == LOST else "given to another worker"
    return LeaseLost(f"job {job.id} was {why}", provider="ftrack")

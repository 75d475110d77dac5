"""The worker's side of the job records: take a job, keep it while working, and end it, fenced against a second worker.

A worker that was paused or cut off may find that its job was given to another: then every write is refused.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from service.errors import LostTooOften
from service.jobs import scripts
from service.jobs.owner import Owner, belongs_to, is_dead
from service.jobs.record import JobRecord, JobState, StoredResult, hash_fields, record_from_hash
from service.jobs.renewal import renewed
from service.kind import Kind
from service.redis.connection import Client
from service.redis.scripts import arguments

logger = logging.getLogger(__name__)


class LeaseLost(Exception):
    """The job is no longer this worker's. erased: its client cancelled it, so that its files are to go as well."""

    def __init__(self, verdict: str) -> None:
        super().__init__(verdict)
        self.erased = verdict in ("cancelled", "erased")


@dataclass(frozen=True)
class LeaseTerms:
    """lease_seconds: silence that costs the job. max_attempts: losses that fail it. lifetime: of an ended job."""

    lease_seconds: float
    max_attempts: int
    lifetime_seconds: int

    @property
    def problem(self) -> str:
        """The error of a job that was lost too often, as JSON."""
        detail = (
            f"its worker stopped {self.max_attempts} times while it ran; a smaller image or a shorter sound may help"
        )
        return json.dumps(LostTooOften(detail).problem())


class Lease:
    """A job that this process holds. Methods raise LeaseLost as soon as it does not any more."""

    def __init__(self, client: Client, owner: Owner, terms: LeaseTerms, record: JobRecord) -> None:
        self.record = record
        self._terms = terms
        self._held_by = {"id": record.id, "owner": str(owner), "attempt": record.attempt}
        self._renew = client.register_script(scripts.RENEW)
        self._finish = client.register_script(scripts.FINISH)
        self._release = client.register_script(scripts.RELEASE)

    def progress(self, done: int, total: int | None = None) -> None:
        """Say how much is done, and learn whether to go on; called between the model's runs.

        total: of how much, where that was not known when the job came in.
        """
        known = {"done": done} if total is None else {"done": done, "total": total}
        self._check(self._renew(args=arguments(**self._held_by, lease=self._terms.lease_seconds, **known)))

    def succeed(self, results: Sequence[StoredResult], seconds: dict[str, float], done: int | None = None) -> None:
        """End the job with its results, which are stored already. done: how much it was; None for as announced."""
        self._end(
            JobState.SUCCEEDED,
            results=[result.model_dump(mode="json") for result in results],
            seconds=seconds,
            done=self.record.total if done is None else done,
        )

    def fail(self, problem: dict[str, Any]) -> None:
        """End the job with a problem document."""
        self._end(JobState.FAILED, error=problem)

    def release(self) -> None:
        """Queue the job again, unharmed: what is in its way is no fault of it. Its new message is the caller's."""
        self._check(self._release(args=arguments(**self._held_by, lost="")))

    @contextmanager
    def renewed(self) -> Iterator[None]:
        """Renew the lease as long as the block runs; that it is lost, the worker learns from its next report."""

        def renew() -> bool:
            verdict = self._renew(args=arguments(**self._held_by, lease=self._terms.lease_seconds))
            return bool(verdict == "held")

        with renewed(renew, self._terms.lease_seconds, f"job {self.record.id}"):
            yield

    def _end(self, state: JobState, **values: Any) -> None:
        end = {"state": state.value, "fields": hash_fields(**values), "lifetime": self._terms.lifetime_seconds}
        self._check(self._finish(args=arguments(**self._held_by, **end)))

    @staticmethod
    def _check(verdict: str) -> None:
        if verdict != "held":
            raise LeaseLost(verdict)


def claim(client: Client, job_id: str, owner: Owner, terms: LeaseTerms) -> Lease | None:
    """Take the job, or None if there is nothing to do: it has ended, was cancelled, or a live worker holds it.

    A job whose worker is dead or silent is taken over; after `max_attempts` such losses it fails instead.
    """
    take = client.register_script(scripts.CLAIM)
    wanted = arguments(id=job_id, owner=str(owner), lease=terms.lease_seconds)
    verdict, *more = take(args=wanted)
    if verdict == "busy":
        holder, attempt, lease = more
        lost = "dead" if is_dead(holder) else "overdue" if lease == "overdue" else ""
        if lost and release_lost(client, job_id, holder, int(attempt), lost, terms):
            verdict, *more = take(args=wanted)
    if verdict != "claimed":
        logger.info("job %s is left alone: %s", job_id, verdict)
        return None
    fields = dict(zip(more[0][::2], more[0][1::2], strict=True))
    return Lease(client, owner, terms, record_from_hash(job_id, fields))


def release_lost(client: Client, job_id: str, holder: str, attempt: int, lost: str, terms: LeaseTerms) -> bool:
    """Queue a job again whose holder is lost, `dead` or `overdue`; False if it failed for that, or is not lost."""
    about = {"id": job_id, "owner": holder, "attempt": attempt, "lost": lost}
    limits = {"max_attempts": terms.max_attempts, "problem": terms.problem, "lifetime": terms.lifetime_seconds}
    return bool(client.register_script(scripts.RELEASE)(args=arguments(**about, **limits)) == "held")


def release_all(client: Client, worker: str) -> list[tuple[str, Kind]]:
    """Queue again, unharmed, whatever the processes of a worker that has stopped still hold: ids and kinds.

    Their new messages are the caller's.
    """
    released = []
    for job_id in client.zrange("adis:running", 0, -1):
        owner, attempt, kind = client.hmget(f"adis:job:{job_id}", "owner", "attempt", "kind")
        if owner and belongs_to(owner, worker):
            about = arguments(id=job_id, owner=owner, attempt=int(attempt), lost="")
            if client.register_script(scripts.RELEASE)(args=about) == "held":
                released.append((job_id, kind))
    return released

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
from service.jobs.connection import Client
from service.jobs.owner import Owner, belongs_to, is_dead
from service.jobs.record import JobRecord, JobState, StoredResult, hash_fields, record_from_hash
from service.jobs.renewal import renewed

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
        self._owner = str(owner)
        self._terms = terms
        self._keep = client.register_script(scripts.KEEP)
        self._finish = client.register_script(scripts.FINISH)
        self._release = client.register_script(scripts.RELEASE)

    def progress(self, done: int, total: int | None = None) -> None:
        """Say how much is done, and learn whether to go on; called between the model's runs.

        total: of how much, where that was not known when the job came in.
        """
        more = [] if total is None else [total]
        self._check(self._keep(args=[*self._held_by(), self._terms.lease_seconds, done, *more]))

    def succeed(self, results: Sequence[StoredResult], seconds: dict[str, float], done: int | None = None) -> None:
        """End the job with its results, which are stored already. done: how much it was; None for as announced."""
        self._end(
            JobState.SUCCEEDED,
            results=[result.model_dump(mode="json") for result in results],
            seconds=seconds,
            done=self.record.total if done is None else done,
        )

    def release(self) -> None:
        """Queue the job again, unharmed: what is in its way is no fault of it."""
        self._check(self._release(args=self._held_by()))

    def fail(self, problem: dict[str, Any]) -> None:
        """End the job with a problem document."""
        self._end(JobState.FAILED, error=problem)

    @contextmanager
    def renewed(self) -> Iterator[None]:
        """Renew the lease as long as the block runs; that it is lost, the worker learns from its next report."""

        def renew() -> bool:
            return bool(self._keep(args=[*self._held_by(), self._terms.lease_seconds, ""]) == "held")

        with renewed(renew, self._terms.lease_seconds, f"job {self.record.id}"):
            yield

    def _end(self, state: JobState, **values: Any) -> None:
        pairs = [part for pair in hash_fields(**values).items() for part in pair]
        self._check(self._finish(args=[*self._held_by(), state.value, self._terms.lifetime_seconds, *pairs]))

    def _held_by(self) -> list[str | int]:
        return [self.record.id, self._owner, self.record.attempt]

    @staticmethod
    def _check(verdict: str) -> None:
        if verdict != "held":
            raise LeaseLost(verdict)


def claim(client: Client, job_id: str, owner: Owner, terms: LeaseTerms) -> Lease | None:
    """Take the job, or None if there is nothing to do: it has ended, was cancelled, or a live worker holds it.

    A job whose worker is known to be dead is taken over at once; after `max_attempts` such losses it fails instead.
    """
    take = client.register_script(scripts.CLAIM)
    words = [terms.lease_seconds, terms.max_attempts, terms.problem, terms.lifetime_seconds]
    verdict, *more = take(args=[job_id, str(owner), "", *words])
    if verdict == "busy" and is_dead(holder := more[0]):
        verdict, *more = take(args=[job_id, str(owner), holder, *words])
    if verdict != "claimed":
        logger.info("job %s is left alone: %s", job_id, verdict)
        return None
    fields = dict(zip(more[0][::2], more[0][1::2], strict=True))
    return Lease(client, owner, terms, record_from_hash(job_id, fields))


def release_all(client: Client, worker: str) -> int:
    """Give back, unharmed, whatever the processes of a worker that has stopped still hold; returns how many."""
    release = client.register_script(scripts.RELEASE)
    released = 0
    for job_id in client.zrange("adis:due", 0, -1):
        owner, attempt = client.hmget(f"adis:job:{job_id}", "owner", "attempt")
        if owner and belongs_to(owner, worker) and release(args=[job_id, owner, attempt]) == "held":
            released += 1
    return released

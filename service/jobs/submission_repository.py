"""The API's side of the job records: take a job in, read it, cancel or erase it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from service.errors import IdempotencyMismatch, JobNotFound, QueueFull, TooManyRequests
from service.jobs import scripts
from service.jobs.record import JobRecord, StoredInput, hash_fields, record_from_hash
from service.jobs.wait_estimator import WaitEstimator
from service.kind import Kind
from service.redis.connection import AsyncClient
from service.redis.scripts import arguments


@dataclass(frozen=True)
class NewJob:
    """A job to be taken in. key: hash of the request's idempotency key, or empty.

    total: results, or (of a video) frames as far as its header tells. request_id, traceparent: of the HTTP request.
    api_key: id of the key that it came with, or empty. max_active: most jobs of that key that may wait or run; 0: any.
    more: further fields of the record.
    """

    id: str
    parameters: dict[str, Any]
    inputs: tuple[StoredInput, ...]
    fingerprint: str
    total: int
    key: str = ""
    kind: Kind = "image"
    api_key: str = ""
    max_active: int = 0
    request_id: str | None = None
    traceparent: str | None = None
    more: Mapping[str, str] = field(default_factory=dict)


class SubmissionRepository:
    """Job records as the API needs them; every change is one atomic script."""

    def __init__(
        self, client: AsyncClient, max_queue_length: int, lifetime_seconds: int, max_queue_bytes: int | None = None
    ) -> None:
        """max_queue_length, max_queue_bytes: of each kind of job; bytes of the uploads of all that did not end."""
        self._client = client
        self._max_queue_length = max_queue_length
        self._max_queue_bytes = max_queue_bytes
        self._lifetime_seconds = lifetime_seconds
        self._estimator = WaitEstimator(client)
        self._submit = client.register_script(scripts.SUBMIT)
        self._cancel = client.register_script(scripts.CANCEL)

    async def submit(self, job: NewJob, slots: int = 1) -> tuple[str, bool]:
        """Record `job` as queued, or find the job that its idempotency key belongs to: (id, is it new).

        The caller sends the message of a new one; where it cannot, the reaper does.

        slots: jobs that the workers do at once. Raises QueueFull, TooManyRequests if its API key has too many active
        jobs, or IdempotencyMismatch if the idempotency key came with another request.
        """
        about = {"request_id": job.request_id, "traceparent": job.traceparent, "api_key": job.api_key or None}
        fields = hash_fields(
            kind=job.kind,
            parameters=job.parameters,
            inputs=[stored.model_dump() for stored in job.inputs],
            fingerprint=job.fingerprint,
            total=job.total,
            unit="frames" if job.kind == "video" else "results",
            bytes=sum(stored.bytes for stored in job.inputs),
            **{name: value for name, value in about.items() if value is not None},
        )
        limits = {"max_waiting": self._max_queue_length, "max_bytes": self._max_queue_bytes or 0}
        caller = {"key": job.key, "api_key": job.api_key, "max_active": job.max_active}
        given = arguments(id=job.id, fields=fields | dict(job.more), **limits, **caller)
        verdict, detail = await self._submit(args=given)
        if verdict in ("jobs", "bytes"):
            there = "jobs are waiting" if verdict == "jobs" else "bytes of uploads are waiting or worked on"
            seconds = await self._estimator.retry_after(job.kind, slots)
            raise QueueFull(f"{detail} {there} already; try again in {seconds} s", retry_after=seconds)
        if verdict == "active":
            seconds = await self._estimator.retry_after(job.kind, slots)
            raise TooManyRequests(
                f"this key has {detail} jobs that wait or run, and may have no more; try again when one has ended",
                retry_after=seconds,
            )
        if verdict == "other":
            which = f"job {detail}, which is of" if job.api_key else "a job of"  # without a key its id is its secret
            raise IdempotencyMismatch(
                f"this Idempotency-Key belongs to {which} another request; use a new key",
                field="Idempotency-Key",
            )
        return detail, verdict == "new"

    async def read(self, job_id: str) -> JobRecord:
        """The record as it is now; raises JobNotFound."""
        fields = await self._client.hgetall(f"adis:job:{job_id}")
        if not fields:
            raise job_not_found(job_id)
        return record_from_hash(job_id, fields)

    async def jobs_ahead(self, record: JobRecord) -> int | None:
        """How many jobs wait before a queued one; None if it waits no more."""
        return await self._estimator.jobs_ahead(record.id, record.kind)

    async def seconds_until_done(self, record: JobRecord, slots: int) -> float | None:
        """How long a queued job will probably take from now on; None if that is not known, or it waits no more."""
        return await self._estimator.seconds_until_done(record.id, record.kind, slots)

    async def delete(self, job_id: str) -> None:
        """Cancel an active job, or erase the record of one that has ended; raises JobNotFound."""
        if await self._cancel(args=arguments(id=job_id, lifetime=self._lifetime_seconds)) == "unknown":
            raise job_not_found(job_id)

    async def exists(self, job_ids: list[str]) -> list[bool]:
        """For each id whether it has a record."""
        async with self._client.pipeline(transaction=False) as pipe:
            for job_id in job_ids:
                pipe.exists(f"adis:job:{job_id}")
            return [bool(found) for found in await pipe.execute()]


def job_not_found(job_id: str) -> JobNotFound:
    """The error for an id that has no record."""
    return JobNotFound(f"there is no job {job_id!r}; it may have expired or been deleted")

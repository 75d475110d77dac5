"""Both sides of the job records, without HTTP and without Celery."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import TypeVar

from service.jobs.lease import Lease, LeaseTerms, claim
from service.jobs.owner import Owner
from service.jobs.record import JobRecord, StoredInput, StoredResult
from service.jobs.submission_repository import NewJob, SubmissionRepository
from service.jobs.worker_registry import ModelSummary
from service.redis.connection import AsyncClient, Client, connect_async

Result = TypeVar("Result")

TERMS = LeaseTerms(lease_seconds=30, max_attempts=3, lifetime_seconds=100)
MODEL = ModelSummary(
    name="demo",
    version="1",
    sha256="0" * 64,
    license="MIT",
    clip_seconds=3.0,
    sample_rate_hz=16_000,
    native_size=256,
    size_multiple=8,
    sounds=("rain",),
    training={},
)


def new_job(fingerprint: str = "f", key: str = "", total: int = 1) -> NewJob:
    image = StoredInput(field="image", sha256="a" * 64, bytes=10)
    return NewJob(uuid.uuid4().hex, {"gain_db": -3.0}, (image,), fingerprint, total, key)


def with_client(url: str, work: Callable[[AsyncClient], Awaitable[Result]]) -> Result:
    """Run `work` with an asynchronous client in an event loop of its own."""

    async def run() -> Result:
        client = connect_async(url)
        try:
            return await work(client)
        finally:
            await client.aclose()

    return asyncio.run(run())


def submit(url: str, job: NewJob, most: int = 100) -> tuple[str, bool]:
    return with_client(url, lambda client: SubmissionRepository(client, most, TERMS.lifetime_seconds).submit(job))


def submitted(url: str, **values: str | int) -> str:
    """The id of a new job."""
    return submit(url, new_job(**values))[0]  # type: ignore[arg-type]


def read(url: str, job_id: str) -> JobRecord:
    return with_client(url, lambda client: SubmissionRepository(client, 100, TERMS.lifetime_seconds).read(job_id))


def delete(url: str, job_id: str) -> None:
    with_client(url, lambda client: SubmissionRepository(client, 100, TERMS.lifetime_seconds).delete(job_id))


def owner(worker: str = "worker", pid: int = 1) -> Owner:
    """A process of another machine: whether it lives cannot be known here."""
    return Owner("another-machine", pid, "1", worker)


def claimed(client: Client, job_id: str, by: Owner | None = None, terms: LeaseTerms = TERMS) -> Lease:
    lease = claim(client, job_id, by or owner(), terms)
    assert lease is not None
    return lease


def result() -> StoredResult:
    return StoredResult(
        sha256="b" * 64, bytes=5, media_type="image/png", width=2, height=1, gain_db=-3.0, heard={}, receipt={}
    )

"""What every route works with, opened when the API starts and closed when it stops."""

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Annotated, Final

from celery import Celery
from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from service.api.upload_limits import ProbeQueue, Shares, UploadGate
from service.auth.keys import ApiKeyRepository
from service.errors import Unavailable
from service.examples.catalogue import FOLDER as EXAMPLES_FOLDER
from service.jobs.events import JobEventBus
from service.jobs.queue import QUEUES, make_queue
from service.jobs.record import JobRecord, JobState
from service.jobs.submission_repository import SubmissionRepository
from service.jobs.worker_registry import WorkerRegistry, WorkerReport
from service.kind import Kind
from service.media.confinement import describe_confinement
from service.media.decoder_pool import DecoderPool
from service.media.landlock import READ
from service.media.limits import MediaLimits
from service.redis.connection import AsyncClient, connect_async
from service.settings import Settings
from service.storage.folder import Storage
from service.storage.open_storage import open_storage
from service.uploads.budget import UploadBudget
from service.uploads.repository import UploadRepository
from service.webhooks.deliverer import make_deliverer

logger = logging.getLogger(__name__)

_SWEEP_SECONDS: Final = 600.0
_QUICK_PROBES: Final = 2
_SLOW_PROBES: Final = 6
_RETRY_AFTER_SECONDS: Final = 5
_STORAGE_CHECK_KEPT_SECONDS: Final = 1.0
_STORAGE_CHECK_SECONDS: Final = 3.0
MOST_STREAMS: Final = 256  # of events, of one caller


class StorageCheck:
    """Whether the storage can be written to, looked at once a second at most, however many ask."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._gate = asyncio.Lock()
        self._looked = -math.inf
        self._problem: Exception | None = None

    async def check(self) -> None:
        """Raises what `check_writable` raised, or TimeoutError if that took too long."""
        async with self._gate:
            if time.monotonic() - self._looked > _STORAGE_CHECK_KEPT_SECONDS:
                try:
                    async with asyncio.timeout(_STORAGE_CHECK_SECONDS):
                        await run_in_threadpool(self._storage.check_writable)
                except (Unavailable, OSError) as problem:
                    self._problem = problem
                else:
                    self._problem = None
                self._looked = time.monotonic()
        if self._problem is not None:
            raise self._problem


@dataclass(frozen=True)
class Context:
    """What the routes share.

    upload_gate, upload_budget: how many uploads arrive at a time, and how many bytes.
    streams: how many streams of events each caller has.
    decoder_pool: probes uploads in processes of their own. probes: how many at a time.
    """

    settings: Settings
    client: AsyncClient
    keys: ApiKeyRepository
    submissions: SubmissionRepository
    uploads: UploadRepository
    event_bus: JobEventBus
    worker_registry: WorkerRegistry
    storage: Storage
    storage_check: StorageCheck
    celery: Celery
    decoder_pool: DecoderPool
    probes: ProbeQueue
    upload_gate: UploadGate
    upload_budget: UploadBudget
    streams: Shares

    async def ready_workers(self, kind: Kind | None, kept_seconds: float = 0.0) -> list[WorkerReport]:
        """The workers that take jobs of that kind (None: of any) now; raises Unavailable if there are none.

        kept_seconds: how old the word of one that is ready may be.
        """

        def takes(worker: WorkerReport) -> bool:
            return worker.runtime is not None and (kind is None or QUEUES[kind] in worker.queues)

        ready = list(filter(takes, await self.worker_registry.live(kept_seconds)))
        if kept_seconds and not ready:  # one may have come since
            ready = list(filter(takes, await self.worker_registry.live()))
        if not ready:
            wanted = f"no worker for {QUEUES[kind]}" if kind else "no worker"
            raise Unavailable(
                f"{wanted} is running, or it is still loading its model; try again soon",
                retry_after=_RETRY_AFTER_SECONDS,
            )
        return ready

    async def estimate(self, record: JobRecord) -> float | None:
        """Seconds until a queued job is done; None if nobody knows."""
        if record.state is not JobState.QUEUED:
            return None
        try:
            workers = await self.ready_workers(record.kind)
        except Unavailable:
            return None
        return await self.submissions.seconds_until_done(record, slots(workers))


def slots(workers: Sequence[WorkerReport]) -> int:
    """Jobs that they do at once."""
    return sum(worker.processes for worker in workers)


async def get_context(request: Request) -> Context:
    """The dependency of the routes."""
    context: Context = request.app.state.context
    return context


Using = Annotated[Context, Depends(get_context)]


@asynccontextmanager
async def open_context(settings: Settings, redis_url: str) -> AsyncIterator[Context]:
    """Everything of one API process, with its background tasks; raises OSError if nothing can be stored."""
    storage = open_storage(settings)
    await run_in_threadpool(storage.prepare)
    client = connect_async(redis_url)
    context = Context(
        settings=settings,
        client=client,
        keys=ApiKeyRepository(client),
        submissions=SubmissionRepository(
            client, settings.max_queue_length, settings.result_ttl_seconds, settings.max_queue_bytes
        ),
        uploads=UploadRepository(client, settings.result_ttl_seconds, settings.max_kept_upload_bytes),
        event_bus=JobEventBus(client),
        worker_registry=WorkerRegistry(client),
        storage=storage,
        storage_check=StorageCheck(storage),
        celery=make_queue(redis_url, settings.longest_job_seconds),
        decoder_pool=DecoderPool(MediaLimits.of(settings), kept=_QUICK_PROBES, files=_probed_files(storage)),
        probes=ProbeQueue(_QUICK_PROBES, _SLOW_PROBES),
        upload_gate=UploadGate(settings.max_uploads_at_once),
        upload_budget=UploadBudget(client, settings.max_queue_bytes, settings.max_kept_upload_bytes),
        streams=Shares(MOST_STREAMS),
    )
    tasks = [asyncio.create_task(context.event_bus.run()), asyncio.create_task(_sweep_for_ever(context))]
    if (deliverer := make_deliverer(client, context.submissions, settings)) is not None:
        tasks.append(asyncio.create_task(deliverer.run()))
    try:
        await run_in_threadpool(context.decoder_pool.warm_up)
        logger.info("decoders: %s", describe_confinement())
        yield context
    finally:
        context.event_bus.close()
        for task in tasks:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks)
        await client.aclose()
        await run_in_threadpool(context.celery.close)
        await run_in_threadpool(storage.close)
        await run_in_threadpool(context.decoder_pool.close)


def _probed_files(storage: Storage) -> dict[str, int]:
    """What helpers of the API may read: uploads and examples. The folder is made, so that it can be granted."""
    storage.jobs_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return {str(folder.resolve()): READ for folder in (storage.jobs_folder, EXAMPLES_FOLDER)}


async def _sweep_for_ever(context: Context) -> None:
    """Remove files whose job or upload has expired, now and then."""
    while True:
        try:
            await sweep(context)
        except Exception:
            logger.exception("the sweep of old files failed; it is tried again later")
        await asyncio.sleep(min(_SWEEP_SECONDS, context.settings.result_ttl_seconds))


async def sweep(context: Context) -> None:
    """Erase the files of jobs and uploads that are old and have no record."""
    await run_in_threadpool(context.storage.empty_trash)
    lifetime = context.settings.result_ttl_seconds
    stale = await run_in_threadpool(lambda: list(context.storage.stale_jobs(lifetime)))
    if not stale:
        return
    jobs, uploads = await context.submissions.exists(stale), await context.uploads.living(stale)
    for job_id, has_record, is_upload in zip(stale, jobs, uploads, strict=True):
        if not (has_record or is_upload):
            await run_in_threadpool(context.storage.erase, job_id)

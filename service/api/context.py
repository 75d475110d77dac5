"""What every route works with, opened when the API starts and closed when it stops."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Final

from celery import Celery
from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from service.api.storage_check import StorageCheck
from service.api.sweep import sweep_for_ever
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

_QUICK_PROBES: Final = 2
_SLOW_PROBES: Final = 6
_RETRY_AFTER_SECONDS: Final = 5
_CANCEL_AGAIN_SECONDS: Final = 1.0
MOST_STREAMS: Final = 256  # of events, of one caller


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
    tasks = [
        asyncio.create_task(context.event_bus.run()),
        asyncio.create_task(sweep_for_ever(storage, context.submissions, context.uploads, settings.result_ttl_seconds)),
    ]
    if (deliverer := make_deliverer(client, context.submissions, settings)) is not None:
        tasks.append(asyncio.create_task(deliverer.run()))
    try:
        await run_in_threadpool(context.decoder_pool.warm_up)
        logger.info("decoders: %s", describe_confinement())
        yield context
    finally:
        context.event_bus.close()
        await _end(tasks)  # all: what asked Redis after the next line would open a connection anew
        await client.aclose()
        await run_in_threadpool(context.celery.close)
        await run_in_threadpool(storage.close)
        await run_in_threadpool(context.decoder_pool.close)


async def _end(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel them until they have ended: a cancellation in the midst of an answer of Redis can be swallowed."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_CANCEL_AGAIN_SECONDS)


def _probed_files(storage: Storage) -> dict[str, int]:
    """What helpers of the API may read: uploads and examples. The folder is made, so that it can be granted."""
    storage.jobs_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return {str(folder.resolve()): READ for folder in (storage.jobs_folder, EXAMPLES_FOLDER)}

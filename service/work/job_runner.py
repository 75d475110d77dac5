"""Carry one job from its stored uploads to its stored results, or to the problem that stopped it."""

import errno
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from celery.exceptions import SoftTimeLimitExceeded
from redis.exceptions import RedisError

from service.errors import StorageUnavailable, StylizationError, TooLarge, Unavailable
from service.jobs.lease import Lease, LeaseLost, LeaseTerms, claim
from service.jobs.owner import this_process
from service.jobs.record import JobRecord, JobState, record_from_hash
from service.kind import Kind
from service.media.decoder_pool import DecoderPool
from service.observe import correlation, tracing
from service.observe.catalogue import RESULTS, WAIT_SECONDS, WORK_SECONDS
from service.observe.recorder import Recorder
from service.observe.stages import measured
from service.redis.connection import Client
from service.settings import Settings
from service.storage.folder import Storage
from service.work.engines import Engines
from service.work.image_job import run_image_job
from service.work.preview_job import run_preview_job
from service.work.segment_maker import NotWanted, help_with_video
from service.work.video_job import run_video_job
from service.work.worker_context import JobOutput, WorkerContext

logger = logging.getLogger(__name__)

_RUNNERS: Final[dict[Kind, Callable[[WorkerContext, Lease], JobOutput]]] = {
    "image": run_image_job,
    "video": run_video_job,
    "preview": run_preview_job,
}
_FAULT: Final = StylizationError("the service failed on this job; the fault is logged, and is not the request's")
_STORE_PAUSE_SECONDS: Final = 5.0  # a store that is away is not asked on behalf of one job after the other
_NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT)
_DISK_FULL: Final = Unavailable(
    "the result could not be stored, as the service's disk is full; send the request again later"
)


class JobRunner:
    """What one worker process needs for its jobs: the records, the files, the models and a decoder pool."""

    def __init__(
        self,
        client: Client,
        storage: Storage,
        engines: Engines,
        decoder_pool: DecoderPool,
        settings: Settings,
        worker: str,
        request_helpers: Callable[[str, int], None] = lambda _job_id, _count: None,
        resend: Callable[[str, Kind], None] = lambda _job_id, _kind: None,
    ) -> None:
        """resend: sends the message of a job that was queued again.

        request_helpers: asks that many other workers to `help` with the job, if they have time.
        """
        self._client = client
        self._resend = resend
        self._owner = this_process(worker)
        self._context = WorkerContext(storage, engines, decoder_pool, settings, client, self._owner, request_helpers)
        self._recorder = Recorder(client)
        self._terms = LeaseTerms(settings.lease_seconds, settings.max_attempts, settings.result_ttl_seconds)

    def run(self, job_id: str) -> None:
        """Work on the job if it is there to be worked on; its end is written into its record.

        Raises RedisError and kombu's OperationalError alone: the job is then given out again by the reaper.
        """
        lease = claim(self._client, job_id, self._owner, self._terms)
        if lease is None:
            return
        try:
            with self._observed(lease.record), lease.renewed():
                self._end(lease)
        except LeaseLost as lost:
            logger.info("job %s is given up: %s", job_id, lost)
            if lost.erased:
                self._erase(job_id)
        finally:
            self._context.storage.release_scratch(job_id)

    def help(self, job_id: str) -> None:
        """Make parts of a video that another worker holds, if there are any to be made.

        A part that cannot be made is left to the holder, who meets the same problem and reports it. Raises RedisError.
        """
        fields = self._client.hgetall(f"adis:job:{job_id}")
        if not fields:
            return
        try:
            record = record_from_hash(job_id, fields)
            with _belonging(record, "help"), measured(self._recorder, record.kind):
                made = help_with_video(self._context, record)
        except (NotWanted, FileNotFoundError):
            logger.info("job %s needs no more help", job_id)
        except (StylizationError, SoftTimeLimitExceeded, MemoryError) as exc:
            logger.warning("helping with job %s ended: %r", job_id, exc)
        else:
            logger.info("helped with %d parts of job %s", made, job_id)
        finally:
            self._recorder.add()
            self._context.storage.release_scratch(job_id)
        if self._client.hget(f"adis:job:{job_id}", "state") in (None, JobState.CANCELLED.value):
            self._erase(job_id)

    @contextmanager
    def _observed(self, record: JobRecord) -> Iterator[None]:
        """Log, trace and measure the job as its own; the sums go out when its client has the answer already."""
        if record.started is not None and record.attempt == 1:
            self._recorder.measure(WAIT_SECONDS, record.started - record.created, record.kind)
        began = time.perf_counter()
        try:
            with _belonging(record, "job"), measured(self._recorder, record.kind):
                yield
        finally:
            self._recorder.measure(WORK_SECONDS, time.perf_counter() - began, record.kind)
            self._recorder.add()

    def _end(self, lease: Lease) -> None:
        """Make the results and end the job with them, or with the problem in the way."""
        job_id = lease.record.id
        try:
            made = _RUNNERS[lease.record.kind](self._context, lease)
        except StorageUnavailable:
            logger.warning("job %s waits for the storage, and is queued again", job_id)
            time.sleep(_STORE_PAUSE_SECONDS)
            lease.release()
            self._resend(job_id, lease.record.kind)
        except StylizationError as problem:
            logger.info("job %s failed: %s", job_id, problem.detail)
            tracing.mark_failed(problem.type)
            self._fail(lease, problem)
        except SoftTimeLimitExceeded:
            most = self._context.settings.max_seconds(lease.record.kind)
            self._fail(lease, TooLarge(f"it took longer than {most} s; ask for less"))
        except MemoryError:
            kind = lease.record.kind
            field = "image" if kind == "image" else "video"
            self._fail(lease, TooLarge(f"the {field} does not fit in memory; send a smaller one", field=field))
        except (LeaseLost, RedisError):
            raise
        except Exception as exc:
            lease.progress(0)  # a file may be missing because the job was cancelled: then it is no fault
            logger.exception("job %s met a fault", job_id)
            fault = _DISK_FULL if isinstance(exc, OSError) and exc.errno in _NO_SPACE else _FAULT
            tracing.mark_failed(fault.type)
            self._fail(lease, fault)
        else:
            lease.succeed(made.results, made.seconds, made.done)
            self._recorder.count(RESULTS, lease.record.kind, by=len(made.results))
            logger.info("job %s succeeded: %s", job_id, made.seconds)

    def _erase(self, job_id: str) -> None:
        """What was stored while the job was erased; the sweep of old files finds what stays."""
        try:
            self._context.storage.erase(job_id)
        except StorageUnavailable:
            logger.warning("files of job %s stay until they are swept up", job_id)

    def _fail(self, lease: Lease, problem: StylizationError) -> None:
        """The job's end; nothing will be made of what it left."""
        lease.fail(problem.problem())
        self._context.storage.clear_work(lease.record.id)


@contextmanager
def _belonging(record: JobRecord, what: str) -> Iterator[None]:
    """Log lines and spans of the block belong to the job and to the request that brought it."""
    about: dict[str, tracing.Value] = {
        "adis.job.id": record.id,
        "adis.job.kind": record.kind,
        "adis.job.attempt": record.attempt,
    }
    with (
        correlation.working_on(record.id, record.request_id),
        tracing.span(f"{what} {record.kind}", about, record.traceparent, "CONSUMER"),
    ):
        yield

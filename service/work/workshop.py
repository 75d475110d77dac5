"""Carry one job from its stored uploads to its stored results, or to the problem that stopped it."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from celery.exceptions import SoftTimeLimitExceeded
from redis.exceptions import RedisError

from service.errors import StylizationError, TooLarge
from service.jobs.connection import Client
from service.jobs.lease import Lease, LeaseLost, LeaseTerms, claim
from service.jobs.owner import this_process
from service.jobs.record import StoredResult
from service.jobs.storage import Storage
from service.media.audio import decode_audio
from service.media.image import MEDIA_TYPES, decode_image, encode_image
from service.settings import Settings
from service.work.engines import Engines
from service.work.picture import Stylization, stylize_picture
from service.work.receipt import write_receipt
from service.work.requests import PictureRequest

logger = logging.getLogger(__name__)

_FAULT: Final = StylizationError("the service failed on this job; the fault is logged, and is not the request's")


class _Stopwatch:
    """Seconds spent in each part of a job."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def measure(self, part: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[part] = round(self.seconds.get(part, 0.0) + time.perf_counter() - began, 6)


class Workshop:
    """What one worker process needs for its jobs: the records, the files and the models."""

    def __init__(self, client: Client, storage: Storage, engines: Engines, settings: Settings, worker: str) -> None:
        self._client = client
        self._storage = storage
        self._engines = engines
        self._settings = settings
        self._owner = this_process(worker)
        self._terms = LeaseTerms(settings.lease_seconds, settings.max_attempts, settings.result_ttl_seconds)

    def run(self, job_id: str) -> None:
        """Work on the job if it is there to be worked on; its end is written into its record.

        Raises RedisError alone: the job then stays as it is, and is given out again when its lease runs out.
        """
        lease = claim(self._client, job_id, self._owner, self._terms)
        if lease is None:
            return
        try:
            with lease.renewed():
                self._end(lease)
        except LeaseLost as lost:
            logger.info("job %s is given up: %s", job_id, lost)
            if lost.erased:
                self._storage.erase(job_id)

    def _end(self, lease: Lease) -> None:
        """Make the results and end the job with them, or with the problem in the way."""
        job_id = lease.record.id
        try:
            results, seconds = self._stylize(lease)
        except StylizationError as problem:
            logger.info("job %s failed: %s", job_id, problem.detail)
            lease.fail(problem.problem())
        except SoftTimeLimitExceeded:
            lease.fail(TooLarge(f"it took longer than {self._settings.max_job_seconds} s; ask for less").problem())
        except MemoryError:
            lease.fail(TooLarge("it does not fit in memory; send a smaller picture", field="image").problem())
        except (LeaseLost, RedisError):
            raise
        except Exception:
            lease.progress(0)  # a file may be missing because the job was cancelled: then it is no fault
            logger.exception("job %s met a fault", job_id)
            lease.fail(_FAULT.problem())
        else:
            lease.succeed(results, seconds)
            logger.info("job %s succeeded: %s", job_id, seconds)

    def _stylize(self, lease: Lease) -> tuple[list[StoredResult], dict[str, float]]:
        """Decode, stylize, encode and store; also the seconds that each took."""
        record, watch = lease.record, _Stopwatch()
        request = PictureRequest.model_validate(record.parameters)
        limits = self._settings.media_limits
        max_side = min(request.max_side or self._settings.max_side, self._settings.max_side)
        with watch.measure("model"):
            engine = self._engines.get(request.model)
        paths = {
            field: [self._storage.input_path(record.id, one.sha256) for one in record.inputs if one.field == field]
            for field in ("image", "audio")
        }
        with watch.measure("decode"):
            pixels = decode_image(paths["image"][0], limits, max_side)
            waveforms = [decode_audio(path, limits, engine.manifest.sample_rate_hz) for path in paths["audio"]]
        stylizations = stylize_picture(
            engine,
            pixels,
            waveforms,
            request,
            lambda done, _total: lease.progress(done),
            comfortable_side=self._settings.comfortable_side,
        )
        results: list[StoredResult] = []
        while True:
            with watch.measure("stylize"):
                stylization = next(stylizations, None)
            if stylization is None:
                return results, watch.seconds
            with watch.measure("encode"):
                results.append(self._store(lease, request, stylization))

    def _store(self, lease: Lease, request: PictureRequest, stylization: Stylization) -> StoredResult:
        content = encode_image(stylization.pixels, request.format)
        sha256 = self._storage.write_result(lease.record.id, content)
        return StoredResult(
            sha256=sha256,
            bytes=len(content),
            media_type=MEDIA_TYPES[request.format],
            width=stylization.pixels.shape[1],
            height=stylization.pixels.shape[0],
            gain_db=stylization.gain_db,
            heard=stylization.heard.model_dump(mode="json"),
            receipt=write_receipt(stylization, request, lease.record.inputs, sha256),
        )

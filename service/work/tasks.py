"""The Celery entry points, and what they need in each pool process.

The model is opened in the pool process and never before the fork, which CUDA would not survive; so whatever imports
ONNX Runtime is imported there.
"""

import logging
import os
import signal
from functools import partial
from typing import TYPE_CHECKING, Final

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from service import __version__
from service.errors import StylizationError
from service.jobs.queue import HELP_WITH_VIDEO, TASKS, hard_limit, send, send_help
from service.jobs.worker_registry import Runtime, WorkerRegistration
from service.observe.tracing import start_tracing, stop_tracing
from service.redis.connection import connect_patiently
from service.settings import Settings
from service.storage.open_storage import open_storage

if TYPE_CHECKING:
    from service.media.decoder_pool import DecoderPool
    from service.storage.folder import Storage
    from service.work.job_runner import JobRunner

logger = logging.getLogger(__name__)

_MOST_HELPERS: Final = 64
_CPU_SECONDS: Final = 60  # for an upload, or a frame or a second of sound of it
_WALL_SECONDS: Final = 300


class PoolProcess:
    """One pool process of the worker `worker`; empty until `open` is called in it."""

    def __init__(self, app: Celery, settings: Settings, redis_url: str, worker: str) -> None:
        self._app = app
        self._settings = settings
        self._redis_url = redis_url
        self._worker = worker
        self._runner: JobRunner | None = None
        self._decoder_pool: DecoderPool | None = None
        self._storage: Storage | None = None

    def open(self, **_: object) -> None:
        """Load the default model and tell the API what it runs on. Stops the whole worker if that is not possible."""
        from service.media.decoder_pool import DecoderPool
        from service.media.landlock import READ_AND_WRITE
        from service.media.limits import MediaLimits
        from service.work.engines import Engines
        from service.work.job_runner import JobRunner

        start_tracing(self._settings.otlp_endpoint, "worker", __version__)
        client = connect_patiently(self._redis_url)
        registration = WorkerRegistration(client, self._worker)
        engines = Engines(self._settings, registration.refuse)
        limits = MediaLimits.of(self._settings)
        self._storage = open_storage(self._settings)
        self._storage.prepare()
        files = {str(self._storage.jobs_folder): READ_AND_WRITE}
        decoder_pool = DecoderPool(limits, cpu_seconds=_CPU_SECONDS, wall_seconds=_WALL_SECONDS, files=files)
        decoder_pool.warm_up()
        try:
            engine = engines.get()
        except StylizationError as problem:
            logger.critical("%s: %s", problem.title, problem.detail)
            decoder_pool.close()
            os.kill(os.getppid(), signal.SIGTERM)
            return
        registration.announce_runtime(Runtime(provider=engine.provider, runtime=engine.runtime))
        self._runner = JobRunner(
            client,
            self._storage,
            engines,
            decoder_pool,
            self._settings,
            self._worker,
            resend=partial(send, self._app),
            request_helpers=self._request_helpers,
        )
        self._decoder_pool = decoder_pool

    def close(self, **_: object) -> None:
        """The process ends."""
        stop_tracing()
        if self._decoder_pool is not None:
            self._decoder_pool.close()
        if self._storage is not None:
            self._storage.close()

    def stylize(self, job_id: str) -> None:
        """Work on one job."""
        self._opened().run(job_id)

    def help(self, job_id: str) -> None:
        """Work on the segments of a video that another worker holds."""
        self._opened().help(job_id)

    def _opened(self) -> "JobRunner":
        if self._runner is None:
            raise RuntimeError("this process has no model; its worker is stopping")
        return self._runner

    def _request_helpers(self, job_id: str, count: int) -> None:
        """A broker that is away costs the help, and not the job."""
        try:
            for _ in range(min(count, _MOST_HELPERS)):
                send_help(self._app, job_id)
        except (OperationalError, RedisError) as exc:
            logger.warning("job %s goes on without help: %s", job_id, exc)


def register_tasks(app: Celery, process: PoolProcess, settings: Settings) -> None:
    """Give the app its tasks, to be run by `process`."""
    for kind, name in TASKS.items():
        seconds = settings.max_seconds(kind)
        app.task(process.stylize, name=name, soft_time_limit=seconds, time_limit=hard_limit(seconds))
    seconds = settings.max_seconds("video")
    # a helper that dies is not called again: its segment goes to the next who asks, the job's holder at the last
    app.task(
        process.help, name=HELP_WITH_VIDEO, acks_late=False, soft_time_limit=seconds, time_limit=hard_limit(seconds)
    )

"""The Celery entry points, and what they need in each pool process.

The model is opened in the pool process and never before the fork, which CUDA would not survive; so whatever imports
ONNX Runtime is imported there.
"""

import logging
import os
import signal
from typing import TYPE_CHECKING

from celery import Celery

from service.errors import StylizationError
from service.jobs.connection import connect
from service.jobs.presence import Presence, Runtime
from service.jobs.queue import TASKS, hard_limit
from service.jobs.storage import Storage
from service.settings import Settings

if TYPE_CHECKING:
    from service.work.workshop import Workshop

logger = logging.getLogger(__name__)


class PoolProcess:
    """One pool process of the worker `worker`; empty until `open` is called in it."""

    def __init__(self, settings: Settings, redis_url: str, worker: str) -> None:
        self._settings = settings
        self._redis_url = redis_url
        self._worker = worker
        self._workshop: Workshop | None = None

    def open(self, **_: object) -> None:
        """Load the default model and tell the API what it runs on. Stops the whole worker if that is not possible."""
        from service.work.engines import Engines
        from service.work.workshop import Workshop

        client, engines = connect(self._redis_url), Engines(self._settings)
        try:
            engine = engines.get()
        except StylizationError as problem:
            logger.critical("%s: %s", problem.title, problem.detail)
            os.kill(os.getppid(), signal.SIGTERM)
            return
        Presence(client, self._worker).announce_runtime(Runtime(provider=engine.provider, runtime=engine.runtime))
        self._workshop = Workshop(client, Storage(self._settings.data_dir), engines, self._settings, self._worker)

    def stylize(self, job_id: str) -> None:
        """Work on one job."""
        if self._workshop is None:
            raise RuntimeError("this process has no model; its worker is stopping")
        self._workshop.run(job_id)


def register_tasks(app: Celery, process: PoolProcess, settings: Settings) -> None:
    """Give the app its tasks, to be run by `process`."""
    for kind, name in TASKS.items():
        seconds = settings.max_seconds(kind)
        app.task(process.stylize, name=name, soft_time_limit=seconds, time_limit=hard_limit(seconds))

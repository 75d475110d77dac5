"""The worker's main process: takes messages, keeps the pool, tells that it lives, and looks after lost jobs."""

import logging
import os
import signal
import sys
import threading
import time
import uuid
import warnings
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from typing import Any, Final

from celery import Celery, bootsteps, signals
from celery.platforms import SecurityWarning
from celery.worker import state
from celery.worker.consumer import Consumer
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from service.errors import BundleError, ModelNotFound
from service.jobs.lease import LeaseTerms, release_all
from service.jobs.queue import make_queue, messages, send
from service.jobs.reaper import requeue_overdue
from service.jobs.worker_registry import BEAT_SECONDS, ModelSummary, WorkerRegistration
from service.model.bundle import find_bundle
from service.redis.connection import (
    Client,
    connect,
    takes_writes,
    version_problem,
    wait_until_it_takes_writes,
    wait_until_reachable,
    without_password,
)
from service.settings import Settings
from service.storage.open_storage import open_storage
from service.work.model_catalog import ModelCatalog
from service.work.tasks import PoolProcess, register_tasks

logger = logging.getLogger(__name__)

_STALLED_CONSUMER_SECONDS: Final = 10.0


class WorkerHeartbeat:
    """Beats from the message loop: says that the worker lives and which models it has, and queues lost jobs again.

    A worker can live and yet take no messages after its connection broke; it then stops, to be started anew.
    """

    def __init__(
        self,
        client: Client,
        app: Celery,
        registration: WorkerRegistration,
        catalog: ModelCatalog,
        terms: LeaseTerms,
        queues: Sequence[str],
    ) -> None:
        self.client = client
        self._app = app
        self._registration = registration
        self._catalog = catalog
        self._offered: list[ModelSummary] = []  # the first beat tells, in case of a change since the start
        self._terms = terms
        self._queues = queues
        self._idle_beats = 0

    def beat(self) -> None:
        """One beat; a Redis that does not answer is left to the next."""
        try:
            known = self._registration.beat()
            if not takes_writes(self.client):
                self._idle_beats = 0  # no message can arrive
                return
            self._offer_models()
            requeue_overdue(self.client, self._app, self._terms)
            waiting = sum(self.client.llen(messages(queue)) for queue in self._queues)
        except (RedisError, OperationalError) as exc:
            logger.warning("Redis does not answer: %s", exc)
            return
        self._idle_beats = self._idle_beats + 1 if waiting and not state.reserved_requests else 0
        if not known:
            self._stop("Redis has forgotten this worker")
        elif self._idle_beats * BEAT_SECONDS > _STALLED_CONSUMER_SECONDS:
            self._stop(f"{waiting} messages wait, and none has arrived for {_STALLED_CONSUMER_SECONDS:.0f} s")

    def _offer_models(self) -> None:
        """Tell of models that were replaced, added or removed since the last beat."""
        running = [request.id for request in state.active_requests]
        models = self._catalog.look(running, self._registration.refused())
        if models != self._offered:
            self._registration.update_models(models)
            self._offered = models

    def _stop(self, reason: str) -> None:
        logger.critical("%s; it stops, to be started anew", reason)
        os.kill(os.getpid(), signal.SIGTERM)


def run_worker(settings: Settings, redis_url: str) -> int:
    """Work until SIGTERM or SIGINT, finishing the running job; returns the exit code.

    A Redis that does not answer yet is waited for. After `stop_seconds` the running job is queued again instead.
    Exit code 2: the default model is refused, or Redis is too old.
    """
    try:
        find_bundle(settings.models_dir, settings.default_model)
    except (BundleError, ModelNotFound) as problem:
        print(f"the model {settings.default_model!r} is refused: {problem.detail}", file=sys.stderr)
        return 2
    worker = uuid.uuid4().hex
    client = connect(redis_url)
    try:
        wait_until_reachable(client, redis_url)
        if (too_old := version_problem(client)) is not None:
            print(too_old, file=sys.stderr)
            return 2
        wait_until_it_takes_writes(client, partial(time.sleep, BEAT_SECONDS))
    except KeyboardInterrupt:
        return 130  # as shells have it
    with closing(open_storage(settings)) as storage:  # each process opens its own; what is wrong with it is said here
        storage.prepare()
    registration = WorkerRegistration(client, worker)
    catalog = ModelCatalog(settings.models_dir, settings.default_model)
    registration.register(catalog.look(), settings.worker_queues, settings.worker_processes)
    app = make_queue(redis_url, settings.longest_job_seconds)
    process = PoolProcess(app, settings, redis_url, worker)
    register_tasks(app, process, settings)
    terms = LeaseTerms(settings.lease_seconds, settings.max_attempts, settings.result_ttl_seconds)
    _beat_with(app, WorkerHeartbeat(client, app, registration, catalog, terms, settings.worker_queues))
    signals.worker_process_init.connect(process.open, weak=False)
    signals.worker_process_shutdown.connect(process.close, weak=False)
    signals.worker_shutting_down.connect(_stop_within(settings.stop_seconds), weak=False)
    signals.setup_logging.connect(_keep_logging, weak=False)
    # Celery warns root of pickled messages; ours are JSON, and nothing else is accepted
    warnings.simplefilter("ignore", SecurityWarning)
    logger.info("worker %s takes %s from %s", worker, " and ".join(settings.worker_queues), without_password(redis_url))
    celery_worker = app.Worker(
        hostname=f"{worker}@%h",
        pool="prefork",
        concurrency=settings.worker_processes,
        queues=settings.worker_queues,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    celery_worker.start()
    try:
        released = release_all(client, worker)
        for job_id, kind in released:
            send(app, job_id, kind)
        registration.deregister()
    except (RedisError, OperationalError) as exc:
        logger.warning("Redis refuses: %s; a running job is given out again when its lease ends", exc)
    else:
        logger.info("worker %s has stopped; %d running jobs went back to the queue", worker, len(released))
    return int(celery_worker.exitcode or 0)


def _beat_with(app: Celery, heartbeat: WorkerHeartbeat) -> None:
    """Have the message loop beat, anew after every connection, which waits until Redis has room for what it writes."""

    class PatientConsumer(Consumer):  # type: ignore[misc]
        """Waits, and beats, while Redis is full, which refuses all that a worker sets up before it takes messages."""

        def connect(self) -> Any:
            try:
                wait_until_it_takes_writes(heartbeat.client, self._wait)
            except RedisError as exc:  # which the connection now waits for
                logger.warning("Redis does not answer: %s", exc)
            return super().connect()

        @staticmethod
        def _wait() -> None:
            state.maybe_shutdown()
            heartbeat.beat()
            time.sleep(BEAT_SECONDS)

    class HeartbeatStep(bootsteps.StartStopStep):  # type: ignore[misc]
        """Beats as long as messages are taken."""

        requires = ("celery.worker.consumer:Tasks",)

        def start(self, parent: Any) -> None:
            heartbeat.beat()
            self.timer = parent.timer.call_repeatedly(BEAT_SECONDS, heartbeat.beat)

        def stop(self, parent: Any) -> None:
            self.timer.cancel()

    app.conf.worker_consumer = PatientConsumer
    app.steps["consumer"].add(HeartbeatStep)


def _stop_within(seconds: float) -> Any:
    """A stop waits for the running job; this sets it an end, after which Celery hands the job back."""

    def on_shutdown(how: str = "", **_: object) -> None:
        if how == "Warm":
            timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGQUIT))
            timer.daemon = True
            timer.start()

    return on_shutdown


def _keep_logging(**_: object) -> None:
    """Connected to `setup_logging`, so that Celery leaves our logging as it is."""

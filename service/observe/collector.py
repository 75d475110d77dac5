"""What `GET /metrics` reads from Redis while it is asked: counts, queues and workers of the whole service.

Every API process gives the same answer to this part, so a query over several of them takes `max`, not `sum`.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from redis.exceptions import RedisError

from service.jobs.queue import QUEUES
from service.jobs.worker_registry import WorkerReport, live_workers
from service.kind import Kind
from service.observe.catalogue import COUNTED, HASH, SUM, Count, Distribution
from service.redis.connection import AsyncClient

_QUEUE_NAMES: Final = tuple(dict.fromkeys(QUEUES.values()))


@dataclass(frozen=True)
class KindNow:
    """The jobs of one kind at this moment."""

    waiting: int = 0
    oldest_seconds: float = 0.0
    running: int = 0


@dataclass(frozen=True, eq=False)  # a registry knows its collectors by their identity
class Snapshot(Collector):
    """What Redis said, to be written out in Prometheus's form."""

    counts: Mapping[str, str]
    kinds: Mapping[Kind, KindNow]
    workers: tuple[WorkerReport, ...]

    def collect(self) -> Iterator[Metric]:
        """The metric families."""
        yield GaugeMetricFamily("adis_redis_up", "Whether Redis answered this scrape.", 1)
        yield from _counted(self.counts)
        yield from self._queues()
        yield from self._workers()

    def _queues(self) -> Iterator[Metric]:
        waiting = GaugeMetricFamily("adis_queue_jobs", "Jobs that wait for a worker.", labels=["queue"])
        oldest = GaugeMetricFamily(
            "adis_queue_oldest_seconds", "How long the job has waited that waits longest; 0: none.", labels=["queue"]
        )
        for queue in _QUEUE_NAMES:
            there = [self.kinds.get(kind, KindNow()) for kind, name in QUEUES.items() if name == queue]
            waiting.add_metric([queue], sum(one.waiting for one in there))
            oldest.add_metric([queue], max(one.oldest_seconds for one in there))
        running = GaugeMetricFamily("adis_jobs_running", "Jobs that a worker holds.", labels=["kind"])
        for kind in QUEUES:
            running.add_metric([kind], self.kinds.get(kind, KindNow()).running)
        yield from (waiting, oldest, running)

    def _workers(self) -> Iterator[Metric]:
        live = GaugeMetricFamily(
            "adis_workers",
            "Live workers by what they take; loading: their model is not there yet.",
            labels=["queue", "state"],
        )
        beat = GaugeMetricFamily(
            "adis_worker_heartbeat_age_seconds",
            "Since the last sign of the live worker longest silent.",
            labels=["queue"],
        )
        for queue in _QUEUE_NAMES:
            there = [worker for worker in self.workers if queue in worker.queues]
            for state, ready in (("ready", True), ("loading", False)):
                live.add_metric([queue, state], sum((worker.runtime is not None) is ready for worker in there))
            if there:
                beat.add_metric([queue], max(worker.age_seconds for worker in there))
        yield from (live, beat)


class NoRedis(Collector):
    """Stands for a snapshot that could not be taken."""

    def collect(self) -> Iterable[Metric]:
        """That Redis does not answer."""
        return [GaugeMetricFamily("adis_redis_up", "Whether Redis answered this scrape.", 0)]


async def collect_metrics(client: AsyncClient) -> Collector:
    """Read everything; a Redis that is away is told as such, since that is when metrics are looked at."""
    try:
        counts = await client.hgetall(HASH)
        kinds = await _kinds_now(client)
        workers = await live_workers(client)
    except (RedisError, OSError):
        return NoRedis()
    return Snapshot(counts, kinds, tuple(workers))


async def _kinds_now(client: AsyncClient) -> dict[Kind, KindNow]:
    async with client.pipeline(transaction=False) as pipe:
        pipe.time()
        pipe.zrange("adis:running", 0, -1)
        for kind in QUEUES:
            pipe.zcard(f"adis:queued:{kind}")
            pipe.zrange(f"adis:queued:{kind}", 0, 0, withscores=True)
        (seconds, microseconds), running, *lines = await pipe.execute()
        for job_id in running:
            pipe.hget(f"adis:job:{job_id}", "kind")
        held = Counter(await pipe.execute())
    kinds = {}
    for kind, waiting, first in zip(QUEUES, lines[::2], lines[1::2], strict=True):
        oldest = max(0.0, seconds + microseconds / 1e6 - first[0][1]) if first else 0.0
        kinds[kind] = KindNow(waiting, oldest, held[kind])
    return kinds


def _counted(fields: Mapping[str, str]) -> Iterator[Metric]:
    """The catalogue's metrics with what the hash holds of them; fields that no metric has any more are passed over."""
    known = {metric.name: metric for metric in COUNTED}
    series: dict[str, dict[tuple[str, ...], dict[str, float]]] = {name: defaultdict(dict) for name in known}
    for field, value in fields.items():
        name, *values = field.split("|")
        metric = known.get(name)
        last = values.pop() if isinstance(metric, Distribution) and values else ""
        if metric is not None and len(values) == len(metric.labels):
            series[name][tuple(values)][last] = float(value)
    for name, metric in known.items():
        yield _family(metric, series[name])


def _family(metric: Count, series: Mapping[tuple[str, ...], Mapping[str, float]]) -> Metric:
    if not isinstance(metric, Distribution):
        counter = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
        for labels in dict.fromkeys((*metric.known, *series)):
            counter.add_metric(labels, series.get(labels, {}).get("", 0.0))
        return counter
    histogram = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, values in series.items():
        total, buckets = 0.0, []
        for bound in (*map(str, metric.buckets), "+Inf"):
            total += values.get(bound, 0.0)
            buckets.append((bound, total))
        histogram.add_metric(labels, buckets, values.get(SUM, 0.0))
    return histogram

"""A worker's counts, gathered in memory and added to the sums in Redis when a job has ended, or every few seconds.

The sums are kept in Redis and not in each worker, because workers come and go: a pool process that dies takes no count
with it that was added, nothing has to find the workers to ask them, and the API alone shows everything.
"""

import logging
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Final

from redis.exceptions import RedisError

from service.observe.catalogue import Count, Distribution
from service.redis.connection import Client
from service.redis.scripts import arguments, load_script

logger = logging.getLogger(__name__)

_ADD_SECONDS: Final = 5.0
_ADD: Final = load_script(Path(__file__).parent / "lua" / "add.lua")


class Recorder:
    """The counts of one process; safe to use from several threads."""

    def __init__(self, client: Client) -> None:
        self._add = client.register_script(_ADD)
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._sums: defaultdict[str, float] = defaultdict(float)
        self._added = time.monotonic()

    def count(self, metric: Count, *labels: str, by: int = 1) -> None:
        """Add to a count."""
        with self._lock:
            self._counts[metric.field_of(*labels)] += by
        self._add_now_and_then()

    def measure(self, metric: Distribution, value: float, *labels: str) -> None:
        """Add one value to a distribution."""
        with self._lock:
            self._counts[metric.bucket_field(value, *labels)] += 1
            self._sums[metric.sum_field(*labels)] += value
        self._add_now_and_then()

    def add(self) -> None:
        """Add what was gathered to the sums; a Redis that does not answer is given it the next time."""
        with self._lock:
            counts, sums = self._counts, self._sums
            self._counts, self._sums = Counter(), defaultdict(float)
            self._added = time.monotonic()
        if not counts:
            return
        try:
            self._add(args=arguments(counts=counts, sums=sums))
        except RedisError as exc:
            logger.warning("Redis takes no counts: %s", exc)
            with self._lock:
                self._counts.update(counts)
                for field, value in sums.items():
                    self._sums[field] += value

    def _add_now_and_then(self) -> None:
        """A job may take hours; what it counts is to be seen before."""
        if time.monotonic() - self._added > _ADD_SECONDS:
            self.add()

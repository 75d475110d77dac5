"""How long the queue will take: the measured time of a unit of work, times the work, shared among the live workers.

A unit is a result of an image job, a frame of a video. Its time (`adis:pace`, by kind) is learnt by the script that
ends a job well, so that the newest job counts a fifth. It is an estimate: jobs of a kind differ.
"""

import math
from typing import Final

from service.jobs.queue import QUEUES
from service.kind import Kind
from service.redis.connection import AsyncClient

MAX_RETRY_AFTER_SECONDS: Final = 3600

_UNKNOWN_SECONDS: Final = 5  # until a first job of the kind has ended
_MOST_LOOKED_AT: Final = 1000  # of more jobs every second, third … stands for its neighbours


class WaitEstimator:
    """Estimates, as the API needs them. slots: jobs that the live workers do at once, at least 1."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def seconds_until_done(self, job_id: str, kind: Kind, slots: int) -> float | None:
        """Seconds until a queued job is done; None if that is not known, or it waits no more."""
        place = await self._client.zscore(f"adis:queued:{kind}", job_id)
        if place is None:
            return None
        ahead, own = await self._seconds_before(kind, f"({place!r}"), await self._seconds_of([job_id])
        return None if ahead is None or own is None else ahead / slots + own

    async def jobs_ahead(self, job_id: str, kind: Kind) -> int | None:
        """How many jobs wait for the same workers before a queued job; None if it waits no more."""
        place = await self._client.zscore(f"adis:queued:{kind}", job_id)
        if place is None:
            return None
        kinds = [other for other, queue in QUEUES.items() if queue == QUEUES[kind]]
        async with self._client.pipeline(transaction=False) as pipe:
            for other in kinds:
                pipe.zcount(f"adis:queued:{other}", "-inf", f"({place!r}")
            counts: list[int] = await pipe.execute()
        return sum(counts)

    async def retry_after(self, kind: Kind, slots: int) -> int:
        """Whole seconds until all that is there is done, at least 1 and at most an hour."""
        work = await self._seconds_before(kind, "+inf")
        return _UNKNOWN_SECONDS if work is None else whole_seconds(work / slots)

    async def _seconds_before(self, kind: Kind, place: str) -> float | None:
        """Work of the jobs that the same workers do before that place in the line, running ones included."""
        kinds = [other for other, queue in QUEUES.items() if queue == QUEUES[kind]]
        async with self._client.pipeline(transaction=False) as pipe:
            pipe.zrange("adis:running", 0, -1)
            for other in kinds:
                pipe.zrangebyscore(f"adis:queued:{other}", "-inf", place)
            jobs = [job_id for found in await pipe.execute() for job_id in found]
        step = max(1, math.ceil(len(jobs) / _MOST_LOOKED_AT))
        seconds = await self._seconds_of(jobs[::step], kinds)
        return None if seconds is None else seconds * step

    async def _seconds_of(self, job_ids: list[str], kinds: list[Kind] | None = None) -> float | None:
        """Work left in those of the jobs that are of these kinds; None if a kind's pace is not known yet."""
        async with self._client.pipeline(transaction=False) as pipe:
            pipe.hgetall("adis:pace")
            for job_id in job_ids:
                pipe.hmget(f"adis:job:{job_id}", "kind", "total", "done")
            paces, *jobs = await pipe.execute()
        wanted = [job for job in jobs if job[0] is not None and (kinds is None or job[0] in kinds)]
        if any(kind not in paces for kind, _, _ in wanted):
            return None
        return sum(float(paces[kind]) * max(int(total) - int(done), 0) for kind, total, done in wanted)


def whole_seconds(seconds: float) -> int:
    """As `Retry-After` has them."""
    return min(max(math.ceil(seconds), 1), MAX_RETRY_AFTER_SECONDS)

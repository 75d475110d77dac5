"""Files count against the budget of bytes from their first byte on, in all API processes together."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final, Literal, TypeAlias

from redis.exceptions import RedisError

from service.errors import QueueFull
from service.jobs.wait_estimator import WaitEstimator
from service.kind import Kind
from service.redis.connection import AsyncClient
from service.redis.scripts import arguments
from service.uploads import scripts

Budget: TypeAlias = Kind | Literal["upload"]  # of a kind of job, or of the files that are kept for later

logger = logging.getLogger(__name__)

_LEASE_SECONDS: Final = 60.0
_STEP_BYTES: Final = 16 * 1024 * 1024  # by which an upload of unknown length is counted ahead


class Reservation:
    """The bytes that one upload may store so far."""

    def __init__(self, budget: "UploadBudget", kind: Budget, job_id: str, key: str, slots: int) -> None:
        self._budget = budget
        self._about = (kind, job_id, key, slots)
        self._bytes = 0

    async def cover(self, count: int) -> None:
        """Reserve at least `count` bytes in all, if they are not reserved yet; raises QueueFull."""
        if count > self._bytes:
            await self.reserve(count if self._bytes == 0 else count + _STEP_BYTES)

    async def reserve(self, count: int) -> None:
        """Reserve `count` bytes in all; raises QueueFull."""
        await self._budget.reserve(*self._about, count)
        self._bytes = count

    async def renew_for_ever(self) -> None:
        """Keep the reservation, until this is cancelled; an upload may take hours."""
        while True:
            await asyncio.sleep(_LEASE_SECONDS / 3)
            try:
                await self.reserve(self._bytes)
            except (RedisError, OSError, QueueFull) as exc:  # it may have expired; what was begun is let through
                logger.warning("the reservation of an upload cannot be renewed: %s", exc)


class UploadBudget:
    """What all API processes may store; those files that still arrive count as well.

    max_bytes: of the files of each kind of job that did not end. max_kept_bytes: of the files that are kept for later.
    """

    def __init__(self, client: AsyncClient, max_bytes: int, max_kept_bytes: int) -> None:
        self._client = client
        self._max_bytes = max_bytes
        self._max_kept_bytes = max_kept_bytes
        self._estimator = WaitEstimator(client)
        self._reserve = client.register_script(scripts.RESERVE)

    @asynccontextmanager
    async def open(
        self, kind: Budget, job_id: str, announced: int, *, key: str = "", slots: int = 1
    ) -> AsyncIterator[Reservation]:
        """A reservation of the announced bytes, which ends with the block.

        key: hash of the idempotency key or empty; an upload that repeats a job's request is let through, since it will
        be dropped. slots: jobs that the workers do at once. Raises QueueFull.
        """
        reservation = Reservation(self, kind, job_id, key, slots)
        await reservation.reserve(announced)
        renewal = asyncio.create_task(reservation.renew_for_ever())
        try:
            yield reservation
        finally:
            renewal.cancel()
            with suppress(RedisError, OSError):  # it expires by itself
                async with self._client.pipeline(transaction=False) as pipe:
                    pipe.zrem(f"adis:arriving:{kind}", job_id)
                    pipe.hdel(f"adis:arriving-bytes:{kind}", job_id)
                    await pipe.execute()

    async def reserve(self, kind: Budget, job_id: str, key: str, slots: int, count: int) -> None:
        """Count the upload as `count` bytes for the time of a lease; raises QueueFull."""
        max_bytes = self._max_kept_bytes if kind == "upload" else self._max_bytes
        limits = {"max_bytes": max_bytes, "lease": _LEASE_SECONDS}
        verdict, *detail = await self._reserve(args=arguments(id=job_id, kind=kind, bytes=count, key=key, **limits))
        if verdict == "bytes":
            seconds = max(1, int(detail[1])) if kind == "upload" else await self._estimator.retry_after(kind, slots)
            raise QueueFull(
                f"{detail[0]} bytes of uploads arrive or are there already; try again in {seconds} s",
                retry_after=seconds,
            )

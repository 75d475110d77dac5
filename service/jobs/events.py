"""Learn at once when something happens to a job: one subscription for each API process, whoever waits in it."""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from redis.exceptions import RedisError

from service.jobs.record import JobState
from service.redis.connection import AsyncClient

logger = logging.getLogger(__name__)

_RECONNECT_SECONDS: Final = 0.5
_SILENCE_SECONDS: Final = 15.0  # after it a waiter looks for itself, in case news was lost
_LOOKS_AT_ONCE: Final = 32  # each takes a connection to Redis, and many may be woken together


@dataclass(frozen=True)
class JobEvent:
    """id: grows within a job. name: `state` or `progress`. data: JSON with id, state, progress and error."""

    id: str
    name: str
    data: str


class JobEventBus:
    """Wakes those who wait for a job. Use `run` as a task; `close` lets everybody go, for a clean stop."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._waiters: dict[str, set[_Waiter]] = defaultdict(set)
        self._looks = asyncio.Semaphore(_LOOKS_AT_ONCE)
        self.closed = False

    async def run(self) -> None:
        """Listen for ever; a broken connection is made again, and everybody looks for themselves."""
        while not self.closed:
            try:
                async with self._client.pubsub() as subscription:
                    await subscription.subscribe("adis:job-events")
                    self._wake_all()
                    while not self.closed:
                        message = await subscription.get_message(True, _SILENCE_SECONDS)
                        if message is not None:
                            job_id, _, state = message["data"].partition(" ")
                            self._wake(job_id, state)
            except (RedisError, OSError) as exc:
                logger.warning("the subscription to Redis broke, and is made again: %s", exc)
                await asyncio.sleep(_RECONNECT_SECONDS)

    def close(self) -> None:
        """Let every waiter go; from now on nobody waits."""
        self.closed = True
        self._wake_all()

    async def wait_until_ended(self, job_id: str, seconds: float) -> bool:
        """Wait until the job has ended (or is gone); False if time is up or the service stops before.

        The time is looked at after each answer of Redis: a cancellation in the midst of one can be swallowed.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        with self._waiting_for(job_id) as waiter:
            while not self.closed:
                waiter.woken.clear()
                news, waiter.state = waiter.state, ""
                state = news or await self._state(job_id)
                if state is None or JobState(state).ended:
                    return True
                if (left := end - loop.time()) <= 0:
                    break
                await self._next(waiter.woken, left)
        return False

    async def follow(self, job_id: str, after: str) -> AsyncIterator[JobEvent]:
        """Yield the events later than the id `after`, old ones first, until the job has ended or is gone.

        after: "0" for all.
        """
        with self._waiting_for(job_id) as waiter:
            while not self.closed:
                waiter.woken.clear()
                # the state first: the events of one that has ended are all there
                async with self._looks, self._client.pipeline(transaction=False) as pipe:
                    pipe.hget(f"adis:job:{job_id}", "state")
                    pipe.xrange(f"adis:events:{job_id}", min=f"({after}")
                    state, entries = await pipe.execute()
                for event_id, fields in entries:
                    after = event_id
                    yield JobEvent(event_id, fields["event"], fields["data"])
                if state is None or JobState(state).ended:
                    return
                await self._next(waiter.woken)

    async def has_events(self, job_id: str, after: str) -> bool:
        """Whether anything happened to the job after the event `after`."""
        return bool(await self._client.xrange(f"adis:events:{job_id}", min=f"({after}", count=1))

    async def _state(self, job_id: str) -> str | None:
        async with self._looks:
            state: str | None = await self._client.hget(f"adis:job:{job_id}", "state")
            return state

    async def _next(self, woken: asyncio.Event, seconds: float = _SILENCE_SECONDS) -> None:
        """Wait for news, but not for ever."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(seconds, _SILENCE_SECONDS)):
                await woken.wait()

    @contextmanager
    def _waiting_for(self, job_id: str) -> Iterator["_Waiter"]:
        """Registered before the first look, so that no news falls in between."""
        waiter = _Waiter()
        self._waiters[job_id].add(waiter)
        try:
            yield waiter
        finally:
            self._waiters[job_id].discard(waiter)
            if not self._waiters[job_id]:
                del self._waiters[job_id]

    def _wake(self, job_id: str, state: str) -> None:
        for waiter in self._waiters.get(job_id, ()):
            waiter.state = state
            waiter.woken.set()

    def _wake_all(self) -> None:
        for job_id in list(self._waiters):
            self._wake(job_id, "")


@dataclass(eq=False)
class _Waiter:
    """One who waits for a job. state: the job's, as the last news had it; empty: look for yourself."""

    woken: asyncio.Event = field(default_factory=asyncio.Event)
    state: str = ""

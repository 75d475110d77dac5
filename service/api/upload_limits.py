"""How many uploads are received and probed at a time, so that a few hostile clients hold up nobody else."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, TypeVar
from weakref import WeakValueDictionary

import anyio.to_thread

from service.errors import Unavailable

Result = TypeVar("Result")

_PATIENCE_SECONDS: Final = 10.0
_RETRY_AFTER_SECONDS: Final = 5


class Shares:
    """Each caller may hold so many at a time."""

    def __init__(self, each: int) -> None:
        self._each = each
        self._held: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()  # those that somebody waits for

    def of(self, caller: str) -> asyncio.Semaphore:
        """The caller's own."""
        return self._held.setdefault(caller, asyncio.Semaphore(self._each))


class UploadGate:
    """Lets `at_once` uploads in at a time, at most half of them from one caller; others wait, and then are refused."""

    def __init__(self, at_once: int, patience_seconds: float = _PATIENCE_SECONDS) -> None:
        self._all = asyncio.Semaphore(at_once)
        self._shares = Shares(max(1, at_once // 2))
        self._patience_seconds = patience_seconds

    @asynccontextmanager
    async def enter(self, caller: str) -> AsyncIterator[None]:
        """Wait for a place and hold it; raises Unavailable."""
        async with AsyncExitStack() as held:
            try:
                async with asyncio.timeout(self._patience_seconds):
                    for semaphore in (self._shares.of(caller), self._all):
                        await held.enter_async_context(semaphore)
            except TimeoutError as exc:
                raise Unavailable(
                    "too many uploads arrive at the same time; try again soon", retry_after=_RETRY_AFTER_SECONDS
                ) from exc
            yield


class ProbeQueue:
    """Runs probes in threads, `quick` at a time. One that takes long makes room as long as fewer than `slow` do.

    No caller has more than half of all under way.
    """

    def __init__(self, quick: int, slow: int, quick_seconds: float = 1.0) -> None:
        self._quick = asyncio.Semaphore(quick)
        self._slow = asyncio.Semaphore(slow)
        self._quick_seconds = quick_seconds
        self._shares = Shares(max(1, (quick + slow) // 2))
        self._threads = anyio.CapacityLimiter(quick + slow)

    async def run(self, caller: str, probe: Callable[[], Result]) -> Result:
        """What the probe returns; raises what it raises."""
        async with self._shares.of(caller):
            await self._quick.acquire()
            place = self._quick

            def leave(_: object) -> None:
                place.release()

            probing = asyncio.create_task(anyio.to_thread.run_sync(probe, limiter=self._threads))
            probing.add_done_callback(leave)
            if not (await asyncio.wait([probing], timeout=self._quick_seconds))[0]:
                moving = asyncio.create_task(self._slow.acquire())
                await asyncio.wait([probing, moving], return_when=asyncio.FIRST_COMPLETED)
                if probing.done():
                    if not moving.cancel():
                        self._slow.release()
                else:
                    place = self._slow
                    self._quick.release()
            return await probing

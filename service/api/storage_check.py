"""Ask a storage whether it can be written to, however many ask for it."""

import asyncio
import math
import time
from typing import Final

from starlette.concurrency import run_in_threadpool

from service.errors import Unavailable
from service.storage.folder import Storage

_KEPT_SECONDS: Final = 1.0
_CHECK_SECONDS: Final = 3.0


class StorageCheck:
    """Whether the storage can be written to, looked at once a second at most, however many ask."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._gate = asyncio.Lock()
        self._looked = -math.inf
        self._problem: Exception | None = None

    async def check(self) -> None:
        """Raises what `check_writable` raised, or TimeoutError if that took too long."""
        async with self._gate:
            if time.monotonic() - self._looked > _KEPT_SECONDS:
                try:
                    async with asyncio.timeout(_CHECK_SECONDS):
                        await run_in_threadpool(self._storage.check_writable)
                except (Unavailable, OSError) as problem:
                    self._problem = problem
                else:
                    self._problem = None
                self._looked = time.monotonic()
        if self._problem is not None:
            raise self._problem

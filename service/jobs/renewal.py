"""Renew a lease from a thread, however long one run of the model takes."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

_RENEWALS_PER_LEASE: Final = 3


@contextmanager
def renewed(renew: Callable[[], bool], lease_seconds: float, name: str) -> Iterator[None]:
    """Call `renew` three times a lease as long as the block runs, until it says False: the lease is lost.

    name: for the log, where Redis does not answer; it is then tried again.
    """
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(lease_seconds / _RENEWALS_PER_LEASE):
            try:
                if not renew():
                    return
            except RedisError as exc:
                logger.warning("%s: the lease is not renewed: %s", name, exc)

    thread = threading.Thread(target=run, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()

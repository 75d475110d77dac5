"""Let one stage of the work run ahead of the next, in threads of its own, by a few items at most."""

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import copy_context
from functools import lru_cache
from typing import Any, Final, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_END: Final = object()
_LOOK_AGAIN_SECONDS: Final = 0.2


@contextmanager
def ahead(items: Iterator[Item], most: int) -> Iterator[Iterator[Item]]:
    """The same items, made in another thread, at most `most` before they are asked for.

    What `items` raises is raised here, in its turn. Leaving the block ends the thread after the item in the making.
    """
    made: queue.Queue[Any] = queue.Queue(most)
    left = threading.Event()

    def offer(item: object) -> bool:
        while not left.is_set():
            try:
                made.put(item, timeout=_LOOK_AGAIN_SECONDS)
                return True
            except queue.Full:
                continue
        return False

    def make() -> None:
        try:
            for item in items:
                if not offer(item):
                    return
        except BaseException as exc:  # carried over to whoever waits for the item
            offer(_Raised(exc))
        else:
            offer(_END)

    def take() -> Iterator[Item]:
        while (item := made.get()) is not _END:
            if isinstance(item, _Raised):
                raise item.error
            yield item

    # it works for the same job: what is measured and logged there belongs to it
    thread = threading.Thread(target=copy_context().run, args=(make,), name="ahead", daemon=True)
    thread.start()
    try:
        yield take()
    finally:
        left.set()
        thread.join()
        close = getattr(items, "close", None)
        if close is not None:
            close()


def in_lanes(work: Callable[[Item], Result], items: Iterator[Item], lanes: int, most: int) -> Generator[Result]:
    """What `work` makes of each item, in their order: `lanes` at a time, at most `most` more before they are asked for.

    What `work` raises is raised here, in its turn. Closing the iterator waits for the items in the making.
    """
    waiting: deque[Future[Result]] = deque()
    pool = kept_threads(lanes, "lane")
    try:
        for item in items:
            waiting.append(pool.submit(copy_context().run, work, item))
            if len(waiting) >= lanes + most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        wait([future for future in waiting if not future.cancel()])


@lru_cache
def kept_threads(count: int, name: str) -> ThreadPoolExecutor:
    """Threads of this process that stay: what the graphs' runtime puts by for a thread is taken anew for the next one.

    With new threads for each part a video's memory grew with its length.
    """
    return ThreadPoolExecutor(count, thread_name_prefix=name)


class _Raised:
    def __init__(self, error: BaseException) -> None:
        self.error = error

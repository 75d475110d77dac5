"""Let one stage of the work run ahead of the next, in a thread of its own, by a few items at most."""

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any, Final, TypeVar

Item = TypeVar("Item")

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


class _Raised:
    def __init__(self, error: BaseException) -> None:
        self.error = error

"""Do many things in processes of their own, and outlive a decoder that takes its process with it."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from threading import Thread
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


class Crashed:
    """What stands for the result of a task whose process died."""


class Pool:
    """Processes that stay for one kind of work after the other."""

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._pool = _start(jobs)

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, failure: type[BaseException] | None, *more: object) -> None:
        if failure is not None:  # what they are at is done again by the next run: nobody waits for it
            for process in multiprocessing.active_children():
                process.terminate()
        self._pool.shutdown(cancel_futures=True)

    def run(self, work: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[tuple[Task, Result | Crashed]]:
        """Tasks and results as they are done. A process that dies breaks all: what was begun is tried again alone."""
        waiting = list(reversed(tasks))
        running: dict[Future[Result], Task] = {}
        while waiting or running:
            while waiting and len(running) < 2 * self._jobs:  # one in reserve for each process
                task = waiting.pop()
                running[self._pool.submit(work, task)] = task
            suspects: list[Task] = []
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                task = running.pop(future)
                try:
                    yield task, future.result()
                except BrokenProcessPool:
                    suspects.append(task)
            if not suspects:
                continue
            suspects += running.values()
            running.clear()
            self._pool.shutdown()
            for task in suspects:
                with _start(1) as alone:
                    try:
                        yield task, alone.submit(work, task).result()
                    except BrokenProcessPool:
                        yield task, Crashed()
            self._pool = _start(self._jobs)


def _start(jobs: int) -> ProcessPoolExecutor:
    # Spawned: a fork would share the parent's threads, which torch and libav have by then.
    return ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _begin)


def _begin() -> None:
    """The parent answers Ctrl-C, and no process outlives it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None
    sentinel = parent.sentinel

    def end_with_parent() -> None:
        connection.wait([sentinel])
        os._exit(1)

    Thread(target=end_with_parent, daemon=True).start()

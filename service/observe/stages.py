"""Measure the stages of a job where they happen: `with stage("decode"):` on the way through the code.

Outside a job it does nothing, so that the engine and the media code can be used alone. A stage's time is its own: what
a stage inside it takes in the same thread is not counted twice, so that the stages of an image add up to the whole.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

from service.observe import tracing
from service.observe.catalogue import BATCH_SIZE, FRAMES, STAGE_SECONDS

if TYPE_CHECKING:  # the engine is used without Redis, too
    from service.observe.recorder import Recorder

Item = TypeVar("Item")

_END: Final = object()


@dataclass(frozen=True)
class _Job:
    recorder: "Recorder"
    kind: str

    @property
    def is_short(self) -> bool:
        """Whether every run of a graph may be a span of its own: an hour of video has a hundred thousand."""
        return self.kind != "video"


@dataclass
class _Running:
    """A stage that runs. inner_seconds: of the stages inside it."""

    thread: int = field(default_factory=threading.get_ident)
    began: float = field(default_factory=time.perf_counter)
    inner_seconds: float = 0.0


_job: ContextVar[_Job | None] = ContextVar("job", default=None)
_running: ContextVar[_Running | None] = ContextVar("running", default=None)


@contextmanager
def measured(recorder: "Recorder", kind: str) -> Iterator[None]:
    """Record the stages of one job while the block runs."""
    token = _job.set(_Job(recorder, kind))
    try:
        yield
    finally:
        _job.reset(token)


@contextmanager
def stage(name: str, batch: int | None = None, coarse: bool = False) -> Iterator[None]:
    """The block is this stage of the job. batch: inputs of a graph's run. coarse: entered a few times in any job."""
    job = _job.get()
    if job is None:
        yield
        return
    outer, running = _running.get(), _Running()
    token = _running.set(running)
    try:
        with tracing.span(name) if coarse or job.is_short else nullcontext():
            yield
    finally:
        _running.reset(token)
        seconds = time.perf_counter() - running.began
        if outer is not None and outer.thread == running.thread:
            outer.inner_seconds += seconds
        job.recorder.measure(STAGE_SECONDS, seconds - running.inner_seconds, job.kind, name)
        if batch is not None:
            job.recorder.measure(BATCH_SIZE, batch, name)


def each(items: Iterator[Item], name: str) -> Iterator[Item]:
    """The same items; the making of each one is this stage."""
    while True:
        with stage(name):
            item = next(items, _END)
        if item is _END:
            return
        yield item  # type: ignore[misc]


def count_frames(frames: int) -> None:
    """That many frames of the job's video are restyled."""
    job = _job.get()
    if job is not None and frames:
        job.recorder.count(FRAMES, by=frames)

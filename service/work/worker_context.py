"""What every kind of job is worked on with, and what comes of it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from service.jobs.owner import Owner
from service.jobs.record import JobRecord, StoredResult
from service.media.decoder_pool import DecoderPool
from service.observe.stages import stage
from service.redis.connection import Client
from service.settings import Settings
from service.storage.folder import Storage
from service.work.engines import Engines
from service.work.segment_leases import SegmentLeases


@dataclass(frozen=True)
class WorkerContext:
    """The files, the models and the settings of one worker process.

    decoder_pool: where uploads are opened, out of this process.
    request_helpers: asks as many others to work on the segments of a video as are given with its id, if they have time.
    """

    storage: Storage
    engines: Engines
    decoder_pool: DecoderPool
    settings: Settings
    client: Client
    owner: Owner
    request_helpers: Callable[[str, int], None]

    def leases(self, job_id: str) -> SegmentLeases:
        """The parts of a video, to be shared with other workers."""
        return SegmentLeases(self.client, job_id, self.owner, self.settings.lease_seconds)

    def inputs(self, record: JobRecord, field: str) -> list[Path]:
        """Where the job's uploads of that field lie, in their order. Raises StorageUnavailable."""
        return [self.storage.fetch_input(record.id, one.sha256) for one in record.inputs if one.field == field]


@dataclass(frozen=True)
class JobOutput:
    """The results, stored; the seconds that each part of the work took; how much was done, None for as announced."""

    results: list[StoredResult]
    seconds: dict[str, float]
    done: int | None = None


@dataclass
class Stopwatch:
    """Seconds spent in each part of a job."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def measure(self, part: str) -> Iterator[None]:
        """Add the block's time to `part`."""
        began = time.perf_counter()
        try:
            with stage(part, coarse=True):
                yield
        finally:
            self.seconds[part] = round(self.seconds.get(part, 0.0) + time.perf_counter() - began, 6)

"""Look at foreign files in a process of their own, so that one which crashes a decoder takes no server with it.

libav and Pillow's codecs are C: a hostile file may end the process, eat its memory or spin. Here that ends a helper
process, is answered as a damaged file, and the next file gets a new helper. The price is about a millisecond a file.
"""

import multiprocessing
import os
import resource
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from service.errors import MediaError, TooLarge, Unavailable
from service.media.audio import AudioInfo, probe_audio
from service.media.image import ImageInfo, probe_image
from service.media.limits import MediaLimits
from service.media.video_file import VideoInfo, probe_video

Info = TypeVar("Info", ImageInfo, AudioInfo, VideoInfo)

_MEMORY_BYTES: Final = 4 * 1024**3  # address space; libraries map about 1 GiB of it before the first file
_FILES_EACH: Final = 1000  # then a helper is replaced, whatever it leaked


class Sandbox:
    """A few helper processes that probe files; safe to call from several threads.

    Its methods block, and raise what `probe_image` and `probe_audio` raise; `close` ends the helpers.
    cpu_seconds: CPU time that one file may take.
    """

    def __init__(self, limits: MediaLimits, helpers: int = 1, cpu_seconds: int = 10) -> None:
        self._limits = limits
        self._cpu_seconds = cpu_seconds
        self._helpers = helpers
        self._lock = threading.Lock()
        self._pool: ProcessPoolExecutor | None = self._new_pool()

    def probe_image(self, path: Path) -> ImageInfo:
        """`service.media.image.probe_image`, behind the wall."""
        return self._run(probe_image, path, "image")

    def probe_audio(self, path: Path) -> AudioInfo:
        """`service.media.audio.probe_audio`, behind the wall."""
        return self._run(probe_audio, path, "audio")

    def probe_video(self, path: Path) -> VideoInfo:
        """`service.media.video_file.probe_video`, behind the wall."""
        return self._run(probe_video, path, "video")

    def warm_up(self) -> None:
        """Start the first helper, so that the first file does not wait for it."""
        self._current_pool().submit(os.getpid).result()

    def close(self) -> None:
        """End the helpers; later calls raise Unavailable."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, probe: Callable[[Path, MediaLimits], Info], path: Path, field: str) -> Info:
        """Twice: a helper may have died of another caller's file."""
        for _ in range(2):
            pool = self._current_pool()
            try:
                looking = pool.submit(_probe_within_limits, probe, path, self._limits, self._cpu_seconds)
            except (BrokenProcessPool, OSError):  # OSError: it closes its pipes just now, since a helper has died
                self._replace(pool)
                continue
            try:
                return looking.result()
            except BrokenProcessPool:
                self._replace(pool)
            except MemoryError as exc:
                raise TooLarge("the file does not fit in memory when opened; send a smaller one", field=field) from exc
        raise MediaError("the file cannot be opened: it crashes the decoder or takes it too long", field=field)

    def _current_pool(self) -> ProcessPoolExecutor:
        pool = self._pool
        if pool is None:
            raise Unavailable("the service is stopping; try again later", retry_after=5)
        return pool

    def _replace(self, broken: ProcessPoolExecutor) -> None:
        with self._lock:
            if self._pool is broken:
                self._pool = self._new_pool()
        broken.shutdown(wait=False)

    def _new_pool(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            max_workers=self._helpers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_helper,
            max_tasks_per_child=_FILES_EACH,
        )


def _start_helper() -> None:
    """In a new helper: bound its memory, leave Ctrl-C to the server, and end when the server has ended."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _probe_within_limits(
    probe: Callable[[Path, MediaLimits], Info], path: Path, limits: MediaLimits, cpu_seconds: int
) -> Info:
    """In a helper: probe one file; the system ends the helper when the file has had its share of CPU time."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + cpu_seconds, hard))
    return probe(path, limits)

"""Open foreign files in processes of their own, so that one which crashes a decoder takes no server or worker with it.

libav and Pillow's codecs are C: a hostile file may end the process, eat its memory or spin. Here that ends a helper
(`service.media.decoder_program`), is answered as a damaged file, and the next file gets a new helper. Helpers are
programs of their own rather than children of `multiprocessing`, which Celery's pool processes may not have.
"""

import logging
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from service.errors import MediaError, TooLarge, Unavailable
from service.media.audio import AudioInfo, decode_audio, probe_audio
from service.media.audio_file import Waveform
from service.media.decoder_process import DecoderKilled, DecoderLost, DecoderProcess
from service.media.frames import VideoFormat, read_frames, read_video_format
from service.media.image import ImageInfo, decode_image, probe_image
from service.media.limits import MediaLimits
from service.media.mux import Segment, mux
from service.media.soundtrack import Block, TrackForm, read_soundtrack
from service.media.times import Times, read_times
from service.media.video_file import Container, Timeline, VideoInfo, probe_video, read_timeline
from service.media.wire import Call, Close, Next

logger = logging.getLogger(__name__)

Result = TypeVar("Result")
Pixels = NDArray[np.uint8]

_FILES_EACH: Final = 1000  # then a helper is replaced, whatever it leaked
_MUX_SECONDS: Final = 3600  # an hour's video is copied in a small part of it


class DecoderPool:
    """Helper processes that open files; safe to call from several threads.

    Its methods block, and raise what the functions raise that they are named after, MediaError for a file that ends a
    helper, and Unavailable when it is closed. There are as many helpers as calls at a time; `kept` of them stay.
    """

    def __init__(self, limits: MediaLimits, kept: int = 2, cpu_seconds: int = 10, wall_seconds: float = 60) -> None:
        """cpu_seconds: processor time that one file, or one piece of a stream, may take; wall_seconds: time in all."""
        self._limits = limits
        self._kept = kept
        self._cpu_seconds = cpu_seconds
        self._wall_seconds = wall_seconds
        self._lock = threading.Lock()
        self._idle: list[DecoderProcess] = []
        self._closed = False

    def probe_image(self, path: Path) -> ImageInfo:
        """`service.media.image.probe_image`, behind the wall."""
        return self._call("image", ImageInfo, probe_image, path, self._limits)

    def probe_audio(self, path: Path) -> AudioInfo:
        """`service.media.audio.probe_audio`, behind the wall."""
        return self._call("audio", AudioInfo, probe_audio, path, self._limits)

    def probe_video(self, path: Path) -> VideoInfo:
        """`service.media.video_file.probe_video`, behind the wall."""
        return self._call("video", VideoInfo, probe_video, path, self._limits)

    def decode_image(self, path: Path, max_side: int | None = None) -> Pixels:
        """`service.media.image.decode_image`, behind the wall: [H, W, 3]."""
        return self._call("image", np.ndarray, decode_image, path, self._limits, max_side)

    def decode_audio(self, path: Path, sample_rate_hz: int) -> Waveform:
        """`service.media.audio.decode_audio`, behind the wall: [N]."""
        return self._call("audio", np.ndarray, decode_audio, path, self._limits, sample_rate_hz)

    def read_timeline(self, path: Path, allow_partial: bool = False) -> Timeline:
        """`service.media.video_file.read_timeline`, behind the wall."""
        return self._call("video", Timeline, read_timeline, path, self._limits, allow_partial)

    def read_video_format(self, path: Path) -> VideoFormat:
        """`service.media.frames.read_video_format`, behind the wall."""
        return self._call("video", VideoFormat, read_video_format, path, self._limits)

    def read_times(self, path: Path) -> Times:
        """`service.media.times.read_times`, behind the wall."""
        return self._call("video", Times, read_times, path)

    def read_frames(
        self, path: Path, timeline: Timeline, video_format: VideoFormat, first: int, stop: int, size: tuple[int, int]
    ) -> Generator[tuple[int, Pixels]]:
        """`service.media.frames.read_frames`, behind the wall: frames' numbers and pixels [height, width, 3]."""
        arguments = (path, self._limits, timeline, video_format, first, stop, size)
        with self._stream("video", _pixels_of, read_frames, *arguments) as items:
            yield from enumerate(items(np.ndarray), first)

    @contextmanager
    def read_soundtrack(self, path: Path) -> Iterator[tuple[TrackForm, Iterator[Block]]]:
        """`service.media.soundtrack.read_soundtrack`, behind the wall: the form of the track, and its blocks."""
        with self._stream("video", read_soundtrack, path, self._limits) as items:
            yield next(items(TrackForm)), items(np.ndarray)

    def mux(
        self,
        target: Path,
        container: Container,
        segments: Sequence[Segment],
        timeline: Timeline,
        video_format: VideoFormat,
        sound: Path | None,
    ) -> None:
        """`service.media.mux.join`, behind the wall."""
        arguments = (target, container, segments, timeline, video_format, sound)
        with self._helper("video") as helper:
            helper.ask(Call(mux, arguments, _MUX_SECONDS), type(None), _MUX_SECONDS)

    def warm_up(self) -> None:
        """Start the helpers that are kept, so that the first file does not wait for them."""
        started = [DecoderProcess() for _ in range(self._kept)]
        for helper in started:
            self._put_by(helper)

    def close(self) -> None:
        """End the helpers; later calls raise Unavailable."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for helper in idle:
            helper.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _call(self, field: str, kind: type[Result], function: Callable[..., Any], *arguments: Any) -> Result:
        call = Call(function, arguments, self._cpu_seconds)

        def ask() -> Result:
            with self._helper(field) as helper:
                result: Result = helper.ask(call, kind, self._wall_seconds)
                return result

        try:
            return ask()
        except MediaError as exc:
            if not isinstance(exc.__cause__, DecoderKilled):
                raise
            return ask()  # a second time would be the file's own doing

    @contextmanager
    def _stream(
        self, field: str, function: Callable[..., Any], *arguments: Any
    ) -> Iterator[Callable[[Any], Iterator[Any]]]:
        """What the iterator that `function` returns yields from here on, as that type."""
        begin = Call(function, arguments, self._cpu_seconds)
        with self._helper(field) as helper:
            begun = False

            def items(kind: Any) -> Iterator[Any]:
                nonlocal begun
                while True:
                    request, begun = (Next() if begun else begin), True
                    if (item := helper.ask(request, kind, self._wall_seconds)) is None:
                        return
                    yield item

            yield items
            helper.ask(Close(), type(None), self._wall_seconds)

    @contextmanager
    def _helper(self, field: str) -> Iterator[DecoderProcess]:
        """A helper for one task; one that was left in the middle of it is ended."""
        helper = self._take()
        try:
            yield helper
        except DecoderLost as exc:
            helper.end()
            logger.warning("a helper is lost: %s", exc)
            raise MediaError(
                "the file cannot be opened: it crashes the decoder or takes it too long", field=field
            ) from exc
        except MemoryError as exc:
            self._put_by(helper)
            raise TooLarge("the file does not fit in memory when opened; send a smaller one", field=field) from exc
        except BaseException:
            if helper.is_busy:
                helper.end()
            else:
                self._put_by(helper)
            raise
        else:
            self._put_by(helper)

    def _take(self) -> DecoderProcess:
        while True:
            with self._lock:
                if self._closed:
                    raise Unavailable("the service is stopping; try again later", retry_after=5)
                helper = self._idle.pop() if self._idle else None
            if helper is None:
                return DecoderProcess()
            if helper.is_alive:
                return helper
            helper.end()

    def _put_by(self, helper: DecoderProcess) -> None:
        with self._lock:
            if not self._closed and len(self._idle) < self._kept and helper.tasks < _FILES_EACH:
                self._idle.append(helper)
                return
        helper.end()


def _pixels_of(read: Callable[..., Iterator[tuple[int, Pixels]]], *arguments: Any) -> Iterator[Pixels]:
    """In a helper: frames without their numbers, which follow each other."""
    for _, pixels in read(*arguments):
        yield pixels

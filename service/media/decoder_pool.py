"""Open foreign files in processes of their own, so that one which crashes a decoder takes no server or worker with it.

libav and Pillow's codecs are C: a hostile file may end the process, eat its memory or spin. Here that ends a helper
(`service.media.decoder_helper`), is answered as a damaged file, and the next file gets a new helper. Helpers are forked
from a program of our own (`service.media.fork_server`) rather than by the fork server of `multiprocessing`, whose
children Celery's pool processes may not have.
"""

import logging
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from service.errors import MediaError, TooLarge, Unavailable
from service.media.audio import AudioInfo, WindowReport, probe_audio, read_audio, read_window
from service.media.audio_file import Waveform
from service.media.decoder_process import DecoderLost, DecoderProcess, twice_if_killed
from service.media.frames import read_pixels
from service.media.icc import convert_colors
from service.media.image import ImageInfo, probe_image
from service.media.image_reader import ImageHeader, ReadPlan, read_image, read_strips
from service.media.image_reduce import Pixels
from service.media.limits import MediaLimits
from service.media.mux import AudioFile, Segment, mux
from service.media.preview_frame import PreviewFrame, read_preview_frame
from service.media.side_tracks import MetadataPolicy
from service.media.soundtrack_reader import Block, TrackForm, read_soundtrack
from service.media.still_video import write_still_video
from service.media.timeline import FROM_ZERO, Clock
from service.media.times import Times, read_times
from service.media.track_copy import AudioSpan, copy_track, read_span
from service.media.video_file import Container, VideoInfo, probe_video
from service.media.video_manifest import VideoManifest, survey_video
from service.media.wire import Call, Close, Next

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

_FILES_EACH: Final = 1000  # then a helper is replaced, whatever it leaked
_WHOLE_FILE_SECONDS: Final = 3600  # an hour's video is copied in a small part of it


class DecoderPool:
    """Helper processes that open files; safe to call from several threads.

    Its methods block, and raise what the functions raise that they are named after, MediaError for a file that ends a
    helper, and Unavailable when it is closed. There are as many helpers as calls at a time; `kept` of them stay.
    """

    def __init__(
        self,
        limits: MediaLimits,
        kept: int = 2,
        cpu_seconds: int = 10,
        wall_seconds: float = 60,
        files: Mapping[str, int] | None = None,
    ) -> None:
        """cpu_seconds: processor time that one file, or one piece of a stream, may take; wall_seconds: time in all.

        files: rights (service.media.landlock) on all that helpers may open beside the system's; None: on everything.
        """
        self._files = files
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

    def read_image(self, path: Path, plan: ReadPlan) -> tuple[ImageHeader, Pixels]:
        """`service.media.image_reader.read_image`, behind the wall: the header and the pixels [H, W, C]."""

        def read() -> tuple[ImageHeader, Pixels]:
            with self._stream("image", read_image, path, self._limits, plan) as items:
                return next(items(ImageHeader)), next(items(np.ndarray))

        return twice_if_killed(read)

    def read_strips(self, path: Path, plan: ReadPlan) -> Generator[Pixels]:
        """`service.media.image_reader.read_strips`, behind the wall: [rows, W, C]."""
        with self._stream("image", read_strips, path, self._limits, plan) as items:
            yield from items(np.ndarray)

    def convert_colors(self, pixels: Pixels, profile: bytes, *, to_srgb: bool) -> Pixels:
        """`service.media.icc.convert_colors`, behind the wall: [H, W, 3] of 8 bits, both."""
        return self._call("image", np.ndarray, convert_colors, pixels, profile, to_srgb)

    def read_window(
        self,
        path: Path,
        sample_rate_hz: int,
        clip_samples: int,
        start_seconds: float | None = None,
        searched: Callable[[float], None] = lambda _seconds: None,
    ) -> tuple[WindowReport, Waveform]:
        """`service.media.audio.read_window`, behind the wall: what was found, and its waveform [clip_samples].

        searched: told now and then how many seconds have been searched; what it raises ends the search.
        """
        arguments = (path, self._limits, sample_rate_hz, clip_samples, start_seconds)
        with self._stream("audio", read_window, *arguments) as items:
            report = next(items(WindowReport))
            while not report.done:
                searched(report.seconds)
                report = next(items(WindowReport))
            return report, next(items(np.ndarray))

    @contextmanager
    def read_audio(self, path: Path, sample_rate_hz: int) -> Iterator[Iterator[Waveform]]:
        """`service.media.audio.read_audio`, behind the wall: blocks of mono."""
        with self._stream("audio", read_audio, path, self._limits, sample_rate_hz) as items:
            yield items(np.ndarray)

    def read_manifest(
        self, path: Path, allow_partial: bool = False, progress: Callable[[int], None] = lambda _: None
    ) -> VideoManifest:
        """`service.media.video_manifest.survey_video`, behind the wall. progress: called with the frames so far."""
        with self._stream("video", survey_video, path, self._limits, allow_partial) as items:
            for item in items(int | VideoManifest):
                if isinstance(item, VideoManifest):
                    return item
                progress(item)
        raise AssertionError("a survey ends with the manifest")

    def write_still_video(
        self, image: Path, audio: Path, target: Path, max_side: int, progress: Callable[[int], None]
    ) -> None:
        """`service.media.still_video.write_still_video`, behind the wall. progress: called with the frames so far."""
        with self._stream("image", write_still_video, image, audio, target, self._limits, max_side) as items:
            for frames in items(int):
                progress(frames)

    def read_preview_frame(self, path: Path, at_seconds: float | None) -> tuple[PreviewFrame, Pixels]:
        """`service.media.preview_frame.read_preview_frame`, behind the wall: what the frame is, and [H, W, 3]."""
        with self._stream("video", read_preview_frame, path, self._limits, at_seconds) as items:
            return next(items(PreviewFrame)), next(items(np.ndarray))

    def read_times(self, path: Path) -> Times:
        """`service.media.times.read_times`, behind the wall."""
        return self._long("video", Times, read_times, path, self._limits)

    def read_frames(
        self, path: Path, manifest: VideoManifest, first: int, stop: int, size: tuple[int, int]
    ) -> Generator[tuple[int, NDArray[np.uint8]]]:
        """`service.media.frames.read_frames`, behind the wall: frames' numbers and pixels [height, width, 3]."""
        with self._stream("video", read_pixels, path, self._limits, manifest, first, stop, size) as items:
            yield from enumerate(items(np.ndarray), first)

    @contextmanager
    def read_soundtrack(
        self, path: Path, track: int | None = None, clock: Clock = FROM_ZERO
    ) -> Iterator[tuple[TrackForm, Iterator[Block]]]:
        """`service.media.soundtrack_reader.read_soundtrack`, behind the wall: the form of the track, and its blocks."""
        with self._stream("video", read_soundtrack, path, self._limits, track, clock) as items:
            yield next(items(TrackForm)), items(np.ndarray)

    def read_span(self, path: Path, track: int, clock: Clock) -> AudioSpan:
        """`service.media.track_copy.read_span`, behind the wall."""
        return self._long("video", AudioSpan, read_span, path, self._limits, track, clock)

    def copy_track(
        self, source: Path, track: int, clock: Clock, target: Path, container: Container, span: AudioSpan
    ) -> bool:
        """`service.media.track_copy.copy_track`, behind the wall."""
        return self._long("video", bool, copy_track, source, self._limits, track, clock, target, container, span)

    def mux(
        self,
        target: Path,
        source: Path,
        manifest: VideoManifest,
        segments: Sequence[Segment],
        audio: Sequence[AudioFile],
        metadata: MetadataPolicy = "no-location",
    ) -> list[str]:
        """`service.media.mux.mux`, behind the wall."""
        return self._long("video", list[str], mux, target, source, manifest, segments, audio, metadata)

    def warm_up(self) -> None:
        """Start the helpers that are kept, so that the first file does not wait for them."""
        started = [DecoderProcess(self._files) for _ in range(self._kept)]
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

        return twice_if_killed(ask)

    def _long(self, field: str, kind: type[Result], function: Callable[..., Any], *arguments: Any) -> Result:
        """A call that reads a whole file, however long."""
        with self._helper(field) as helper:
            result: Result = helper.ask(Call(function, arguments, _WHOLE_FILE_SECONDS), kind, _WHOLE_FILE_SECONDS)
            return result

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
                return DecoderProcess(self._files)
            if helper.is_alive:
                return helper
            helper.end()

    def _put_by(self, helper: DecoderProcess) -> None:
        with self._lock:
            if not self._closed and len(self._idle) < self._kept and helper.tasks < _FILES_EACH:
                self._idle.append(helper)
                return
        helper.end()

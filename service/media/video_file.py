"""Open a foreign video with every way to other files closed, and say what its header announces.

As for sounds, demuxers and decoders are listed, every protocol is closed, and the file comes without its name. Nothing
here is decoded but what libav needs to know the form; what is found by decoding is in the manifest.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import av
from av.stream import Disposition

from service.errors import MediaError, StylizationError, TooLarge, UnsupportedMedia
from service.media.audio_formats import AUDIO_DECODERS
from service.media.file_kind import file_kind
from service.media.libav import VIDEO_DEMUXERS, open_nameless
from service.media.limits import MediaLimits

_VIDEO_DECODERS: Final = {
    *("h264", "hevc", "mpeg4", "vp8", "vp9", "libvpx", "libvpx-vp9", "av1", "libdav1d", "mjpeg", "prores"),
    *(
        "mpeg1video",
        "mpeg2video",
        "h263",
        "ffv1",
        "dnxhd",
        "msmpeg4",
        "msmpeg4v2",
        "flv",
        "dvvideo",
        "huffyuv",
        "rawvideo",
    ),
}
_OPTIONS: Final = {
    "format_whitelist": VIDEO_DEMUXERS,
    "protocol_whitelist": "none",
    # for the decoders that libav tries while it opens the file
    "codec_whitelist": ",".join(sorted(_VIDEO_DECODERS | AUDIO_DECODERS)),
    "max_streams": "32",
    "threads": "1",
}
_SMALLEST_SIDE: Final = 16
_FPS_TOLERANCE: Final = 1.01
_STREAM_TEXT: Final = "send MP4, MOV, MKV, WebM, MPEG-TS or AVI with H.264, HEVC, VP8, VP9 or AV1"
_TAKEN_KINDS: Final = {"Matroska or WebM", "MP4", "3GP", "QuickTime", "MPEG-TS", "MPEG", "AVI", "FLV"}

Container = Literal["mp4", "webm"]


@dataclass(frozen=True)
class VideoInfo:
    """What the header says; nothing of it is trusted further on. frames: 0 where it does not say.

    container: of the results. width, height: pixels as stored, before the rotation.
    """

    container: Container
    codec: str
    width: int
    height: int
    seconds: float | None
    frames: int
    fps: float | None
    has_sound: bool


@contextmanager
def open_container(path: Path, limits: MediaLimits) -> Iterator[Any]:
    """The open container; whatever libav raises leaves as one of our errors."""
    size = path.stat().st_size
    if size == 0:
        raise MediaError("the video is empty (0 bytes); send the file itself", field="video")
    if size > limits.max_video_bytes:
        raise TooLarge(f"the video has {size} bytes; at most {limits.max_video_bytes} are taken", field="video")
    kind = file_kind(path)
    if kind is not None and kind.kind == "image":  # libav would make a video of the frames of HEIC and AVIF
        raise _unopened(path)
    with path.open("rb") as file:
        try:
            container = open_nameless(file, _OPTIONS)
        except Exception as exc:  # a demuxer fed with hostile bytes may raise anything
            raise _unopened(path) from exc
        with container:
            try:
                yield container
            except StylizationError:
                raise
            except MemoryError as exc:
                raise TooLarge("the video does not fit in memory; send a smaller one", field="video") from exc
            except (av.FFmpegError, ValueError, IndexError) as exc:
                raise MediaError("the video is damaged; send it again", field="video") from exc


@contextmanager
def open_video(path: Path, limits: MediaLimits) -> Iterator[tuple[Any, Any]]:
    """The open container and its video stream."""
    with open_container(path, limits) as container:
        yield container, _choose_stream(container, limits)


def probe_video(path: Path, limits: MediaLimits) -> VideoInfo:
    """Read the header, and as many packets as it takes to tell whether it is right about what it would be refused for.

    Raises UnsupportedMedia for another format or a file without images, TooLarge above the limits, MediaError if it
    is damaged.
    """
    with open_video(path, limits) as (container, stream):
        seconds = None
        if stream.duration is not None:
            seconds = float(stream.duration * stream.time_base)
        elif container.duration is not None:
            seconds = container.duration / av.time_base
        if not stream.codec_context.width:
            raise MediaError("the video holds no image that can be decoded; send it again", field="video")
        frames, fps = stream.frames, float(stream.average_rate) if stream.average_rate else None
        count = _Count(limits, stream, doubtful=_exceeds(seconds, frames, fps, limits))
        count.run(container)
        if count.doubtful:
            seconds, frames, fps = count.seconds, count.frames, count.fps
            if is_too_fast(fps, limits):
                raise too_fast(fps, limits)
        return VideoInfo(
            container=container_of_result(path),
            codec=stream.codec_context.codec.canonical_name,
            width=stream.codec_context.width,
            height=stream.codec_context.height,
            seconds=seconds,
            frames=frames,
            fps=fps,
            has_sound=count.has_sound,
        )


def _exceeds(seconds: float | None, frames: int, fps: float | None, limits: MediaLimits) -> bool:
    """Whether the header announces more than is taken."""
    return (
        (seconds or 0) > limits.max_video_seconds
        or max(frames, (seconds or 0) * (fps or 0)) > limits.max_video_frames
        or is_too_fast(fps or 0, limits)
    )


class _Count:
    """Reads packets until it is known whether there is sound and, if `doubtful`, how many frames and seconds."""

    def __init__(self, limits: MediaLimits, stream: Any, doubtful: bool) -> None:
        self._limits, self._stream = limits, stream
        self.doubtful = doubtful
        self.has_sound = False
        self.frames, self._first, self._last, self._duration = 0, 0, 0, 0

    @property
    def seconds(self) -> float:
        """From the first frame to the end of the last."""
        return float((self._last + self._duration - self._first) * self._stream.time_base)

    @property
    def fps(self) -> float:
        """Mean frames a second."""
        return self.frames / max(self.seconds, 1e-6)

    def run(self, container: Any) -> None:
        """Raises TooLarge as soon as there is more than is taken."""
        if not self.doubtful and not container.streams.audio:
            return
        for packet in container.demux([self._stream, *container.streams.audio]):
            if packet.stream_index != self._stream.index:
                self.has_sound = self.has_sound or packet.size > 0
            elif packet.size and packet.pts is not None and not packet.is_discard:
                self._first = min(self._first, packet.pts) if self.frames else packet.pts
                if packet.pts >= self._last or not self.frames:
                    self._last, self._duration = packet.pts, int(packet.duration or 0)
                self.frames += 1
                if self.doubtful and self.frames > self._limits.max_video_frames:
                    raise too_many_frames(self._limits)
                if self.doubtful and self.seconds > self._limits.max_video_seconds:
                    raise too_long(self._limits)
            if not self.doubtful and self.has_sound:
                return


def _choose_stream(container: Any, limits: MediaLimits) -> Any:
    """The first video track that is no cover picture, if its codec and size are taken."""
    streams = [stream for stream in container.streams.video if not is_cover(stream)]
    if not streams:
        raise UnsupportedMedia(f"the file has no images; {_STREAM_TEXT}", field="video")
    stream = streams[0]
    context = stream.codec_context
    if context is None or context.codec.name not in _VIDEO_DECODERS:
        name = "unknown" if context is None else context.codec.long_name
        raise UnsupportedMedia(f"the video's codec ({name}) is not taken; {_STREAM_TEXT}", field="video")
    if context.width or context.height:  # else it takes a frame to know
        check_size(context.width, context.height, limits)
    return stream


def is_cover(stream: Any) -> bool:
    """Whether a video track is the image that stands for a file, as on an album."""
    return bool(stream.disposition & Disposition.attached_pic)


def check_size(width: int, height: int, limits: MediaLimits) -> None:
    """Raises TooLarge or MediaError for a frame's size that is not taken."""
    if width * height > limits.max_video_pixels:
        raise TooLarge(
            f"the video is {width} x {height} pixels; at most {limits.max_video_pixels} pixels are taken", field="video"
        )
    if min(width, height) < _SMALLEST_SIDE:
        raise MediaError(f"the video is {width} x {height} pixels; {_SMALLEST_SIDE} is the least side", field="video")


def container_of_result(path: Path) -> Container:
    """WebM for WebM, MP4 for everything else."""
    with path.open("rb") as file:
        start = file.read(64)
    return "webm" if start.startswith(b"\x1a\x45\xdf\xa3") and b"webm" in start else "mp4"


def _unopened(path: Path) -> MediaError | UnsupportedMedia:
    kind = file_kind(path)
    if kind is None:
        return UnsupportedMedia(f"the file is no video that is known here; {_STREAM_TEXT}", field="video")
    if kind.name in _TAKEN_KINDS:
        return MediaError("the video is damaged or incomplete; send it again", field="video")
    return UnsupportedMedia(f"the file is {kind.name}, which is not taken as a video; {_STREAM_TEXT}", field="video")


def too_long(limits: MediaLimits) -> TooLarge:
    """Refuses a video longer than is taken."""
    return TooLarge(f"the video is longer than {limits.max_video_seconds:g} s; cut it", field="video")


def too_many_frames(limits: MediaLimits) -> TooLarge:
    """Refuses a video with more frames than are taken."""
    return TooLarge(f"the video has more than {limits.max_video_frames} frames; cut it", field="video")


def is_too_fast(fps: float, limits: MediaLimits) -> bool:
    """Whether there are more frames a second than are taken; 240 may be 240.2."""
    return fps > limits.max_video_fps * _FPS_TOLERANCE


def too_fast(fps: float, limits: MediaLimits) -> TooLarge:
    """Refuses a video with more frames a second than are taken."""
    return TooLarge(
        f"the video has {fps:.0f} frames a second; at most {limits.max_video_fps:g} are taken", field="video"
    )

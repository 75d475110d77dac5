"""Open a foreign video with every way to other files closed, and say what its header and its packets announce.

As for sounds, demuxers and decoders are listed, every protocol is closed, and the file comes without its name. Packets
are timed by the video's own clock (`time_base`); nothing here is decoded but what libav needs to know the form.
"""

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, Literal

import av

from service.errors import MediaError, StylizationError, TooLarge, UnsupportedMedia
from service.media.audio_file import SOUND_DECODERS
from service.media.libav import DEMUXERS, Nameless, refuse_other_files
from service.media.limits import MediaLimits

_VIDEO_DECODERS: Final = {
    *("h264", "hevc", "mpeg4", "vp8", "vp9", "libvpx", "libvpx-vp9", "av1", "libdav1d", "mjpeg", "prores"),
    *("mpeg2video", "h263", "ffv1", "dnxhd"),
}
_OPTIONS: Final = {
    "format_whitelist": DEMUXERS,
    "protocol_whitelist": "none",
    # for the decoders that libav tries while it opens the file
    "codec_whitelist": ",".join(sorted(_VIDEO_DECODERS | SOUND_DECODERS)),
    "max_streams": "32",
    "threads": "1",
    # an edit list would have packets thrown away that the player still needs; frames that it hides are told by a flag
    "ignore_editlist": "0",
}
_SMALLEST_SIDE: Final = 16
_STREAM_TEXT: Final = "send MP4, MOV, MKV or WebM with H.264, HEVC, VP8, VP9 or AV1"
_TOLERANCE_SECONDS: Final = 0.5

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


@dataclass(frozen=True)
class Timeline:
    """When each frame is shown, in ticks of `time_base`, and from which ones decoding can begin.

    pts: in order. key_frames: indices into it. last_ticks: how long the last frame is shown.
    broken_at: seconds up to which the file is whole, None if all of it is.
    """

    time_base: Fraction
    pts: tuple[int, ...]
    key_frames: tuple[int, ...]
    last_ticks: int
    broken_at: float | None = None

    @property
    def start_seconds(self) -> float:
        """When the first frame is shown."""
        return float(self.pts[0] * self.time_base)

    @property
    def end_seconds(self) -> float:
        """When the last frame is gone."""
        return float((self.pts[-1] + self.last_ticks) * self.time_base)

    @property
    def fps(self) -> float:
        """Mean frames a second."""
        return len(self.pts) / max(self.end_seconds - self.start_seconds, 1e-6)

    def seconds(self, index: int) -> float:
        """When frame `index` is shown."""
        return float(self.pts[index] * self.time_base)

    def key_frame_before(self, index: int) -> int:
        """The last key frame at or before `index`; the first frame if there is none."""
        place = bisect_right(self.key_frames, index)
        return self.key_frames[place - 1] if place else 0


@contextmanager
def open_video(path: Path, limits: MediaLimits) -> Iterator[tuple[Any, Any]]:
    """The open container and its video stream; whatever libav raises leaves as one of our errors."""
    size = path.stat().st_size
    if size == 0:
        raise MediaError("the video is empty (0 bytes); send the file itself", field="video")
    if size > limits.max_video_bytes:
        raise TooLarge(f"the video has {size} bytes; at most {limits.max_video_bytes} are taken", field="video")
    with path.open("rb") as file:
        try:
            container = av.open(Nameless(file), "r", options=_OPTIONS, io_open=refuse_other_files)
        except Exception as exc:  # a demuxer fed with hostile bytes may raise anything
            raise _unopened(path) from exc
        with container:
            try:
                yield container, _choose_stream(container, limits)
            except StylizationError:
                raise
            except MemoryError as exc:
                raise TooLarge("the video does not fit in memory; send a smaller one", field="video") from exc
            except (av.FFmpegError, ValueError, IndexError) as exc:
                raise MediaError("the video is damaged; send it again", field="video") from exc


def probe_video(path: Path, limits: MediaLimits) -> VideoInfo:
    """Read the header alone, to refuse early what it honestly announces.

    Raises UnsupportedMedia for another format or a file without images, TooLarge above the limits, MediaError if it
    is damaged.
    """
    with open_video(path, limits) as (container, stream):
        context = stream.codec_context
        seconds = None
        if stream.duration is not None:
            seconds = float(stream.duration * stream.time_base)
        elif container.duration is not None:
            seconds = container.duration / av.time_base
        fps = float(stream.average_rate) if stream.average_rate else None
        if seconds is not None and seconds > limits.max_video_seconds:
            raise _too_long(limits)
        if stream.frames > limits.max_video_frames or (seconds or 0) * (fps or 0) > 1.1 * limits.max_video_frames:
            raise _too_many_frames(limits)
        if fps is not None and fps > limits.max_video_fps:
            raise _too_fast(fps, limits)
        return VideoInfo(
            container="webm" if _is_webm(path) else "mp4",
            codec=context.codec.canonical_name,
            width=context.width,
            height=context.height,
            seconds=seconds,
            frames=stream.frames,
            fps=fps,
            has_sound=bool(container.streams.audio),
        )


def read_timeline(path: Path, limits: MediaLimits, allow_partial: bool = False) -> Timeline:
    """Read every packet of the images, decoding none.

    allow_partial: take a file that breaks off, up to where it does. Raises what `probe_video` raises, by what is found
    rather than announced, and MediaError with the second at which the file breaks off.
    """
    with open_video(path, limits) as (container, stream):
        shown: dict[int, tuple[bool, int]] = {}
        broken = False
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError:
                broken = True
                break
            if packet is None:
                break
            if packet.pts is None or packet.is_discard or not packet.size:
                continue
            if packet.is_corrupt:
                broken = True
                break
            shown[packet.pts] = (bool(packet.is_keyframe), int(packet.duration or 0))
            if len(shown) > limits.max_video_frames:
                raise _too_many_frames(limits)
            if (packet.pts - min(packet.pts, stream.start_time or 0)) * stream.time_base > limits.max_video_seconds:
                raise _too_long(limits)
        return _timeline(container, stream, shown, broken, limits, allow_partial)


def _timeline(
    container: Any,
    stream: Any,
    shown: dict[int, tuple[bool, int]],
    broken: bool,
    limits: MediaLimits,
    allow_partial: bool,
) -> Timeline:
    pts = sorted(shown)
    if not pts or not any(is_key for is_key, _ in shown.values()):
        raise MediaError("the video holds no image that can be decoded; send it again", field="video")
    first_key = next(index for index, tick in enumerate(pts) if shown[tick][0])
    pts = pts[first_key:]  # nothing before the first key frame can be shown
    last_ticks = shown[pts[-1]][1] or (pts[-1] - pts[-2] if len(pts) > 1 else 1)
    end = float((pts[-1] + last_ticks) * stream.time_base)
    broken = broken or _breaks_off(container, stream, len(shown), end)
    if broken and not allow_partial:
        raise MediaError(
            f"the video breaks off at {end:.2f} s; send the whole file, or allow_partial=true for what is there",
            field="video",
        )
    timeline = Timeline(
        time_base=stream.time_base,
        pts=tuple(pts),
        key_frames=tuple(index for index, tick in enumerate(pts) if shown[tick][0]),
        last_ticks=last_ticks,
        broken_at=end if broken else None,
    )
    if timeline.fps > limits.max_video_fps:
        raise _too_fast(timeline.fps, limits)
    return timeline


def _breaks_off(container: Any, stream: Any, found: int, end_seconds: float) -> bool:
    """Whether the header announces more than there is: frames in an MP4's index, a duration in others."""
    if stream.frames:
        announced: int = stream.frames
        return found < 0.99 * announced - 2
    stated = container.duration / av.time_base if container.duration is not None else None
    if stated is None or container.streams.audio:  # the sound alone may be that long
        return False
    return bool(end_seconds < 0.98 * stated - _TOLERANCE_SECONDS)


def _choose_stream(container: Any, limits: MediaLimits) -> Any:
    """The first video track that is no cover image, if its codec and size are taken."""
    streams = [stream for stream in container.streams.video if "attached_pic" not in str(stream.disposition)]
    if not streams:
        raise UnsupportedMedia(f"the file has no images; {_STREAM_TEXT}", field="video")
    stream = streams[0]
    context = stream.codec_context
    if context is None or context.codec.name not in _VIDEO_DECODERS:
        raise UnsupportedMedia(f"the video's codec is not taken; {_STREAM_TEXT}", field="video")
    check_size(context.width, context.height, limits)
    return stream


def check_size(width: int, height: int, limits: MediaLimits) -> None:
    """Raises TooLarge or MediaError for a frame's size that is not taken."""
    if width * height > limits.max_video_pixels:
        raise TooLarge(
            f"the video is {width} x {height} pixels; at most {limits.max_video_pixels} pixels are taken", field="video"
        )
    if min(width, height) < _SMALLEST_SIDE:
        raise MediaError(f"the video is {width} x {height} pixels; {_SMALLEST_SIDE} is the least side", field="video")


def _is_webm(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(64)
    return start.startswith(b"\x1a\x45\xdf\xa3") and b"webm" in start


def _unopened(path: Path) -> MediaError | UnsupportedMedia:
    with path.open("rb") as file:
        start = file.read(12)
    if start.startswith(b"\x1a\x45\xdf\xa3") or start[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free"):
        return MediaError("the video is damaged or incomplete; send it again", field="video")
    return UnsupportedMedia(f"the file is no video that is known here; {_STREAM_TEXT}", field="video")


def _too_long(limits: MediaLimits) -> TooLarge:
    return TooLarge(f"the video is longer than {limits.max_video_seconds:g} s; cut it", field="video")


def _too_many_frames(limits: MediaLimits) -> TooLarge:
    return TooLarge(f"the video has more than {limits.max_video_frames} frames; cut it", field="video")


def _too_fast(fps: float, limits: MediaLimits) -> TooLarge:
    return TooLarge(
        f"the video has {fps:.0f} frames a second; at most {limits.max_video_fps:g} are taken", field="video"
    )

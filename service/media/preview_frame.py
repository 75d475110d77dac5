"""Read one frame of a video without the rest: what a preview is made of, within seconds and without a manifest."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av

from service.errors import MediaError
from service.media.frames import Pixels, RgbConverter, deinterlaced, frames_of
from service.media.limits import MediaLimits
from service.media.video_file import VideoInfo, check_size, open_video, probe_video
from service.media.video_format import VideoFormat, format_of
from service.media.video_manifest import clock_start

_LOOK_BACK_SECONDS: Final = (2.0, 15.0, 60.0)  # a demuxer may land later than it was asked to


@dataclass(frozen=True)
class PreviewFrame:
    """at_seconds: when the frame is shown. frames: of the whole video, as its header has it.

    ends_at: when the video ends, if the frame is its last one. start_seconds: the file's own time at 0.
    """

    at_seconds: float
    ends_at: float | None
    format: VideoFormat
    frames: int
    has_sound: bool
    start_seconds: Fraction


def read_preview_frame(path: Path, limits: MediaLimits, at_seconds: float | None) -> Iterator[PreviewFrame | Pixels]:
    """What is shown then (in the middle without a moment), and its pixels [height, width, 3] as stored.

    Raises what `probe_video` raises.
    """
    info = probe_video(path, limits)
    wanted = (info.seconds or 0.0) / 2 if at_seconds is None else at_seconds
    for look_back in (*_LOOK_BACK_SECONDS, None):
        with open_video(path, limits) as (container, stream):
            found = _find(container, stream, wanted, look_back)
            if found is None or (found[0] > wanted and look_back is not None):
                continue
            seconds, frame, ends_at = found
            check_size(frame.width, frame.height, limits)
            format = format_of(frame, stream, bool(frame.interlaced_frame))
            yield PreviewFrame(
                at_seconds=max(0.0, seconds),
                ends_at=ends_at,
                format=format,
                frames=_frames(info),
                has_sound=info.has_sound,
                start_seconds=clock_start(container),
            )
            shown = next(deinterlaced(iter([(0, frame)])))[1] if format.interlaced else frame
            yield RgbConverter(format, (frame.width, frame.height)).convert(shown)
            return
    raise MediaError("the video holds no image that can be decoded; send it again", field="video")


def _find(
    container: Any, stream: Any, wanted: float, look_back: float | None
) -> tuple[float, Any, float | None] | None:
    """The last frame shown at or before `wanted`, else the first after it: when, the frame, and when the video ends.

    look_back: seconds before it at which decoding begins, None for the beginning.
    """
    stream.thread_type = "AUTO"
    start = clock_start(container)
    if look_back is not None:
        try:
            ticks = round((max(0.0, wanted - look_back) + float(start)) / stream.time_base)
            container.seek(ticks, stream=stream, backward=True)
        except (av.FFmpegError, OverflowError):
            return None
    found: tuple[float, Any, float | None] | None = None
    for frame in frames_of(container, stream):
        tick = frame.pts if frame.pts is not None else frame.dts
        seconds = float((tick or 0) * stream.time_base - start)
        if seconds > wanted:
            return (*found[:2], None) if found else (seconds, frame, None)
        found = seconds, frame, seconds + float((frame.duration or 0) * stream.time_base)
    return found


def _frames(info: VideoInfo) -> int:
    return max(1, info.frames or round((info.seconds or 0) * (info.fps or 0)))

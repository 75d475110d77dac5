"""Frames of a foreign video as RGB arrays, and RGB arrays as the frames of a segment of the result.

Colours go through the video's own matrix and range both ways, so that an unchanged pixel comes back as it was. A
segment begins at 0 on its own clock and has no B-frames: segments of one video are muxed by adding an offset.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

from service.errors import MediaError
from service.media.limits import MediaLimits
from service.media.video_file import Container, Timeline, check_size, open_video

Pixels = NDArray[np.uint8]

_ITU709, _ITU601 = 1, 5
_FULL_RANGE, _LIMITED_RANGE = 2, 1
_HD_ROWS: Final = 720  # a video that does not name its matrix has 709 from here on, 601 below
_BT2020_MATRICES: Final = {9, 10}
_UNSPECIFIED: Final = 2
# without these two libswscale darkens everything by one level on the way there and back
_EXACT: Final = Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
_SAME_SIZE: Final = int(Interpolation.BILINEAR | _EXACT)
_OTHER_SIZE: Final = int(Interpolation.BICUBIC | _EXACT)
_ENCODERS: Final = {"mp4": "libx264", "webm": "libvpx-vp9"}


@dataclass(frozen=True)
class VideoFormat:
    """How the stored frames are to be shown: kept from the video to its result.

    display_matrix: the nine numbers of MP4's rotation, None if upright. quarter_turns: anticlockwise turns that make a
    stored frame upright. The four colour numbers are those of ITU-T H.273.
    """

    width: int
    height: int
    pixel_aspect: Fraction | None
    display_matrix: tuple[int, ...] | None
    quarter_turns: int
    matrix: int
    full_range: bool
    primaries: int
    transfer: int
    bits: int
    fps: Fraction

    @property
    def conversion(self) -> tuple[int, int]:
        """libswscale's numbers for matrix and range."""
        if self.matrix in _BT2020_MATRICES:
            matrix = 9
        elif self.matrix in (_UNSPECIFIED, 0):
            matrix = _ITU709 if self.height >= _HD_ROWS else _ITU601
        else:
            matrix = self.matrix
        return matrix, _FULL_RANGE if self.full_range else _LIMITED_RANGE


def read_video_format(path: Path, limits: MediaLimits) -> VideoFormat:
    """Decode the first frame for what only it tells; raises MediaError if there is none."""
    with open_video(path, limits) as (container, stream):
        frame = next(container.decode(stream), None)
        if frame is None:
            raise MediaError("the video holds no image that can be decoded; send it again", field="video")
        check_size(frame.width, frame.height, limits)
        data = frame.side_data.get("DISPLAYMATRIX")
        display = tuple(int(n) for n in np.frombuffer(bytes(data), np.int32)) if data is not None else None
        aspect = stream.sample_aspect_ratio
        return VideoFormat(
            width=frame.width,
            height=frame.height,
            pixel_aspect=Fraction(aspect) if aspect else None,
            display_matrix=display,
            quarter_turns=round(frame.rotation / 90) % 4,
            matrix=int(frame.colorspace),
            full_range=int(frame.color_range) == _FULL_RANGE or frame.format.name.startswith("yuvj"),
            primaries=int(frame.color_primaries),
            transfer=int(frame.color_trc),
            bits=max(component.bits for component in frame.format.components),
            fps=Fraction(stream.average_rate or stream.guessed_rate or 25),
        )


def read_frames(
    path: Path,
    limits: MediaLimits,
    timeline: Timeline,
    video_format: VideoFormat,
    first: int,
    stop: int,
    size: tuple[int, int],
) -> Iterator[tuple[int, Pixels]]:
    """Frames `first` to `stop` - 1 of the timeline, each with its number: [height, width, 3] at `size` (width, height).

    Raises MediaError with the second at which a frame is missing, damaged, or suddenly of another size.
    """
    matrix, color_range = video_format.conversion
    with open_video(path, limits) as (container, stream):
        stream.thread_type = "AUTO"
        container.seek(timeline.pts[timeline.key_frame_before(first)], stream=stream, backward=True)
        expected = first
        try:
            for frame in container.decode(stream):
                index = _index_of(timeline, frame.pts)
                if index is None or index < first:
                    continue
                if index >= stop:
                    break
                if index != expected:
                    raise _broken(timeline, expected)
                if (frame.width, frame.height) != (video_format.width, video_format.height):
                    raise MediaError(
                        f"the video changes its size at {timeline.seconds(index):.2f} s; convert it to one size",
                        field="video",
                    )
                rgb = frame.reformat(
                    width=size[0],
                    height=size[1],
                    format="rgb24",
                    src_colorspace=matrix,
                    dst_colorspace=matrix,
                    src_color_range=color_range,
                    dst_color_range=_FULL_RANGE,
                    interpolation=_SAME_SIZE if size == (video_format.width, video_format.height) else _OTHER_SIZE,
                    threads=1,
                )
                yield index, np.asarray(rgb.to_ndarray())
                expected = index + 1
        except av.FFmpegError as exc:
            raise _broken(timeline, expected) from exc
        if expected != stop:
            raise _broken(timeline, expected)


class SegmentWriter:
    """Encodes the frames of one segment, [height, width, 3] each, into a file of its own."""

    def __init__(
        self,
        path: Path,
        container: Container,
        video_format: VideoFormat,
        timeline: Timeline,
        first: int,
        size: tuple[int, int],
    ) -> None:
        """first: number of the segment's first frame, which is shown at 0 in the segment. size: (width, height)."""
        self._look, self._timeline, self._first = video_format, timeline, first
        self._output = av.open(
            str(path), "w", format=container, options={"video_track_timescale": str(timeline.time_base.denominator)}
        )
        options = {"mp4": {"crf": "18", "preset": "veryfast", "bf": "0"}, "webm": _VP9}[container]
        stream: Any = self._output.add_stream(_ENCODERS[container], rate=video_format.fps, options=options)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p" if size[0] % 2 == size[1] % 2 == 0 else "yuv444p"
        context = stream.codec_context
        context.time_base = timeline.time_base
        stream.time_base = timeline.time_base
        if video_format.pixel_aspect is not None:
            context.sample_aspect_ratio = video_format.pixel_aspect
        context.color_range = _FULL_RANGE if video_format.full_range else _LIMITED_RANGE
        context.colorspace, context.color_primaries, context.color_trc = (
            video_format.matrix,
            video_format.primaries,
            video_format.transfer,
        )
        self._stream = stream

    def write(self, index: int, pixels: Pixels) -> None:
        """Take frame `index` of the timeline, [height, width, 3]."""
        matrix, color_range = self._look.conversion
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        frame = frame.reformat(
            format=self._stream.pix_fmt,
            src_colorspace=matrix,
            dst_colorspace=matrix,
            src_color_range=_FULL_RANGE,
            dst_color_range=color_range,
            interpolation=_SAME_SIZE,
            threads=1,
        )
        frame.colorspace, frame.color_range = self._look.matrix, color_range
        frame.color_primaries, frame.color_trc = self._look.primaries, self._look.transfer
        frame.pts = self._timeline.pts[index] - self._timeline.pts[self._first]
        frame.time_base = self._timeline.time_base
        self._output.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Write what is left; without it the file is not whole."""
        self._output.mux(self._stream.encode(None))
        self._output.close()

    def abandon(self) -> None:
        """Close the file half-written."""
        self._output.close()


_VP9: Final = {
    "crf": "24",
    "b": "0",
    "deadline": "realtime",
    "cpu-used": "6",
    "row-mt": "1",
    "lag-in-frames": "0",
    "auto-alt-ref": "0",
}


def _index_of(timeline: Timeline, pts: int | None) -> int | None:
    if pts is None:
        return None
    index = bisect_left(timeline.pts, pts)
    return index if index < len(timeline.pts) and timeline.pts[index] == pts else None


def _broken(timeline: Timeline, index: int) -> MediaError:
    at = timeline.seconds(min(index, len(timeline.pts) - 1))
    return MediaError(f"the video breaks at {at:.2f} s: a frame cannot be decoded; send it again", field="video")

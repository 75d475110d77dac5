"""Write RGB arrays as the frames of a segment of the result.

A segment begins at 0 on its own clock and has no B-frames: segments of one video are joined by adding an offset
(`service.media.mux`).
"""

from pathlib import Path
from typing import Any, Final

import av
import numpy as np
from numpy.typing import NDArray

from service.media.timeline import Timeline
from service.media.video_file import Container
from service.media.video_format import FULL_RANGE, LIMITED_RANGE, SAME_SIZE, VideoFormat

Pixels = NDArray[np.uint8]

_ENCODERS: Final = {"mp4": "libx264", "webm": "libvpx-vp9"}
_OPTIONS: Final = {
    "mp4": {"crf": "18", "preset": "veryfast", "bf": "0"},
    "webm": {
        "crf": "24",
        "b": "0",
        "deadline": "realtime",
        "cpu-used": "6",
        "row-mt": "1",
        "lag-in-frames": "0",
        "auto-alt-ref": "0",
    },
}


class SegmentWriter:
    """Encodes the frames of one segment, [height, width, 3] each, into a file of its own."""

    def __init__(
        self,
        path: Path,
        container: Container,
        format: VideoFormat,
        timeline: Timeline,
        first: int,
        size: tuple[int, int],
    ) -> None:
        """format: of the result. first: number of the segment's first frame, at 0 in it. size: (width, height)."""
        self._format, self._timeline, self._first = format, timeline, first
        clock = {"video_track_timescale": str(timeline.time_base.denominator)} if container == "mp4" else {}
        self._output = av.open(str(path), "w", format=container, options=clock)
        stream: Any = self._output.add_stream(_ENCODERS[container], rate=format.fps, options=_OPTIONS[container])
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p" if size[0] % 2 == size[1] % 2 == 0 else "yuv444p"
        context = stream.codec_context
        context.time_base = timeline.time_base
        stream.time_base = timeline.time_base
        if format.pixel_aspect is not None:
            context.sample_aspect_ratio = format.pixel_aspect
        context.color_range = FULL_RANGE if format.full_range else LIMITED_RANGE
        context.colorspace, context.color_primaries, context.color_trc = (
            format.matrix, format.primaries, format.transfer,
        )  # fmt: skip
        self._stream = stream

    def write(self, index: int, pixels: Pixels) -> None:
        """Take frame `index` of the timeline, [height, width, 3]."""
        matrix, color_range = self._format.conversion
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        frame = frame.reformat(
            format=self._stream.pix_fmt,
            src_colorspace=matrix,
            dst_colorspace=matrix,
            src_color_range=FULL_RANGE,
            dst_color_range=color_range,
            interpolation=SAME_SIZE,
            threads=1,
        )
        frame.colorspace, frame.color_range = self._format.matrix, color_range
        frame.color_primaries, frame.color_trc = self._format.primaries, self._format.transfer
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

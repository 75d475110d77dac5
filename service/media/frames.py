"""Frames of a foreign video as RGB arrays: every one that a decoder shows, deinterlaced, in standard dynamic range.

Decoding begins at a key frame before the first frame that is wanted, and goes by the manifest: a frame is known by its
place behind that key frame and by its timestamp. If the two disagree (a demuxer that lands late, a key frame that
cannot be decoded alone), decoding begins anew from further ahead, at the last from the beginning.
"""

from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import av.filter
import numpy as np
from numpy.typing import NDArray

from service.errors import MediaError
from service.media.libav import readable_packets
from service.media.limits import MediaLimits
from service.media.timeline import Timeline
from service.media.tone_mapping import ToneMapper
from service.media.video_file import open_video
from service.media.video_format import BT2020, FULL_RANGE, OTHER_SIZE, SAME_SIZE, SIXTEEN_BITS, VideoFormat
from service.media.video_manifest import VideoManifest

Pixels = NDArray[np.uint8]
Numbered = tuple[int, Any]  # a frame of libav with its place in the timeline

_NEIGHBORS: Final = 2  # frames on either side that the deinterlacer looks at


def read_frames(
    path: Path, limits: MediaLimits, manifest: VideoManifest, first: int, stop: int, size: tuple[int, int]
) -> Iterator[tuple[int, Pixels]]:
    """Frames `first` to `stop` - 1 of the timeline, each with its number: [height, width, 3] at `size` (width, height).

    Raises MediaError with the second at which a frame is missing, damaged, or suddenly of another size.
    """
    format, timeline = manifest.format, manifest.timeline
    if format.interlaced:
        begin, end = max(0, first - _NEIGHBORS), min(len(timeline.pts), stop + _NEIGHBORS)
        frames = deinterlaced(_decoded(path, limits, manifest, begin, end))
    else:
        frames = _decoded(path, limits, manifest, first, stop)
    to_rgb = RgbConverter(format, size)
    for index, frame in frames:
        if first <= index < stop:
            yield index, to_rgb.convert(frame)


def _decoded(path: Path, limits: MediaLimits, manifest: VideoManifest, first: int, stop: int) -> Iterator[Numbered]:
    """Those frames as the decoder gives them."""
    timeline, next_index = manifest.timeline, first
    for begin in [*timeline.key_frames_before(first), None]:
        with open_video(path, limits) as (container, stream):
            stream.thread_type = "AUTO"
            if begin is not None:
                try:
                    container.seek(timeline.decoded[begin], stream=stream, backward=True)
                except av.FFmpegError:
                    continue
            for index, frame in _in_step(container, stream, timeline, begin):
                if index >= stop:
                    break
                if index < next_index:
                    continue
                if (frame.width, frame.height) != (manifest.format.width, manifest.format.height):
                    raise MediaError(
                        f"the video changes its size at {timeline.seconds(index):.2f} s; convert it to one size",
                        field="video",
                    )
                yield index, frame
                next_index = index + 1
        if next_index == stop:
            return
    at = timeline.seconds(min(next_index, len(timeline.pts) - 1))
    raise MediaError(
        f"the video breaks at {at:.2f} s: a frame cannot be decoded; send it again",
        field="video",
    )


def _in_step(container: Any, stream: Any, timeline: Timeline, begin: int | None) -> Iterator[Numbered]:
    """Decoded frames with their numbers, from key frame `begin` on or from the file's first; ends when out of step."""
    last = None if begin is not None else -1
    wanted = {timeline.decoded[key]: key for key in timeline.key_frames} if begin is not None else {}
    for frame in frames_of(container, stream):
        tick = frame.pts if frame.pts is not None else frame.dts
        if last is None:
            index = wanted.get(tick) if frame.key_frame else None
            if index is None:
                continue  # it belongs to what was shown before the key frame
            if begin is not None and index > begin:
                return  # the demuxer has landed too late
        else:
            index = last + 1
            if index >= len(timeline.pts) or (tick is not None and tick != timeline.decoded[index]):
                return
        yield index, frame
        last = index


def frames_of(container: Any, stream: Any) -> Iterator[Any]:
    """What the decoder makes of the packets; those that it cannot decode are passed over, as for the manifest."""
    for packet in readable_packets(container, stream):
        try:
            frames = packet.decode()
        except av.FFmpegError:
            continue
        yield from frames


def deinterlaced(frames: Iterator[Numbered]) -> Iterator[Numbered]:
    """The same frames, both fields made one image of one moment (libavfilter's bwdif); progressive ones stay."""
    graph: Any = None
    waiting: deque[int] = deque()

    def pulled() -> Iterator[Numbered]:
        while waiting:
            try:
                frame = graph.pull()
            except (av.BlockingIOError, av.EOFError):
                return
            yield waiting.popleft(), frame

    for index, frame in frames:
        graph = graph or _bwdif(frame)
        frame.pts, frame.time_base = index, Fraction(1, 25)  # in order is enough
        waiting.append(index)
        graph.push(frame)
        yield from pulled()
    if graph is not None:
        graph.push(None)
        yield from pulled()


def _bwdif(frame: Any) -> Any:
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, name="in", time_base=Fraction(1, 25)
    )
    deinterlace, sink = graph.add("bwdif", "mode=send_frame:deint=interlaced"), graph.add("buffersink")
    source.link_to(deinterlace)
    deinterlace.link_to(sink)
    graph.configure()
    return graph


class RgbConverter:
    """Frames of libav -> [height, width, 3] at another size, through the video's own matrix and range.

    An unchanged pixel comes back as it was when it is encoded again. A high dynamic range is tone-mapped.
    """

    def __init__(self, format: VideoFormat, size: tuple[int, int]) -> None:
        self._size = size
        self._matrix, self._range = format.conversion
        self._interpolation = SAME_SIZE if size == (format.width, format.height) else OTHER_SIZE
        self._tone_mapper = None
        if format.hdr is not None:
            self._matrix, self._interpolation = BT2020, SIXTEEN_BITS
            self._tone_mapper = ToneMapper(*size, format.hdr)

    def convert(self, frame: Any) -> Pixels:
        rgb = frame.reformat(
            width=self._size[0],
            height=self._size[1],
            format="rgb24" if self._tone_mapper is None else "rgb48le",
            src_colorspace=self._matrix,
            dst_colorspace=self._matrix,
            src_color_range=self._range,
            dst_color_range=FULL_RANGE,
            interpolation=self._interpolation,
            threads=1,
        )
        if self._tone_mapper is not None:
            rgb = self._tone_mapper.map(rgb).reformat(format="rgb24")
        return np.asarray(rgb.to_ndarray())


def read_pixels(*arguments: Any) -> Iterator[NDArray[np.uint8]]:
    """`read_frames` without the frames' numbers, which follow each other."""
    for _, pixels in read_frames(*arguments):
        yield pixels

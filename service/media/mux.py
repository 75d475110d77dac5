"""Join the segments of a video and its soundtrack into the result: packets are copied, nothing is encoded again."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from pathlib import Path
from typing import Any, Final

import av
from av.container import InputContainer, OutputContainer

from service.media.frames import VideoFormat
from service.media.libav import open_known
from service.media.video_file import Container, Timeline

MEDIA_TYPES: Final[dict[Container, str]] = {"mp4": "video/mp4", "webm": "video/webm"}
_COPYABLE: Final = {"mp4": {"aac", "mp3", "opus", "ac3", "eac3", "alac", "flac"}, "webm": {"opus", "vorbis"}}
_MOST_TICKS: Final = 2**31


@dataclass(frozen=True)
class Segment:
    """An encoded stretch of the images. first, stop: numbers of its frames in the timeline, stop excluded."""

    path: Path
    first: int
    stop: int


def can_copy(codec: str, container: Container) -> bool:
    """Whether a soundtrack of that codec may stand in the result as it is."""
    return codec in _COPYABLE[container]


def mux(
    target: Path,
    container: Container,
    segments: Sequence[Segment],
    timeline: Timeline,
    video_format: VideoFormat,
    sound: Path | None,
) -> None:
    """Write the whole result to `target`; the file begins with its index, so that it plays while it loads.

    sound: a file of which the first sound track is copied; None for a silent result. Raises ValueError if a segment
    does not hold the frames that it should.
    """
    with ExitStack() as stack:
        source = None if sound is None else stack.enter_context(open_known(sound))
        track = None if source is None else source.streams.audio[0]
        output = stack.enter_context(
            av.open(str(target), "w", format=container, options=_muxer_options(container, timeline, track))
        )
        with av.open(str(segments[0].path)) as first:
            images = output.add_stream_from_template(first.streams.video[0])
            header = bytes(first.streams.video[0].codec_context.extradata or b"")
        images.time_base = timeline.time_base
        if video_format.display_matrix is not None:
            images.set_display_matrix(video_format.display_matrix)
        heard: Iterator[Any] = iter(())
        if source is not None and track is not None:
            heard = _sound_packets(source, track, output.add_stream_from_template(track))
        _mux(output, _video_packets(segments, timeline, images, header), heard)


def _muxer_options(container: Container, timeline: Timeline, track: Any) -> dict[str, str]:
    """MP4 counts its tracks' starts and lengths in ticks of its own: they must hold frames and samples without rest."""
    if container == "webm":
        return {"cues_to_front": "1"}
    ticks = timeline.time_base.denominator
    whole = lcm(ticks, track.codec_context.sample_rate if track is not None else 1)
    return {
        "movflags": "+faststart",
        "video_track_timescale": str(ticks),
        "movie_timescale": str(whole if whole < _MOST_TICKS else ticks),
    }


def _video_packets(segments: Sequence[Segment], timeline: Timeline, stream: Any, header: bytes) -> Iterator[Any]:
    """All frames in order, timed by the timeline."""
    for segment in segments:
        index = segment.first
        with av.open(str(segment.path)) as opened:
            source = opened.streams.video[0]
            if bytes(source.codec_context.extradata or b"") != header:
                raise ValueError(f"{segment.path.name} was encoded with other settings than the first segment")
            for packet in opened.demux(source):
                if not packet.size:
                    continue
                if index >= segment.stop:
                    raise ValueError(f"{segment.path.name} holds more than {segment.stop - segment.first} frames")
                ticks = timeline.pts[index]
                last = index + 1 == len(timeline.pts)
                packet.duration = timeline.last_ticks if last else timeline.pts[index + 1] - ticks
                packet.pts = packet.dts = ticks
                packet.time_base = timeline.time_base
                packet.stream = stream
                index += 1
                yield packet
        if index != segment.stop:
            raise ValueError(
                f"{segment.path.name} holds {index - segment.first} frames, not {segment.stop - segment.first}"
            )


def _sound_packets(source: InputContainer, track: Any, copied: Any) -> Iterator[Any]:
    for packet in source.demux(track):
        if packet.size and packet.pts is not None:
            packet.stream = copied
            yield packet


def _mux(output: OutputContainer, images: Iterator[Any], sound: Iterator[Any]) -> None:
    """Interleave by time."""
    heard = next(sound, None)
    for packet in images:
        while heard is not None and _time(heard) <= _time(packet):
            output.mux_one(heard)
            heard = next(sound, None)
        output.mux_one(packet)
    while heard is not None:
        output.mux_one(heard)
        heard = next(sound, None)


def _time(packet: Any) -> Fraction:
    ticks = packet.dts if packet.dts is not None else packet.pts
    return Fraction(ticks * packet.time_base)

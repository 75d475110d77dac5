"""Join the segments of a video, its audio tracks and what else it carries into the result: packets are copied."""

import heapq
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from pathlib import Path
from typing import Any, Final

import av

from service.media.libav import open_known
from service.media.side_tracks import MetadataPolicy, SideTracks
from service.media.timeline import Timeline
from service.media.video_file import Container
from service.media.video_manifest import VideoManifest

MEDIA_TYPES: Final[dict[Container, str]] = {"mp4": "video/mp4", "webm": "video/webm"}
_MOST_TICKS: Final = 2**31


@dataclass(frozen=True)
class Segment:
    """An encoded stretch of the frames. first, stop: their numbers in the timeline, stop excluded."""

    path: Path
    first: int
    stop: int


@dataclass(frozen=True)
class AudioFile:
    """A file whose first audio track goes into the result. source_track: the stream whose language and title it has."""

    path: Path
    source_track: int | None = None


def mux(
    target: Path,
    source: Path,
    manifest: VideoManifest,
    segments: Sequence[Segment],
    audio: Sequence[AudioFile],
    metadata: MetadataPolicy = "no-location",
) -> list[str]:
    """Write the whole result to `target`; the file begins with its index, so that it plays while it loads.

    source: the video, whose subtitles, chapters and metadata are kept. Returns what was left out, in words. Raises
    ValueError if a segment does not hold the frames that it should.
    """
    container, timeline = manifest.container, manifest.timeline
    with ExitStack() as stack:
        files = [stack.enter_context(open_known(one.path)) for one in audio]
        tracks = [file.streams.audio[0] for file in files]
        output = stack.enter_context(
            av.open(str(target), "w", format=container, options=_muxer_options(container, timeline, tracks))
        )
        with av.open(str(segments[0].path)) as first:
            video = output.add_stream_from_template(first.streams.video[0])
            header = bytes(first.streams.video[0].codec_context.extradata or b"")
        video.time_base = timeline.time_base
        if manifest.format.display_matrix is not None:
            video.set_display_matrix(manifest.format.display_matrix)
        copies = [output.add_stream_from_template(track) for track in tracks]
        given = stack.enter_context(open_known(source))
        side = SideTracks(given, manifest, output, metadata)
        for copy, one in zip(copies, audio, strict=True):
            side.name(copy, one.source_track)
        packets = [
            _frame_packets(segments, timeline, video, header),
            *(_audio_packets(*each) for each in zip(files, tracks, copies, strict=True)),
            side.packets(),
        ]
        for packet in heapq.merge(*packets, key=_time):
            output.mux_one(packet)
    return side.left_out


def _muxer_options(container: Container, timeline: Timeline, tracks: Sequence[Any]) -> dict[str, str]:
    """MP4 counts its tracks' starts and lengths in ticks of its own: they must hold frames and samples without rest."""
    if container == "webm":
        return {"cues_to_front": "1"}
    ticks = timeline.time_base.denominator
    whole = lcm(ticks, *(track.codec_context.sample_rate for track in tracks))
    return {
        "movflags": "+faststart",
        "video_track_timescale": str(ticks),
        "movie_timescale": str(whole if whole < _MOST_TICKS else ticks),
    }


def _frame_packets(segments: Sequence[Segment], timeline: Timeline, stream: Any, header: bytes) -> Iterator[Any]:
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


def _audio_packets(file: Any, track: Any, copy: Any) -> Iterator[Any]:
    for packet in file.demux(track):
        if packet.size and packet.pts is not None:
            packet.stream = copy
            yield packet


def _time(packet: Any) -> Fraction:
    ticks = packet.dts if packet.dts is not None else packet.pts
    return Fraction(ticks * packet.time_base)

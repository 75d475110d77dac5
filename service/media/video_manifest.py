"""Decode a video once and write down what every later step goes by: its manifest.

What a decoder shows is counted, and no header is believed: edit lists hide frames, containers repeat timestamps or
have none, codecs have frames that are never shown. The pixels are thrown away; that costs a small part of what making
the result does.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
from pydantic import TypeAdapter

from service.errors import MediaError
from service.media.limits import MediaLimits
from service.media.timeline import Clock, DecodedFrame, Timeline, build_timeline
from service.media.video_end import is_cut_short
from service.media.video_file import (
    Container,
    check_size,
    container_of_result,
    is_too_fast,
    open_video,
    too_fast,
    too_long,
    too_many_frames,
)
from service.media.video_format import VideoFormat, format_of

_REPORT_SECONDS: Final = 0.5
_INTERLACED_SHARE: Final = 0.05  # of the frames, from which on they are deinterlaced
_BAD_PACKETS_SHARE: Final = 0.1
_FEW_BAD_PACKETS: Final = 2
_CLOCKS_FROM_ANYWHERE: Final = {"mpegts", "mpeg"}  # whose first timestamp means nothing


@dataclass(frozen=True)
class Track:
    """An audio or subtitle track that has packets. index: of the stream in its file."""

    index: int
    codec: str


@dataclass(frozen=True)
class VideoManifest:
    """A video as it was found to be.

    container: of the result. start_seconds: the file's own time at which the timeline has 0. audio, subtitles: tracks
    that hold anything; the first audio track is the soundtrack. undecodable: packets that no frame came of.
    """

    container: Container
    codec: str
    format: VideoFormat
    timeline: Timeline
    start_seconds: Fraction
    audio: tuple[Track, ...]
    subtitles: tuple[Track, ...]
    undecodable: int

    @property
    def clock(self) -> Clock:
        """By which the tracks' times become the timeline's."""
        return Clock(self.start_seconds, self.timeline.offsets)

    @property
    def soundtrack(self) -> int | None:
        """Index of the audio track that drives the frames; None for a silent video."""
        return self.audio[0].index if self.audio else None


def keep_manifest(path: Path, manifest: VideoManifest) -> None:
    """Write it down for later steps and other workers; a reader sees all of it or nothing."""
    partial = path.with_name(f".{os.getpid()}.{path.name}")
    partial.write_bytes(_JSON.dump_json(manifest))
    partial.replace(path)


def read_kept_manifest(path: Path) -> VideoManifest:
    """What `keep_manifest` wrote."""
    return _JSON.validate_json(path.read_bytes())


def read_manifest(path: Path, limits: MediaLimits, allow_partial: bool = False) -> VideoManifest:
    """The manifest of a video; see `survey_video`."""
    *_, manifest = survey_video(path, limits, allow_partial)
    assert isinstance(manifest, VideoManifest), "the survey ends with it"
    return manifest


def survey_video(path: Path, limits: MediaLimits, allow_partial: bool = False) -> Iterator[int | VideoManifest]:
    """The number of frames found so far, about twice a second, and the manifest at last.

    allow_partial: take a file that breaks off, up to where it does. Raises UnsupportedMedia, TooLarge by what is found
    rather than announced, and MediaError with the second at which the file breaks off.
    """
    survey = _Survey(limits)
    with open_video(path, limits) as (container, stream):
        stream.thread_type = "AUTO"
        yield from survey.run(container, stream)
        if not survey.frames or survey.format is None:
            raise MediaError("the video holds no image that can be decoded; send it again", field="video")
        start = clock_start(container)
        timeline = build_timeline(
            survey.frames, stream.time_base, round(start / stream.time_base), survey.broken or is_cut_short(path)
        )
        _check(timeline, survey, limits, allow_partial)
        interlaced = survey.interlaced > _INTERLACED_SHARE * len(survey.frames)
        yield VideoManifest(
            container=container_of_result(path),
            codec=stream.codec_context.codec.canonical_name,
            format=format_of(survey.format, stream, interlaced),
            timeline=timeline,
            start_seconds=start,
            audio=survey.tracks(container.streams.audio),
            subtitles=survey.tracks(container.streams.subtitles),
            undecodable=survey.undecodable,
        )


_JSON: Final = TypeAdapter(VideoManifest)


class _Survey:
    """One pass over all packets. format: the first frame. broken: the file could not be read to its end."""

    def __init__(self, limits: MediaLimits) -> None:
        self._limits = limits
        self.frames: list[DecodedFrame] = []
        self.format: Any = None
        self.interlaced = self.packets = self.undecodable = 0
        self.broken = False
        self._filled: set[int] = set()
        self._first: int | None = None

    def run(self, container: Any, stream: Any) -> Iterator[int]:
        """Fill in all of it; yields the number of frames now and then."""
        wanted = [stream, *container.streams.audio, *container.streams.subtitles]
        packets, reported = container.demux(wanted), time.monotonic()
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError:
                self.broken = True
                return
            if packet is None:
                return
            if packet.stream_index != stream.index:
                if packet.size:
                    self._filled.add(packet.stream_index)
                continue
            self._decode(packet)
            if time.monotonic() - reported > _REPORT_SECONDS:
                yield len(self.frames)
                reported = time.monotonic()

    def tracks(self, streams: Any) -> tuple[Track, ...]:
        """Those that have packets."""
        return tuple(
            Track(stream.index, "" if stream.codec_context is None else stream.codec_context.codec.canonical_name)
            for stream in streams
            if stream.index in self._filled
        )

    def _decode(self, packet: Any) -> None:
        self.packets += 1
        try:
            frames = packet.decode()
        except av.FFmpegError:
            self.undecodable += 1
            return
        for frame in frames:
            if self.format is None:
                check_size(frame.width, frame.height, self._limits)
                self.format = frame
            ticks = frame.pts if frame.pts is not None else frame.dts
            if ticks is not None:
                self._first = ticks if self._first is None else self._first
                if (ticks - self._first) * packet.time_base > self._limits.max_video_seconds:
                    raise too_long(self._limits)
            self.frames.append(DecodedFrame(ticks, bool(frame.key_frame), int(frame.duration or 0)))
            self.interlaced += bool(frame.interlaced_frame)
        if len(self.frames) > self._limits.max_video_frames:
            raise too_many_frames(self._limits)


def clock_start(container: Any) -> Fraction:
    """When the file's presentation begins, by its own clock; 0 where that clock itself means something."""
    if container.format.name in _CLOCKS_FROM_ANYWHERE and container.start_time is not None:
        return Fraction(container.start_time, av.time_base)
    return Fraction(0)


def _check(timeline: Timeline, survey: _Survey, limits: MediaLimits, allow_partial: bool) -> None:
    if timeline.end_seconds - min(timeline.start_seconds, 0.0) > limits.max_video_seconds:
        raise too_long(limits)
    if is_too_fast(timeline.fps, limits):
        raise too_fast(timeline.fps, limits)
    if timeline.broken_at is not None and not allow_partial:
        raise MediaError(
            f"the video breaks off at {timeline.broken_at:.2f} s; send the whole file, or allow_partial=true for what"
            " is there",
            field="video",
        )
    if survey.undecodable > _FEW_BAD_PACKETS + _BAD_PACKETS_SHARE * survey.packets:
        raise MediaError(
            f"the video is damaged: {survey.undecodable} of its {survey.packets} packets cannot be decoded; send it"
            " again",
            field="video",
        )

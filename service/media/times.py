"""Measure by how much sound and frames have moved against each other, by what a decoder gives."""

from dataclasses import dataclass
from pathlib import Path

from service.media.limits import MediaLimits
from service.media.timeline import Timeline
from service.media.track_copy import AudioSpan, read_span
from service.media.video_file import open_video


@dataclass(frozen=True)
class Times:
    """Seconds. first_frame, last_frame: when each is first shown. audio: of samples that are heard; None: silent."""

    first_frame: float
    last_frame: float
    audio: AudioSpan | None

    def leads(self) -> tuple[float, float] | None:
        """Seconds by which the sound begins, and ends, after the frames."""
        if self.audio is None:
            return None
        return self.audio.start_seconds - self.first_frame, self.audio.end_seconds - self.last_frame

    def without_priming(self, seconds: float) -> "Times":
        """The same where so much of the sound's beginning is an encoder's priming."""
        if self.audio is None:
            return self
        audio = AudioSpan(self.audio.start_seconds + seconds, self.audio.end_seconds)
        return Times(self.first_frame, self.last_frame, audio)


def times_of(timeline: Timeline, audio: AudioSpan | None) -> Times:
    """Of a video whose frames and sound were decoded before."""
    return Times(timeline.seconds(0), timeline.seconds(len(timeline.pts) - 1), audio)


def read_times(path: Path, limits: MediaLimits) -> Times:
    """Of a result, which has a packet for each frame; its sound is decoded, without priming and padding."""
    first, last = float("inf"), float("-inf")
    with open_video(path, limits) as (container, stream):
        has_audio = bool(container.streams.audio)
        for packet in container.demux(stream):
            if packet.size and packet.pts is not None:
                at = float(packet.pts * packet.time_base)
                first, last = min(first, at), max(last, at)
    return Times(first, last, read_span(path, limits) if has_audio else None)


def drift_seconds(source: Times, result: Times) -> float | None:
    """By how much the sound has moved against the frames, at the worse of both ends; None without sound in both."""
    before, after = source.leads(), result.leads()
    if before is None or after is None:
        return None
    return max(abs(now - then) for then, now in zip(before, after, strict=True))

"""Copy an audio track's packets into a file of its own, if it then begins and ends as it did in the video."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import av

from service.errors import StylizationError
from service.media.libav import open_known
from service.media.limits import MediaLimits
from service.media.soundtrack_reader import SoundtrackReader
from service.media.timeline import FROM_ZERO, Clock
from service.media.video_file import Container

_COPYABLE: Final[dict[Container, set[str]]] = {
    "mp4": {"aac", "mp3", "opus", "ac3", "eac3", "alac", "flac"},
    "webm": {"opus", "vorbis"},
}
_TOLERANCE_SECONDS: Final = 0.0006  # half a tick of WebM, and rounding
_OVERLAP_SECONDS: Final = 0.002


@dataclass(frozen=True)
class AudioSpan:
    """When the first sample of an audio track is heard and when its last one ends, as decoded."""

    start_seconds: float
    end_seconds: float


def read_span(path: Path, limits: MediaLimits, track: int | None = None, clock: Clock = FROM_ZERO) -> AudioSpan:
    """Decode the track and count; raises what `SoundtrackReader` raises."""
    with SoundtrackReader(path, limits, track, clock) as reader:
        samples = sum(block.shape[1] for block in reader.blocks())
        start = reader.form.start_seconds
        return AudioSpan(start, start + samples / reader.form.sample_rate_hz)


def copy_track(
    source: Path,
    limits: MediaLimits,
    track: int,
    clock: Clock,
    target: Path,
    container: Container,
    span: AudioSpan,
) -> bool:
    """Whether `target` now holds the track with the packets that it has in `source`, from `span.start_seconds` on.

    False where the container does not hold the codec, or cannot say where inside its packets the track begins or ends.
    """
    with open_known(source) as given:
        stream: Any = given.streams[track]
        if stream.codec_context.codec.canonical_name not in _COPYABLE[container]:
            return False
        start = round(clock.start / stream.time_base)
        rate = stream.codec_context.sample_rate
        options = {"movie_timescale": str(rate)} if container == "mp4" and rate else {}
        try:
            with av.open(str(target), "w", format=container, options=options) as output:
                copy: Any = output.add_stream_from_template(stream)
                heard, end = False, None
                for packet in given.demux(stream):
                    if not packet.size or packet.pts is None or (heard and packet.is_discard):
                        continue
                    if heard and end is not None and (end - packet.pts) * packet.time_base > _OVERLAP_SECONDS:
                        return False  # an edit list goes on inside a packet
                    heard, end = heard or not packet.is_discard, packet.pts + (packet.duration or 0)
                    packet.pts -= start
                    packet.dts = packet.pts
                    packet.stream = copy
                    output.mux_one(packet)
        except av.FFmpegError:  # timestamps or a form that the container does not take
            return False
    try:
        copied = read_span(target, limits)
    except StylizationError:
        return False
    return (
        abs(copied.start_seconds - span.start_seconds) < _TOLERANCE_SECONDS
        and abs(copied.end_seconds - span.end_seconds) < _TOLERANCE_SECONDS
    )

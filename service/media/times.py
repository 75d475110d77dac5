"""When images and sound begin and end in a video file, by its packets."""

from dataclasses import dataclass
from pathlib import Path

from service.media.libav import open_known


@dataclass(frozen=True)
class Times:
    """Seconds by the file's clock; None without a sound track. image_end: when the last frame is first shown."""

    image_start: float
    image_end: float
    sound_start: float | None
    sound_end: float | None

    def leads(self) -> tuple[float, float] | None:
        """Seconds by which the sound begins, and ends, after the images."""
        if self.sound_start is None or self.sound_end is None:
            return None
        return self.sound_start - self.image_start, self.sound_end - self.image_end


def read_times(path: Path) -> Times:
    """Of a file that was opened before; nothing is decoded."""
    starts: dict[str, float] = {}
    ends: dict[str, float] = {}
    with open_known(path) as container:
        wanted = [*container.streams.video[:1], *container.streams.audio[:1]]
        for packet in container.demux(*wanted):
            if packet.pts is None or not packet.size or packet.is_discard:
                continue
            kind = packet.stream.type
            at = float(packet.pts * packet.time_base)
            # WebM does not say how long its last frame is shown
            length = 0 if kind == "video" else packet.duration or 0
            end = at + float(length * packet.time_base)
            starts[kind] = min(at, starts.get(kind, at))
            ends[kind] = max(end, ends.get(kind, end))
    return Times(starts["video"], ends["video"], starts.get("audio"), ends.get("audio"))


def drift_seconds(source: Times, result: Times) -> float | None:
    """By how much the sound has moved against the images, at the worse of both ends; None without sound in both."""
    leads = [times.leads() for times in (source, result)]
    if leads[0] is None or leads[1] is None:
        return None
    (start_before, end_before), (start_after, end_after) = leads[0], leads[1]
    return max(abs(start_after - start_before), abs(end_after - end_before))

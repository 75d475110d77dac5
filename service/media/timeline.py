"""When each frame of a video is shown, and from which frames decoding can begin."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Final

_FINE_TICK: Final = Fraction(1, 1000)  # seconds: what two frames with one timestamp are set apart by, at most
_JUMP_SECONDS: Final = 1  # a timestamp that goes back further begins a new count, as in recordings that were joined


@dataclass(frozen=True)
class Clock:
    """How a file's own time becomes the timeline's, in seconds.

    start: the file's time at 0. offsets: what is added after each jump back, since the beginning.
    """

    start: Fraction = Fraction(0)
    offsets: tuple[Fraction, ...] = ()


FROM_ZERO: Final = Clock()


@dataclass(frozen=True)
class Timeline:
    """The frames that a decoder shows, in order.

    pts: when each is shown, in ticks of `time_base`; no two are equal. decoded: the timestamps that the decoder gives,
    in ticks of the file's own. key_frames: indices of frames at which decoding can begin. last_ticks: how long the last
    frame is shown. broken_at: seconds up to which the file is whole, None if all of it is. offsets: seconds that are
    added to the file's time after each jump back.
    """

    time_base: Fraction
    pts: tuple[int, ...]
    decoded: tuple[int, ...]
    key_frames: tuple[int, ...]
    last_ticks: int
    broken_at: float | None = None
    offsets: tuple[Fraction, ...] = ()

    @property
    def start_seconds(self) -> float:
        """When the first frame is shown."""
        return float(self.pts[0] * self.time_base)

    @property
    def end_seconds(self) -> float:
        """When the last frame is gone."""
        return float((self.pts[-1] + self.last_ticks) * self.time_base)

    @property
    def fps(self) -> float:
        """Mean frames a second."""
        return len(self.pts) / max(self.end_seconds - self.start_seconds, 1e-6)

    def seconds(self, index: int) -> float:
        """When frame `index` is shown."""
        return float(self.pts[index] * self.time_base)

    def key_frames_before(self, index: int) -> Iterator[int]:
        """Key frames at or before `index`: the last, and then ever earlier ones, the distance doubled each time."""
        place, step = bisect_right(self.key_frames, index) - 1, 1
        while place >= 0:
            yield self.key_frames[place]
            place, step = place - step, 2 * step


@dataclass(frozen=True)
class DecodedFrame:
    """What is noted of a frame. ticks: its timestamp; None if the file has none. duration: ticks, 0 if unknown."""

    ticks: int | None
    is_key: bool
    duration: int


def build_timeline(
    frames: Sequence[DecodedFrame], time_base: Fraction, start_ticks: int, broken: bool = False
) -> Timeline:
    """The timeline of at least one frame, in the order in which they were decoded. start_ticks: shown at 0."""
    decoded = _filled(frames)
    moved, jumps = _continuous(decoded, round(_JUMP_SECONDS / time_base))
    shown, offsets = sorted(tick - start_ticks for tick in moved), tuple(jump * time_base for jump in jumps)
    last_ticks = frames[-1].duration or (shown[-1] - shown[-2] if len(shown) > 1 else 1)
    if time_base > _FINE_TICK and len(set(shown)) < len(shown):
        factor = ceil(time_base / _FINE_TICK)
        shown, last_ticks, time_base = [tick * factor for tick in shown], last_ticks * factor, time_base / factor
    pts, times = tuple(_set_apart(shown)), Counter(decoded)
    last_ticks = max(1, last_ticks)
    return Timeline(
        time_base=time_base,
        pts=pts,
        decoded=tuple(decoded),
        key_frames=tuple(index for index, tick in enumerate(decoded) if frames[index].is_key and times[tick] == 1),
        last_ticks=last_ticks,
        broken_at=float((pts[-1] + last_ticks) * time_base) if broken else None,
        offsets=offsets,
    )


def _filled(frames: Iterable[DecodedFrame]) -> list[int]:
    """Every frame's timestamp; one that the file lacks follows the frame before."""
    ticks: list[int] = []
    step = 1
    for frame in frames:
        ticks.append(frame.ticks if frame.ticks is not None else ticks[-1] + step if ticks else 0)
        step = frame.duration or step
    return ticks


def _continuous(ticks: Sequence[int], jump: int) -> tuple[list[int], list[int]]:
    """The timestamps without jumps back by more than `jump`, and what was added after each of them."""
    latest, step = ticks[0], 1
    moved: list[int] = []
    offsets: list[int] = []
    for tick in ticks:
        shown = tick + (offsets[-1] if offsets else 0)
        if shown < latest - jump:
            offsets.append(latest + step - tick)
            shown = latest + step
        if shown > latest:
            latest, step = shown, shown - latest
        moved.append(shown)
    return moved, offsets


def _set_apart(ticks: Iterable[int]) -> Iterator[int]:
    """Each later than the one before, by a tick where they were equal."""
    before: int | None = None
    for tick in ticks:
        before = tick if before is None else max(tick, before + 1)
        yield before

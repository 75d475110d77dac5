"""Restyle the frames of a video by its edited soundtrack: decoding, the graphs and encoding run beside each other.

The model sees every frame reduced to `comfortable_side`; what it changes is steadied over time and carried over to the
full frame (`service.work.detail`). A part of the video begins a few frames early, so that its first frame shown is as
steady as the others: parts can be made by different workers, and no seam is seen.
"""

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from service.media.frames import Look, PartWriter
from service.media.join import Part
from service.media.sandbox import Sandbox
from service.media.video_file import Container, Timeline
from service.model.engine import Engine
from service.observe.stages import each, stage
from service.work.ahead import ahead, in_lanes
from service.work.detail import transfer_detail
from service.work.driving import DrivingTrack
from service.work.part_report import PartReport
from service.work.picture import padded_for
from service.work.steadiness import FlickerMeter, Steadier

FloatArray = NDArray[np.float32]
Pixels = NDArray[np.uint8]

_BATCH_PIXELS: Final = 400 * 400  # that the model sees at once; more brings nothing on a CPU
_MOST_FRAMES: Final = 8
_BATCHES_AHEAD: Final = 2
_LEAD_SECONDS: Final = 0.6  # more than twice the memory of `steadiness`
_LEAST_SIDE: Final = 16  # the optical flow wants no less
_PART_SECONDS: Final = 8.0


@dataclass(frozen=True)
class VideoPlan:
    """All that a part needs. size: (width, height) of the result's stored frames."""

    sandbox: Sandbox
    source: Path
    container: Container
    timeline: Timeline
    look: Look
    size: tuple[int, int]
    track: DrivingTrack
    model: str | None
    strength: float
    smoothing_seconds: float
    comfortable_side: int
    steady: bool = True


@dataclass(frozen=True)
class _Batch:
    """Frames as stored, as the model saw them (upright, in 0..1), and how the model changed these."""

    numbers: list[int]
    frames: list[Pixels]
    small: list[FloatArray]
    change: list[FloatArray]


def cut(timeline: Timeline, directory: Path, suffix: str) -> list[Part]:
    """The video in equal parts of about _PART_SECONDS each.

    Of more than one there is an even number, so that two workers end together. They need not begin at key frames: a
    part is decoded from before its first frame anyway.
    """
    last = len(timeline.pts)
    count = max(1, round((timeline.pts[-1] - timeline.pts[0]) * timeline.time_base / _PART_SECONDS))
    count = min(count + count % 2 if count > 1 else 1, last)
    cuts = [last * part // count for part in range(count + 1)]
    return [Part(directory / f"{first}.{suffix}", first, stop) for first, stop in pairwise(cuts)]


def render(engine: Engine, plan: VideoPlan, part: Part, progress: Callable[[int], None]) -> PartReport:
    """Make the part's file. progress: called with the number of frames that were added; what it raises stops the work.

    Raises MediaError where the video is damaged.
    """
    first = part.first
    while first > 0 and plan.timeline.seconds(part.first) - plan.timeline.seconds(first) < _LEAD_SECONDS:
        first -= 1
    steadier, meter, report = Steadier(), FlickerMeter(), PartReport()
    batches = _read(plan, first, part.stop)
    partial = part.path.with_name(f".{os.getpid()}.{part.path.name}")
    writer = PartWriter(partial, plan.container, plan.look, plan.timeline, part.first, plan.size)
    try:
        with ahead(batches, _BATCHES_AHEAD) as read, closing(_restyle(engine, plan, read)) as restyled:
            for batch in restyled:
                for number, frame, small, raw in zip(
                    batch.numbers, batch.frames, batch.small, batch.change, strict=True
                ):
                    change = steadier.steady(plan.timeline.seconds(number), small, raw) if plan.steady else raw
                    if number < part.first:
                        continue
                    shown = np.clip(small + np.float32(plan.strength) * change, 0, 1)
                    report.effect.append(float(np.abs(shown - small).mean() * 255))
                    meter.push(small, shown)
                    shown_frame = _apply(plan, frame, small, change)
                    with stage("encode"):
                        writer.write(number, shown_frame)
                progress(sum(number >= part.first for number in batch.numbers))
        writer.close()
        partial.replace(part.path)
    except BaseException:
        writer.abandon()
        partial.unlink(missing_ok=True)
        raise
    report.warping_errors = meter.errors
    return report


def result_size(look: Look, max_side: int | None) -> tuple[int, int]:
    """(width, height) of the result: the video's own, or reduced to `max_side`, both then even."""
    longest = max(look.width, look.height)
    if max_side is None or longest <= max_side:
        return look.width, look.height
    width, height = (max(_LEAST_SIDE, round(side * max_side / longest / 2) * 2) for side in (look.width, look.height))
    return width, height


def _read(plan: VideoPlan, first: int, stop: int) -> Iterator[_Batch]:
    """Frames in batches, with what the model is to see of them."""
    scale = min(1.0, plan.comfortable_side / max(plan.size))
    small_size = (max(_LEAST_SIDE, round(plan.size[0] * scale)), max(_LEAST_SIDE, round(plan.size[1] * scale)))
    most = max(1, min(_MOST_FRAMES, _BATCH_PIXELS // (small_size[0] * small_size[1])))
    batch = _Batch([], [], [], [])
    frames = plan.sandbox.read_frames(plan.source, plan.timeline, plan.look, first, stop, plan.size)
    for number, frame in each(frames, "decode"):
        reduced = frame if scale == 1 else cv2.resize(frame, small_size, interpolation=cv2.INTER_AREA)
        upright = np.rot90(reduced, plan.look.quarter_turns)
        batch.numbers.append(number)
        batch.frames.append(frame)
        batch.small.append(np.ascontiguousarray(upright, np.float32) / np.float32(255))
        if len(batch.numbers) == most:
            yield batch
            batch = _Batch([], [], [], [])
    if batch.numbers:
        yield batch


def _restyle(engine: Engine, plan: VideoPlan, batches: Iterator[_Batch]) -> Generator[_Batch]:
    """The same batches with the model's changes; several are made at once, each on a core of its own."""
    one = engine.by_core

    def restyle(batch: _Batch) -> _Batch:
        seconds = np.array([plan.timeline.seconds(number) for number in batch.numbers])
        embeddings = plan.track.embedding_at(seconds, plan.smoothing_seconds)  # [B, E]
        height, width = batch.small[0].shape[:2]
        padding = padded_for(one, height, width)
        images = np.stack([np.pad(small, padding, mode="reflect").transpose(2, 0, 1) for small in batch.small])
        stylized = one.decode(one.encode(images), embeddings)  # [B, 3, h, w], padded
        for index, small in enumerate(batch.small):
            batch.change.append(_upright(stylized[index], height, width) - small)
        return batch

    return in_lanes(restyle, batches, engine.lanes, _BATCHES_AHEAD)


def _upright(planes: FloatArray, height: int, width: int) -> FloatArray:
    """[3, h, w], padded -> [height, width, 3]."""
    return np.ascontiguousarray(planes[:, :height, :width].transpose(1, 2, 0))


def _apply(plan: VideoPlan, frame: Pixels, small: FloatArray, change: FloatArray) -> Pixels:
    """The frame as stored, [H, W, 3], with the change [h, w, 3] that the upright small frame had."""
    turned = np.ascontiguousarray(np.rot90(small, -plan.look.quarter_turns))
    change = np.ascontiguousarray(np.rot90(change, -plan.look.quarter_turns))
    if turned.shape == frame.shape:
        shown = np.clip(turned + np.float32(plan.strength) * change, 0, 1)
        return np.asarray(np.rint(shown * 255), np.uint8)
    return transfer_detail(frame, turned, turned + change, plan.strength)


def correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Pearson's, None where one of them does not vary."""
    if len(first) < 3 or np.ptp(first) < 1e-6 or np.ptp(second) < 1e-6:
        return None
    return float(np.corrcoef(first, second)[0, 1])

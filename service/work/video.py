"""Restyle the frames of a video by its edited soundtrack: decoding, the graphs and encoding run beside each other.

The model sees every frame reduced to `max_inference_side`; what it changes is smoothed over time and carried over to
the full frame (`service.work.detail_transfer`). A segment of the video begins a few frames early, so that its first
frame shown is as steady as the others: segments can be made by different workers, and no seam is seen.
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

from service.media.decoder_pool import DecoderPool
from service.media.mux import Segment
from service.media.segment_writer import SegmentWriter
from service.media.timeline import Timeline
from service.media.video_format import VideoFormat
from service.media.video_manifest import VideoManifest
from service.model.engine import Engine
from service.observe.stages import each, stage
from service.work.audio_track import AudioTrack
from service.work.detail_transfer import transfer_detail
from service.work.image_stylization import model_input
from service.work.prefetch import ahead, in_lanes
from service.work.segment_report import SegmentReport
from service.work.temporal_smoothing import FlickerMeter, TemporalSmoother

FloatArray = NDArray[np.float32]
Pixels = NDArray[np.uint8]

_BATCHES_AHEAD: Final = 2
_LEAD_SECONDS: Final = 0.6  # more than twice `temporal_smoothing.MEMORY_SECONDS`
_LEAST_SIDE: Final = 16  # the optical flow wants no less
_PART_SECONDS: Final = 8.0


@dataclass(frozen=True)
class VideoPlan:
    """All that a segment needs. size: (width, height) of the result's stored frames."""

    decoder_pool: DecoderPool
    source: Path
    manifest: VideoManifest
    size: tuple[int, int]
    track: AudioTrack
    strength: float
    smoothing_seconds: float
    max_inference_side: int
    steady: bool = True

    @property
    def timeline(self) -> Timeline:
        """When the frames are shown."""
        return self.manifest.timeline


@dataclass(frozen=True)
class _Batch:
    """Frames as stored, as the model sees them (upright: bytes, and in 0..1), and how the model changed these."""

    numbers: list[int]
    frames: list[Pixels]
    pixels: list[Pixels]
    small: list[FloatArray]
    change: list[FloatArray]


def plan_segments(timeline: Timeline, directory: Path, prefix: str, suffix: str) -> list[Segment]:
    """The video in equal segments of about _PART_SECONDS each. prefix, suffix: of their files' names.

    Of more than one there is an even number, so that two workers end together. They need not begin at key frames: a
    segment is decoded from before its first frame anyway.
    """
    last = len(timeline.pts)
    count = max(1, round((timeline.pts[-1] - timeline.pts[0]) * timeline.time_base / _PART_SECONDS))
    count = min(count + count % 2 if count > 1 else 1, last)
    cuts = [last * segment // count for segment in range(count + 1)]
    return [Segment(directory / f"{prefix}{first}.{suffix}", first, stop) for first, stop in pairwise(cuts)]


def render(engine: Engine, plan: VideoPlan, segment: Segment, progress: Callable[[int], None]) -> SegmentReport:
    """Make the segment's file. progress: called with the number of frames added; what it raises stops the work.

    Raises MediaError where the video is damaged.
    """
    first = segment.first
    while first > 0 and plan.timeline.seconds(segment.first) - plan.timeline.seconds(first) < _LEAD_SECONDS:
        first -= 1
    smoother, meter, report = TemporalSmoother(), FlickerMeter(), SegmentReport()
    batches = _read(engine, plan, first, segment.stop)
    partial = segment.path.with_name(f".{os.getpid()}.{segment.path.name}")
    writer = SegmentWriter(
        partial, plan.manifest.container, plan.manifest.format.of_result(), plan.timeline, segment.first, plan.size
    )
    try:
        with ahead(batches, _BATCHES_AHEAD) as read, closing(_restyle(engine, plan, read)) as restyled:
            for batch in restyled:
                for number, frame, small, raw in zip(
                    batch.numbers, batch.frames, batch.small, batch.change, strict=True
                ):
                    change = smoother.smooth(plan.timeline.seconds(number), small, raw) if plan.steady else raw
                    if number < segment.first:
                        continue
                    shown = np.clip(small + np.float32(plan.strength) * change, 0, 1)
                    report.effect.append(float(np.abs(shown - small).mean() * 255))
                    meter.push(small, shown)
                    shown_frame = _apply(plan, frame, small, change)
                    with stage("encode"):
                        writer.write(number, shown_frame)
                progress(sum(number >= segment.first for number in batch.numbers))
        writer.close()
        partial.replace(segment.path)
    except BaseException:
        writer.abandon()
        partial.unlink(missing_ok=True)
        raise
    report.warping_errors = meter.errors
    return report


def result_size(video_format: VideoFormat, max_side: int | None) -> tuple[int, int]:
    """(width, height) of the result: the video's own, or reduced to `max_side`, both then even."""
    longest = max(video_format.width, video_format.height)
    if max_side is None or longest <= max_side:
        return video_format.width, video_format.height
    width, height = (
        max(_LEAST_SIDE, round(side * max_side / longest / 2) * 2) for side in (video_format.width, video_format.height)
    )
    return width, height


def _read(engine: Engine, plan: VideoPlan, first: int, stop: int) -> Iterator[_Batch]:
    """Frames in batches, with what the model is to see of them."""
    scale = min(1.0, plan.max_inference_side / max(plan.size))
    small_size = (max(_LEAST_SIDE, round(plan.size[0] * scale)), max(_LEAST_SIDE, round(plan.size[1] * scale)))
    most = engine.images_at_once(small_size[1], small_size[0])
    batch = _Batch([], [], [], [], [])
    frames = plan.decoder_pool.read_frames(plan.source, plan.manifest, first, stop, plan.size)
    for number, frame in each(frames, "decode"):
        reduced = frame if scale == 1 else cv2.resize(frame, small_size, interpolation=cv2.INTER_AREA)
        upright = np.ascontiguousarray(np.rot90(reduced, plan.manifest.format.quarter_turns), np.uint8)
        batch.numbers.append(number)
        batch.frames.append(frame)
        batch.pixels.append(upright)
        batch.small.append(upright.astype(np.float32) / np.float32(255))
        if len(batch.numbers) == most:
            yield batch
            batch = _Batch([], [], [], [], [])
    if batch.numbers:
        yield batch


def _restyle(engine: Engine, plan: VideoPlan, batches: Iterator[_Batch]) -> Generator[_Batch]:
    """The same batches with the model's changes; several are made at once, each on a core of its own."""
    one = engine.by_core

    def restyle(batch: _Batch) -> _Batch:
        seconds = np.array([plan.timeline.seconds(number) for number in batch.numbers])
        embeddings = plan.track.embedding_at(seconds, plan.smoothing_seconds)  # [B, E]
        height, width = batch.small[0].shape[:2]
        images = np.stack([model_input(one, pixels) for pixels in batch.pixels])  # [B, h, w, 3], padded
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
    turned = np.ascontiguousarray(np.rot90(small, -plan.manifest.format.quarter_turns))
    change = np.ascontiguousarray(np.rot90(change, -plan.manifest.format.quarter_turns))
    if turned.shape == frame.shape:
        shown = np.clip(turned + np.float32(plan.strength) * change, 0, 1)
        return np.asarray(np.rint(shown * 255), np.uint8)
    return transfer_detail(frame, turned, turned + change, plan.strength)


def correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Pearson's, None where one of them does not vary."""
    if len(first) < 3 or np.ptp(first) < 1e-6 or np.ptp(second) < 1e-6:
        return None
    return float(np.corrcoef(first, second)[0, 1])

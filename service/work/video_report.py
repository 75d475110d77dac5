"""What is said of a finished video: the receipt's measurements, and warnings about what could not be kept."""

from typing import Any, Final

import numpy as np

from service.media.video_manifest import VideoManifest
from service.work.segment_report import SegmentReport
from service.work.video import VideoPlan, correlation

_VARIED_DB: Final = 3.0  # below it the loudness says nothing about the effect's course
_HIGH_FPS: Final = 100


def video_report(plan: VideoPlan, drift: float | None) -> dict[str, Any]:
    """What was found in the video, and made of it."""
    timeline, format = plan.timeline, plan.manifest.format
    return {
        "frames": len(timeline.pts),
        "seconds": round(timeline.end_seconds - timeline.start_seconds, 6),
        "broken_at_seconds": timeline.broken_at,
        "drift_seconds": None if drift is None else round(drift, 6),
        "reduced_from_bits": format.bits if format.bits > 8 else None,
        "tone_mapped_from": format.hdr,
        "deinterlaced": format.interlaced,
        "undecodable_packets": plan.manifest.undecodable,
        "working_side": min(plan.max_inference_side, max(plan.size)),
    }


def steadiness_report(plan: VideoPlan, report: SegmentReport) -> dict[str, Any]:
    """Warping errors in levels of 255, and how well the effect follows the loudness."""
    given, made = (np.mean([errors[k] for errors in report.warping_errors] or [0.0]) for k in (0, 1))
    seconds = np.array([plan.timeline.seconds(index) for index in range(len(plan.timeline.pts))])
    loudness = plan.track.loudness_at(seconds)
    follows = correlation(loudness.tolist(), report.effect) if np.ptp(loudness) > _VARIED_DB else None
    return {
        "warping_error_input": round(float(given), 4),
        "warping_error_output": round(float(made), 4),
        "warping_error_ratio": round(float(made / given), 4) if given > 0 else None,
        "effect_mean": round(float(np.mean(report.effect)), 3),
        "effect_follows_loudness": None if follows is None else round(follows, 4),
        "flow": "DIS fast on the frames the model sees; mask: flow there and back agrees",
    }


def video_warnings(manifest: VideoManifest, left_out: list[str]) -> tuple[dict[str, str], ...]:
    """A code and a detail for each thing that the result could not keep. left_out: tracks, in words."""
    format, found = manifest.format, {}
    if format.hdr is not None:
        found["hdr-tone-mapped"] = (
            f"the video's range is high ({format.hdr.upper()}); the result is tone-mapped to standard range (BT.709)"
        )
    elif format.bits > 8:
        found["bit-depth-reduced"] = f"the video has {format.bits} bits for each color; the result has 8"
    if format.transparent:
        found["flattened"] = "the video may be partly transparent; the result is opaque, in the colors that are stored"
    if format.interlaced:
        found["deinterlaced"] = "the video is interlaced; the result is progressive, with as many frames"
    if manifest.timeline.fps >= _HIGH_FPS:
        found["slow-motion-not-kept"] = (
            f"the video has {manifest.timeline.fps:.0f} frames a second, and so has the result; slow motion that a"
            " player is told to show beside the file is not kept"
        )
    if manifest.undecodable:
        found["damaged"] = f"{manifest.undecodable} packets of the video could not be decoded, and were passed over"
    if left_out:
        found["tracks-left-out"] = f"the result does not hold: {'; '.join(left_out)}"
    return tuple({"code": code, "detail": detail} for code, detail in found.items())

"""What was measured on a segment of a video, kept beside its file: where it lies, the segment is finished."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass
class SegmentReport:
    """Of the frames of one segment: their mean change in 0..255, and the warping errors of `FlickerMeter`."""

    effect: list[float] = field(default_factory=list)
    warping_errors: list[tuple[float, float]] = field(default_factory=list)


def write_report(segment: Path, report: SegmentReport) -> Path:
    """Say that the segment's file is whole; a reader sees all of the report or nothing. Returns where it lies."""
    partial = segment.with_name(f".{segment.stem}.{os.getpid()}.json")
    partial.write_text(json.dumps(asdict(report)))
    return partial.replace(segment.with_suffix(".json"))


def read_report(segment: Path) -> SegmentReport | None:
    """The report of a finished segment, else None."""
    try:
        return SegmentReport(**json.loads(segment.with_suffix(".json").read_text()))
    except FileNotFoundError:
        return None

"""What was measured on a part of a video, kept beside its file: where it lies, the part is finished."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass
class PartReport:
    """Of the frames of one part: their mean change in 0..255, and the warping errors of `FlickerMeter`."""

    effect: list[float] = field(default_factory=list)
    warping_errors: list[tuple[float, float]] = field(default_factory=list)


def write_report(part: Path, report: PartReport) -> Path:
    """Say that the part's file is whole; a reader sees all of the report or nothing. Returns where it lies."""
    partial = part.with_name(f".{part.stem}.{os.getpid()}.json")
    partial.write_text(json.dumps(asdict(report)))
    return partial.replace(part.with_suffix(".json"))


def read_report(part: Path) -> PartReport | None:
    """The report of a finished part, else None."""
    try:
        return PartReport(**json.loads(part.with_suffix(".json").read_text()))
    except FileNotFoundError:
        return None

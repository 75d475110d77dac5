"""Make the result of a video job: the edited soundtrack, the parts of the pictures, and both joined.

Parts that are finished stay in the job's folder, so that a worker that takes the job over goes on where the one before
was stopped.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np

from service.jobs.lease import Lease
from service.jobs.record import StoredResult
from service.media.frames import read_look
from service.media.join import MEDIA_TYPES, Part, join
from service.media.soundtrack import GainCurve
from service.media.times import drift_seconds, read_times
from service.media.video_file import probe_video, read_timeline
from service.model.engine import Engine
from service.work.desk import Desk, Made, Stopwatch
from service.work.receipt import video_receipt
from service.work.requests import VideoRequest
from service.work.soundtrack import edit_soundtrack
from service.work.video import PartReport, VideoPlan, correlation, cut, render, result_size

_VARIED_DB: Final = 3.0  # below it the loudness says nothing about the effect's course


def make_video(desk: Desk, lease: Lease) -> Made:
    """Edit, stylize, join and store. Raises what a bad file or request can raise, and LeaseLost."""
    record, watch, settings = lease.record, Stopwatch(), desk.settings
    request = VideoRequest.model_validate(record.parameters)
    limits = settings.media_limits
    source, second = desk.inputs(record, "video")[0], next(iter(desk.inputs(record, "audio")), None)
    work = desk.storage.work_dir(record.id)
    with watch.measure("model"):
        engine = desk.engines.get(request.model)
    with watch.measure("look"):
        info = probe_video(source, limits)
        timeline = read_timeline(source, limits, request.allow_partial)
        look = read_look(source, limits)
    lease.progress(0, total=len(timeline.pts))
    with watch.measure("sound"):
        sound = edit_soundtrack(
            engine,
            source,
            second,
            GainCurve(request.gain_points),
            request.audio_gain_db,
            work / f"sound.{info.container}",
            info.container,
            info.has_sound,
            timeline.end_seconds,
            limits,
        )
    plan = VideoPlan(
        source=source,
        container=info.container,
        limits=limits,
        timeline=timeline,
        look=look,
        size=result_size(look, request.max_side),
        track=sound.track,
        strength=request.strength,
        smoothing_seconds=request.smoothing_seconds,
        comfortable_side=settings.video_side,
    )
    parts = cut(timeline, work, info.container)
    with watch.measure("stylize"):
        report = _render_all(engine, plan, parts, lease)
    with watch.measure("join"):
        target = work / f"whole.{info.container}"
        join(target, info.container, parts, timeline, look, sound.path)
        drift = drift_seconds(read_times(source), read_times(target))
        size = target.stat().st_size
        sha256 = desk.storage.adopt_result(record.id, target)
    desk.storage.clear_work(record.id)
    reports = {
        "soundtrack": sound.report,
        "video": _video_report(plan, drift),
        "steadiness": _steadiness_report(plan, report),
    }
    result = StoredResult(
        sha256=sha256,
        bytes=size,
        media_type=MEDIA_TYPES[info.container],
        width=plan.size[0],
        height=plan.size[1],
        gain_db=request.gain_db,
        heard=sound.track.heard.model_dump(mode="json"),
        receipt=video_receipt(engine, sound.track.heard, request, record.inputs, sha256, reports),
    )
    return Made([result], watch.seconds, done=len(timeline.pts))


def _render_all(engine: Engine, plan: VideoPlan, parts: list[Part], lease: Lease) -> PartReport:
    """Every part that is not there yet; the reports of all, joined."""
    done, whole = 0, PartReport()
    for part in parts:
        report = _finished(part)
        if report is None:

            def progress(frames: int) -> None:
                nonlocal done
                done += frames
                lease.progress(done)

            lease.progress(done)
            report = render(engine, plan, part, progress)
            _report_path(part).write_text(json.dumps(asdict(report)))
        else:
            done += part.stop - part.first
        whole.effect += report.effect
        whole.warping_errors += report.warping_errors
    return whole


def _finished(part: Part) -> PartReport | None:
    """The report of a part that an earlier attempt has finished; it is written after the part's own file."""
    try:
        values: dict[str, Any] = json.loads(_report_path(part).read_text())
    except (FileNotFoundError, ValueError):
        return None
    return PartReport(**values) if part.path.exists() else None


def _report_path(part: Part) -> Path:
    return part.path.with_suffix(".json")


def _video_report(plan: VideoPlan, drift: float | None) -> dict[str, Any]:
    timeline = plan.timeline
    return {
        "frames": len(timeline.pts),
        "seconds": round(timeline.end_seconds - timeline.start_seconds, 6),
        "broken_at_seconds": timeline.broken_at,
        "drift_seconds": None if drift is None else round(drift, 6),
        "reduced_from_bits": plan.look.bits if plan.look.bits > 8 else None,
        "working_side": min(plan.comfortable_side, max(plan.size)),
    }


def _steadiness_report(plan: VideoPlan, report: PartReport) -> dict[str, Any]:
    """Warping errors in 0..255, and how well the effect follows the loudness."""
    given, shown = (np.mean([pair[k] for pair in report.warping_errors] or [0.0]) for k in (0, 1))
    seconds = np.array([plan.timeline.seconds(index) for index in range(len(plan.timeline.pts))])
    loudness = plan.track.loudness_at(seconds)
    follows = correlation(loudness.tolist(), report.effect) if np.ptp(loudness) > _VARIED_DB else None
    return {
        "warping_error_input": round(float(given), 4),
        "warping_error_output": round(float(shown), 4),
        "warping_error_ratio": round(float(shown / given), 4) if given > 0 else None,
        "effect_mean": round(float(np.mean(report.effect)), 3),
        "effect_follows_loudness": None if follows is None else round(follows, 4),
        "flow": "DIS fast on the frames the model sees; mask: flow there and back agrees",
    }

"""Make the result of a video job: the edited soundtrack, the parts of the pictures, and both joined.

The worker that holds the job prepares it, calls others for help, makes parts like them, and joins what all have made.
Finished parts stay in the job's folder, and are shared where workers have no disk in common, so that no part is made
twice, whoever was stopped on the way.
"""

import logging
import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from service.jobs.lease import Lease
from service.jobs.record import JobRecord, StoredResult
from service.jobs.shares import Shares
from service.media.join import MEDIA_TYPES, Part
from service.media.soundtrack import GainCurve
from service.media.times import drift_seconds
from service.model.engine import Engine
from service.observe import tracing
from service.observe.stages import count_frames
from service.work.desk import Desk, Made, Stopwatch
from service.work.driving import DrivingTrack, read_track, write_track
from service.work.part_report import PartReport, read_report, write_report
from service.work.receipt import video_receipt
from service.work.requests import VideoRequest
from service.work.soundtrack import edit_soundtrack
from service.work.video import VideoPlan, correlation, cut, render, result_size

logger = logging.getLogger(__name__)

_VARIED_DB: Final = 3.0  # below it the loudness says nothing about the effect's course
_TRACK: Final = "track.npz"
_REPORTS: Final = "*.json"


def make_video(desk: Desk, lease: Lease) -> Made:
    """Edit, stylize, join and store. Raises what a bad file or request can raise, and LeaseLost."""
    record, watch = lease.record, Stopwatch()
    request = VideoRequest.model_validate(record.parameters)
    sandbox = desk.sandbox
    source, second = desk.inputs(record, "video")[0], next(iter(desk.inputs(record, "audio")), None)
    work = desk.storage.work_dir(record.id)
    with watch.measure("model"):
        engine = desk.engines.get(request.model)
    with watch.measure("look"):
        info = sandbox.probe_video(source)
        timeline = sandbox.read_timeline(source, request.allow_partial)
    lease.progress(0, total=len(timeline.pts))
    with watch.measure("sound"):
        sound = edit_soundtrack(
            engine,
            sandbox,
            source,
            second,
            GainCurve(request.gain_points),
            request.audio_gain_db,
            work / f"sound.{info.container}",
            info.container,
            info.has_sound,
            timeline.end_seconds,
        )
        write_track(work / _TRACK, sound.track)
        desk.storage.share(record.id, work / _TRACK)
    plan, parts = _plan(desk, record, sound.track)
    with watch.measure("stylize"):
        shares = desk.shares(record.id)
        desk.storage.fetch_shared(record.id, _REPORTS)
        for part in parts:  # before others look: what is noted is wanted
            shares.note(part.first, part.stop - part.first if read_report(part.path) else 0)
        desk.call_for_help(record.id, len(parts) - 1)
        _make_all(desk, engine, plan, parts, shares, lease)
        report = _joined_reports(parts)
        shares.forget()
    with watch.measure("join"):
        desk.storage.fetch_shared(record.id, f"*.{info.container}")
        target = work / f"whole.{info.container}"
        sandbox.join(target, info.container, parts, timeline, plan.look, sound.path)
        drift = drift_seconds(sandbox.read_times(source), sandbox.read_times(target))
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


def help_with_video(desk: Desk, record: JobRecord) -> int:
    """Make parts of a job that another worker holds, until none is left to be taken; returns how many."""
    shares = desk.shares(record.id)
    if not shares.is_wanted():
        return 0
    track = desk.storage.work_dir(record.id) / _TRACK
    desk.storage.fetch_shared(record.id, _TRACK)
    if not track.exists():
        return 0
    plan, parts = _plan(desk, record, read_track(track))
    engine, made = desk.engines.get(plan.model), 0
    while (part := _take_one(desk, parts, shares)) is not None:
        _make(desk, engine, plan, part, shares, lambda: _check_wanted(shares))
        made += 1
    return made


class NotWanted(Exception):
    """The job has ended while a helper worked on it."""


def _check_wanted(shares: Shares) -> None:
    if not shares.is_wanted():
        raise NotWanted


def _plan(desk: Desk, record: JobRecord, track: DrivingTrack) -> tuple[VideoPlan, list[Part]]:
    """What every worker on the job comes to by itself, from the same files."""
    request, sandbox = VideoRequest.model_validate(record.parameters), desk.sandbox
    source = desk.inputs(record, "video")[0]
    look = sandbox.read_look(source)
    plan = VideoPlan(
        sandbox=sandbox,
        source=source,
        container=sandbox.probe_video(source).container,
        timeline=sandbox.read_timeline(source, request.allow_partial),
        look=look,
        size=result_size(look, request.max_side),
        track=track,
        model=request.model,
        strength=request.strength,
        smoothing_seconds=request.smoothing_seconds,
        comfortable_side=desk.settings.video_side,
    )
    return plan, cut(plan.timeline, desk.storage.work_dir(record.id), plan.container)


def _make_all(desk: Desk, engine: Engine, plan: VideoPlan, parts: list[Part], shares: Shares, lease: Lease) -> None:
    """Make parts as long as there are any to be taken, then wait for those that others have."""

    def tell() -> None:
        lease.progress(min(shares.frames(), len(plan.timeline.pts)))

    while any(read_report(part.path) is None for part in parts):
        taken = _take_one(desk, parts, shares)
        if taken is not None:
            _make(desk, engine, plan, taken, shares, tell)
        else:
            tell()
            time.sleep(desk.storage.look_again_seconds)
    tell()


def _take_one(desk: Desk, parts: list[Part], shares: Shares) -> Part | None:
    """The first part that is neither finished nor somebody else's."""
    desk.storage.fetch_shared(shares.job_id, _REPORTS)
    for part in parts:
        if read_report(part.path) is None and shares.take(part.first):
            return part
    return None


def _make(desk: Desk, engine: Engine, plan: VideoPlan, part: Part, shares: Shares, tell: Callable[[], None]) -> None:
    done = 0

    def progress(frames: int) -> None:
        nonlocal done
        done += frames
        count_frames(frames)
        shares.note(part.first, done)
        tell()

    with shares.held(part.first):
        desk.storage.fetch_shared(shares.job_id, _REPORTS)
        if read_report(part.path) is not None:
            return  # its last holder has just finished it
        tell()
        logger.info("part %s of job %s begins", part.path.stem, shares.job_id)
        with tracing.span("part", {"adis.first_frame": part.first, "adis.frames": part.stop - part.first}):
            report = render(engine, plan, part, progress)
        desk.storage.share(shares.job_id, part.path)
        desk.storage.share(shares.job_id, write_report(part.path, report))


def _joined_reports(parts: list[Part]) -> PartReport:
    whole = PartReport()
    for part in parts:
        report = read_report(part.path)
        assert report is not None, "every part is finished"
        whole.effect += report.effect
        whole.warping_errors += report.warping_errors
    return whole


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

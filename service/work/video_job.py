"""Make the result of a video job: the edited soundtrack, the segments of the images, and both joined.

The worker that holds the job prepares it, calls others for help, makes segments like them, and joins what all have
made. Finished segments stay in the job's folder, and are shared where workers have no disk in common, so that no
segment is made twice, whoever was stopped on the way.
"""

import logging
import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from service.jobs.lease import Lease
from service.jobs.record import JobRecord, StoredResult
from service.jobs.segment_leases import SegmentLeases
from service.media.mux import MEDIA_TYPES, Segment
from service.media.soundtrack import GainCurve
from service.media.times import drift_seconds
from service.model.engine import Engine
from service.observe import tracing
from service.observe.stages import count_frames
from service.work.audio_track import AudioTrack, read_track, write_track
from service.work.receipt import video_receipt
from service.work.requests import VideoRequest
from service.work.segment_report import SegmentReport, read_report, write_report
from service.work.soundtrack import edit_soundtrack
from service.work.video import VideoPlan, correlation, plan_segments, render, result_size
from service.work.worker_context import JobOutput, Stopwatch, WorkerContext

logger = logging.getLogger(__name__)

_VARIED_DB: Final = 3.0  # below it the loudness says nothing about the effect's course
_TRACK: Final = "track.npz"
_REPORTS: Final = "*.json"


def run_video_job(context: WorkerContext, lease: Lease) -> JobOutput:
    """Edit, stylize, join and store. Raises what a bad file or request can raise, and LeaseLost."""
    record, watch = lease.record, Stopwatch()
    request = VideoRequest.model_validate(record.parameters)
    decoder_pool = context.decoder_pool
    source, second = context.inputs(record, "video")[0], next(iter(context.inputs(record, "audio")), None)
    work = context.storage.work_dir(record.id)
    with watch.measure("model"):
        engine = context.engines.get(request.model)
    with watch.measure("look"):
        info = decoder_pool.probe_video(source)
        timeline = decoder_pool.read_timeline(source, request.allow_partial)
    lease.progress(0, total=len(timeline.pts))
    with watch.measure("sound"):
        sound = edit_soundtrack(
            engine,
            decoder_pool,
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
        context.storage.share(record.id, work / _TRACK)
    plan, segments = _plan(context, record, sound.track)
    with watch.measure("stylize"):
        leases = context.leases(record.id)
        context.storage.fetch_shared(record.id, _REPORTS)
        for segment in segments:  # before others look: what is noted is wanted
            leases.note(segment.first, segment.stop - segment.first if read_report(segment.path) else 0)
        context.request_helpers(record.id, len(segments) - 1)
        _make_all(context, engine, plan, segments, leases, lease)
        report = _merge_reports(segments)
        leases.forget()
    with watch.measure("join"):
        context.storage.fetch_shared(record.id, f"*.{info.container}")
        target = work / f"whole.{info.container}"
        decoder_pool.mux(target, info.container, segments, timeline, plan.video_format, sound.path)
        drift = drift_seconds(decoder_pool.read_times(source), decoder_pool.read_times(target))
        size = target.stat().st_size
        sha256 = context.storage.move_to_results(record.id, target)
    context.storage.clear_work(record.id)
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
    return JobOutput([result], watch.seconds, done=len(timeline.pts))


def help_with_video(context: WorkerContext, record: JobRecord) -> int:
    """Make segments of a job that another worker holds, until none is left to be taken; returns how many."""
    leases = context.leases(record.id)
    if not leases.is_wanted():
        return 0
    track = context.storage.work_dir(record.id) / _TRACK
    context.storage.fetch_shared(record.id, _TRACK)
    if not track.exists():
        return 0
    plan, segments = _plan(context, record, read_track(track))
    engine, made = context.engines.get(plan.model), 0
    while (segment := _take_one(context, segments, leases)) is not None:
        _make(context, engine, plan, segment, leases, lambda: _check_wanted(leases))
        made += 1
    return made


class NotWanted(Exception):
    """The job has ended while a helper worked on it."""


def _check_wanted(leases: SegmentLeases) -> None:
    if not leases.is_wanted():
        raise NotWanted


def _plan(context: WorkerContext, record: JobRecord, track: AudioTrack) -> tuple[VideoPlan, list[Segment]]:
    """What every worker on the job comes to by itself, from the same files."""
    request, decoder_pool = VideoRequest.model_validate(record.parameters), context.decoder_pool
    source = context.inputs(record, "video")[0]
    video_format = decoder_pool.read_video_format(source)
    plan = VideoPlan(
        decoder_pool=decoder_pool,
        source=source,
        container=decoder_pool.probe_video(source).container,
        timeline=decoder_pool.read_timeline(source, request.allow_partial),
        video_format=video_format,
        size=result_size(video_format, request.max_side),
        track=track,
        model=request.model,
        strength=request.strength,
        smoothing_seconds=request.smoothing_seconds,
        max_inference_side=context.settings.video_side,
    )
    return plan, plan_segments(plan.timeline, context.storage.work_dir(record.id), plan.container)


def _make_all(
    context: WorkerContext,
    engine: Engine,
    plan: VideoPlan,
    segments: list[Segment],
    leases: SegmentLeases,
    lease: Lease,
) -> None:
    """Make segments as long as there are any to be taken, then wait for those that others have."""

    def tell() -> None:
        lease.progress(min(leases.frames(), len(plan.timeline.pts)))

    while any(read_report(segment.path) is None for segment in segments):
        taken = _take_one(context, segments, leases)
        if taken is not None:
            _make(context, engine, plan, taken, leases, tell)
        else:
            tell()
            time.sleep(context.storage.look_again_seconds)
    tell()


def _take_one(context: WorkerContext, segments: list[Segment], leases: SegmentLeases) -> Segment | None:
    """The first segment that is neither finished nor somebody else's."""
    context.storage.fetch_shared(leases.job_id, _REPORTS)
    for segment in segments:
        if read_report(segment.path) is None and leases.take(segment.first):
            return segment
    return None


def _make(
    context: WorkerContext,
    engine: Engine,
    plan: VideoPlan,
    segment: Segment,
    leases: SegmentLeases,
    tell: Callable[[], None],
) -> None:
    done = 0

    def progress(frames: int) -> None:
        nonlocal done
        done += frames
        count_frames(frames)
        leases.note(segment.first, done)
        tell()

    with leases.held(segment.first):
        context.storage.fetch_shared(leases.job_id, _REPORTS)
        if read_report(segment.path) is not None:
            return  # its last holder has just finished it
        tell()
        logger.info("segment %s of job %s begins", segment.path.stem, leases.job_id)
        with tracing.span("segment", {"adis.first_frame": segment.first, "adis.frames": segment.stop - segment.first}):
            report = render(engine, plan, segment, progress)
        context.storage.share(leases.job_id, segment.path)
        context.storage.share(leases.job_id, write_report(segment.path, report))


def _merge_reports(segments: list[Segment]) -> SegmentReport:
    whole = SegmentReport()
    for segment in segments:
        report = read_report(segment.path)
        assert report is not None, "every segment is finished"
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
        "reduced_from_bits": plan.video_format.bits if plan.video_format.bits > 8 else None,
        "working_side": min(plan.max_inference_side, max(plan.size)),
    }


def _steadiness_report(plan: VideoPlan, report: SegmentReport) -> dict[str, Any]:
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

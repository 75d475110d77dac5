"""Make the result of a video job: the edited soundtrack, the segments of the images, and both joined.

The worker that holds the job prepares it, calls others for help, makes segments like them, and joins what all have
made. Finished segments stay in the job's folder, and are shared where workers have no disk in common, so that no
segment is made twice, whoever was stopped on the way.

A bundle may be replaced while a video is made. What the model made bears the bundle's hash in its name, and helpers
use the holder's bundle or none, so that no video is of two models.
"""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from service.jobs.lease import Lease
from service.jobs.record import JobRecord, StoredResult
from service.media.mux import MEDIA_TYPES, Segment
from service.media.soundtrack import GainCurve
from service.media.still_video import STILL_SIDE
from service.media.times import drift_seconds, times_of
from service.media.video_manifest import VideoManifest, keep_manifest, read_kept_manifest
from service.model.engine import Engine
from service.observe import tracing
from service.observe.stages import count_frames
from service.schemas.requests import VideoRequest
from service.work.audio_track import AudioTrack, read_track, write_track
from service.work.receipt import video_receipt
from service.work.segment_leases import SegmentLeases
from service.work.segment_report import SegmentReport, read_report, write_report
from service.work.soundtrack import edit_soundtrack, keep_further_tracks
from service.work.video import VideoPlan, plan_segments, render, result_size
from service.work.video_report import steadiness_report, video_report, video_warnings
from service.work.worker_context import JobOutput, Stopwatch, WorkerContext

logger = logging.getLogger(__name__)

_TRACK: Final = "track.npz"  # after the model's prefix, as all that it made
_STILL: Final = "still.mkv"
_MANIFEST: Final = "manifest.json"


def run_video_job(context: WorkerContext, lease: Lease) -> JobOutput:
    """Edit, stylize, join and store. Raises what a bad file or request can raise, and LeaseLost."""
    record, watch = lease.record, Stopwatch()
    request = VideoRequest.model_validate(record.parameters)
    decoder_pool = context.decoder_pool
    is_still, second = _is_still(record), next(iter(context.inputs(record, "audio")), None)
    work = context.storage.work_dir(record.id)
    with watch.measure("model"):
        engine = context.engines.get(request.model)
    with watch.measure("look"):
        source = _source(context, record)
        if is_still:  # its sound is the soundtrack
            if not source.exists():
                _make_still(context, lease, source, request.max_side or STILL_SIDE)
            second = None
        manifest = _survey(context, lease, source, request.allow_partial)
    lease.progress(0, total=len(manifest.timeline.pts))
    with watch.measure("sound"):
        sound = edit_soundtrack(
            engine,
            decoder_pool,
            source,
            manifest,
            second,
            GainCurve(request.gain_points),
            request.audio_gain_db,
            work / f"sound.{manifest.container}",
        )
        further, left_out = keep_further_tracks(decoder_pool, source, manifest, work)
        model = engine.bundle.sha256
        track = work / f"{_prefix(model)}{_TRACK}"
        write_track(track, sound.track)
        context.storage.share(record.id, track)
    plan, segments = _plan(context, record, manifest, sound.track, model)
    with watch.measure("stylize"):
        leases = context.leases(record.id)
        leases.begin(model)
        _fetch_reports(context, leases, model)
        for segment in segments:  # before others look: what is noted is wanted
            leases.note(segment.first, segment.stop - segment.first if read_report(segment.path) else 0)
        context.request_helpers(record.id, len(segments) - 1)
        _make_all(context, engine, plan, segments, leases, lease)
        report = _merge_reports(segments)
        leases.forget()
    with watch.measure("join"):
        context.storage.fetch_shared(record.id, f"{_prefix(model)}*.{manifest.container}")
        target = work / f"whole.{manifest.container}"
        audio = [sound.file, *further]
        left_out += decoder_pool.mux(target, source, manifest, segments, audio, request.metadata)
        made = decoder_pool.read_times(target).without_priming(sound.priming_seconds)
        drift = drift_seconds(times_of(manifest.timeline, sound.span), made)
        size = target.stat().st_size
        sha256 = context.storage.move_to_results(record.id, target)
    context.storage.clear_work(record.id)
    reports = {
        "soundtrack": sound.report | {"further_tracks": len(further)},
        "video": video_report(plan, drift),
        "steadiness": steadiness_report(plan, report),
    }
    result = StoredResult(
        sha256=sha256,
        bytes=size,
        media_type=MEDIA_TYPES[manifest.container],
        width=plan.size[0],
        height=plan.size[1],
        gain_db=request.gain_db,
        heard=sound.track.heard.model_dump(mode="json"),
        receipt=video_receipt(engine, sound.track.heard, request, record.inputs, sha256, reports),
        warnings=video_warnings(manifest, left_out),
    )
    return JobOutput([result], watch.seconds, done=len(manifest.timeline.pts))


def _survey(context: WorkerContext, lease: Lease, source: Path, allow_partial: bool) -> VideoManifest:
    """The job's manifest: made once, kept with the job, and there for whoever works on it."""
    job_id, storage = lease.record.id, context.storage
    kept = storage.work_dir(job_id) / _MANIFEST
    storage.fetch_shared(job_id, _MANIFEST)
    if kept.exists():
        return read_kept_manifest(kept)
    # a sign of life, by which it is noticed that the job was cancelled
    manifest = context.decoder_pool.read_manifest(source, allow_partial, progress=lambda _: lease.progress(0))
    keep_manifest(kept, manifest)
    storage.share(job_id, kept)
    return manifest


def _is_still(record: JobRecord) -> bool:
    """Whether the job is an image that is to follow a sound, and no video."""
    return any(stored.field == "image" for stored in record.inputs)


def _source(context: WorkerContext, record: JobRecord) -> Path:
    """The video; of an image and a sound the one that is made of them, which may not be there yet."""
    if not _is_still(record):
        return context.inputs(record, "video")[0]
    context.storage.fetch_shared(record.id, _STILL)
    return context.storage.work_dir(record.id) / _STILL


def _make_still(context: WorkerContext, lease: Lease, target: Path, max_side: int) -> None:
    record, partial = lease.record, target.with_name(f".{os.getpid()}.{target.name}")
    image, audio = (context.inputs(record, field)[0] for field in ("image", "audio"))
    try:  # a sign of life, by which it is noticed that the job was cancelled
        context.decoder_pool.write_still_video(image, audio, partial, max_side, lambda _: lease.progress(0))
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    context.storage.share(record.id, target)


def help_with_video(context: WorkerContext, record: JobRecord) -> int:
    """Make segments of a job that another worker holds, until none is left to be taken; returns how many."""
    leases, request = context.leases(record.id), VideoRequest.model_validate(record.parameters)
    model = leases.model()
    if model is None:
        return 0
    names = (f"{_prefix(model)}{_TRACK}", _MANIFEST)
    track, manifest = (context.storage.work_dir(record.id) / name for name in names)
    for name in names:
        context.storage.fetch_shared(record.id, name)
    if not track.exists() or not manifest.exists():
        return 0
    engine = context.engines.find(request.model, model)
    if engine is None:
        logger.info("job %s gets no help: its holder has another version of its model", record.id)
        return 0
    plan, segments = _plan(context, record, read_kept_manifest(manifest), read_track(track), model)
    made = 0
    while (segment := _take_one(context, segments, leases, model)) is not None:
        _make(context, engine, plan, segment, leases, lambda: _check_wanted(leases, model))
        made += 1
    return made


class NotWanted(Exception):
    """The job has ended while a helper worked on it."""


def _check_wanted(leases: SegmentLeases, model: str) -> None:
    if leases.model() != model:  # another holder may have begun anew, with another
        raise NotWanted


def _prefix(model: str) -> str:
    """Of the names of all files that this model made: it is known by its bundle's SHA-256."""
    return f"{model[:16]}-"


def _fetch_reports(context: WorkerContext, leases: SegmentLeases, model: str) -> None:
    context.storage.fetch_shared(leases.job_id, f"{_prefix(model)}*.json")


def _plan(
    context: WorkerContext, record: JobRecord, manifest: VideoManifest, track: AudioTrack, model: str
) -> tuple[VideoPlan, list[Segment]]:
    """What every worker on the job comes to by itself, from the same files."""
    request = VideoRequest.model_validate(record.parameters)
    plan = VideoPlan(
        decoder_pool=context.decoder_pool,
        source=_source(context, record),
        manifest=manifest,
        size=result_size(manifest.format, request.max_side),
        track=track,
        strength=request.strength,
        smoothing_seconds=request.smoothing_seconds,
        max_inference_side=context.settings.video_side,
        steady=not _is_still(record),
    )
    work = context.storage.work_dir(record.id)
    return plan, plan_segments(plan.timeline, work, _prefix(model), manifest.container)


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
        taken = _take_one(context, segments, leases, engine.bundle.sha256)
        if taken is not None:
            _make(context, engine, plan, taken, leases, tell)
        else:
            tell()
            time.sleep(context.storage.look_again_seconds)
    tell()


def _take_one(context: WorkerContext, segments: list[Segment], leases: SegmentLeases, model: str) -> Segment | None:
    """The first segment that is neither finished nor somebody else's."""
    _fetch_reports(context, leases, model)
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
        _fetch_reports(context, leases, engine.bundle.sha256)
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

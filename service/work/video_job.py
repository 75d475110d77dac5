"""Make the result of a video job: the edited soundtrack, the segments of the images, and both joined.

The worker that holds the job prepares it, calls others for help, makes segments like them (`segment_maker`), and joins
what all have made.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from service.jobs.lease import Lease
from service.jobs.record import StoredResult
from service.media.mux import MEDIA_TYPES, AudioFile
from service.media.side_tracks import MetadataPolicy
from service.media.soundtrack import GainCurve
from service.media.still_video import STILL_SIDE
from service.media.times import drift_seconds, times_of
from service.media.video_manifest import VideoManifest, keep_manifest, read_kept_manifest
from service.model.engine import Engine
from service.schemas.requests import VideoRequest
from service.work.audio_track import write_track
from service.work.receipt import video_receipt
from service.work.segment_maker import MANIFEST_NAME, SegmentMaker, is_still, model_prefix, source_of, track_name
from service.work.soundtrack import EditedSoundtrack, edit_soundtrack, keep_further_tracks
from service.work.video_report import steadiness_report, video_report, video_warnings
from service.work.worker_context import JobOutput, Stopwatch, WorkerContext


@dataclass(frozen=True)
class _Sound:
    """The soundtrack of the result. further: other audio tracks, unedited. left_out: those that it lacks, in words."""

    edited: EditedSoundtrack
    further: list[AudioFile]
    left_out: list[str]


@dataclass(frozen=True)
class _Joined:
    """The result's file. drift_seconds: by how much the sound has moved against the frames; None without sound.

    left_out: tracks that the file lacks, in words.
    """

    sha256: str
    bytes: int
    drift_seconds: float | None
    left_out: list[str]


def run_video_job(context: WorkerContext, lease: Lease) -> JobOutput:
    """Edit, stylize, join and store. Raises what a bad file or request can raise, and LeaseLost."""
    record, watch = lease.record, Stopwatch()
    request = VideoRequest.model_validate(record.parameters)
    with watch.measure("model"):
        engine = context.engines.get(request.model)
    with watch.measure("look"):
        source, manifest = _open_source(context, lease, request)
    frames = len(manifest.timeline.pts)
    lease.progress(0, total=frames)
    with watch.measure("sound"):
        sound = _edit_sound(context, lease, engine, request, source, manifest)
    maker = SegmentMaker.of(context, record, engine, manifest, sound.edited.track)
    with watch.measure("stylize"):
        maker.begin()
        _make_all(maker, lease)
        report = maker.merged_report()
        maker.leases.forget()
    with watch.measure("join"):
        joined = _join(maker, sound, request.metadata)
    context.storage.clear_work(record.id)
    reports = {
        "soundtrack": sound.edited.report | {"further_tracks": len(sound.further)},
        "video": video_report(maker.plan, joined.drift_seconds),
        "steadiness": steadiness_report(maker.plan, report),
    }
    heard = sound.edited.track.heard
    result = StoredResult(
        sha256=joined.sha256,
        bytes=joined.bytes,
        media_type=MEDIA_TYPES[manifest.container],
        width=maker.plan.size[0],
        height=maker.plan.size[1],
        gain_db=request.gain_db,
        heard=heard.model_dump(mode="json"),
        receipt=video_receipt(engine, heard, request, record.inputs, joined.sha256, reports),
        warnings=video_warnings(manifest, joined.left_out),
    )
    return JobOutput([result], watch.seconds, done=frames)


def _open_source(context: WorkerContext, lease: Lease, request: VideoRequest) -> tuple[Path, VideoManifest]:
    """The video and its manifest; an image is made a video first."""
    source = source_of(context, lease.record)
    if is_still(lease.record) and not source.exists():
        _make_still(context, lease, source, request.max_side or STILL_SIDE)
    return source, _survey(context, lease, source, request.allow_partial)


def _make_still(context: WorkerContext, lease: Lease, target: Path, max_side: int) -> None:
    record, partial = lease.record, target.with_name(f".{os.getpid()}.{target.name}")
    image, audio = (context.inputs(record, field)[0] for field in ("image", "audio"))
    try:  # a sign of life, by which it is noticed that the job was cancelled
        context.decoder_pool.write_still_video(image, audio, partial, max_side, lambda _: lease.progress(0))
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    context.storage.share(record.id, target)


def _survey(context: WorkerContext, lease: Lease, source: Path, allow_partial: bool) -> VideoManifest:
    """The job's manifest: made once, kept with the job, and there for whoever works on it."""
    job_id, storage = lease.record.id, context.storage
    kept = storage.work_dir(job_id) / MANIFEST_NAME
    storage.fetch_shared(job_id, MANIFEST_NAME)
    if kept.exists():
        return read_kept_manifest(kept)
    # a sign of life, by which it is noticed that the job was cancelled
    manifest = context.decoder_pool.read_manifest(source, allow_partial, progress=lambda _: lease.progress(0))
    keep_manifest(kept, manifest)
    storage.share(job_id, kept)
    return manifest


def _edit_sound(
    context: WorkerContext, lease: Lease, engine: Engine, request: VideoRequest, source: Path, manifest: VideoManifest
) -> _Sound:
    """Edit the soundtrack, and share what drives the frames with other workers."""
    record, storage = lease.record, context.storage
    folder = storage.work_dir(record.id)
    # the sound of an image that is to follow one is the soundtrack already
    second: Sequence[Path] = () if is_still(record) else context.inputs(record, "audio")
    edited = edit_soundtrack(
        engine,
        context.decoder_pool,
        source,
        manifest,
        second[0] if second else None,
        GainCurve(request.gain_points),
        request.audio_gain_db,
        folder / f"sound.{manifest.container}",
    )
    further, left_out = keep_further_tracks(context.decoder_pool, source, manifest, folder)
    track = folder / track_name(engine.bundle.sha256)
    write_track(track, edited.track)
    storage.share(record.id, track)
    return _Sound(edited, further, left_out)


def _make_all(maker: SegmentMaker, lease: Lease) -> None:
    """Make segments as long as there are any to be taken, then wait for those that others have."""

    def tell() -> None:
        lease.progress(min(maker.leases.frames(), len(maker.plan.timeline.pts)))

    while not maker.are_finished():
        taken = maker.take()
        if taken is not None:
            maker.make(taken, tell)
        else:
            tell()
            time.sleep(maker.context.storage.look_again_seconds)
    tell()


def _join(maker: SegmentMaker, sound: _Sound, metadata: MetadataPolicy) -> _Joined:
    """Join the segments and the soundtrack, and store the result."""
    storage, job_id, plan = maker.context.storage, maker.leases.job_id, maker.plan
    container, edited = plan.manifest.container, sound.edited
    storage.fetch_shared(job_id, f"{model_prefix(maker.engine.bundle.sha256)}*.{container}")
    target = storage.work_dir(job_id) / f"whole.{container}"
    audio = [edited.file, *sound.further]
    decoder_pool = maker.context.decoder_pool
    left_out = decoder_pool.mux(target, plan.source, plan.manifest, maker.segments, audio, metadata)
    made = decoder_pool.read_times(target).without_priming(edited.priming_seconds)
    drift = drift_seconds(times_of(plan.timeline, edited.span), made)
    size = target.stat().st_size
    return _Joined(storage.move_to_results(job_id, target), size, drift, [*sound.left_out, *left_out])

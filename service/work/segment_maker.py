"""Make the segments of a video, shared among workers: whoever has time takes the next one that nobody has.

Finished segments stay in the job's folder, and are shared where workers have no disk in common, so that no segment is
made twice, whoever was stopped on the way.

A bundle may be replaced while a video is made. What the model made bears the bundle's hash in its name, and helpers
use the holder's bundle or none, so that no video is of two models.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from service.jobs.record import JobRecord
from service.media.mux import Segment
from service.media.video_manifest import VideoManifest, read_kept_manifest
from service.model.engine import Engine
from service.observe import tracing
from service.observe.stages import count_frames
from service.schemas.requests import VideoRequest
from service.work.audio_track import AudioTrack, read_track
from service.work.segment_leases import SegmentLeases
from service.work.segment_report import SegmentReport, read_report, write_report
from service.work.video import VideoPlan, plan_segments, render, result_size
from service.work.worker_context import WorkerContext

logger = logging.getLogger(__name__)

MANIFEST_NAME: Final = "manifest.json"
STILL_NAME: Final = "still.mkv"
_TRACK_NAME: Final = "track.npz"  # after the model's prefix, as all that it made


class NotWanted(Exception):
    """The job has ended while a helper worked on it."""


def model_prefix(model: str) -> str:
    """Of the names of all files that this model made. model: SHA-256 of its bundle."""
    return f"{model[:16]}-"


def track_name(model: str) -> str:
    """The file of the soundtrack's embeddings."""
    return f"{model_prefix(model)}{_TRACK_NAME}"


def is_still(record: JobRecord) -> bool:
    """Whether the job is an image that is to follow a sound, and no video."""
    return any(stored.field == "image" for stored in record.inputs)


def source_of(context: WorkerContext, record: JobRecord) -> Path:
    """The video; of an image and a sound the one that is made of them, which may not be there yet."""
    if not is_still(record):
        return context.inputs(record, "video")[0]
    context.storage.fetch_shared(record.id, STILL_NAME)
    return context.storage.work_dir(record.id) / STILL_NAME


@dataclass(frozen=True)
class SegmentMaker:
    """One worker's part in a video: the plan and the segments, to which every worker comes from the same files."""

    context: WorkerContext
    engine: Engine
    plan: VideoPlan
    segments: list[Segment]
    leases: SegmentLeases

    @classmethod
    def of(
        cls, context: WorkerContext, record: JobRecord, engine: Engine, manifest: VideoManifest, track: AudioTrack
    ) -> "SegmentMaker":
        """The part of the process that `context` is of."""
        request = VideoRequest.model_validate(record.parameters)
        plan = VideoPlan(
            decoder_pool=context.decoder_pool,
            source=source_of(context, record),
            manifest=manifest,
            size=result_size(manifest.format, request.max_side),
            track=track,
            strength=request.strength,
            smoothing_seconds=request.smoothing_seconds,
            max_inference_side=context.settings.video_side,
            steady=not is_still(record),
        )
        folder, prefix = context.storage.work_dir(record.id), model_prefix(engine.bundle.sha256)
        segments = plan_segments(plan.timeline, folder, prefix, manifest.container)
        return cls(context, engine, plan, segments, context.leases(record.id))

    def begin(self) -> None:
        """As the job's holder: say which frames are done already, and call others for help."""
        self.leases.begin(self.engine.bundle.sha256)
        self.fetch_reports()
        for segment in self.segments:  # before others look: what is noted is wanted
            done = segment.stop - segment.first if read_report(segment.path) else 0
            self.leases.note(segment.first, done)
        self.context.request_helpers(self.leases.job_id, len(self.segments) - 1)

    def are_finished(self) -> bool:
        """Whether every segment has its report."""
        return all(read_report(segment.path) is not None for segment in self.segments)

    def take(self) -> Segment | None:
        """Take the first segment that is neither finished nor somebody else's."""
        self.fetch_reports()
        for segment in self.segments:
            if read_report(segment.path) is None and self.leases.take(segment.first):
                return segment
        return None

    def make(self, segment: Segment, check: Callable[[], None]) -> None:
        """Make a segment that was taken. check: called after every batch; what it raises stops the work."""
        done = 0

        def progress(frames: int) -> None:
            nonlocal done
            done += frames
            count_frames(frames)
            self.leases.note(segment.first, done)
            check()

        job_id, storage = self.leases.job_id, self.context.storage
        with self.leases.held(segment.first):
            self.fetch_reports()
            if read_report(segment.path) is not None:
                return  # its last holder has just finished it
            check()
            logger.info("segment %s of job %s begins", segment.path.stem, job_id)
            about = {"adis.first_frame": segment.first, "adis.frames": segment.stop - segment.first}
            with tracing.span("segment", about):
                report = render(self.engine, self.plan, segment, progress)
            storage.share(job_id, segment.path)
            storage.share(job_id, write_report(segment.path, report))

    def merged_report(self) -> SegmentReport:
        """What was measured on all segments, which are finished."""
        whole = SegmentReport()
        for segment in self.segments:
            report = read_report(segment.path)
            assert report is not None, "every segment is finished"
            whole.effect += report.effect
            whole.warping_errors += report.warping_errors
        return whole

    def fetch_reports(self) -> None:
        """Have the reports of segments that other workers finished."""
        self.context.storage.fetch_shared(self.leases.job_id, f"{model_prefix(self.engine.bundle.sha256)}*.json")


def help_with_video(context: WorkerContext, record: JobRecord) -> int:
    """Make segments of a job that another worker holds, until none is left to be taken; returns how many.

    Raises NotWanted when the job has ended, or begun anew with another model.
    """
    leases, request = context.leases(record.id), VideoRequest.model_validate(record.parameters)
    model = leases.model()
    if model is None:
        return 0
    names = (track_name(model), MANIFEST_NAME)
    track, manifest = (context.storage.work_dir(record.id) / name for name in names)
    for name in names:
        context.storage.fetch_shared(record.id, name)
    if not track.exists() or not manifest.exists():
        return 0
    engine = context.engines.find(request.model, model)
    if engine is None:
        logger.info("job %s gets no help: its holder has another version of its model", record.id)
        return 0

    def check_wanted() -> None:
        if leases.model() != model:
            raise NotWanted

    maker = SegmentMaker.of(context, record, engine, read_kept_manifest(manifest), read_track(track))
    made = 0
    while (segment := maker.take()) is not None:
        maker.make(segment, check_wanted)
        made += 1
    return made

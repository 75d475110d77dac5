"""Make the results of an image job from its stored uploads."""

import time
import uuid
from concurrent.futures import wait
from typing import Final

from service.jobs.lease import Lease
from service.jobs.record import StoredResult
from service.media.image_kind import MEDIA_TYPES
from service.media.image_reader import ImageHeader, ReadPlan
from service.media.image_writer import encode_image, write_image
from service.model.audio import Window
from service.model.bundle import Manifest
from service.observe.stages import stage
from service.schemas.requests import ImageRequest
from service.settings import Settings
from service.work.audio_input import choose_window
from service.work.image_source import read_source
from service.work.image_stylization import Stylization, audio_executor, encode_content, stylize_image
from service.work.receipt import image_receipt
from service.work.worker_context import JobOutput, Stopwatch, WorkerContext

_FRESH_SECONDS: Final = 0.1  # so long nobody asks anew whether a job that was just claimed is still wanted


def run_image_job(context: WorkerContext, lease: Lease) -> JobOutput:
    """Decode, stylize, encode and store. Raises what a bad file or request can raise, and LeaseLost."""
    record, watch, settings, claimed = lease.record, Stopwatch(), context.settings, time.monotonic()
    request = ImageRequest.model_validate(record.parameters)
    with watch.measure("model"):
        engine = context.engines.get(request.model)
    # sounds are decoded while the model looks at the image
    decoding = audio_executor().submit(_choose_windows, context, lease, engine.manifest, request)
    try:
        with watch.measure("decode"):
            header, source = read_source(
                context.decoder_pool, context.inputs(record, "image")[0], _plan(request, settings)
            )
        with watch.measure("stylize"):
            seen = encode_content(engine, source, request.strength, settings.max_inference_side)
    finally:
        with watch.measure("decode"):
            wait([decoding])  # whatever comes next: its files may be erased then
    windows = decoding.result()

    def progress(done: int, total: int) -> None:
        is_news = done > 0 or time.monotonic() - claimed > _FRESH_SECONDS
        if is_news and done < total:  # the last is told with the job's end
            lease.progress(done)

    stylizations = stylize_image(engine, seen, windows, request, progress)
    results: list[StoredResult] = []
    while True:
        with watch.measure("stylize"):
            stylization = next(stylizations, None)
        if stylization is None:
            return JobOutput(results, watch.seconds)
        with watch.measure("encode"):
            results.append(_store(context, lease, request, header, stylization))


def _choose_windows(context: WorkerContext, lease: Lease, manifest: Manifest, request: ImageRequest) -> list[Window]:
    """The window of each sound. A long search ends when the job is no longer wanted."""
    return [
        choose_window(context.decoder_pool, path, manifest, request.start_seconds, lambda _seconds: lease.progress(0))
        for path in context.inputs(lease.record, "audio")
    ]


def _plan(request: ImageRequest, settings: Settings) -> ReadPlan:
    return ReadPlan(
        format=request.format,
        metadata=request.metadata,
        color_profile=request.color_profile,
        max_side=request.max_side,
        limit_side=settings.max_side,
        model_side=settings.max_inference_side,
    )


def _store(
    context: WorkerContext, lease: Lease, request: ImageRequest, header: ImageHeader, stylization: Stylization
) -> StoredResult:
    job_id, made = lease.record.id, request.model_copy(update={"format": header.format})
    is_lossless = request.strength == 0  # then the image is to be as it was, where its format can do that
    if header.is_held:
        content = encode_image(stylization.pixels, header.format, header.tags, is_lossless=is_lossless)
        size = len(content)
        with stage("store"):
            sha256 = context.storage.write_result(job_id, content)
    else:
        path = context.storage.work_dir(job_id) / uuid.uuid4().hex
        with path.open("wb") as file:
            dimensions = (header.width, header.height)
            write_image(file, stylization.strips(), dimensions, header.format, header.tags, is_lossless=is_lossless)
        size = path.stat().st_size
        with stage("store"):
            sha256 = context.storage.move_to_results(job_id, path)
            path.unlink(missing_ok=True)
    heard = stylization.heard()
    return StoredResult(
        sha256=sha256,
        bytes=size,
        media_type=MEDIA_TYPES[header.format],
        width=header.width,
        height=header.height,
        gain_db=stylization.gain_db,
        heard=heard.model_dump(mode="json"),
        receipt=image_receipt(stylization, heard, made, lease.record.inputs, sha256),
        warnings=tuple(warning.model_dump() for warning in header.warnings),
    )

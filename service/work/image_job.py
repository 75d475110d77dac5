"""Make the results of an image job from its stored uploads."""

import time
from concurrent.futures import wait
from typing import Final

from service.jobs.lease import Lease
from service.jobs.record import JobRecord, StoredResult
from service.media.image import MEDIA_TYPES
from service.media.image_writer import encode_image
from service.model.audio import Waveform
from service.observe.stages import stage
from service.work.image_stylization import Stylization, audio_executor, encode_content, stylize_image
from service.work.receipt import image_receipt
from service.work.requests import ImageRequest
from service.work.worker_context import JobOutput, Stopwatch, WorkerContext

_FRESH_SECONDS: Final = 0.1  # so long nobody asks anew whether a job that was just claimed is still wanted


def run_image_job(context: WorkerContext, lease: Lease) -> JobOutput:
    """Decode, stylize, encode and store. Raises what a bad file or request can raise, and LeaseLost."""
    record, watch, settings, claimed = lease.record, Stopwatch(), context.settings, time.monotonic()
    request = ImageRequest.model_validate(record.parameters)
    max_side = min(request.max_side or settings.max_side, settings.max_side)
    with watch.measure("model"):
        engine = context.engines.get(request.model)
    # sounds are decoded while the model looks at the image
    decoding = audio_executor().submit(_decode_sounds, context, record, engine.manifest.sample_rate_hz)
    try:
        with watch.measure("decode"):
            pixels = context.decoder_pool.decode_image(context.inputs(record, "image")[0], max_side)
        with watch.measure("stylize"):
            seen = encode_content(engine, pixels, request.strength, settings.max_inference_side)
    finally:
        with watch.measure("decode"):
            wait([decoding])  # whatever comes next: its files may be erased then
    waveforms = decoding.result()

    def progress(done: int, total: int) -> None:
        is_news = done > 0 or time.monotonic() - claimed > _FRESH_SECONDS
        if is_news and done < total:  # the last is told with the job's end
            lease.progress(done)

    stylizations = stylize_image(engine, seen, waveforms, request, progress)
    results: list[StoredResult] = []
    while True:
        with watch.measure("stylize"):
            stylization = next(stylizations, None)
        if stylization is None:
            return JobOutput(results, watch.seconds)
        with watch.measure("encode"):
            results.append(_store(context, lease, request, stylization))


def _decode_sounds(context: WorkerContext, record: JobRecord, sample_rate_hz: int) -> list[Waveform]:
    return [context.decoder_pool.decode_audio(path, sample_rate_hz) for path in context.inputs(record, "audio")]


def _store(context: WorkerContext, lease: Lease, request: ImageRequest, stylization: Stylization) -> StoredResult:
    content = encode_image(stylization.pixels, request.format)
    with stage("store"):
        sha256 = context.storage.write_result(lease.record.id, content)
    heard = stylization.heard()
    return StoredResult(
        sha256=sha256,
        bytes=len(content),
        media_type=MEDIA_TYPES[request.format],
        width=stylization.pixels.shape[1],
        height=stylization.pixels.shape[0],
        gain_db=stylization.gain_db,
        heard=heard.model_dump(mode="json"),
        receipt=image_receipt(stylization, heard, request, lease.record.inputs, sha256),
    )

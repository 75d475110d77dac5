"""Make the results of a picture job from its stored uploads."""

import time
from concurrent.futures import wait
from typing import Final

from service.jobs.lease import Lease
from service.jobs.record import JobRecord, StoredResult
from service.media.image import MEDIA_TYPES
from service.media.image_writer import encode_image
from service.model.sound import Waveform
from service.observe.stages import stage
from service.work.desk import Desk, Made, Stopwatch
from service.work.picture import Stylization, aside, see, stylize_picture
from service.work.receipt import picture_receipt
from service.work.requests import PictureRequest

_FRESH_SECONDS: Final = 0.1  # so long nobody asks anew whether a job that was just claimed is still wanted


def make_picture(desk: Desk, lease: Lease) -> Made:
    """Decode, stylize, encode and store. Raises what a bad file or request can raise, and LeaseLost."""
    record, watch, settings, claimed = lease.record, Stopwatch(), desk.settings, time.monotonic()
    request = PictureRequest.model_validate(record.parameters)
    max_side = min(request.max_side or settings.max_side, settings.max_side)
    with watch.measure("model"):
        engine = desk.engines.get(request.model)
    # sounds are decoded while the model looks at the picture
    decoding = aside().submit(_decode_sounds, desk, record, engine.manifest.sample_rate_hz)
    try:
        with watch.measure("decode"):
            pixels = desk.sandbox.decode_image(desk.inputs(record, "image")[0], max_side)
        with watch.measure("stylize"):
            seen = see(engine, pixels, request.strength, settings.comfortable_side)
    finally:
        with watch.measure("decode"):
            wait([decoding])  # whatever comes next: its files may be erased then
    waveforms = decoding.result()

    def progress(done: int, total: int) -> None:
        is_news = done > 0 or time.monotonic() - claimed > _FRESH_SECONDS
        if is_news and done < total:  # the last is told with the job's end
            lease.progress(done)

    stylizations = stylize_picture(engine, seen, waveforms, request, progress)
    results: list[StoredResult] = []
    while True:
        with watch.measure("stylize"):
            stylization = next(stylizations, None)
        if stylization is None:
            return Made(results, watch.seconds)
        with watch.measure("encode"):
            results.append(_store(desk, lease, request, stylization))


def _decode_sounds(desk: Desk, record: JobRecord, sample_rate_hz: int) -> list[Waveform]:
    return [desk.sandbox.decode_audio(path, sample_rate_hz) for path in desk.inputs(record, "audio")]


def _store(desk: Desk, lease: Lease, request: PictureRequest, stylization: Stylization) -> StoredResult:
    content = encode_image(stylization.pixels, request.format)
    with stage("store"):
        sha256 = desk.storage.write_result(lease.record.id, content)
    heard = stylization.heard()
    return StoredResult(
        sha256=sha256,
        bytes=len(content),
        media_type=MEDIA_TYPES[request.format],
        width=stylization.pixels.shape[1],
        height=stylization.pixels.shape[0],
        gain_db=stylization.gain_db,
        heard=heard.model_dump(mode="json"),
        receipt=picture_receipt(stylization, heard, request, lease.record.inputs, sha256),
    )

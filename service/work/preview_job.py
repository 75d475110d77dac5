"""Make the preview of a video job: one frame at five gains around the one that was asked for, and a contact sheet."""

import time
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidValue
from service.heard import Heard
from service.jobs.lease import Lease
from service.jobs.record import JobRecord, StoredResult
from service.media.downmix import downmix, downmix_matrix, to_mono
from service.media.image_kind import MEDIA_TYPES
from service.media.image_writer import encode_image
from service.media.preview_frame import PreviewFrame
from service.media.resampler import MonoResampler
from service.media.soundtrack import GainCurve
from service.media.timeline import Clock
from service.model.audio import Waveform, Window, apply_gain_db, heard, loudness_dbfs, turn_to_parts
from service.model.engine import Engine
from service.model.speech import speech_share
from service.observe.stages import stage
from service.schemas.requests import MAX_GAIN_DB, MIN_GAIN_DB, PREVIEW_STEPS_DB, PreviewRequest
from service.work.audio_input import endless_audio, stretch
from service.work.contact_sheet import contact_sheet
from service.work.detail_transfer import transfer_detail
from service.work.image_stylization import decode_each, model_input
from service.work.receipt import video_receipt
from service.work.video import result_size
from service.work.worker_context import JobOutput, Stopwatch, WorkerContext

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class _Sound:
    """What is heard around the frame: the soundtrack's window as given, [n], and at each gain, [G, n].

    wanted_db: the gain that the video is to have there. added: [n], what is mixed into it, if anything.
    """

    window: Window
    wanted_db: float
    gains_db: list[float]
    gained: Waveform
    added: Waveform | None

    @property
    def waveforms(self) -> Waveform:
        """[G, n], with what is mixed in."""
        return self.gained if self.added is None else self.gained + self.added


def run_preview_job(context: WorkerContext, lease: Lease) -> JobOutput:
    """The contact sheet and the frames on it, in the order of their gains. Raises as `run_video_job` does."""
    record, watch = lease.record, Stopwatch()
    request = PreviewRequest.model_validate(record.parameters)
    with watch.measure("model"):
        engine = context.engines.get(request.model)
    with watch.measure("look"):
        found, frame = _read_frame(context, record, request)
    with watch.measure("sound"):
        sound = _read_sound(context, record, engine, request, found)
    began = time.perf_counter()
    with watch.measure("stylize"):
        embeddings = _embed(engine, sound)
        shown = _stylize(engine, frame, embeddings, request.strength, context.settings.video_side)
    seconds_per_frame = (time.perf_counter() - began) / len(shown)
    report = {
        "at_seconds": found.at_seconds,
        "estimate": {
            "frames": found.frames,
            "seconds_on_one_worker": round(seconds_per_frame * found.frames, 1),
        },
    }
    middle = len(shown) // 2
    speech = speech_share(sound.waveforms[middle], engine.manifest.sample_rate_hz)
    hears = [
        heard([sound.window], waveform, embedding, engine.manifest.sounds, speech)
        for waveform, embedding in zip(sound.waveforms, embeddings, strict=True)
    ]
    marks = [" (asked for)" if gain == sound.wanted_db else "" for gain in sound.gains_db]
    captions = ["as given", *(f"{gain:+g} dB{mark}" for gain, mark in zip(sound.gains_db, marks, strict=True))]
    sheet = contact_sheet([frame, *shown], captions)
    results: list[StoredResult] = []
    for image, gain_db, said in zip(
        [sheet, *shown], [sound.wanted_db, *sound.gains_db], [hears[middle], *hears], strict=True
    ):
        with watch.measure("encode"):
            results.append(_store(context, record, engine, request, image, gain_db, said, report))
        lease.progress(len(results))
    return JobOutput(results, watch.seconds, done=len(results))


def preview_gains(wanted_db: float) -> list[float]:
    """The five gains around the wanted one, moved where they would leave what a request may ask for."""
    middle = min(max(wanted_db, MIN_GAIN_DB - PREVIEW_STEPS_DB[0]), MAX_GAIN_DB - PREVIEW_STEPS_DB[-1])
    return [middle + step for step in PREVIEW_STEPS_DB]


def _read_frame(context: WorkerContext, record: JobRecord, request: PreviewRequest) -> tuple[PreviewFrame, Pixels]:
    """The frame, upright and as large as the result would be. Raises InvalidValue for a time after the end."""
    source = context.inputs(record, "video")[0]
    found, frame = context.decoder_pool.read_preview_frame(source, request.at_seconds)
    if request.at_seconds is not None and found.ends_at is not None and request.at_seconds > found.ends_at:
        raise InvalidValue(f"at_seconds lies behind the video's end at {found.ends_at:.2f} s", field="at_seconds")
    size = result_size(found.format, request.max_side)
    if size != (found.format.width, found.format.height):
        frame = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)
    return found, np.ascontiguousarray(np.rot90(frame, found.format.quarter_turns), np.uint8)


def _read_sound(
    context: WorkerContext, record: JobRecord, engine: Engine, request: PreviewRequest, found: PreviewFrame
) -> _Sound:
    """The soundtrack around the frame, and what is mixed into it."""
    rate, clip, at = engine.manifest.sample_rate_hz, engine.manifest.clip_samples, found.at_seconds
    window, added = np.zeros(clip, np.float32), None
    if found.has_sound:
        window = _window_around(context, record, found, rate, clip)
    for second in context.inputs(record, "audio"):
        first = max(0, round(at * rate) - clip // 2)
        blocks = endless_audio(context.decoder_pool, second, rate)
        added = apply_gain_db(stretch(blocks, first, clip), request.audio_gain_db)
    wanted_db = float(GainCurve(request.gain_points).gain_db(np.array([at]))[0])
    gains_db = preview_gains(wanted_db)
    gained = np.stack([apply_gain_db(window, gain) for gain in gains_db])
    start_seconds = max(0.0, at - clip / 2 / rate)
    return _Sound(Window(window, start_seconds, clip / rate), wanted_db, gains_db, gained, added)


def _embed(engine: Engine, sound: _Sound) -> NDArray[np.float32]:
    """[G, E], as the video would have them."""
    embeddings = engine.embed(sound.waveforms)
    if sound.added is None:
        return embeddings
    count = len(sound.gained)
    parts = [engine.embed(sound.gained), np.repeat(engine.embed(sound.added[None]), count, axis=0)]
    levels = [[loudness_dbfs(each) for each in sound.gained], [loudness_dbfs(sound.added)] * count]
    return turn_to_parts(embeddings, np.stack(parts), np.array(levels))


def _window_around(context: WorkerContext, record: JobRecord, found: PreviewFrame, rate: int, clip: int) -> Waveform:
    """[clip] of the soundtrack, mono at `rate` Hz, centred on the frame; mirrored where it does not reach."""
    half, source = clip / 2 / rate, context.inputs(record, "video")[0]
    with context.decoder_pool.read_soundtrack(source, None, Clock(found.start_seconds)) as (form, blocks):
        first, stop = (
            round((found.at_seconds + side * half - form.start_seconds) * form.sample_rate_hz) for side in (-1, 1)
        )
        kept, position = [], 0
        for block in blocks:
            low, high = max(first - position, 0), min(stop - position, block.shape[1])
            if high > low:
                kept.append(block[:, low:high])
            position += block.shape[1]
            if position >= stop:
                break
    channels = np.concatenate(kept, axis=1) if kept else np.zeros((form.channels, 2), np.float32)
    samples = to_mono(downmix(channels, downmix_matrix(form.names)), form.sample_rate_hz)
    resampler = MonoResampler(form.sample_rate_hz, rate)
    mono = np.concatenate([resampler.push(samples), resampler.finish()])[:clip]
    before = min(clip - len(mono), round(max(0, -first) / form.sample_rate_hz * rate))
    return np.asarray(np.pad(mono, (before, clip - len(mono) - before), mode="reflect"), np.float32)


def _stylize(
    engine: Engine, frame: Pixels, embeddings: NDArray[np.float32], strength: float, side: int
) -> list[Pixels]:
    """The upright frame [H, W, 3] for each of [G, E]; encoded once."""
    scale = min(1.0, side / max(frame.shape[:2]))
    size = (max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale)))
    reduced = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)
    small = reduced.astype(np.float32) / np.float32(255)
    height, width = small.shape[:2]
    content = engine.encode(model_input(engine, reduced)[None])
    made = []
    for padded in decode_each(engine, content, embeddings):
        stylized = padded[:, :height, :width].transpose(1, 2, 0)
        made.append(transfer_detail(frame, small, np.ascontiguousarray(stylized), strength))
    return made


def _store(
    context: WorkerContext,
    record: JobRecord,
    engine: Engine,
    request: PreviewRequest,
    image: Pixels,
    gain_db: float,
    said: Heard,
    report: dict[str, Any],
) -> StoredResult:
    content = encode_image(image, "jpeg")
    with stage("store"):
        sha256 = context.storage.write_result(record.id, content)
    return StoredResult(
        sha256=sha256,
        bytes=len(content),
        media_type=MEDIA_TYPES["jpeg"],
        width=image.shape[1],
        height=image.shape[0],
        gain_db=gain_db,
        heard=said.model_dump(mode="json"),
        receipt=video_receipt(engine, said, request, record.inputs, sha256, report),
    )

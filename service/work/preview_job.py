"""Make the preview of a video job: one frame at five gains around the one that was asked for, and a contact sheet."""

import time
from pathlib import Path
from typing import Final

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from service.errors import InvalidValue
from service.jobs.lease import Lease
from service.jobs.record import StoredResult
from service.media.decoder_pool import DecoderPool
from service.media.downmix import downmix, downmix_matrix, to_mono
from service.media.image_kind import MEDIA_TYPES
from service.media.image_writer import encode_image
from service.media.soundtrack import GainCurve
from service.media.timeline import Clock
from service.model.audio import Waveform, Window, apply_gain_db, heard
from service.model.engine import Engine
from service.model.speech import speech_share
from service.observe.stages import stage
from service.schemas.requests import PREVIEW_STEPS_DB, PreviewRequest
from service.work.audio_input import endless_audio, stretch
from service.work.detail_transfer import transfer_detail
from service.work.image_stylization import decode_each, model_input
from service.work.receipt import video_receipt
from service.work.video import result_size
from service.work.worker_context import JobOutput, Stopwatch, WorkerContext

Pixels = NDArray[np.uint8]

_TILE_SIDE: Final = 480
_MARGIN: Final = 8
_CAPTION_ROWS: Final = 26
_COLUMNS: Final = 3


def run_preview_job(context: WorkerContext, lease: Lease) -> JobOutput:
    """The contact sheet and the frames on it, in the order of their gains. Raises as `run_video_job` does."""
    record, watch, settings = lease.record, Stopwatch(), context.settings
    request, decoder_pool = PreviewRequest.model_validate(record.parameters), context.decoder_pool
    source, second = context.inputs(record, "video")[0], next(iter(context.inputs(record, "audio")), None)
    with watch.measure("model"):
        engine = context.engines.get(request.model)
    with watch.measure("look"):
        found, frame = decoder_pool.read_preview_frame(source, request.at_seconds)
        at = found.at_seconds
        if request.at_seconds is not None and found.ends_at is not None and request.at_seconds > found.ends_at:
            raise InvalidValue(f"at_seconds lies behind the video's end at {found.ends_at:.2f} s", field="at_seconds")
        size = result_size(found.format, request.max_side)
        if size != (found.format.width, found.format.height):
            frame = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)
    upright = np.ascontiguousarray(np.rot90(frame, found.format.quarter_turns), np.uint8)
    with watch.measure("sound"):
        rate, clip = engine.manifest.sample_rate_hz, engine.manifest.clip_samples
        window = np.zeros(clip, np.float32)
        if found.has_sound:
            window = _window_around(decoder_pool, source, Clock(found.start_seconds), at, rate, clip)
        extra = np.zeros(clip, np.float32)
        if second is not None:
            first = max(0, round(at * rate) - clip // 2)
            extra = apply_gain_db(
                stretch(endless_audio(decoder_pool, second, rate), first, clip), request.audio_gain_db
            )
        wanted = float(GainCurve(request.gain_points).gain_db(np.array([at]))[0])
        gains = preview_gains(wanted)
        waveforms = np.stack([apply_gain_db(window, gain) + extra for gain in gains])
    began = time.perf_counter()
    embeddings = engine.embed(waveforms)
    shown = _stylize(engine, upright, embeddings, request.strength, settings.video_side)
    per_frame = (time.perf_counter() - began) / len(gains)
    watch.seconds["stylize"] = round(time.perf_counter() - began, 6)
    speech = speech_share(waveforms[len(gains) // 2], rate)
    start = max(0.0, at - clip / 2 / rate)
    report = {
        "at_seconds": at,
        "estimate": {
            "frames": found.frames,
            "seconds_on_one_worker": round(per_frame * found.frames, 1),
        },
    }
    images = [(_contact_sheet(upright, shown, gains, wanted), wanted, len(gains) // 2)]
    images += [(image, gain, number) for number, (image, gain) in enumerate(zip(shown, gains, strict=True))]
    results: list[StoredResult] = []
    for image, gain, number in images:
        with watch.measure("encode"):
            content = encode_image(image, "jpeg")
            with stage("store"):
                sha256 = context.storage.write_result(record.id, content)
        said = heard(
            [Window(window, start, clip / rate)], waveforms[number], embeddings[number], engine.manifest.sounds, speech
        )
        results.append(
            StoredResult(
                sha256=sha256,
                bytes=len(content),
                media_type=MEDIA_TYPES["jpeg"],
                width=image.shape[1],
                height=image.shape[0],
                gain_db=gain,
                heard=said.model_dump(mode="json"),
                receipt=video_receipt(engine, said, request, record.inputs, sha256, report),
            )
        )
        lease.progress(len(results))
    return JobOutput(results, watch.seconds, done=len(results))


def preview_gains(wanted_db: float) -> list[float]:
    """The five gains around the wanted one, moved where they would leave what a request may ask for."""
    middle = min(max(wanted_db, -60.0 - PREVIEW_STEPS_DB[0]), 24.0 - PREVIEW_STEPS_DB[-1])
    return [middle + step for step in PREVIEW_STEPS_DB]


def _window_around(decoder_pool: DecoderPool, source: Path, clock: Clock, at: float, rate: int, clip: int) -> Waveform:
    """[clip] of the soundtrack, mono at `rate`, centred on `at`; mirrored where it does not reach."""
    half = clip / 2 / rate
    with decoder_pool.read_soundtrack(source, None, clock) as (form, blocks):
        resampler = av.AudioResampler("flt", "mono", rate)
        first, stop = (round((at + side * half - form.start_seconds) * form.sample_rate_hz) for side in (-1, 1))
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
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None], np.float32), format="flt", layout="mono")
    frame.sample_rate = form.sample_rate_hz
    frames = resampler.resample(frame) + (resampler.resample(None) if form.sample_rate_hz != rate else [])
    mono = np.concatenate([one.to_ndarray()[0] for one in frames])[:clip]
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


def _contact_sheet(frame: Pixels, shown: list[Pixels], gains: list[float], wanted_db: float) -> Pixels:
    """The frame as given and at every gain, each with its caption, in rows of three."""
    captions = ["as given", *(f"{gain:+g} dB{' (asked for)' if gain == wanted_db else ''}" for gain in gains)]
    tiles = [Image.fromarray(image) for image in (frame, *shown)]
    for tile in tiles:
        tile.thumbnail((_TILE_SIDE, _TILE_SIDE), Image.Resampling.LANCZOS)
    width, height = tiles[0].width + _MARGIN, tiles[0].height + _MARGIN + _CAPTION_ROWS
    rows = -(-len(tiles) // _COLUMNS)
    sheet = Image.new("RGB", (_COLUMNS * width + _MARGIN, rows * height + _MARGIN), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(16)
    for number, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
        left, top = _MARGIN + number % _COLUMNS * width, _MARGIN + number // _COLUMNS * height
        sheet.paste(tile, (left, top))
        draw.text((left, top + tile.height + 3), caption, fill="black", font=font)
    return np.asarray(sheet)

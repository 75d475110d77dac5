"""Restyle one photograph by one driving sound: any size in, the same size out, one result for each gain.

A picture larger than the model is comfortable with is reduced, restyled, and its change carried over to the full
picture (`service.work.detail`). Overlapping tiles were tried beside it and dropped: the model's norms take their
statistics over all that it sees, so neighbouring tiles of one photograph disagreed by up to 6/255 in tone where the
whole effect was 8/255, a tile of sky knows nothing of the ground, and the model draws its texture at the scale of the
small pictures that it was trained on, which gets lost in tiles of a large one. They also cost as many runs as there
are tiles.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from service import __version__
from service.model.engine import Engine
from service.model.sound import Heard, Waveform, Window, apply_gain_db, heard, mix, pick_window
from service.model.speech import speech_share
from service.work.detail import reduce_picture, transfer_detail
from service.work.requests import PictureRequest

FloatArray = NDArray[np.float32]
Pixels = NDArray[np.uint8]
Progress = Callable[[int, int], None]

_SMALLEST_SIDE: Final = 64  # the model never sees less; smaller pictures are padded
_DEFAULT_COMFORTABLE_SIDE: Final = 768


class ModelReceipt(BaseModel):
    """Which model made a result and how: with the hashes of the inputs, enough to make it again.

    method: `unchanged` (strength 0), `whole` (one run at full size) or `detail` (a small run, its change carried
    over). working_width, working_height: pixels that the model saw, before padding.
    """

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    model: str
    model_version: str
    model_sha256: str
    provider: str
    runtime: str
    service_version: str
    gain_db: float
    strength: float
    weights: tuple[float, ...] | None
    start_seconds: tuple[float, ...]
    method: Literal["unchanged", "whole", "detail"]
    working_width: int
    working_height: int


@dataclass(frozen=True)
class Stylization:
    """One result. pixels: [H, W, 3], as large as the picture that came in."""

    pixels: Pixels
    gain_db: float
    heard: Heard
    receipt: ModelReceipt


def stylize_picture(
    engine: Engine,
    pixels: Pixels,
    waveforms: Sequence[Waveform],
    request: PictureRequest,
    progress: Progress,
    comfortable_side: int = _DEFAULT_COMFORTABLE_SIDE,
) -> Iterator[Stylization]:
    """Yield one result for each of the request's gains, in their order, each as soon as it is made.

    pixels: [H, W, 3]. waveforms: one [N] for each sound, at the model's rate; they need not be equally long.
    progress: called with (results done, results in all); what it raises (a cancellation) stops the work.
    comfortable_side: above it the model sees a reduced picture, and its change is carried over to the full one.
    Raises ValueError if the counts of sounds and weights differ.
    """
    gains = request.gains
    windows, mixed = _driving_sound(engine, waveforms, request)
    embeddings = engine.embed(np.stack([apply_gain_db(mixed, gain) for gain in gains]))  # [G, E]
    progress(0, len(gains))
    restyled, method, working = _restyle(engine, pixels, embeddings, request.strength, comfortable_side)
    speech = speech_share(mixed, engine.manifest.sample_rate_hz)
    for index, (gain_db, result) in enumerate(zip(gains, restyled, strict=True)):
        gained = apply_gain_db(mixed, gain_db)
        yield Stylization(
            pixels=result,
            gain_db=gain_db,
            heard=heard(windows, gained, embeddings[index], engine.manifest.sounds, speech),
            receipt=_receipt(engine, request, gain_db, windows, method, working),
        )
        progress(index + 1, len(gains))


def warm_up(engine: Engine) -> None:
    """Pay for first uses (graphs, speech detector) before the first job does."""
    engine.warm_up()
    speech_share(np.full(engine.manifest.clip_samples, 0.1, np.float32), engine.manifest.sample_rate_hz)


def _driving_sound(
    engine: Engine, waveforms: Sequence[Waveform], request: PictureRequest
) -> tuple[list[Window], Waveform]:
    """The window of each sound, chosen one by one so that each is heard at its best, and their mix [N]."""
    if any(waveform.ndim != 1 for waveform in waveforms):
        raise ValueError("waveforms must be a sequence of one-dimensional arrays")
    manifest = engine.manifest
    windows = [
        pick_window(waveform, manifest.clip_samples, manifest.sample_rate_hz, request.start_seconds)
        for waveform in waveforms
    ]
    return windows, mix([window.waveform for window in windows], request.weights)


def _restyle(
    engine: Engine, pixels: Pixels, embeddings: FloatArray, strength: float, comfortable_side: int
) -> tuple[Iterator[Pixels], Literal["unchanged", "whole", "detail"], tuple[int, int]]:
    """The results for [G, E], lazily; by which method; and the (width, height) that the model sees."""
    height, width = pixels.shape[:2]
    if strength == 0:
        return (pixels.copy() for _ in embeddings), "unchanged", (0, 0)
    if max(height, width) <= comfortable_side:
        whole = _unit_range(pixels)
        results = (_blend(whole, change, strength) for change in _run(engine, whole, embeddings))
        return results, "whole", (width, height)
    small = _unit_range(reduce_picture(pixels, comfortable_side))
    results = (transfer_detail(pixels, small, stylized, strength) for stylized in _run(engine, small, embeddings))
    return results, "detail", (small.shape[1], small.shape[0])


def _run(engine: Engine, picture: FloatArray, embeddings: FloatArray) -> Iterator[FloatArray]:
    """picture: [h, w, 3] in 0..1 -> its stylization [h, w, 3] for each of [G, E]; encoded once."""
    height, width = picture.shape[:2]
    padded = np.pad(picture, padded_for(engine, height, width), mode="reflect")
    content = engine.encode(padded.transpose(2, 0, 1)[None])  # [1, C, h/4, w/4]
    for embedding in embeddings:
        stylized = engine.decode(content, embedding[None])[0]  # [3, h, w], padded
        yield stylized[:, :height, :width].transpose(1, 2, 0)


def padded_for(engine: Engine, height: int, width: int) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """What `np.pad` has to add to [height, width, 3] for the model's sake."""
    multiple = engine.manifest.size_multiple
    return (0, _missing(height, multiple)), (0, _missing(width, multiple)), (0, 0)


def _missing(side: int, multiple: int) -> int:
    """Pixels to add to `side` for a multiple of `multiple` that is not too small for the model."""
    return -(-max(side, _SMALLEST_SIDE) // multiple) * multiple - side


def _unit_range(pixels: Pixels) -> FloatArray:
    return pixels.astype(np.float32) / np.float32(255)


def _blend(picture: FloatArray, stylized: FloatArray, strength: float) -> Pixels:
    """[h, w, 3] in 0..1, both -> [h, w, 3] of 0..255."""
    blended = stylized if strength == 1 else picture + np.float32(strength) * (stylized - picture)
    result: Pixels = np.rint(np.clip(blended, 0, 1) * 255).astype(np.uint8)
    return result


def _receipt(
    engine: Engine,
    request: PictureRequest,
    gain_db: float,
    windows: Sequence[Window],
    method: Literal["unchanged", "whole", "detail"],
    working: tuple[int, int],
) -> ModelReceipt:
    return ModelReceipt(
        model=engine.manifest.name,
        model_version=engine.manifest.version,
        model_sha256=engine.bundle.sha256,
        provider=engine.provider,
        runtime=engine.runtime,
        service_version=__version__,
        gain_db=gain_db,
        strength=request.strength,
        weights=request.weights,
        start_seconds=tuple(window.start_seconds for window in windows),
        method=method,
        working_width=working[0],
        working_height=working[1],
    )

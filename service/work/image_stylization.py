"""Restyle one photograph by one driving sound: any size in, the same size out, one result for each gain.

An image larger than the model is comfortable with is reduced, restyled, and its change carried over to the full
image (`service.work.detail_transfer`). Overlapping tiles were tried beside it and dropped: the model's norms take their
statistics over all that it sees, so neighbouring tiles of one photograph disagreed by up to 6/255 in tone where the
whole effect was 8/255, a tile of sky knows nothing of the ground, and the model draws its texture at the scale of the
small images that it was trained on, which gets lost in tiles of a large one. They also cost as many runs as there
are tiles.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from service.build import build_version
from service.heard import Heard
from service.media.image_reduce import Pixels, visible_colors
from service.model.audio import Waveform, Window, apply_gain_db, heard, mix, mix_embeddings
from service.model.bound_graph import DeviceTensor
from service.model.engine import Engine
from service.model.speech import speech_share
from service.schemas.requests import ImageRequest
from service.work.detail_transfer import DetailTransfer
from service.work.image_source import Colors, Source
from service.work.prefetch import kept_threads

FloatArray = NDArray[np.float32]
Progress = Callable[[int, int], None]
Method = Literal["unchanged", "whole", "detail"]

_SMALLEST_SIDE: Final = 64  # the model never sees less; smaller images are padded
_DEFAULT_MAX_INFERENCE_SIDE: Final = 768


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
    method: Method
    working_width: int
    working_height: int


@dataclass(frozen=True)
class EncodedImage:
    """A photograph as the model has taken it in.

    small: the image as it is reduced for the model, [h, w, 3] in 0..1, in its own colors. shown: the same as the model
    saw it, in sRGB. content: [1, C, h/4, w/4], padded, on the model's device. All are None where no run is needed.
    """

    source: Source
    method: Method
    small: FloatArray | None = None
    shown: FloatArray | None = None
    content: DeviceTensor | None = None


@dataclass(frozen=True)
class Stylization:
    """One result, as large as the image that came in, and with its alpha.

    strips: makes it, [rows, W, 3 or 4] from the top, as often as it is called.
    heard: what was heard; speech is listened for meanwhile, so ask for it when the pixels are encoded.
    """

    strips: Callable[[], Iterator[Pixels]]
    gain_db: float
    heard: Callable[[], Heard]
    receipt: ModelReceipt

    @property
    def pixels(self) -> Pixels:
        """[H, W, 3 or 4]: all strips."""
        strips: list[Any] = list(self.strips())
        joined: Pixels = strips[0] if len(strips) == 1 else np.concatenate(strips)
        return joined


def encode_content(
    engine: Engine, source: Source, strength: float, max_inference_side: int = _DEFAULT_MAX_INFERENCE_SIDE
) -> EncodedImage:
    """Take in an image; what it is to sound like need not be known yet.

    max_inference_side: above it the model sees a reduced image, and its change is carried over to the full one.
    """
    if strength == 0:
        return EncodedImage(source, "unchanged")
    is_large = max(source.size) > max_inference_side
    small = source.small(max_inference_side) if is_large else visible_colors(np.concatenate(list(source.strips())))
    reduced = _unit_range(small)
    shown, pixels = reduced, small
    if source.colors is not None:
        pixels = source.colors.to_srgb(_eight_bits(reduced))
        shown = _unit_range(pixels)
    content = engine.encode(model_input(engine, pixels)[None])
    return EncodedImage(source, "detail" if is_large or source.colors is not None else "whole", reduced, shown, content)


def stylize_image(
    engine: Engine, seen: EncodedImage, windows: Sequence[Window], request: ImageRequest, progress: Progress
) -> Iterator[Stylization]:
    """Yield one result for each of the request's gains, in their order, each as soon as it is made.

    windows: one of each sound, as long as the model's clip, chosen so that each is heard at its best.
    progress: called with (results done, results in all); what it raises (a cancellation) stops the work.
    Raises ValueError if the counts of sounds and weights differ.
    """
    gains = request.gains
    waveforms = [window.waveform for window in windows]
    mixed = mix(waveforms, request.weights)
    heard = engine.embed(np.stack([apply_gain_db(each, gain) for gain in gains for each in waveforms]))
    by_gain = heard.reshape(len(gains), len(waveforms), -1)
    embeddings = np.stack([mix_embeddings(each, request.weights) for each in by_gain])  # [G, E]
    progress(0, len(gains))
    restyled, speech = _restyle(engine, seen, embeddings, request.strength), None
    for index, (gain_db, result) in enumerate(zip(gains, restyled, strict=True)):
        if speech is None:  # not before the graphs, which have all cores
            speech = audio_executor().submit(speech_share, mixed, engine.manifest.sample_rate_hz)
        hear = partial(_hear, engine, windows, apply_gain_db(mixed, gain_db), embeddings[index], speech)
        yield Stylization(result, gain_db, hear, _receipt(engine, request, gain_db, windows, seen))
        progress(index + 1, len(gains))


def audio_executor() -> ThreadPoolExecutor:
    """The thread for what is done with the sound while the image is worked on."""
    return kept_threads(1, "sound")


def warm_up(engine: Engine) -> None:
    """Pay for first uses (graphs, speech detector) before the first job does."""
    engine.warm_up()
    sound = np.full(engine.manifest.clip_samples, 0.1, np.float32)
    audio_executor().submit(speech_share, sound, engine.manifest.sample_rate_hz).result()


def _restyle(
    engine: Engine, seen: EncodedImage, embeddings: FloatArray, strength: float
) -> Iterator[Callable[[], Iterator[Pixels]]]:
    """What makes the results for [G, E], lazily."""
    if seen.small is None or seen.shown is None or seen.content is None:
        for _ in embeddings:
            yield seen.source.strips
        return
    height, width = seen.small.shape[:2]
    for padded in decode_each(engine, seen.content, embeddings):
        stylized = padded[:, :height, :width].transpose(1, 2, 0)
        if seen.method == "whole":
            change = partial(_blend, stylized, strength)
        else:
            if seen.source.colors is not None:
                stylized = seen.small + _change_in_own_colors(seen.source.colors, seen.shown, stylized)
            transfer = DetailTransfer(seen.small, stylized, strength, seen.source.full_scale)
            change = partial(transfer.apply, full_size=seen.source.size)
        yield partial(_changed_strips, seen.source, change)


def _change_in_own_colors(colors: Colors, shown: FloatArray, stylized: FloatArray) -> FloatArray:
    """The change that the model made in sRGB, [h, w, 3], in the image's colors: those that sRGB has not are kept."""
    before, after = (_unit_range(colors.from_srgb(_eight_bits(one))) for one in (shown, stylized))
    return after - before


def _changed_strips(source: Source, change: Callable[[Pixels, int], Pixels]) -> Iterator[Pixels]:
    """change: of colors [rows, W, 3] that begin at a row. Alpha stays, and so do colors that it hides."""
    top = 0
    for strip in source.strips():
        colors = change(strip[..., :3], top)
        top += len(strip)
        if strip.shape[2] == 3:
            yield colors
        else:
            alpha = strip[..., 3:]
            yield np.concatenate([np.where(alpha > 0, colors, strip[..., :3]), alpha], axis=2)


def _hear(
    engine: Engine, windows: Sequence[Window], gained: Waveform, embedding: FloatArray, speech: Future[float | None]
) -> Heard:
    return heard(windows, gained, embedding, engine.manifest.sounds, speech.result())


def model_input(engine: Engine, pixels: Pixels) -> NDArray[Any]:
    """[h, w, 3] of 8 bits, padded as the model needs it; of 16 bits: floats [3, h, w] in 0..1, likewise."""
    padding = padded_for(engine, *pixels.shape[:2])
    if pixels.dtype == np.uint8:
        return np.pad(pixels, padding, mode="reflect")
    return np.pad(_unit_range(pixels), padding, mode="reflect").transpose(2, 0, 1)


def decode_each(engine: Engine, content: DeviceTensor, embeddings: FloatArray) -> Iterator[FloatArray]:
    """[3, H, W] of one image's content for each of [G, E]: as many at once as the provider is good at."""
    rows, columns = content.shape[2:]
    most = engine.images_at_once(4 * rows, 4 * columns)
    for first in range(0, len(embeddings), most):
        yield from engine.decode(content, embeddings[first : first + most])


def padded_for(engine: Engine, height: int, width: int) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """What `np.pad` has to add to [height, width, 3] for the model's sake."""
    multiple = engine.manifest.size_multiple
    return (0, _missing(height, multiple)), (0, _missing(width, multiple)), (0, 0)


def _missing(side: int, multiple: int) -> int:
    """Pixels to add to `side` for a multiple of `multiple` that is not too small for the model."""
    return -(-max(side, _SMALLEST_SIDE) // multiple) * multiple - side


def _eight_bits(unit_range: FloatArray) -> NDArray[np.uint8]:
    return np.rint(np.clip(unit_range, 0, 1) * 255).astype(np.uint8)


def _unit_range(pixels: Pixels) -> FloatArray:
    return pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)


def _blend(stylized: FloatArray, strength: float, strip: Pixels, top: int) -> Pixels:
    """Rows top.. of the image, [rows, w, 3], and all of its stylization, [h, w, 3] in 0..1 -> [rows, w, 3]."""
    scale = np.iinfo(strip.dtype).max
    wanted: NDArray[np.floating] = stylized[top : top + len(strip)]
    if strength != 1:
        given = strip.astype(np.float32) / np.float32(scale)
        wanted = given + np.float32(strength) * (wanted - given)
    result: Pixels = np.rint(np.clip(wanted, 0, 1) * np.float32(scale)).astype(strip.dtype)
    return result


def _receipt(
    engine: Engine,
    request: ImageRequest,
    gain_db: float,
    windows: Sequence[Window],
    seen: EncodedImage,
) -> ModelReceipt:
    height, width = (0, 0) if seen.small is None else seen.small.shape[:2]
    return ModelReceipt(
        model=engine.manifest.name,
        model_version=engine.manifest.version,
        model_sha256=engine.bundle.sha256,
        provider=engine.provider,
        runtime=engine.runtime,
        service_version=build_version(),
        gain_db=gain_db,
        strength=request.strength,
        weights=request.weights,
        start_seconds=tuple(window.start_seconds for window in windows),
        method=seen.method,
        working_width=width,
        working_height=height,
    )

"""Reading images and sounds for training; `dataset` and `prepare` go through here."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import av
import numpy as np
import torch
import torchaudio.functional as AF
from numpy.typing import NDArray
from PIL import Image, ImageOps

from training.data.pack import Pack, open_pack, pack_of
from training.data.shards import read_member, shard_of

Decoded = TypeVar("Decoded")

STORED_SIDE = 320  # images are kept in memory with this short side at most


class MediaError(Exception):
    """A file that cannot be read as what it should be."""


@lru_cache(maxsize=8192)
def read_image(path: Path) -> NDArray[np.uint8]:
    """[H, W, 3], upright, the short side at most STORED_SIDE. Raises MediaError."""
    if (pack := pack_of(path)) is not None:
        return _from_pack(path, pack, lambda opened, name: opened.image(name))
    return decode_image(path, path)


def decode_image(file: Path | io.BytesIO, name: Path | str) -> NDArray[np.uint8]:
    """As `read_image`, of a file (also within a shard) or of its bytes, which `name` stands for in messages."""
    try:
        with Image.open(_source(file)) as opened:
            image = _as_rgb(ImageOps.exif_transpose(opened))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as exc:
        raise MediaError(f"{name} is not a readable image: {exc}") from exc
    scale = STORED_SIDE / min(image.size)
    if scale < 1:
        image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    return np.asarray(image)


def _as_rgb(image: Image.Image) -> Image.Image:
    """Of any mode: grey, palette, CMYK, 16 bits a channel; what is transparent is shown on white. Raises ValueError."""
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers without a known range")
    if image.mode.startswith("I"):  # 16 bits; Pillow's own conversion clips at 255
        image = Image.fromarray((np.asarray(image).astype(np.float64) / 257).round().clip(0, 255).astype(np.uint8))
    if "transparency" in image.info or image.mode in ("LA", "PA", "RGBA", "La", "RGBa"):
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


@lru_cache(maxsize=256)
def read_sound(path: Path, sample_rate_hz: int) -> torch.Tensor:
    """Mono waveform [N], full scale = 1, the level as recorded. Raises MediaError."""
    if (pack := pack_of(path)) is not None:
        return _from_pack(path, pack, lambda opened, name: opened.sound(name, sample_rate_hz))
    return decode_sound(path, path, sample_rate_hz)


def decode_sound(file: Path | io.BytesIO, name: Path | str, sample_rate_hz: int) -> torch.Tensor:
    """As `read_sound`, of a file (also within a shard) or of its bytes, which `name` stands for in messages."""
    chunks: list[NDArray[np.float32]] = []
    try:
        source = _source(file)
        with av.open(source if isinstance(source, io.BytesIO) else str(source), "r") as container:
            stream = container.streams.audio[0]
            rate = stream.codec_context.sample_rate
            resampler = av.AudioResampler(format="flt", layout="mono", rate=rate)
            for frame in container.decode(stream):
                chunks.extend(f.to_ndarray()[0] for f in resampler.resample(frame))
            chunks.extend(f.to_ndarray()[0] for f in resampler.resample(None))
    except (av.FFmpegError, IndexError, OSError) as exc:
        raise MediaError(f"{name} is not a readable sound: {exc}") from exc
    if not chunks:
        raise MediaError(f"{name} holds no samples")
    return AF.resample(torch.from_numpy(np.concatenate(chunks)), rate, sample_rate_hz)


def _from_pack(path: Path, pack: Path, read: Callable[[Pack, str], Decoded]) -> Decoded:
    """What is stored under the path's name; MediaError where it could not be decoded when it was packed."""
    opened, name = open_pack(pack), path.name
    if name in opened.unreadable:
        raise MediaError(opened.unreadable[name])
    try:
        return read(opened, name)
    except KeyError as exc:
        raise MediaError(f"{pack} holds no {name}") from exc


def _source(file: Path | io.BytesIO) -> Path | io.BytesIO:
    """The file, or what stands for it in a shard."""
    if isinstance(file, io.BytesIO) or (shard := shard_of(file)) is None:
        return file
    return io.BytesIO(read_member(file, shard))


def window(waveform: torch.Tensor, start: int, samples: int) -> torch.Tensor:
    """`samples` of the waveform [N] from `start` on, tiled where it is shorter."""
    piece = waveform[start : start + samples]
    if not len(piece):
        raise MediaError(f"no audio is left after sample {start} of {len(waveform)}")
    if len(piece) < samples:
        piece = piece.repeat(-(-samples // len(piece)))[:samples]
    return piece


def rms_dbfs(waveform: torch.Tensor) -> float:
    """Root mean square level; digital silence is -100 dBFS."""
    return float(20 * waveform.square().mean().sqrt().clamp(min=1e-5).log10())


def at_level(waveform: torch.Tensor, dbfs: float) -> torch.Tensor:
    """Scaled to that RMS level; silence stays silent. On a GPU nothing is waited for."""
    if waveform.device.type != "cpu":
        power = waveform.square().mean().clamp(min=1e-10)
        return torch.where(power <= 1e-10, waveform, waveform * (10 ** (dbfs / 20) / power.sqrt()))
    level = rms_dbfs(waveform)
    return waveform if level <= -100 else waveform * 10 ** ((dbfs - level) / 20)


def less_red(pixels: NDArray[np.uint8], most: float) -> NDArray[np.uint8]:
    """[H, W, 3] with red no further above the stronger of green and blue than `most` of full scale.

    Tail lights and umbrellas occur with rain, and are not what rain looks like.
    """
    if most >= 1:
        return pixels
    limit = pixels[:, :, 1:].max(axis=2).astype(np.int16) + round(255 * most)
    muted = pixels.copy()
    muted[:, :, 0] = np.minimum(pixels[:, :, 0], limit)
    return muted


def to_tensor(pixels: NDArray[np.uint8]) -> torch.Tensor:
    """[H, W, 3] in 0..255 -> [3, H, W] in [-1, 1]."""
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1).contiguous().float().div(127.5).sub(1)


def to_pixels(image: torch.Tensor) -> NDArray[np.uint8]:
    """[3, H, W] in [-1, 1] -> [H, W, 3] in 0..255."""
    scaled = image.detach().float().cpu().add(1).mul(127.5).round().clamp(0, 255)
    return scaled.to(torch.uint8).permute(1, 2, 0).numpy()


def square(path: Path, size: int) -> torch.Tensor:
    """The middle square of a photograph at that size: [3, size, size] in [-1, 1]."""
    image = Image.fromarray(read_image(path))
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
    return to_tensor(np.asarray(image))

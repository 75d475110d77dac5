"""Make videos for tests and benchmarks: a pan and zoom over a photograph, with or without a soundtrack."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.support.media import make_photo


@dataclass(frozen=True)
class Clip:
    """What to make. ticks: of each frame, in units of `time_base`; None for an even rate."""

    width: int = 128
    height: int = 96
    fps: int = 10
    frames: int = 20
    ticks: Sequence[int] | None = None
    time_base: Fraction | None = None
    video_codec: str = "libx264"
    audio_codec: str = "aac"
    sample_rate_hz: int = 48_000
    layout: str = "stereo"
    key_every: int = 10
    pix_fmt: str = "yuv420p"
    pixel_aspect: Fraction | None = None
    rotation: int = 0
    full_range: bool = False
    bt709: bool = False
    b_frames: bool = True
    brightness: float = 1.0
    video_options: Mapping[str, str] | None = None


def pan(image: NDArray[np.uint8], width: int, height: int, share: float) -> NDArray[np.uint8]:
    """A window [height, width, 3] that moves right over the image and zooms in, at `share` (0..1) of the way."""
    zoom = 1.6 - 0.2 * share
    tall, wide = image.shape[0] / zoom, image.shape[1] / zoom
    tall, wide = min(tall, wide * height / width), min(wide, tall * width / height)
    left, top = (image.shape[1] - wide) * share, (image.shape[0] - tall) * (0.3 + 0.2 * share)
    box = (left, top, left + wide, top + tall)
    image = Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC, box=box)
    return np.asarray(image)


def write_video(
    path: Path, clip: Clip, sound: NDArray[np.float32] | None = None, image: NDArray[np.uint8] | None = None
) -> Path:
    """Write a pan over the image as MP4, or as the path's suffix says. sound: [channels, N] at the clip's rate."""
    image = make_photo(2 * clip.width, 2 * clip.height) if image is None else image
    shares = (index / max(1, clip.frames - 1) for index in range(clip.frames))
    frames = (pan(image, clip.width, clip.height, share) for share in shares)
    return write_frames(path, clip, frames, sound)


def write_frames(
    path: Path, clip: Clip, frames: Iterable[NDArray[np.uint8]], sound: NDArray[np.float32] | None = None
) -> Path:
    """Write these frames, [height, width, 3] each."""
    container = "webm" if path.suffix == ".webm" else path.suffix[1:]
    time_base = clip.time_base or Fraction(1, clip.fps)
    options = {"video_track_timescale": str(time_base.denominator)} if container in ("mp4", "mov") else {}
    with av.open(
        str(path),
        "w",
        format={"mkv": "matroska", "ts": "mpegts", "mpeg": "mpeg"}.get(container, container),
        options=options,
    ) as output:
        stream: Any = output.add_stream(clip.video_codec, rate=clip.fps)
        stream.width, stream.height, stream.pix_fmt = clip.width, clip.height, clip.pix_fmt
        stream.codec_context.time_base = stream.time_base = time_base
        stream.gop_size = clip.key_every
        if clip.video_codec == "libx264":
            stream.options = {"preset": "ultrafast", "crf": "12", "bf": "2" if clip.b_frames else "0"}
        if clip.video_options:
            stream.options = {**stream.options, **clip.video_options}
        if clip.pixel_aspect:
            stream.codec_context.sample_aspect_ratio = clip.pixel_aspect
        if clip.bt709:
            stream.codec_context.colorspace = stream.codec_context.color_primaries = 1
            stream.codec_context.color_trc = 1
        stream.codec_context.color_range = 2 if clip.full_range else 1
        if clip.rotation:
            stream.set_display_rotation(clip.rotation)
        track: Any = None
        if sound is not None:
            track = output.add_stream(clip.audio_codec, rate=clip.sample_rate_hz, layout=clip.layout)
        for index, pixels in enumerate(frames):
            pixels = np.clip(pixels * clip.brightness, 0, 255).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
                format=clip.pix_fmt,
                dst_colorspace=1 if clip.bt709 else 5,
                dst_color_range=2 if clip.full_range else 1,
            )
            frame.pts, frame.time_base = (clip.ticks[index] if clip.ticks else index), time_base
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        if track is not None:
            assert sound is not None
            block = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound.T.reshape(1, -1)), "flt", clip.layout)
            block.sample_rate, block.pts = clip.sample_rate_hz, 0
            block.time_base = Fraction(1, clip.sample_rate_hz)
            resampler = av.AudioResampler(track.codec_context.format.name, clip.layout, clip.sample_rate_hz)
            for part in [*resampler.resample(block), *resampler.resample(None)]:
                output.mux(track.encode(part))
            output.mux(track.encode(None))
    return path


def noise_track(
    seconds: float, rms: float = 0.05, channels: int = 2, sample_rate_hz: int = 48_000, seed: int = 0
) -> NDArray[np.float32]:
    """[channels, N]: independent white noise."""
    rng = np.random.default_rng(seed)
    return np.clip(rng.normal(0, rms, (channels, round(seconds * sample_rate_hz))), -1, 1).astype(np.float32)

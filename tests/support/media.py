"""Make images and sounds for tests, and write them in the formats that clients send."""

import io
import wave
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

SAMPLE_RATE_HZ = 16_000


def make_photo(width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    """[H, W, 3]: a sky that darkens upwards, a ground of blurred noise, a bright disc: smooth areas, edges, texture."""
    rng = np.random.default_rng(seed)
    y = np.linspace(0, 1, height)[:, None]
    x = np.linspace(0, 1, width)[None, :]
    sky = np.stack([90 + 100 * y + 0 * x, 120 + 90 * y + 20 * x, 200 + 40 * y + 0 * x], axis=-1)
    coarse = rng.uniform(0, 255, (max(2, height // 16), max(2, width // 16), 3)).astype(np.uint8)
    ground = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), np.float64)
    ground = 0.6 * ground + rng.normal(0, 8, (height, width, 3))
    image = np.where((y + 0.05 * np.sin(9 * x) > 0.6)[:, :, None], ground, sky)
    disc = (x - 0.7) ** 2 + (y - 0.25) ** 2 < 0.01
    image[disc] = (255, 240, 190)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def tiled_photo(width: int, height: int) -> NDArray[np.uint8]:
    """[H, W, 3]: one photo of 500 x 500 pixels again and again; megapixels of `make_photo` itself take seconds."""
    return np.tile(make_photo(500, 500), (-(-height // 500), -(-width // 500), 1))[:height, :width]


def write_image(path: Path, pixels: NDArray[np.uint8], format: str, **options: Any) -> Path:
    """Write [H, W, 3] as `format` (Pillow's name and options); whatever the path's suffix says."""
    Image.fromarray(pixels).save(path, format=format, **options)
    return path


def write_png(path: Path, pixels: NDArray[np.uint8], **options: Any) -> Path:
    """Write [H, W, 3] as PNG."""
    return write_image(path, pixels, "PNG", **options)


def write_jpeg(path: Path, pixels: NDArray[np.uint8], quality: int = 90, **options: Any) -> Path:
    """Write [H, W, 3] as JPEG."""
    return write_image(path, pixels, "JPEG", quality=quality, **options)


def png_bytes(pixels: NDArray[np.uint8]) -> bytes:
    """[H, W, 3] as the bytes of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def make_noise(
    seconds: float, rms: float = 0.1, seed: int = 0, sample_rate_hz: int = SAMPLE_RATE_HZ
) -> NDArray[np.float32]:
    """[N]: white noise of the level `rms` (full scale = 1)."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, rms, round(seconds * sample_rate_hz))
    return np.clip(noise, -1, 1).astype(np.float32)


def make_tone(
    seconds: float, hertz: float = 220.0, amplitude: float = 0.2, sample_rate_hz: int = SAMPLE_RATE_HZ
) -> NDArray[np.float32]:
    """[N]: a sine."""
    time = np.arange(round(seconds * sample_rate_hz)) / sample_rate_hz
    return (amplitude * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def make_voice(seconds: float, rms: float = 0.08, sample_rate_hz: int = SAMPLE_RATE_HZ) -> NDArray[np.float32]:
    """[N]: vowels, harmonics of a gliding pitch under three formants; a speech detector takes it for speech."""
    time = np.arange(round(seconds * sample_rate_hz)) / sample_rate_hz
    pitch = 120 + 15 * np.sin(2 * np.pi * 0.7 * time) + 8 * np.sin(2 * np.pi * 2.3 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / sample_rate_hz
    vowels = np.array([(730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410)])
    syllable = (time / 0.22).astype(int)
    formants = vowels[syllable % len(vowels)].T  # [3, N]
    voice = np.zeros_like(time)
    for harmonic in range(1, 40):
        distance = (harmonic * pitch - formants) / np.array([80, 100, 150])[:, None]
        level = (np.array([1, 0.5, 0.25])[:, None] / (1 + distance**2)).sum(axis=0)
        voice += level * np.sin(harmonic * phase) / harmonic**0.3
    voice *= np.sqrt(np.abs(np.sin(np.pi * time / 0.22)))
    return (rms / np.sqrt(np.mean(voice**2)) * voice).astype(np.float32)


def write_wav(path: Path, waveform: NDArray[np.floating], sample_rate_hz: int = SAMPLE_RATE_HZ) -> Path:
    """Write [N] or [N, channels] as 16-bit PCM."""
    samples = np.atleast_2d(waveform.T).T
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(sample_rate_hz)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path


def write_float_wav(path: Path, waveform: NDArray[np.floating], sample_rate_hz: int = SAMPLE_RATE_HZ) -> Path:
    """Write [N] as 32-bit float PCM, which can hold NaN, infinity and samples beyond full scale."""
    data = np.asarray(waveform, "<f4").tobytes()
    header = b"RIFF" + (36 + len(data)).to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little")
    header += b"".join(
        number.to_bytes(size, "little")
        for number, size in ((3, 2), (1, 2), (sample_rate_hz, 4), (sample_rate_hz * 4, 4), (4, 2), (32, 2))
    )
    path.write_bytes(header + b"data" + len(data).to_bytes(4, "little") + data)
    return path


def write_mp3(path: Path, waveform: NDArray[np.floating], sample_rate_hz: int = SAMPLE_RATE_HZ) -> Path:
    """Write [N] as MP3 at 64 kbit/s."""
    return _encode(path, waveform, sample_rate_hz, container="mp3", codec="libmp3lame")


def write_ogg(path: Path, waveform: NDArray[np.floating], sample_rate_hz: int = SAMPLE_RATE_HZ) -> Path:
    """Write [N] as Opus in Ogg; the rate is one that Opus takes (8, 12, 16, 24, 48 kHz)."""
    return _encode(path, waveform, sample_rate_hz, container="ogg", codec="libopus")


def write_flac(path: Path, waveform: NDArray[np.floating], sample_rate_hz: int = SAMPLE_RATE_HZ) -> Path:
    """Write [N] as FLAC."""
    return _encode(path, waveform, sample_rate_hz, container="flac", codec="flac")


def write_m4a(path: Path, waveform: NDArray[np.floating], sample_rate_hz: int = SAMPLE_RATE_HZ) -> Path:
    """Write [N] as AAC in MP4."""
    return _encode(path, waveform, sample_rate_hz, container="mp4", codec="aac")


def write_webm(path: Path, waveform: NDArray[np.floating], sample_rate_hz: int = 48_000) -> Path:
    """Write [N] as Opus in WebM, as a browser records it; Opus wants 48 kHz."""
    return _encode(path, waveform, sample_rate_hz, container="webm", codec="libopus")


def write_silent_video(path: Path, seconds: float = 1.0, width: int = 64, height: int = 48) -> Path:
    """Write an MP4 that has images and no sound track."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index in range(round(seconds * 10)):
            frame = av.VideoFrame.from_ndarray(make_photo(width, height, seed=index), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _encode(path: Path, waveform: NDArray[np.floating], sample_rate_hz: int, container: str, codec: str) -> Path:
    """Encode mono [N] with libav; 64 kbit/s where the codec has a rate."""
    with av.open(str(path), "w", format=container) as output:
        stream = output.add_stream(codec, rate=sample_rate_hz, layout="mono")
        assert isinstance(stream, av.AudioStream)
        if codec != "flac":
            stream.bit_rate = 64_000
        samples = (np.clip(waveform, -1, 1) * 32767).astype(np.int16)[None]  # [1, N]
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = sample_rate_hz, 0, Fraction(1, sample_rate_hz)
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path

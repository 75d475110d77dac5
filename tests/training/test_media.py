"""Images of every mode are read as RGB of 8 bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.data import media


def saved(image: Image.Image, path: Path) -> Path:
    image.save(path)
    return path


def test_a_16_bit_image_keeps_its_tones(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65_535, 64, dtype=np.uint16)[None].repeat(8, axis=0)
    pixels = media.read_image(saved(Image.fromarray(ramp), tmp_path / "deep.png"))
    assert pixels.shape == (8, 64, 3)
    assert np.abs(pixels[0, :, 0].astype(float) - np.linspace(0, 255, 64)).max() <= 1


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_every_mode_becomes_rgb(mode: str, tmp_path: Path) -> None:
    if mode == "I;16":
        image = Image.fromarray(np.full((8, 12), 40_000, np.uint16))
    else:
        image = Image.new("RGB", (12, 8), (200, 100, 50)).convert(mode)
    path = saved(image, tmp_path / ("image.jpg" if mode in ("CMYK", "YCbCr") else "image.png"))
    pixels = media.read_image(path)
    assert (pixels.shape, pixels.dtype) == ((8, 12, 3), np.uint8)
    if mode in ("RGBA", "CMYK", "YCbCr"):  # a palette dithers
        assert np.abs(pixels.astype(int) - [200, 100, 50]).max() < 8


def test_what_is_transparent_is_shown_on_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (8, 8), (10, 20, 30, 0))
    assert (media.read_image(saved(image, tmp_path / "clear.png")) == 255).all()
    palette = Image.new("P", (8, 8), 3)
    palette.putpalette([5] * 768)
    palette.save(tmp_path / "hole.png", transparency=3)
    assert (media.read_image(tmp_path / "hole.png") == 255).all()


def test_an_image_of_floats_is_refused_by_name(tmp_path: Path) -> None:
    path = saved(Image.fromarray(np.ones((8, 8), np.float32)), tmp_path / "floats.tiff")
    with pytest.raises(media.MediaError, match=r"floats\.tiff is not a readable image: .*floating-point"):
        media.read_image(path)


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n broken", b"GIF89a"])
def test_what_is_no_image_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(content)
    with pytest.raises(media.MediaError, match=r"bad\.png is not a readable image"):
        media.read_image(tmp_path / "bad.png")

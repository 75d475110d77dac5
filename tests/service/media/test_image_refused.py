"""Each hostile or broken image is refused with an error of its own, and nothing else ever leaves the door."""

import io
import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from service.errors import MediaError, StylizationError, TooLarge, UnsupportedMedia
from service.media.image import probe_image
from service.media.limits import MediaLimits
from tests.support.hostile import png_bomb
from tests.support.images import decode_image
from tests.support.media import make_photo, write_image, write_jpeg, write_png

LIMITS = MediaLimits()


def both_refuse(path: Path, error: type[StylizationError], words: str) -> None:
    """Probing and decoding refuse alike, and name the field."""
    for door in (probe_image, decode_image):
        with pytest.raises(error, match=words) as caught:
            door(path, LIMITS)
        assert caught.value.field == "image"


def test_a_text_file_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("This is not an image.\n" * 50)
    both_refuse(tmp_path / "x", UnsupportedMedia, "send a JPEG, PNG, WebP, HEIC, AVIF, TIFF, BMP or GIF image")


def test_an_empty_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    both_refuse(tmp_path / "x", MediaError, "empty")


@pytest.mark.parametrize("name", ["PDF", "ICO", "PPM", "DDS", "EPS"])
def test_another_format_is_named(tmp_path: Path, name: str) -> None:
    write_image(tmp_path / "x", make_photo(16, 16), name)
    both_refuse(tmp_path / "x", UnsupportedMedia, f"the file is {name}; send a JPEG")


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"\xff\x0a\xfa\x7f\x01\x90", "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl ", "JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"8BPS\0\1", "PSD"),
        (b"II*\0\x10\0\0\0CR\2\0", "Canon raw"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "Canon raw"),
        (b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41", "MP4 or MOV, which is video"),
    ],
)
def test_what_no_viewer_here_knows_is_named_too(tmp_path: Path, start: bytes, name: str) -> None:
    (tmp_path / "x").write_bytes(start + bytes(200))
    both_refuse(tmp_path / "x", UnsupportedMedia, f"the file is {name}; send a JPEG")


@pytest.mark.parametrize(
    ("start", "name"),
    [(b"RIFF\x24\0\0\0WAVEfmt ", "WAV"), (b"OggS\0\2", "Ogg"), (b"ID3\4\0", "MP3"), (b"fLaC", "FLAC")],
)
def test_audio_in_the_place_of_the_image_is_said_to_be_swapped(tmp_path: Path, start: bytes, name: str) -> None:
    (tmp_path / "x").write_bytes(start + bytes(200))
    both_refuse(tmp_path / "x", UnsupportedMedia, f"{name}, which is audio: were image and audio swapped")


def test_svg_is_named(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>")
    both_refuse(tmp_path / "x", UnsupportedMedia, "SVG")


@pytest.mark.parametrize("name", ["GIF", "PNG", "WEBP", "AVIF"])
def test_animations_are_refused(tmp_path: Path, name: str) -> None:
    frames = [Image.fromarray(make_photo(16, 16, seed=seed)) for seed in range(3)]
    frames[0].save(tmp_path / "x", format=name, save_all=True, append_images=frames[1:])
    both_refuse(tmp_path / "x", UnsupportedMedia, "file is animated")


def test_a_header_bomb_is_refused_before_it_costs_memory(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(png_bomb(30_000, 30_000))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    both_refuse(tmp_path / "x", TooLarge, "30000 x 30000 pixels")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


def test_a_webp_canvas_bomb_is_refused(tmp_path: Path) -> None:
    frames = [Image.fromarray(make_photo(16, 16, seed=seed)) for seed in range(2)]
    buffer = io.BytesIO()
    frames[0].save(buffer, format="WEBP", save_all=True, append_images=frames[1:])
    bomb = bytearray(buffer.getvalue())
    canvas = bomb.index(b"VP8X") + 12
    bomb[canvas : canvas + 6] = (16_382).to_bytes(3, "little") * 2
    (tmp_path / "x").write_bytes(bomb)
    both_refuse(tmp_path / "x", TooLarge, "16383 x 16383 pixels")


def test_too_many_bytes_are_refused_unread(tmp_path: Path) -> None:
    path = write_png(tmp_path / "x", make_photo(64, 64))
    with pytest.raises(TooLarge, match="at most 1000"):
        probe_image(path, MediaLimits(max_image_bytes=1000))


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "HEIF"])
@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_a_truncated_picture_is_refused(tmp_path: Path, name: str, share: float) -> None:
    whole = write_image(tmp_path / "whole", make_photo(200, 150), name).read_bytes()
    (tmp_path / "x").write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(MediaError, match="damaged or incomplete"):
        decode_image(tmp_path / "x", LIMITS)


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "HEIF"])
def test_a_bare_signature_is_a_damaged_picture(tmp_path: Path, name: str) -> None:
    whole = write_image(tmp_path / "whole", make_photo(200, 150), name).read_bytes()
    (tmp_path / "x").write_bytes(whole[:14])
    both_refuse(tmp_path / "x", MediaError, "damaged or incomplete")


def test_a_truncated_picture_is_refused_when_it_is_reduced_too(tmp_path: Path) -> None:
    whole = write_jpeg(tmp_path / "whole", make_photo(800, 600)).read_bytes()
    (tmp_path / "x").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MediaError):
        decode_image(tmp_path / "x", LIMITS, max_side=100)


def _encoded(name: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(make_photo(40, 30)).save(buffer, format=name, exif=_exif(), quality=80)
    return buffer.getvalue()


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "HEIF"])
@pytest.mark.filterwarnings("ignore")
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_flipped_bytes_give_a_picture_or_our_error(tmp_path: Path, name: str, data: st.DataObject) -> None:
    content = bytearray(_encoded(name))
    positions = st.integers(0, len(content) - 1)
    for position in data.draw(st.lists(positions, min_size=1, max_size=8)):
        content[position] = data.draw(st.integers(0, 255))
    (tmp_path / "x").write_bytes(bytes(content))
    doors: tuple[Callable[[], object], ...] = (
        lambda: probe_image(tmp_path / "x", LIMITS),
        lambda: decode_image(tmp_path / "x", LIMITS, max_side=4096),
    )
    for door in doors:
        try:
            result = door()
        except StylizationError:
            continue
        if isinstance(result, np.ndarray):
            assert result.dtype == np.uint8
            assert max(result.shape[:2]) <= 4096

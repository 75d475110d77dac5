"""Every kind of image that people have comes in with the right pixels and its transparency."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from service.errors import TooLarge, UnsupportedMedia
from service.media.image import probe_image
from service.media.limits import MediaLimits
from tests.support.hostile import png_chunk
from tests.support.images import (
    IN_P3,
    IN_SRGB,
    LIMITS,
    P3,
    PHOTO,
    codes,
    decode_image,
    mean_difference,
    png_of,
    read,
    tiff_of,
    write_bytes,
)
from tests.support.media import make_photo, write_image

# ---- HEIC and AVIF


@pytest.mark.parametrize(("plugin", "kind"), [("HEIF", "heic"), ("AVIF", "avif")])
def test_heic_and_avif_come_in_and_give_jpeg(tmp_path: Path, plugin: str, kind: str) -> None:
    path = write_image(tmp_path / "x", PHOTO, plugin, quality=95)
    assert probe_image(path, LIMITS).format == kind
    header, pixels = read(path)
    assert (header.format, header.width, header.height) == ("jpeg", 48, 32)
    assert mean_difference(pixels, PHOTO) < 6


@pytest.mark.parametrize("plugin", ["HEIF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_their_own_turns_are_done_once(tmp_path: Path, plugin: str, orientation: int) -> None:
    """Writers store EXIF's orientation as boxes (irot, imir), and some leave it in EXIF as well."""
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    stored = Image.fromarray(PHOTO)
    if orientation in undo:
        stored = stored.transpose(undo[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "x", format=plugin, exif=exif.tobytes(), quality=95)
    info = probe_image(tmp_path / "x", LIMITS)
    assert (info.width, info.height) == (48, 32)
    header, pixels = read(tmp_path / "x")
    assert mean_difference(pixels, PHOTO) < 8
    if header.tags.exif:
        again = Image.Exif()
        again.load(header.tags.exif)
        assert again.get(0x0112, 1) == 1


@pytest.mark.parametrize("plugin", ["HEIF", "AVIF", "JPEG", "WEBP", "TIFF", "PNG"])
def test_a_wide_gamut_profile_is_applied_in_every_kind(tmp_path: Path, plugin: str) -> None:
    flat = np.full((32, 32, 3), IN_P3, np.uint8)
    write_image(tmp_path / "x", flat, plugin, icc_profile=P3, quality=98)
    assert np.abs(decode_image(tmp_path / "x")[16, 16].astype(int) - IN_SRGB).max() <= 4


def test_colors_that_a_heic_states_as_numbers_are_converted(tmp_path: Path) -> None:
    flat = Image.fromarray(np.full((64, 64, 3), IN_P3, np.uint8))
    heif = pillow_heif.from_pillow(flat)
    heif.save(
        tmp_path / "x", quality=98, save_nclx_profile=True, color_primaries=12, transfer_characteristics=13,
        matrix_coefficients=6,
    )  # fmt: skip
    assert np.abs(decode_image(tmp_path / "x")[16, 16].astype(int) - IN_SRGB).max() <= 5


def test_ten_bits_of_a_heic_are_eight_in_its_jpeg_and_that_is_said(tmp_path: Path) -> None:
    deep = PHOTO.astype(np.uint16) * 257
    pillow_heif.encode("RGB;16", (48, 32), deep.tobytes(), str(tmp_path / "x"), quality=95)
    header, pixels = read(tmp_path / "x")
    assert mean_difference(pixels, PHOTO) < 6
    assert [warning.code for warning in header.warnings] == ["bit-depth"]
    assert "10 bits" in header.warnings[0].detail


@pytest.mark.parametrize(("plugin", "lossy"), [("AVIF", True), ("HEIF", True), ("WEBP", False)])
def test_a_transparent_photograph_of_a_lossy_kind_gives_webp(tmp_path: Path, plugin: str, lossy: bool) -> None:
    pixels = np.dstack([PHOTO, np.full((32, 48), 255, np.uint8)])
    pixels[:, :24, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "x", format=plugin, quality=95)
    header, decoded = read(tmp_path / "x")
    assert (header.format, decoded.shape) == ("webp", (32, 48, 4))
    assert np.abs(decoded[:, (4, 40), 3].astype(int) - [0, 255]).max() <= 2


@pytest.mark.parametrize("plugin", ["AVIF", "HEIF", "WEBP", "GIF"])
def test_kinds_whose_decoders_hold_copies_are_taken_with_half_the_pixels(tmp_path: Path, plugin: str) -> None:
    path = write_image(tmp_path / "x", make_photo(64, 64), plugin)
    assert probe_image(path, MediaLimits(max_image_pixels=2 * 64 * 64)).width == 64
    with pytest.raises(TooLarge, match="at most 4095"):
        probe_image(path, MediaLimits(max_image_pixels=2 * 64 * 64 - 2))


# ---- TIFF, BMP, GIF


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1", "RGBA", "LA"])
def test_tiff_of_every_common_kind(tmp_path: Path, mode: str, compression: str) -> None:
    image = Image.fromarray(PHOTO).convert("L" if mode == "LA" else "RGB").convert(mode)
    image.save(tmp_path / "x", format="TIFF", compression=compression)
    header, pixels = read(tmp_path / "x")
    assert header.format == "png"
    expected = image.convert("RGBA" if mode in ("RGBA", "LA") else "RGB")
    np.testing.assert_array_equal(pixels, np.asarray(expected))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("layout", [{}, {"tile": 16}, {"deflate": True}, {"tile": 16, "deflate": True}])
def test_sixteen_bits_of_a_tiff_are_kept(tmp_path: Path, order: str, layout: dict[str, Any]) -> None:
    deep = np.random.default_rng(0).integers(0, 65_536, (20, 30, 3), dtype=np.uint16)
    path = write_bytes(tmp_path / "x", tiff_of(deep, 2, order=order, **layout))
    header, pixels = read(path)
    assert (header.bits, header.format, header.warnings) == (16, "png", ())
    np.testing.assert_array_equal(pixels, deep)


def test_planes_apart_and_white_as_zero_are_heeded(tmp_path: Path) -> None:
    write_bytes(tmp_path / "planes", tiff_of(PHOTO, 2, planar=2))
    np.testing.assert_array_equal(decode_image(tmp_path / "planes"), PHOTO)
    write_bytes(tmp_path / "negative", tiff_of(PHOTO[..., :1], 0))
    np.testing.assert_array_equal(decode_image(tmp_path / "negative")[..., 0], 255 - PHOTO[..., 0])
    deep = PHOTO[..., :1].astype(np.uint16) * 257
    write_bytes(tmp_path / "deep", tiff_of(deep, 0))
    np.testing.assert_array_equal(decode_image(tmp_path / "deep")[..., 0], 65_535 - deep[..., 0])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_a_tiff_is_turned_upright_once(tmp_path: Path, orientation: int, depth: type) -> None:
    turns = {
        1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1), 6: lambda a: np.rot90(a, -1), 7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90,
    }  # fmt: skip
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(depth)
    write_bytes(tmp_path / "x", tiff_of(pixels, 2, tags=[(274, 3, [orientation])]))
    upright: Any = turns[orientation](pixels)
    np.testing.assert_array_equal(decode_image(tmp_path / "x"), upright)
    assert probe_image(tmp_path / "x", LIMITS).width == upright.shape[1]


def test_cmyk_and_lab_tiff_become_rgb(tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), (200, 30, 40)).convert("CMYK").save(tmp_path / "cmyk", format="TIFF")
    assert decode_image(tmp_path / "cmyk")[8, 8].tolist() == [200, 30, 40]
    transform = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    lab = ImageCms.applyTransform(Image.new("RGB", (16, 16), (200, 90, 40)), transform)
    assert lab is not None
    lab.save(tmp_path / "lab", format="TIFF")
    assert np.abs(decode_image(tmp_path / "lab")[8, 8].astype(int) - (200, 90, 40)).max() <= 3


@pytest.mark.parametrize(
    ("pixels", "photometric", "options", "words"),
    [
        (np.ones((8, 8, 1), np.float32), 1, {"sample_format": 3}, "floating-point samples of 32 bits"),
        (np.ones((8, 8, 3), np.float16), 2, {"sample_format": 3}, "floating-point samples of 16 bits"),
        (np.ones((8, 8, 1), np.uint32), 1, {}, "samples of 32 bits"),
        (np.ones((8, 8, 1), np.int16), 1, {"sample_format": 2}, "signed integer samples of 16 bits"),
        (np.ones((8, 8, 2), np.uint16), 1, {"tags": [(338, 3, [2])]}, "2 samples of 16 bits"),
        (np.ones((8, 8, 5), np.uint8), 5, {"tags": [(338, 3, [2])]}, "5 samples of 8 bits"),
        (PHOTO[..., :1], 32803, {}, "color filter array"),
        (PHOTO, 2, {"compression": 34712}, "JPEG 2000"),
        (PHOTO, 2, {"compression": 6}, "old-style JPEG"),
        (np.ones((8, 8, 3), np.uint16), 2, {"planar": 2}, "planes of their own"),
        (PHOTO, 2, {"tags": [(50706, 3, [1])]}, "raw data"),
    ],
)
def test_a_tiff_that_is_not_taken_is_told_why(
    tmp_path: Path, pixels: NDArray[Any], photometric: int, options: dict[str, Any], words: str
) -> None:
    write_bytes(tmp_path / "x", tiff_of(pixels, photometric, **options))
    with pytest.raises(UnsupportedMedia, match=words):
        read(tmp_path / "x")


@pytest.mark.parametrize(
    ("marker", "bits", "words"), [(0xC3, 8, "lossless"), (0xF7, 8, "JPEG-LS"), (0xC0, 12, "12 bits"), (0xC5, 8, "hier")]
)
def test_a_jpeg_that_is_not_taken_is_told_why(tmp_path: Path, marker: int, bits: int, words: str) -> None:
    content = bytearray(write_image(tmp_path / "x", PHOTO, "JPEG").read_bytes())
    frame = content.index(b"\xff\xc0")
    content[frame + 1], content[frame + 4] = marker, bits
    write_bytes(tmp_path / "x", bytes(content))
    with pytest.raises(UnsupportedMedia, match=words):
        read(tmp_path / "x")


def test_pages_of_a_tiff_are_refused_but_smaller_copies_are_not(tmp_path: Path) -> None:
    first, second = Image.fromarray(PHOTO), Image.fromarray(make_photo(24, 16))
    first.save(tmp_path / "pages", format="TIFF", save_all=True, append_images=[second])
    with pytest.raises(UnsupportedMedia, match="several pages"):
        probe_image(tmp_path / "pages", LIMITS)
    second.encoderinfo = {"tiffinfo": {254: 1}}
    first.save(tmp_path / "pyramid", format="TIFF", save_all=True, append_images=[second])
    np.testing.assert_array_equal(decode_image(tmp_path / "pyramid"), PHOTO)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1"])
def test_bmp(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(PHOTO).convert(mode)
    image.save(tmp_path / "x", format="BMP")
    assert read(tmp_path / "x")[0].format == "png"
    np.testing.assert_array_equal(decode_image(tmp_path / "x"), np.asarray(image.convert("RGB")))


def test_a_still_gif_with_its_transparency(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((0, 0), 0)
    image.save(tmp_path / "x", format="GIF", transparency=0)
    header, pixels = read(tmp_path / "x")
    assert header.format == "png"
    assert (pixels[0, 0, 3], pixels[3, 3].tolist()) == (0, [40, 50, 60, 255])


# ---- transparency


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_of_a_png_comes_with_the_colors_below_it(tmp_path: Path, channels: int, depth: type) -> None:
    most = np.iinfo(depth).max
    pixels = np.random.default_rng(1).integers(0, most + 1, (8, 9, channels)).astype(depth)
    write_bytes(tmp_path / "x", png_of(pixels))
    header, decoded = read(tmp_path / "x")
    assert (header.channels, header.bits) == (4, 8 * pixels.itemsize)
    np.testing.assert_array_equal(decoded[..., 3], pixels[..., -1])
    np.testing.assert_array_equal(decoded[..., :3], np.broadcast_to(pixels[..., :-1], (8, 9, 3)))


def test_transparent_colors_of_a_palette_of_grey_and_of_rgb(tmp_path: Path) -> None:
    palette = Image.new("P", (2, 1), 1)
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((0, 0), 0)
    palette.save(tmp_path / "palette", format="PNG", transparency=bytes([128, 255]))
    assert decode_image(tmp_path / "palette")[0].tolist() == [[10, 20, 30, 128], [40, 50, 60, 255]]
    grey = np.array([[[7], [70]]], np.uint8)
    write_bytes(tmp_path / "grey", png_of(grey, png_chunk(b"tRNS", struct.pack(">H", 7))))
    assert decode_image(tmp_path / "grey")[0].tolist() == [[7, 7, 7, 0], [70, 70, 70, 255]]
    deep = np.array([[[1799], [1800]]], np.uint16)  # alike in 8 bits
    write_bytes(tmp_path / "deep", png_of(deep, png_chunk(b"tRNS", struct.pack(">H", 1799))))
    assert decode_image(tmp_path / "deep")[0].tolist() == [[1799] * 3 + [0], [1800] * 3 + [65_535]]
    rgb = np.array([[[1, 2, 3], [3, 2, 1]]], np.uint8)
    write_bytes(tmp_path / "rgb", png_of(rgb, png_chunk(b"tRNS", struct.pack(">HHH", 1, 2, 3))))
    assert decode_image(tmp_path / "rgb")[0].tolist() == [[1, 2, 3, 0], [3, 2, 1, 255]]


def test_jpeg_of_a_transparent_image_says_that_it_is_flattened(tmp_path: Path) -> None:
    pixels = np.dstack([PHOTO, np.full((32, 48), 255, np.uint8)])
    Image.fromarray(pixels).save(tmp_path / "opaque", format="PNG")
    assert codes(tmp_path / "opaque", format="jpeg") == []
    pixels[0, 0, 3] = 254
    Image.fromarray(pixels).save(tmp_path / "x", format="PNG")
    assert codes(tmp_path / "x", format="jpeg") == ["flattened"]
    assert codes(tmp_path / "x", format="webp") == codes(tmp_path / "x") == []

"""Bits, sizes and profiles: what is kept, what is converted, what is told."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from service.media.icc import SRGB_PRIMARIES, matrix_profile, srgb_profile
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
    write_bytes,
)
from tests.support.media import make_photo, write_jpeg

# ---- bits, size


def test_bits_that_a_result_cannot_keep_are_told(tmp_path: Path) -> None:
    deep = np.random.default_rng(0).integers(0, 65_536, (20, 30, 3), dtype=np.uint16)
    write_bytes(tmp_path / "x", png_of(deep))
    assert read(tmp_path / "x")[1].dtype == np.uint16
    header, pixels = read(tmp_path / "x", format="jpeg")
    assert [warning.code for warning in header.warnings] == ["bit-depth"]
    assert np.abs(pixels.astype(int) - deep // 257).max() <= 1
    assert codes(tmp_path / "x", limits=MediaLimits(max_image_pixels=1000)) == ["bit-depth"]


def test_sixteen_bits_with_a_profile_are_kept_with_it_or_told(tmp_path: Path) -> None:
    deep = np.full((8, 8, 3), 40_000, np.uint16)
    profile = png_chunk(b"iCCP", b"p\0\0" + zlib.compress(P3))
    write_bytes(tmp_path / "x", png_of(deep, profile))
    assert codes(tmp_path / "x") == ["bit-depth"]
    header, pixels = read(tmp_path / "x", color_profile="input")
    assert (header.bits, header.warnings, header.tags.profile) == (16, (), P3)
    np.testing.assert_array_equal(pixels, deep)


def test_sixteen_bits_are_reduced_by_what_is_seen(tmp_path: Path) -> None:
    pixels = np.zeros((64, 64, 4), np.uint16)
    pixels[:, 1::2] = (60_000, 30_000, 10_000, 65_535)  # every other column; what hides between them is black
    write_bytes(tmp_path / "x", png_of(pixels))
    reduced = decode_image(tmp_path / "x", max_side=32)
    assert reduced.dtype == np.uint16
    assert np.abs(reduced[16, 16, :3].astype(int) - (60_000, 30_000, 10_000)).max() < 10
    assert abs(int(reduced[16, 16, 3]) - 32_768) < 2


def test_a_limit_that_reduces_says_both_sizes_and_a_wish_does_not(tmp_path: Path) -> None:
    path = write_jpeg(tmp_path / "x", make_photo(200, 100))
    header, pixels = read(path, limit_side=50)
    assert pixels.shape == (25, 50, 3)
    assert [warning.code for warning in header.warnings] == ["reduced"]
    assert "200 x 100" in header.warnings[0].detail
    assert "50 x 25" in header.warnings[0].detail
    assert codes(path, max_side=50) == codes(path, max_side=500, limit_side=200) == []


def test_webp_is_reduced_to_what_it_can_hold(tmp_path: Path) -> None:
    path = write_jpeg(tmp_path / "x", make_photo(20_000, 8))
    header, pixels = read(path, format="webp")
    assert pixels.shape[1] == header.width == 16_383
    assert [warning.code for warning in header.warnings] == ["reduced"]


@pytest.mark.parametrize("name", ["JPEG", "PNG", "TIFF", "HEIF"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
def test_strips_are_the_image(tmp_path: Path, name: str, orientation: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from service.media import image_reduce
    from service.media.image_reader import ImageHeader, ReadPlan, read_image, read_strips

    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(make_photo(120, 90)).save(tmp_path / "x", format=name, exif=exif)
    monkeypatch.setattr(image_reduce, "STRIP_PIXELS", 120 * 24)
    plan = ReadPlan(held_pixels=0, model_side=30)
    strips = list(read_strips(tmp_path / "x", LIMITS, plan))
    whole = decode_image(tmp_path / "x")
    assert len(strips) > 3
    np.testing.assert_array_equal(np.concatenate(strips), whole)
    header, small = read_image(tmp_path / "x", LIMITS, plan)
    assert isinstance(header, ImageHeader)
    assert (header.is_held, header.height, header.width) == (False, *whole.shape[:2])
    size = (30, 22) if whole.shape[1] > whole.shape[0] else (22, 30)
    plain = np.asarray(Image.fromarray(whole.astype(np.uint8)).resize(size, Image.Resampling.LANCZOS))
    assert mean_difference(small, plain) < 3  # type: ignore[arg-type]


# ---- profiles


def test_a_profile_is_judged_by_its_contents_and_not_by_its_name(tmp_path: Path) -> None:
    flat = np.full((8, 8, 3), IN_P3, np.uint8)
    named = P3.replace(b"stated\0", b"sRGB__\0")
    write_bytes(tmp_path / "x", png_of(flat, png_chunk(b"iCCP", b"sRGB\0\0" + zlib.compress(named))))
    assert np.abs(decode_image(tmp_path / "x")[0, 0].astype(int) - IN_SRGB).max() <= 2
    steps = np.linspace(0, 1, 1024)
    curve = np.where(steps <= 0.04045, steps / 12.92, ((steps + 0.055) / 1.055) ** 2.4)
    same = matrix_profile(SRGB_PRIMARIES, curve)
    write_bytes(tmp_path / "same", png_of(PHOTO, png_chunk(b"iCCP", b"other\0\0" + zlib.compress(same))))
    np.testing.assert_array_equal(decode_image(tmp_path / "same"), PHOTO)


def test_a_linear_png_is_brightened(tmp_path: Path) -> None:
    flat = np.full((8, 8, 3), 55, np.uint8)  # 0.216 of the light, which sRGB writes as 128
    write_bytes(tmp_path / "x", png_of(flat, png_chunk(b"gAMA", struct.pack(">I", 100_000))))
    assert np.abs(decode_image(tmp_path / "x").astype(int) - 128).max() <= 1
    usual = png_chunk(b"gAMA", struct.pack(">I", 45_455))
    write_bytes(tmp_path / "usual", png_of(PHOTO, usual))
    np.testing.assert_array_equal(decode_image(tmp_path / "usual"), PHOTO)


def test_code_points_of_a_png_come_before_its_profile(tmp_path: Path) -> None:
    flat = np.full((8, 8, 3), IN_P3, np.uint8)
    profile = png_chunk(b"iCCP", b"p\0\0" + zlib.compress(srgb_profile()))
    write_bytes(tmp_path / "x", png_of(flat, png_chunk(b"cICP", bytes([12, 13, 0, 1])), profile))
    assert np.abs(decode_image(tmp_path / "x")[0, 0].astype(int) - IN_SRGB).max() <= 2


def test_hdr_white_is_near_white_and_grey_stays_in_order(tmp_path: Path) -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    for transfer, white in ((16, 148), (18, 191)):  # 203 nits
        write_bytes(tmp_path / "x", png_of(ramp, png_chunk(b"cICP", bytes([9, transfer, 0, 1]))))
        shown = decode_image(tmp_path / "x")[0, :, 0].astype(int)
        assert 235 < shown[white] < 250
        assert (np.diff(shown) >= 0).all()


def test_a_grey_profile_and_a_grey_image_with_a_profile_for_rgb(tmp_path: Path) -> None:
    grey = Image.fromarray(PHOTO).convert("L")
    grey.save(tmp_path / "x", format="JPEG", quality=95, icc_profile=srgb_profile())
    assert mean_difference(decode_image(tmp_path / "x")[..., 0], np.asarray(grey)) < 4
    assert codes(tmp_path / "x") == []


def test_a_profile_for_other_pixels_is_ignored_and_told(tmp_path: Path) -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    write_bytes(tmp_path / "x", png_of(PHOTO, png_chunk(b"iCCP", b"p\0\0" + zlib.compress(lab))))
    np.testing.assert_array_equal(decode_image(tmp_path / "x"), PHOTO)
    assert codes(tmp_path / "x") == ["color-profile"]


def test_the_same_image_opened_twice_is_the_same(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(PHOTO).save(buffer, format="AVIF")
    write_bytes(tmp_path / "x", buffer.getvalue())
    np.testing.assert_array_equal(decode_image(tmp_path / "x"), decode_image(tmp_path / "x"))

"""What images become: upright sRGB of the right size, whatever mode they were stored in."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from service.media.image import ImageInfo, probe_image
from service.media.image_kind import MEDIA_TYPES, ImageFormat
from service.media.image_writer import encode_image
from service.media.limits import MediaLimits
from tests.support.images import decode_image
from tests.support.media import make_photo, write_image, write_jpeg, write_png

LIMITS = MediaLimits()


def mean_difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


def test_png_decodes_to_exactly_its_pixels(tmp_path: Path) -> None:
    photo = make_photo(37, 21)
    path = write_png(tmp_path / "x", photo)
    assert probe_image(path, LIMITS) == ImageInfo(width=37, height=21, format="png")
    np.testing.assert_array_equal(decode_image(path, LIMITS), photo)


@pytest.mark.parametrize("name", ["JPEG", "WEBP"])
def test_lossy_formats_decode_to_nearly_their_pixels(tmp_path: Path, name: str) -> None:
    photo = make_photo(80, 60)
    path = write_image(tmp_path / "x", photo, name, quality=95)
    assert probe_image(path, LIMITS) == ImageInfo(width=80, height=60, format=name.lower())  # type: ignore[arg-type]
    assert mean_difference(decode_image(path, LIMITS), photo) < 8


def test_the_suffix_of_a_file_means_nothing(tmp_path: Path) -> None:
    assert probe_image(write_png(tmp_path / "x.jpg", make_photo(8, 8)), LIMITS).format == "png"


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_turns_the_picture_upright(tmp_path: Path, format_name: str, orientation: int) -> None:
    upright = make_photo(48, 32)
    stored = Image.fromarray(upright)
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    if orientation in undo:
        stored = stored.transpose(undo[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "x"
    stored.save(path, format=format_name, exif=exif, quality=95, lossless=True)
    info = probe_image(path, LIMITS)
    assert (info.width, info.height) == (48, 32)
    assert mean_difference(decode_image(path, LIMITS), upright) < 8


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"]
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_malformed_exif_leaves_the_picture_as_stored(tmp_path: Path, exif: bytes) -> None:
    path = write_jpeg(tmp_path / "x", make_photo(48, 32), exif=exif)
    assert probe_image(path, LIMITS).width == 48
    assert decode_image(path, LIMITS).shape == (32, 48, 3)


def test_an_orientation_that_does_not_exist_is_ignored(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 99
    path = write_jpeg(tmp_path / "x", make_photo(48, 32), exif=exif)
    assert decode_image(path, LIMITS).shape == (32, 48, 3)


@pytest.mark.parametrize("mode", ["L", "1", "P"])
def test_grey_and_palette_pictures_become_rgb(tmp_path: Path, mode: str) -> None:
    Image.fromarray(make_photo(20, 10)).convert("L").convert(mode).save(tmp_path / "x", format="PNG")
    assert decode_image(tmp_path / "x", LIMITS).shape == (10, 20, 3)


def test_cmyk_jpeg_becomes_rgb(tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), (200, 30, 40)).convert("CMYK").save(tmp_path / "x", format="JPEG", quality=98)
    assert np.abs(decode_image(tmp_path / "x", LIMITS)[8, 8].astype(int) - (200, 30, 40)).max() < 8


def test_a_colour_profile_is_applied(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = profile.replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))
    profile = profile.replace(b"rXYZ", b"tXYZ").replace(b"gXYZ", b"rXYZ").replace(b"tXYZ", b"gXYZ")  # red is green
    path = tmp_path / "x"
    Image.new("RGB", (4, 4), (200, 20, 30)).save(path, format="PNG", icc_profile=profile)
    assert np.abs(decode_image(path, LIMITS)[0, 0].astype(int) - (20, 200, 30)).max() < 4


def test_an_srgb_profile_changes_nothing(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    photo = make_photo(20, 20)
    path = write_png(tmp_path / "x", photo, icc_profile=profile)
    np.testing.assert_array_equal(decode_image(path, LIMITS), photo)


def test_a_damaged_colour_profile_is_ignored(tmp_path: Path) -> None:
    photo = make_photo(20, 20)
    path = write_png(tmp_path / "x", photo, icc_profile=b"no profile at all" * 20)
    np.testing.assert_array_equal(decode_image(path, LIMITS), photo)


def test_the_jpeg_with_a_second_picture_that_phones_make_is_taken(tmp_path: Path) -> None:
    first, second = Image.fromarray(make_photo(40, 30)), Image.fromarray(make_photo(20, 15))
    first.save(tmp_path / "x", format="MPO", save_all=True, append_images=[second])
    assert probe_image(tmp_path / "x", LIMITS) == ImageInfo(width=40, height=30, format="jpeg")
    assert decode_image(tmp_path / "x", LIMITS).shape == (30, 40, 3)


@pytest.mark.parametrize(
    ("size", "expected"), [((640, 480), (100, 75)), ((480, 640), (75, 100)), ((1000, 1), (100, 1))]
)
@pytest.mark.parametrize("format_name", ["JPEG", "PNG"])
def test_max_side_reduces_and_keeps_proportions(
    tmp_path: Path, size: tuple[int, int], expected: tuple[int, int], format_name: str
) -> None:
    path = write_image(tmp_path / "x", make_photo(*size), format_name)
    height, width = decode_image(path, LIMITS, max_side=100).shape[:2]
    assert (width, height) == expected


def test_max_side_never_enlarges(tmp_path: Path) -> None:
    path = write_png(tmp_path / "x", make_photo(40, 30))
    assert decode_image(path, LIMITS, max_side=100).shape == (30, 40, 3)


def test_a_reduced_jpeg_looks_like_the_reduced_picture(tmp_path: Path) -> None:
    photo = make_photo(800, 600)
    path = write_jpeg(tmp_path / "x", photo, quality=95)
    plain = np.asarray(Image.fromarray(photo).resize((100, 75), Image.Resampling.LANCZOS))
    assert mean_difference(decode_image(path, LIMITS, max_side=100), plain) < 3


def test_one_pixel_is_a_picture(tmp_path: Path) -> None:
    path = write_png(tmp_path / "x", np.array([[[1, 2, 3]]], np.uint8))
    assert decode_image(path, LIMITS).tolist() == [[[1, 2, 3]]]


@pytest.mark.parametrize("name", list(MEDIA_TYPES))
def test_results_can_be_read_back(tmp_path: Path, name: ImageFormat) -> None:
    photo = make_photo(64, 48)
    (tmp_path / "x").write_bytes(encode_image(photo, name))
    assert probe_image(tmp_path / "x", LIMITS).format == name
    assert mean_difference(decode_image(tmp_path / "x", LIMITS), photo) < 6


def test_png_results_are_lossless(tmp_path: Path) -> None:
    photo = make_photo(64, 48)
    (tmp_path / "x").write_bytes(encode_image(photo, "png"))
    np.testing.assert_array_equal(decode_image(tmp_path / "x", LIMITS), photo)


def test_png_results_are_hardly_larger_than_pillows(tmp_path: Path) -> None:
    photo = make_photo(256, 192)
    write_png(tmp_path / "x", photo)
    assert len(encode_image(photo, "png")) < 1.3 * (tmp_path / "x").stat().st_size

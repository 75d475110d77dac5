"""Results say what their image said, but for its location (unless it is kept), and nothing that is no longer so."""

import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from service.media.exif import rewrite_exif
from service.media.icc import srgb_profile
from service.media.image_kind import ImageFormat
from service.media.image_metadata import ImageTags, clean_iptc, clean_xmp
from service.media.image_writer import encode_image
from tests.fuzz.mutations import image_tags
from tests.support.hostile import png_chunk
from tests.support.images import png_of, read
from tests.support.media import make_photo

PHOTO = make_photo(48, 32)
TAGS = image_tags()
EXIF = b"Exif\0\0" + (TAGS.exif or b"")


def exif_of(tags: ImageTags) -> Image.Exif:
    exif = Image.Exif()
    exif.load(tags.exif or b"")
    return exif


def sent(path: Path, plugin: str) -> Path:
    """An image of that kind with all of TAGS."""
    options: dict[str, Any] = {"exif": EXIF}
    if plugin == "PNG":
        path.write_bytes(encode_image(PHOTO, "png", TAGS.model_copy(update={"profile": None})))
    elif plugin == "JPEG":
        path.write_bytes(encode_image(PHOTO, "jpeg", TAGS.model_copy(update={"profile": None})))
    else:
        if plugin != "TIFF":
            options["xmp"] = TAGS.xmp
        Image.fromarray(PHOTO).save(path, format=plugin, **options)
    return path


@pytest.mark.parametrize("plugin", ["JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF"])
def test_author_and_date_stay_and_the_location_goes(tmp_path: Path, plugin: str) -> None:
    path = sent(tmp_path / "x", plugin)
    exif = exif_of(read(path)[0].tags)
    assert (exif[0x013B], exif[0x8298]) == ("Jane", "(c) Jane")
    assert exif.get_ifd(ExifTags.IFD.Exif)[0x9003] == "2024:01:02 03:04:05"
    assert not exif.get_ifd(ExifTags.IFD.GPSInfo)
    assert exif.get(0x0112, 1) == 1
    kept = exif_of(read(path, metadata="keep")[0].tags)
    assert kept.get_ifd(ExifTags.IFD.GPSInfo)[2] == (48.0, 8.0, 0.0)
    assert kept.get(0x0112, 1) == 1
    assert read(path, metadata="strip")[0].tags == ImageTags()


@pytest.mark.parametrize("plugin", ["JPEG", "PNG", "WEBP", "HEIF", "AVIF"])
def test_xmp_keeps_its_headline_and_loses_its_places(tmp_path: Path, plugin: str) -> None:
    path = sent(tmp_path / "x", plugin)
    xmp = read(path)[0].tags.xmp or b""
    assert b"A river" in xmp
    assert not any(word in xmp for word in (b"Munich", b"48,8N", b"Orientation"))
    kept = read(path, metadata="keep")[0].tags.xmp or b""
    assert b"Munich" in kept
    assert b"48,8N" in kept
    assert b"Orientation" not in kept


@pytest.mark.parametrize("plugin", ["JPEG", "PNG"])
def test_iptc_loses_its_city(tmp_path: Path, plugin: str) -> None:
    path = sent(tmp_path / "x", plugin)
    assert read(path)[0].tags.iptc == b"\x1c\x02\x69\0\x07A river"
    assert read(path, metadata="keep")[0].tags.iptc == TAGS.iptc


def test_texts_of_a_png_stay_but_for_places_and_are_exif_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(encode_image(PHOTO, "png", ImageTags(texts=TAGS.texts)))
    assert dict(read(path)[0].tags.texts) == {"Title": "A river", "Author": "Jane"}
    assert dict(read(path, metadata="keep")[0].tags.texts)["exif:GPSLatitude"] == "48/1"
    exif = exif_of(read(path, format="jpeg")[0].tags)
    assert (exif[0x010E], exif[0x013B]) == ("A river", "Jane")


@pytest.mark.parametrize("name", ["png", "jpeg", "webp"])
def test_results_carry_the_tags_and_say_that_they_are_srgb(tmp_path: Path, name: ImageFormat) -> None:
    tags = ImageTags(exif=TAGS.exif, xmp=TAGS.xmp, iptc=TAGS.iptc, dpi=(300, 300))
    image = Image.open(io.BytesIO(encode_image(PHOTO, name, tags)))
    image.load()
    assert image.getexif()[0x013B] == "Jane"
    assert TAGS.xmp in (image.info.get("xmp"), image.info.get("XML:com.adobe.xmp", "").encode())
    if name == "png":
        assert image.info["srgb"] == 0
        assert "iptc" in image.info["Raw profile type iptc"]
    else:
        assert image.info["icc_profile"] == srgb_profile()
    if name == "jpeg":
        assert image.info["photoshop"][0x0404] == TAGS.iptc
    if name != "webp":
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    own = Image.open(io.BytesIO(encode_image(PHOTO, name, ImageTags(profile=TAGS.profile))))
    assert own.info["icc_profile"] == TAGS.profile


def test_the_old_thumbnail_and_its_pixels_are_gone(tmp_path: Path) -> None:
    thumbnail = io.BytesIO()
    Image.fromarray(make_photo(16, 12)).save(thumbnail, format="JPEG")
    first = b"MM\0*\0\0\0\x08" + b"\0\1" + b"\x01\x12\0\3\0\0\0\1\0\6\0\0" + b"\0\0\0\x1a"
    second = b"\0\2" + b"\x02\x01\0\4\0\0\0\1\0\0\0\x38" + b"\x02\x02\0\4\0\0\0\1"
    exif = first + second + len(thumbnail.getvalue()).to_bytes(4, "big") + bytes(4) + thumbnail.getvalue()
    assert thumbnail.getvalue()[:4] in exif[0x38:]
    rewritten = rewrite_exif(exif, 100, 50, keep_location=True, is_srgb=True)
    assert rewritten is not None
    assert rewritten[22:26] == bytes(4)
    assert not any(rewritten[26:])
    assert rewritten[18:20] == b"\0\1"


def test_nothing_of_the_location_is_left_in_the_bytes() -> None:
    exif = Image.Exif()
    exif[0x013B] = "Jane"
    exif.get_ifd(ExifTags.IFD.GPSInfo).update({1: "N", 27: "somewhere", 29: "2024:05:06"})
    exif.get_ifd(ExifTags.IFD.Exif)[0x927C] = b"maker's note of the city of Munich"
    for order in ("<", ">"):
        exif.endian = order
        rewritten = rewrite_exif(exif.tobytes(), 10, 10, keep_location=False, is_srgb=True)
        assert rewritten is not None
        assert not any(word in rewritten for word in (b"somewhere", b"2024:05:06", b"Munich"))
        assert b"Jane" in rewritten
        kept = rewrite_exif(exif.tobytes(), 10, 10, keep_location=True, is_srgb=True)
        assert kept is not None
        assert b"somewhere" in kept
        assert b"Munich" in kept


def test_sizes_and_color_space_are_those_of_the_result() -> None:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif).update({0xA001: 65_535, 0xA002: 4000, 0xA003: 3000})
    rewritten = rewrite_exif(exif.tobytes(), 400, 300, keep_location=False, is_srgb=True)
    again = Image.Exif()
    again.load(rewritten or b"")
    details = again.get_ifd(ExifTags.IFD.Exif)
    assert (details[0xA001], details[0xA002], details[0xA003]) == (1, 400, 300)


@pytest.mark.parametrize(
    "exif", [b"", b"garbage", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff", b"MM\0*\0\0\0\x08"]
)
def test_damaged_exif_is_left_out_and_told(tmp_path: Path, exif: bytes) -> None:
    assert rewrite_exif(exif, 1, 1, keep_location=False, is_srgb=True) is None
    if exif:
        (tmp_path / "x").write_bytes(png_of(PHOTO, png_chunk(b"eXIf", exif)))
        header, pixels = read(tmp_path / "x")
        assert (header.tags.exif, [warning.code for warning in header.warnings]) == (None, ["metadata"])
        np.testing.assert_array_equal(pixels, PHOTO)


def test_damaged_and_explosive_xmp_is_left_out() -> None:
    assert clean_xmp(b"<not><xml>", keeps_location=True) is None
    bomb = b'<!DOCTYPE a [<!ENTITY b "bbbb">]><a>&b;</a>'
    assert clean_xmp(bomb, keeps_location=True) is None
    assert clean_xmp(bomb.decode().encode("utf-16"), keeps_location=True) is None
    assert clean_xmp(b"<a>" * 100_000, keeps_location=False) is None


def test_damaged_iptc_is_left_out() -> None:
    assert clean_iptc(b"\x1c\x02\x5a\0\x06Mun") is None
    assert clean_iptc(b"\x1c\x02\x5a\x80\x04\0\0\0\1x") is None
    assert clean_iptc(b"") == b""


def test_metadata_that_a_format_has_no_room_for_is_told(tmp_path: Path) -> None:
    long = ImageTags(xmp=b"<a>" + b"x" * 70_000 + b"</a>")
    (tmp_path / "x").write_bytes(encode_image(PHOTO, "png", long))
    assert read(tmp_path / "x")[0].warnings == ()
    header, _ = read(tmp_path / "x", format="jpeg")
    assert (header.tags.xmp, header.warnings[0].code) == (None, "metadata")
    sent(tmp_path / "iptc", "JPEG")
    header, _ = read(tmp_path / "iptc", format="webp")
    assert (header.tags.iptc, "IPTC" in header.warnings[0].detail) == (None, True)


def test_exif_that_imagemagick_wrote_as_text_is_heeded(tmp_path: Path) -> None:
    digits = EXIF.hex()
    text = f"\nexif\n{len(EXIF):8d}\n{digits}\n".encode()
    (tmp_path / "x").write_bytes(png_of(PHOTO, png_chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text))))
    header, pixels = read(tmp_path / "x")
    np.testing.assert_array_equal(pixels, np.rot90(PHOTO, -1))
    assert exif_of(header.tags)[0x013B] == "Jane"

"""Chunks that pixels do not need, and ends that are missing."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.errors import MediaError
from service.media.icc import srgb_profile
from service.media.image import probe_image
from tests.support.hostile import png_chunk
from tests.support.images import IN_P3, IN_SRGB, LIMITS, P3, PHOTO, decode_image, png_of, read, write_bytes
from tests.support.media import make_photo, write_jpeg

# ---- PNG chunks, ends that are missing


def test_large_texts_and_profiles_of_a_png_are_no_hindrance(tmp_path: Path) -> None:
    text = png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(5_000_000)))
    large = srgb_profile() + bytes(2_000_000)
    profile = png_chunk(b"iCCP", b"p\0\0" + zlib.compress(large[:4] and struct.pack(">I", len(large)) + large[4:]))
    for name, chunk in {"text": text, "profile": profile}.items():
        write_bytes(tmp_path / name, png_of(PHOTO, chunk))
        np.testing.assert_array_equal(decode_image(tmp_path / name), PHOTO)


def test_a_large_profile_is_not_only_taken_but_heeded(tmp_path: Path) -> None:
    padded = struct.pack(">I", len(P3) + 2_000_000) + P3[4:] + bytes(2_000_000)
    flat = np.full((8, 8, 3), IN_P3, np.uint8)
    write_bytes(tmp_path / "x", png_of(flat, png_chunk(b"iCCP", b"p\0\0" + zlib.compress(padded))))
    assert np.abs(decode_image(tmp_path / "x")[0, 0].astype(int) - IN_SRGB).max() <= 2


def test_a_chunk_bomb_is_not_unpacked(tmp_path: Path) -> None:
    bomb = zlib.compress(bytes(300_000_000), 9)
    write_bytes(tmp_path / "x", png_of(PHOTO, png_chunk(b"iCCP", b"p\0\0" + bomb), png_chunk(b"zTXt", b"a\0\0" + bomb)))
    header, pixels = read(tmp_path / "x")
    np.testing.assert_array_equal(pixels, PHOTO)
    assert [warning.code for warning in header.warnings] == ["color-profile"]
    assert header.tags.texts == ()


@pytest.mark.parametrize("kind", [b"tEXt", b"iCCP", b"tIME", b"eXIf", b"tRNS"])
def test_a_wrong_checksum_matters_in_no_chunk_that_pixels_do_not_need(tmp_path: Path, kind: bytes) -> None:
    broken = png_chunk(kind, b"Title\0something")[:-1] + b"\0"
    write_bytes(tmp_path / "x", png_of(PHOTO, broken, behind=[broken]))
    np.testing.assert_array_equal(decode_image(tmp_path / "x"), PHOTO)


def test_a_critical_chunk_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    write_bytes(tmp_path / "x", png_of(PHOTO, png_chunk(b"ABCD", b"what?")))
    with pytest.raises(MediaError):
        probe_image(tmp_path / "x", LIMITS)


@pytest.mark.parametrize("missing", [1, 4, 12, 14])
def test_a_png_without_its_last_chunk_is_whole(tmp_path: Path, missing: int) -> None:
    write_bytes(tmp_path / "x", png_of(PHOTO)[:-missing])
    np.testing.assert_array_equal(decode_image(tmp_path / "x"), PHOTO)


def test_exif_behind_the_pixels_of_a_png_is_heeded(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    chunk = png_chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    write_bytes(tmp_path / "x", png_of(PHOTO, behind=[chunk]))
    info = probe_image(tmp_path / "x", LIMITS)
    assert (info.width, info.height) == (32, 48)
    np.testing.assert_array_equal(decode_image(tmp_path / "x"), np.rot90(PHOTO, -1))


OPTIONS: dict[str, dict[str, Any]] = {
    "baseline": {}, "progressive": {"progressive": True}, "restarts": {"restart_marker_rows": 1},
    "fine": {"quality": 98, "subsampling": 0},
}  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("missing", [1, 2])
def test_a_jpeg_without_its_end_mark_is_whole(tmp_path: Path, options: dict[str, Any], missing: int) -> None:
    whole = write_jpeg(tmp_path / "whole", make_photo(200, 150), **options)
    write_bytes(tmp_path / "x", whole.read_bytes()[:-missing])
    np.testing.assert_array_equal(decode_image(tmp_path / "x"), decode_image(whole))
    assert decode_image(tmp_path / "x", max_side=50).shape == (38, 50, 3)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_a_jpeg_without_pixels_is_refused_with_and_without_marks(
    tmp_path: Path, options: dict[str, Any], share: float
) -> None:
    whole = write_jpeg(tmp_path / "whole", make_photo(200, 150), **options).read_bytes()
    cut = whole[: int(len(whole) * share)]
    restart = max(cut.rfind(bytes((0xFF, 0xD0 + number))) for number in range(8))
    for content in (cut, cut[: restart + 2] if "restart_marker_rows" in options else cut[:-1]):
        write_bytes(tmp_path / "x", content)
        with pytest.raises(MediaError, match="incomplete"):
            decode_image(tmp_path / "x")

"""Tell by its first bytes what kind of file a client sent, and name kinds that are not taken."""

from pathlib import Path
from typing import Final, Literal, get_args

ImageFormat = Literal["png", "jpeg", "webp"]
ImageKind = Literal["png", "jpeg", "webp", "heic", "avif", "tiff", "bmp", "gif"]

MEDIA_TYPES: Final[dict[ImageFormat, str]] = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
TAKEN: Final = "JPEG, PNG, WebP, HEIC, AVIF, TIFF, BMP or GIF"
# the format of a result whose request names none; a kind that loses nothing gives one that loses nothing
RESULT_FORMATS: Final[dict[ImageKind, ImageFormat]] = {
    "jpeg": "jpeg", "png": "png", "webp": "webp", "heic": "jpeg", "avif": "jpeg", "tiff": "png", "bmp": "png",
    "gif": "png",
}  # fmt: skip

_HEAD_BYTES: Final = 512
_SIGNATURES: Final[tuple[tuple[bytes, str], ...]] = (
    (b"\x89PNG", "png"), (b"\xff\xd8\xff", "jpeg"), (b"GIF8", "gif"), (b"BM", "bmp"),
    (b"II*\0\x10\0\0\0CR", "Canon raw"), (b"IIRO", "Olympus raw"), (b"IIU\0", "Panasonic raw"),
    (b"FUJIFILMCCD-RAW", "Fujifilm raw"),
    (b"II*\0", "tiff"), (b"MM\0*", "tiff"), (b"II+\0", "tiff"), (b"MM\0+", "tiff"),
    (b"\xff\x0a", "JPEG XL"), (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"), (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"8BPS", "PSD"), (b"gimp xcf", "XCF"), (b"qoif", "QOI"), (b"v/1\x01", "OpenEXR"), (b"#?RADIANCE", "Radiance HDR"),
    (b"\0\0\1\0", "ICO"), (b"DDS ", "DDS"), (b"P4\n", "PBM"), (b"P5\n", "PGM"), (b"P6\n", "PPM"),
    (b"%PDF", "PDF"), (b"%!PS", "EPS"), (b"<svg", "SVG"), (b"<?xml", "XML"),
    (b"<!DOCTYPE", "HTML"), (b"<html", "HTML"), (b"PK\x03\x04", "ZIP"),
)  # fmt: skip
_SOUNDS: Final[tuple[tuple[bytes, str], ...]] = (
    (b"ID3", "MP3"), (b"\xff\xfb", "MP3"), (b"\xff\xf3", "MP3"), (b"\xff\xf1", "AAC"), (b"\xff\xf9", "AAC"),
    (b"OggS", "Ogg"), (b"fLaC", "FLAC"), (b"FORM", "AIFF"), (b"caff", "CAF"), (b".snd", "AU"), (b"#!AMR", "AMR"),
)  # fmt: skip
_BRANDS: Final[dict[bytes, str]] = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"), "heic"),
    **dict.fromkeys((b"avif", b"avis"), "avif"),
    b"crx ": "Canon raw",
}


def kind_of(path: Path) -> tuple[ImageKind | None, str]:
    """The kind of image, None if it is none that is taken; and how the file is to be named to its sender."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    name = _name(head)
    for kind in get_args(ImageKind):
        if name == kind:
            return kind, "WebP" if kind == "webp" else kind.upper()
    return None, name


def _name(head: bytes) -> str:
    """A kind of image that is taken, or the words for another kind of file."""
    if head[:4] == b"RIFF":
        return {b"WEBP": "webp", b"WAVE": "WAV, which is audio", b"AVI ": "AVI, which is video"}.get(head[8:12], "RIFF")
    if head[4:8] == b"ftyp":
        return _brand(head)
    if head[:4] == b"\x1aE\xdf\xa3":
        return "Matroska or WebM, which is audio or video"
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return name
    for signature, name in _SOUNDS:
        if head.startswith(signature):
            return f"{name}, which is audio"
    return "SVG" if b"<svg" in head else ""


def _brand(head: bytes) -> str:
    """By the brands of an ISO base media file: its own first, then those that it is compatible with."""
    size = min(int.from_bytes(head[:4], "big"), len(head))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, size - 3, 4))]
    for brand in brands:
        if brand in _BRANDS:
            return _BRANDS[brand]
    if brands[0] in (b"mif1", b"msf1", b"miaf"):
        return "heic"
    return "M4A, which is audio" if brands[0] in (b"M4A ", b"M4B ") else "MP4 or MOV, which is video"

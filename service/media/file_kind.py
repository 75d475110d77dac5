"""Tell what a file is by its first bytes, so that a refusal can name it; nothing is decoded."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

MediaKind = Literal["image", "sound", "video", "video or sound", "other"]

_HEAD_BYTES: Final = 400  # three packets of a transport stream begin in it


@dataclass(frozen=True)
class FileKind:
    """kind: in which field such a file belongs, if in any. name: of the format, as people call it."""

    kind: MediaKind
    name: str


def _kinds(kind: MediaKind, *names: tuple[bytes, str]) -> list[tuple[bytes, FileKind]]:
    return [(start, FileKind(kind, name)) for start, name in names]


_SIGNATURES: Final = [
    *_kinds(
        "sound",
        (b"fLaC", "FLAC"), (b"FORM", "AIFF"), (b"caff", "CAF"), (b".snd", "AU"), (b"#!AMR", "AMR"), (b"RF64", "RF64"),
        (b"riff\x2e\x91\xcf\x11", "Wave64"), (b"TTA1", "TTA"), (b"wvpk", "WavPack"), (b"Creative Voice File", "VOC"),
        (b"NIST_1A", "SPHERE"), (b".SoX", "SoX"), (b"\x64\xa3", "IRCAM"), (b"\x7f\xfe\x80\x01", "DTS"),
        (b"\x0b\x77", "AC-3"), (b"ID3", "MP3"),
        (b"MAC ", "Monkey's Audio"), (b"MPCK", "Musepack"), (b"MP+", "Musepack"), (b"tBaK", "TAK"), (b"DSD ", "DSF"),
        (b"FRM8", "DSDIFF"), (b"ajkg", "Shorten"), (b".ra\xfd", "RealAudio"), (b"MThd", "MIDI"), (b"qoaf", "QOA"),
        (b"OFR ", "OptimFROG"), (b"ea3\x03", "ATRAC"), (b"MMMD", "SMAF"), (b"IMPM", "Impulse Tracker"),
        (b"Extended Module:", "a tracker module"), (b"LA0", "Lossless Audio"), (b"SIFF", "SIFF"),
    ),
    *_kinds(
        "image",
        (b"\x89PNG", "PNG"), (b"\xff\xd8\xff", "JPEG"), (b"GIF8", "GIF"), (b"BM", "BMP"), (b"II*\0", "TIFF"),
        (b"MM\0*", "TIFF"), (b"II+\0", "TIFF"), (b"MM\0+", "TIFF"), (b"8BPS", "Photoshop"), (b"\xff\x0a", "JPEG XL"),
        (b"\0\0\0\x0cJXL ", "JPEG XL"), (b"\0\0\0\x0cjP  ", "JPEG 2000"), (b"\xff\x4f\xff\x51", "JPEG 2000"),
        (b"qoif", "QOI"), (b"\x76\x2f\x31\x01", "OpenEXR"), (b"FUJIFILMCCD-RAW", "a camera's raw"),
        (b"gimp xcf", "GIMP"), (b"<svg", "SVG"),
    ),
    *_kinds("video or sound", (b"\x1a\x45\xdf\xa3", "Matroska or WebM"), (b"OggS", "Ogg")),
    *_kinds("video or sound", (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media"), (b".RMF", "RealMedia")),
    *_kinds("video", (b"FLV\x01", "FLV"), (b"\0\0\x01\xba", "MPEG"), (b"\0\0\x01\xb3", "MPEG")),
    *_kinds("video", (b"\x06\x0e\x2b\x34", "MXF")),
    *_kinds(
        "other",
        (b"%PDF", "PDF"), (b"PK\x03\x04", "ZIP"), (b"\x1f\x8b", "gzip"), (b"Rar!", "RAR"), (b"7z\xbc\xaf", "7-Zip"),
        (b"#EXTM3U", "a play list"), (b"[playlist]", "a play list"), (b"ffconcat", "a play list"), (b"\x7fELF", "ELF"),
        (b"<!DOCTYPE", "HTML"), (b"<html", "HTML"), (b"<?xml", "XML"), (b"FWS", "Flash"), (b"CWS", "Flash"),
        (b"MZ", "a Windows program"),
    ),
]  # fmt: skip
_RIFF: Final = {
    b"WAVE": FileKind("sound", "WAV"),
    b"AVI ": FileKind("video", "AVI"),
    b"WEBP": FileKind("image", "WebP"),
    b"RMID": FileKind("sound", "MIDI"),
    b"sfbk": FileKind("sound", "SoundFont"),
}
_SOUND_BRANDS: Final = (b"M4A ", b"M4B ", b"M4P ")
_IMAGE_BRANDS: Final = {
    b"heic": "HEIC", b"heix": "HEIC", b"heim": "HEIC", b"heis": "HEIC", b"hevc": "HEIC", b"hevx": "HEIC",
    b"mif1": "HEIF", b"msf1": "HEIF", b"avif": "AVIF", b"avis": "AVIF", b"crx ": "a camera's raw",
}  # fmt: skip


def file_kind(path: Path) -> FileKind | None:
    """What the file begins as; None if that is not known here."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    return kind_of_head(head)


def kind_of_head(head: bytes) -> FileKind | None:
    """The same for the first bytes themselves; 400 are enough."""
    if head[4:8] == b"ftyp":
        return _base_media(head[8:12])
    if head[:4] in (b"RIFF", b"RIFX"):
        return _RIFF.get(head[8:12], FileKind("other", "RIFF"))
    if head[:4] == b"FORM" and head[8:12] not in (b"AIFF", b"AIFC"):
        return FileKind("other", "IFF")
    if head[4:8] in (b"moov", b"mdat", b"wide"):
        return FileKind("video or sound", "QuickTime")
    if head[:377:188] == b"GGG" or head[4:389:192] == b"GGG":
        return FileKind("video", "MPEG-TS")
    if head[:1] == b"\x56" and len(head) > 1 and head[1] & 0xE0 == 0xE0:
        return FileKind("sound", "AAC")  # a LOAS frame
    if head[:1] == b"\xff" and len(head) > 1 and head[1] & 0xE0 == 0xE0 and head[1] != 0xFE:
        return FileKind("sound", "AAC" if head[1] & 0x06 == 0 else "MP3")  # a frame of MPEG audio; by its layer
    return next((kind for start, kind in _SIGNATURES if head.startswith(start)), None)


def _base_media(brand: bytes) -> FileKind:
    """MP4, QuickTime, HEIF and their relatives: one container, told apart by its brand."""
    if brand in _IMAGE_BRANDS:
        return FileKind("image", _IMAGE_BRANDS[brand])
    if brand in _SOUND_BRANDS:
        return FileKind("sound", "M4A")
    return FileKind("video or sound", "3GP" if brand.startswith(b"3g") else "QuickTime" if brand == b"qt  " else "MP4")

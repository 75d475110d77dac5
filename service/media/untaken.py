"""Name what a TIFF or JPEG holds that no decoder here reads: such a file is not damaged, and can be converted."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

from PIL import TiffImagePlugin

from service.errors import UnsupportedMedia
from service.media.image_kind import ImageKind

_BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _SAMPLE_FORMAT = 258, 259, 262, 277, 339
_UNREAD_COMPRESSIONS: Final = {
    6: "old-style JPEG", 9: "JBIG", 10: "JBIG", 32766: "NeXT", 32809: "ThunderScan", 33003: "JPEG 2000",
    33005: "JPEG 2000", 34661: "JBIG", 34676: "SGI LogLuv", 34677: "SGI LogLuv", 34712: "JPEG 2000",
    34887: "LERC", 34892: "lossy DNG", 50001: "WebP", 50002: "JPEG XL", 52546: "JPEG XL",
}  # fmt: skip
_UNREAD_COLORS: Final = {32803: "a camera's color filter array", 32844: "LogL", 32845: "LogLuv", 34892: "linear raw"}
_NUMBERS: Final = {2: "signed integer", 3: "floating-point", 5: "complex", 6: "complex"}
_MOST_BITS: Final = 16
_READ_LAYOUTS: Final = {(1, 1), (1, 2), (1, 4), (1, 8), (1, 16), (3, 8), (3, 16), (4, 8), (4, 16)}  # (samples, bits)
_WISHED_SAMPLES: Final = "; save it as RGB, grey or CMYK with 8 or 16 bits a sample"

_UNREAD_FRAMES: Final = {
    frozenset({0xC3, 0xC7, 0xCB, 0xCF}): "a lossless JPEG", frozenset({0xC5, 0xC6, 0xCD, 0xCE}): "a hierarchical JPEG",
    frozenset({0xF7}): "JPEG-LS",
}  # fmt: skip
_PLAIN_FRAMES: Final = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA})
_ALONE: Final = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length
_MOST_MARKERS: Final = 1000


def refuse_untaken(path: Path, kind: ImageKind) -> None:
    """Raise UnsupportedMedia, naming why, if the file is of a form that is not read; to be asked when opening fails."""
    look: Callable[[BinaryIO], str | None] | None = {"tiff": _tiff, "jpeg": _jpeg}.get(kind)
    if look is None:
        return
    try:
        with path.open("rb") as file:
            found = look(file)
    except Exception:  # foreign bytes: then it is damaged
        return
    if found is not None:
        raise UnsupportedMedia(f"the {kind.upper()} image {found}", field="image")


def untaken_tiff(tags: Mapping[int, Any]) -> str | None:
    """What is not read of a TIFF with these tags, in words; None if nothing shows."""
    if (compression := tags.get(_COMPRESSION, 1)) in _UNREAD_COMPRESSIONS:
        return f"is compressed by {_UNREAD_COMPRESSIONS[compression]}, which is not taken; use LZW or deflate"
    if (colors := tags.get(_PHOTOMETRIC)) in _UNREAD_COLORS:
        return f"holds {_UNREAD_COLORS[colors]}, which is not taken{_WISHED_SAMPLES}"
    numbers = {_NUMBERS[number] for number in tags.get(_SAMPLE_FORMAT, (1,)) if number in _NUMBERS}
    bits = max(tags.get(_BITS, (1,)))
    if numbers or bits > _MOST_BITS:
        named = f"{min(numbers)} samples" if numbers else "samples"
        return f"has {named} of {bits} bits, which are not taken{_WISHED_SAMPLES}"
    return None


def _tiff(file: BinaryIO) -> str | None:
    head = file.read(8)
    tags = TiffImagePlugin.ImageFileDirectory_v2(head + file.read(8) if b"+" in head[:4] else head)
    file.seek(tags.next)
    tags.load(file)
    return untaken_tiff(tags) or _unknown_layout(tags)


def _unknown_layout(tags: Mapping[int, Any]) -> str | None:
    """Of a TIFF whose tags are sound, and which Pillow does not open."""
    samples, bits = int(tags.get(_SAMPLES, 1)), max(tags.get(_BITS, (1,)))
    if (samples, bits) in _READ_LAYOUTS:
        return None
    return f"has {samples} samples of {bits} bits a pixel, which is not taken{_WISHED_SAMPLES}"


def _jpeg(file: BinaryIO) -> str | None:
    """By its first frame's marker."""
    file.seek(2)
    for _ in range(_MOST_MARKERS):
        while (byte := file.read(1)) not in (b"\xff", b""):
            pass
        while (byte := file.read(1)) == b"\xff":
            pass
        if not byte:
            return None
        marker = byte[0]
        if marker in _ALONE or marker == 0:
            continue
        length, bits = int.from_bytes(file.read(2), "big"), int.from_bytes(file.read(1), "big")
        for frames, name in _UNREAD_FRAMES.items():
            if marker in frames:
                return f"is {name}, which is not taken; save it as baseline or progressive JPEG, or as PNG"
        if marker in _PLAIN_FRAMES:
            return None if bits == 8 else f"has {bits} bits a sample, which is not taken; save it with 8, or as PNG"
        file.seek(max(0, length - 3), 1)
    return None

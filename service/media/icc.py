"""ICC profiles: whether one is sRGB by what it does, the conversion to sRGB, profiles of colors stated as numbers.

A profile's description says nothing: "P3 D65, sRGB tone curve" is not sRGB. What counts is where its colors go.
"""

import io
import struct
from collections.abc import Callable
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

Primaries = tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float]]
FloatArray = NDArray[np.float64]

_SAME: Final = 2  # of 255: profiles of sRGB differ that much among themselves, by their rounding and black points
_SPACES: Final = {"RGB": ("RGB",), "GRAY": ("L", "RGB"), "CMYK": ("CMYK",), "LAB": ("LAB",)}
_D50: Final = np.array([0.9642, 1.0, 0.8249])
_BRADFORD: Final = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_D65: Final = (0.3127, 0.3290)
SRGB_PRIMARIES: Final[Primaries] = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), _D65)
# by the code points of ITU-T H.273, which PNG's cICP and the nclx box of HEIC and AVIF use
_PRIMARIES: Final[dict[int, Primaries]] = {
    1: SRGB_PRIMARIES,
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), _D65),
    6: ((0.63, 0.34), (0.31, 0.595), (0.155, 0.07), _D65),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),
    11: ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06), (0.314, 0.351)),
    12: ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06), _D65),
}
_PQ, _HLG = 16, 18
_WHITE_NITS: Final = 203.0  # of a white page in HDR (ITU-R BT.2408)
_CURVE_STEPS: Final = 1024


class BadProfile(ValueError):
    """The profile is damaged, or is for another kind of pixels."""


def srgb_transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From Pillow's `mode` (L, RGB, CMYK or LAB) with that profile to RGB in sRGB; None if that changes nothing.

    Raises BadProfile.
    """
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if mode not in _SPACES.get(profile_space(source), ()):
            raise BadProfile(f"a profile of {profile_space(source)} does not go with {mode} pixels")
        transform = ImageCms.buildTransform(source, _srgb(), mode, "RGB")
        if mode in ("L", "RGB"):
            probe = _probe(mode)
            before, after = np.asarray(probe.convert("RGB"), int), np.asarray(transform.apply(probe), int)
            if np.abs(before - after).max() <= _SAME:
                return None
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as exc:
        raise BadProfile(str(exc)) from exc
    return transform


def can_convert_back(profile: bytes) -> bool:
    """Whether colors can be converted from sRGB to it, too: a scanner's profile may have one way only."""
    try:
        convert_colors(np.zeros((1, 1, 3), np.uint8), profile, to_srgb=False)
    except BadProfile:
        return False
    return True


def convert_colors(pixels: NDArray[np.uint8], profile: bytes, to_srgb: bool) -> NDArray[np.uint8]:
    """[H, W, 3] from that profile to sRGB, or back. Raises BadProfile."""
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        source, target = (own, _srgb()) if to_srgb else (_srgb(), own)
        transform = ImageCms.buildTransform(source, target, "RGB", "RGB")
        converted = transform.apply(Image.fromarray(pixels))
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as exc:
        raise BadProfile(str(exc)) from exc
    return np.asarray(converted)


def profile_space(source: ImageCms.ImageCmsProfile) -> str:
    """The kind of pixels that it is for: RGB, GRAY, CMYK or LAB."""
    return str(source.profile.xcolor_space).strip().upper()


def is_for_rgb(profile: bytes) -> bool:
    """Whether it is for RGB pixels."""
    return profile[16:20] == b"RGB "


@cache
def srgb_profile() -> bytes:
    """The same bytes always: the date at which it is made is left out."""
    made = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    made[24:36] = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)
    return bytes(made)


@cache
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


@cache
def _probe(mode: str) -> Image.Image:
    """Every eighth level of grey, or a lattice of colours."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    levels = np.array([*range(0, 256, 17)], np.uint8)
    lattice = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1)
    return Image.fromarray(np.ascontiguousarray(lattice.reshape(len(levels), -1, 3)))


def profile_of_code_points(primaries: int, transfer: int) -> bytes | None:
    """A profile for colors that are stated by code points (H.273); None for sRGB, and for what is unknown.

    HDR (PQ, HLG) is shown as on a screen that has no more than its white: what is brighter is bent down to it.
    """
    if primaries not in _PRIMARIES or (primaries == 1 and transfer not in (4, 5, 8, _PQ, _HLG)):
        return None
    curve = _CURVES.get(transfer, _srgb_curve)
    return matrix_profile(_PRIMARIES[primaries], curve(np.linspace(0, 1, _CURVE_STEPS)))


def profile_of_gamma(gamma: float, primaries: Primaries) -> bytes | None:
    """A profile for what PNG's gAMA and cHRM state (gamma: of the file, about 1 / 2.2); None if it is about sRGB."""
    is_usual = abs(gamma - 1 / 2.2) < 0.02
    if is_usual and np.abs(np.array(primaries) - np.array(SRGB_PRIMARIES)).max() < 0.005:
        return None
    steps = np.linspace(0, 1, _CURVE_STEPS)
    return matrix_profile(primaries, _srgb_curve(steps) if is_usual else steps ** (1 / gamma))


def _srgb_curve(code: FloatArray) -> FloatArray:
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)


def _bend(light: FloatArray) -> FloatArray:
    """Light with paper white at 1 -> 0..1: as it is up to 0.75, then ever flatter."""
    knee = 0.75
    over = np.maximum(light - knee, 0) / (1 - knee)
    return np.where(light <= knee, light, knee + (1 - knee) * (1 - np.exp(-over)))


def _pq_curve(code: FloatArray) -> FloatArray:
    """SMPTE ST 2084."""
    root = code ** (1 / 78.84375)
    nits = 10_000 * (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578125)
    return _bend(nits / _WHITE_NITS)


def _hlg_curve(code: FloatArray) -> FloatArray:
    """ARIB STD-B67, for a screen of 1000 nits."""
    scene = np.where(code <= 0.5, code**2 / 3, (np.exp((code - 0.55991073) / 0.17883277) + 0.28466892) / 12)
    return _bend(1000 * scene**1.2 / _WHITE_NITS)


_CURVES: Final[dict[int, Callable[[FloatArray], FloatArray]]] = {
    4: lambda code: code**2.2,
    5: lambda code: code**2.8,
    8: lambda code: code,
    _PQ: _pq_curve,
    _HLG: _hlg_curve,
}


def matrix_profile(primaries: Primaries, curve: FloatArray) -> bytes:
    """An ICC profile (version 2) of red, green, blue and white points (x, y) and of one curve, code -> light 0..1."""
    white = _xyz(primaries[3])
    matrix = np.array([_xyz(point) for point in primaries[:3]]).T
    matrix = matrix * np.linalg.solve(matrix, white)
    adapted = np.linalg.inv(_BRADFORD) @ np.diag((_BRADFORD @ _D50) / (_BRADFORD @ white)) @ _BRADFORD @ matrix
    levels = np.rint(np.clip(curve, 0, 1) * 65_535).astype(">u2").tobytes()
    tone = b"curv\0\0\0\0" + struct.pack(">I", len(curve)) + levels
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", 7) + b"stated\0" + bytes(78),
        b"cprt": b"text\0\0\0\0CC0\0",
        b"wtpt": _xyz_tag(_D50),
        **{name: _xyz_tag(column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), adapted.T, strict=True)},
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), tone),
    }
    table, content, places = struct.pack(">I", len(tags)), b"", dict[bytes, int]()
    start = 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        if data not in places:
            places[data] = start + len(content)
            content += data + bytes(-len(data) % 4)
        table += name + struct.pack(">II", places[data], len(data))
    header = struct.pack(">I", start + len(content)) + b"\0\0\0\0\x02\x40\0\0mntrRGB XYZ " + bytes(12) + b"acsp"
    header += bytes(28) + b"".join(_fixed(value) for value in _D50) + bytes(48)
    return header + table + content


def _xyz(point: tuple[float, float]) -> FloatArray:
    x, y = point
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65_536))


def _xyz_tag(values: FloatArray) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(_fixed(float(value)) for value in values)

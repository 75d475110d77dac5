"""Read an image for a result: its header, what goes with it, and its pixels, whole or in strips."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from PIL import ImageCms
from pydantic import BaseModel, ConfigDict

from service.media.icc import (
    SRGB_PRIMARIES,
    BadProfile,
    Primaries,
    can_convert_back,
    is_for_rgb,
    profile_of_code_points,
    profile_of_gamma,
    srgb_transform,
)
from service.media.image import OpenImage, open_image
from service.media.image_decode import Decoded, decode
from service.media.image_kind import RESULT_FORMATS, ImageFormat, ImageKind
from service.media.image_metadata import ImageTags, MetadataPolicy, exif_of_texts, read_tags
from service.media.image_reduce import Pixels, reduce_strips
from service.media.isobmff import stated_colors
from service.media.limits import MediaLimits

ColorProfile = Literal["srgb", "input"]

_MAX_PROFILE_BYTES: Final = 16 * 1024 * 1024
_MAX_SEGMENT_BYTES: Final = 65_000  # of a JPEG
_LONGEST_SIDE: Final[dict[ImageFormat, int]] = {"png": 1_000_000, "jpeg": 65_500, "webp": 16_383}
_MOST_WEBP_PIXELS: Final = 40_000_000  # its encoder holds all of it several times
_DRAFT: Final = 2  # a reduced image is made of one with so many times its side


@dataclass(frozen=True)
class ReadPlan:
    """What a result is to be. format: None for the input's kind. max_side: that was asked for, of the longer side.

    limit_side: of the service itself. model_side: of what the model sees. held_pixels: an image of more of them is
    read in strips.
    """

    format: ImageFormat | None = None
    metadata: MetadataPolicy = "no-location"
    color_profile: ColorProfile = "srgb"
    max_side: int | None = None
    limit_side: int | None = None
    model_side: int = 768
    held_pixels: int = 24_000_000


class ImageWarning(BaseModel):
    """Something that a result could not keep."""

    model_config = ConfigDict(frozen=True)

    code: str
    detail: str


class ImageHeader(BaseModel):
    """width, height, channels (4 with alpha), bits (8 or 16): of the pixels that are read, and of the result.

    kind: of the input. format: of the result. tags: for the result. is_held: whether the pixels come in one piece.
    """

    model_config = ConfigDict(frozen=True, ser_json_bytes="base64", val_json_bytes="base64")

    width: int
    height: int
    channels: int
    bits: int
    kind: ImageKind
    format: ImageFormat
    is_held: bool
    tags: ImageTags
    warnings: tuple[ImageWarning, ...]


def read_image(path: Any, limits: MediaLimits, plan: ReadPlan) -> Iterator[ImageHeader | Pixels]:
    """The header, then all pixels [H, W, C], or, of an image that is too large to be held, a small copy for the model.

    Raises UnsupportedMedia, TooLarge, MediaError.
    """
    opened = open_image(path, limits)
    with opened.stored:
        reading = _Reading(opened, limits, plan)
        is_held = reading.size[0] * reading.size[1] <= plan.held_pixels
        decoded = reading.decode(None if is_held else plan.model_side)
        yield reading.header(decoded, is_held)
        if is_held:
            yield decoded.strip(0, decoded.size[1])
        else:
            yield reduce_strips(decoded.strips(), decoded.size, plan.model_side)


def read_strips(path: Any, limits: MediaLimits, plan: ReadPlan) -> Iterator[Pixels]:
    """The pixels of an image that is not held, in strips [rows, W, C]."""
    opened = open_image(path, limits)
    with opened.stored:
        yield from _Reading(opened, limits, plan).decode(None).strips()


class _Reading:
    """An open image, and what is to be done with it. size: (width, height) of the result."""

    def __init__(self, opened: OpenImage, limits: MediaLimits, plan: ReadPlan) -> None:
        self._opened, self._limits, self._plan = opened, limits, plan
        self.warnings: list[ImageWarning] = []
        self._format = plan.format or RESULT_FORMATS[opened.kind]
        self._is_default = plan.format is None
        self._profile = _profile(opened)
        self._transform, self._kept_profile = self._colors()
        self.size = self._fit()
        self._is_deep = self._may_be_deep()

    def decode(self, model_side: int | None) -> Decoded:
        """model_side: only a reduced image of about this size is needed."""
        size = self.size
        if self._is_deep:
            from service.media.image_deep import decode_deep  # where images are decoded, there is OpenCV

            return decode_deep(self._opened, size)
        if model_side is None:
            return decode(self._opened, size, self._transform)
        scale = min(1.0, _DRAFT * model_side / max(size))
        draft = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
        is_jpeg = self._opened.kind == "jpeg"
        return decode(self._opened, draft if is_jpeg else size, self._transform, is_draft=is_jpeg)

    def header(self, decoded: Decoded, is_held: bool) -> ImageHeader:
        """Of the result; decoded: tells of its alpha."""
        self._choose_format(decoded)
        tags = self._tags()
        return ImageHeader(
            width=self.size[0],
            height=self.size[1],
            channels=decoded.channels,
            bits=decoded.bits,
            kind=self._opened.kind,
            format=self._format,
            is_held=is_held,
            tags=tags,
            warnings=tuple(self.warnings),
        )

    def _choose_format(self, decoded: Decoded) -> None:
        if self._format != "jpeg" or not decoded.is_transparent:
            return
        if self._is_default:
            fits = max(self.size) <= _LONGEST_SIDE["webp"] and self.size[0] * self.size[1] <= _MOST_WEBP_PIXELS
            self._format = "webp" if fits else "png"
        else:
            self._warn(
                "flattened",
                "the image is partly transparent, which JPEG cannot be: it is laid onto white; format=png or webp "
                "keeps the transparency",
            )

    def _tags(self) -> ImageTags:
        opened, is_srgb = self._opened, self._kept_profile is None
        tags, lost = read_tags(opened.stored, opened.texts, self.size, self._plan.metadata, is_srgb)
        if self._format != "png" and tags.texts and tags.exif is None:
            tags = tags.model_copy(update={"exif": exif_of_texts(tags.texts)})
        if self._format == "webp" and tags.iptc:
            tags, lost = tags.model_copy(update={"iptc": None}), [*lost, "IPTC (WebP has no place for it)"]
        if self._format == "jpeg":
            for name in ("exif", "xmp", "iptc"):
                if len(getattr(tags, name) or b"") > _MAX_SEGMENT_BYTES:
                    tags = tags.model_copy(update={name: None})
                    lost = [*lost, f"{name.upper()} (JPEG has no room for that much)"]
        if lost:
            self._warn("metadata", f"metadata was left out: {', '.join(lost)}")
        return tags.model_copy(update={"profile": self._kept_profile})

    def _colors(self) -> tuple[ImageCms.ImageCmsTransform | None, bytes | None]:
        """How to get to sRGB, and the profile that the result keeps instead."""
        mode = _color_mode(self._opened.stored.mode)
        if mode == "LAB":
            return ImageCms.buildTransform(
                ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB"
            ), None
        if self._profile is None:
            return None, None
        if mode == "L" and is_for_rgb(self._profile):
            mode = "RGB"
        try:
            transform = srgb_transform(self._profile, mode)
        except BadProfile as bad:
            self._warn("color-profile", f"the image's color profile is ignored: {bad}")
            return None, None
        if transform is None or self._plan.color_profile == "srgb":
            return transform, None
        if mode == "RGB" and can_convert_back(self._profile):
            return None, self._profile
        self._warn("color-profile", "the image's color profile cannot be that of a result, which is in sRGB")
        return transform, None

    def _fit(self) -> tuple[int, int]:
        """The size of the result; a limit that nobody asked for is told."""
        given, asked, limit = self._opened.size, self._plan.max_side, self._plan.limit_side
        size = _fit(given, asked)
        within = _fit(_fit(size, limit), _LONGEST_SIDE[self._format])
        pixels = within[0] * within[1]
        if self._format == "webp" and pixels > _MOST_WEBP_PIXELS:
            within = _fit(within, int(max(within) * (_MOST_WEBP_PIXELS / pixels) ** 0.5))
        if within != size:
            self._warn(
                "reduced",
                f"the image has {given[0]} x {given[1]} pixels and the result {within[0]} x {within[1]}, "
                f"which is the most that the service makes as {self._format.upper()}",
            )
        return within

    def _may_be_deep(self) -> bool:
        bits = self._opened.bits
        if bits == 8:
            return False
        from service.media.image_deep import can_decode_deep  # where images are decoded, there is OpenCV

        is_readable = can_decode_deep(self._opened)
        width, height = self._opened.size
        if self._format != "png":
            why = f"{self._format.upper()} holds 8; format=png keeps more where the file can be read so"
        elif not is_readable:
            why = "this kind of file is read with 8"
        elif self._transform is not None:
            why = "colors are converted to sRGB with 8; color_profile=input keeps both its profile and its bits"
        elif width * height > self._limits.max_image_pixels // 2:
            why = f"images of more than {self._limits.max_image_pixels // 2} pixels are read with 8"
        else:
            return True
        self._warn("bit-depth", f"the image has {bits} bits a sample and the result has 8: {why}")
        return False

    def _warn(self, code: str, detail: str) -> None:
        self.warnings.append(ImageWarning(code=code, detail=detail))


def _fit(size: tuple[int, int], max_side: int | None) -> tuple[int, int]:
    """(width, height), its proportions kept."""
    longest = max(size)
    if max_side is None or longest <= max_side:
        return size
    width, height = (max(1, round(side * max_side / longest)) for side in size)
    return width, height


def _color_mode(mode: str) -> str:
    """Which pixels a profile of such an image is for."""
    if mode in ("1", "L", "LA", "La") or mode.startswith("I;16"):
        return "L"
    return mode if mode in ("CMYK", "LAB") else "RGB"


def _profile(opened: OpenImage) -> bytes | None:
    """The color profile that the file embeds or states."""
    if opened.chunks is not None:
        return _png_profile(opened)
    profile = opened.stored.info.get("icc_profile")
    if isinstance(profile, bytes) and profile:
        return profile if len(profile) <= _MAX_PROFILE_BYTES else None
    if opened.kind in ("heic", "avif"):
        stated = stated_colors(opened.path)
        return None if stated is None else profile_of_code_points(*stated)
    return None


def _png_profile(opened: OpenImage) -> bytes | None:
    """By the precedence of the PNG specification (third edition): cICP, iCCP, sRGB, then gAMA and cHRM."""
    chunks = opened.chunks
    assert chunks is not None
    if (stated := chunks.first(b"cICP")) and len(stated) == 4:
        return profile_of_code_points(stated[0], stated[1])
    if chunks.first(b"iCCP") is not None:
        return chunks.profile() or b"damaged"
    gamma, points = chunks.first(b"gAMA"), chunks.first(b"cHRM")
    if chunks.first(b"sRGB") is not None or gamma is None or len(gamma) != 4:
        return None
    exponent = int.from_bytes(gamma, "big") / 100_000
    primaries = _primaries(points) if points and len(points) == 32 else SRGB_PRIMARIES
    if not 0.1 <= exponent <= 10 or primaries is None:
        return None
    return profile_of_gamma(exponent, primaries)


def _primaries(points: bytes) -> Primaries | None:
    """The chunk states white first; None for points that no light has."""
    x = np.frombuffer(points, ">u4").reshape(4, 2) / 100_000
    if (x[:, 1] < 0.01).any() or (x > 1).any() or abs(np.linalg.det(np.c_[x[1:], np.ones(3)])) < 1e-3:
        return None
    white, red, green, blue = ((float(a), float(b)) for a, b in x)
    return red, green, blue, white

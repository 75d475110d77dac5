"""Images as they are worked on: in memory, or, if they are large, in strips that a decoder process hands out."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from service.media.decoder_pool import DecoderPool
from service.media.image_reader import ImageHeader, ReadPlan
from service.media.image_reduce import Pixels, reduce_strips, strip_rows


class Colors(Protocol):
    """Converts [H, W, 3] of 8 bits between sRGB and an image's own colors."""

    def to_srgb(self, pixels: Pixels) -> Pixels: ...

    def from_srgb(self, pixels: Pixels) -> Pixels: ...


class Source(Protocol):
    """An image that is read in strips, as often as it is needed. size: (height, width)."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        ...

    @property
    def full_scale(self) -> int:
        """The largest value: 255 or 65535."""
        ...

    @property
    def colors(self) -> "Colors | None":
        """How its colors are converted; None for sRGB."""
        ...

    def small(self, longest_side: int) -> Pixels:
        """[h, w, 3]: the colors that are seen, reduced to that side."""
        ...

    def strips(self) -> Iterator[Pixels]:
        """[rows, W, 3], or 4 with alpha, from the top."""
        ...


@dataclass(frozen=True)
class HeldSource:
    """An image in memory: [H, W, 3], or 4 with alpha."""

    pixels: Pixels
    colors: "Colors | None" = None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @property
    def full_scale(self) -> int:
        """The largest value."""
        return int(np.iinfo(self.pixels.dtype).max)

    def small(self, longest_side: int) -> Pixels:
        """[h, w, 3]."""
        return reduce_strips([self.pixels], self.size[::-1], longest_side)

    def strips(self) -> Iterator[Pixels]:
        """Views of it."""
        rows = strip_rows(self.size[1])
        for top in range(0, self.size[0], rows):
            yield self.pixels[top : top + rows]


@dataclass(frozen=True)
class ReadSource:
    """An image that is decoded anew, in another process, whenever its strips are asked for.

    reduced: [h, w, 3], its longer side as the plan says.
    """

    decoder_pool: DecoderPool
    path: Path
    plan: ReadPlan
    header: ImageHeader
    reduced: Pixels
    colors: "Colors | None" = None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.header.height, self.header.width

    @property
    def full_scale(self) -> int:
        """The largest value."""
        return (1 << self.header.bits) - 1

    def small(self, longest_side: int) -> Pixels:
        """[h, w, 3]; only of the side that it was read with."""
        if longest_side != self.plan.model_side:
            raise ValueError(f"the image was reduced to {self.plan.model_side}, not {longest_side}")
        return self.reduced

    def strips(self) -> Iterator[Pixels]:
        """[rows, W, 3 or 4]."""
        yield from self.decoder_pool.read_strips(self.path, self.plan)


@dataclass(frozen=True)
class ProfileColors:
    """The colors of an ICC profile; a foreign one, so another process computes with it."""

    decoder_pool: DecoderPool
    profile: bytes

    def to_srgb(self, pixels: Pixels) -> Pixels:
        """[H, W, 3] of 8 bits, both."""
        return self.decoder_pool.convert_colors(pixels, self.profile, to_srgb=True)

    def from_srgb(self, pixels: Pixels) -> Pixels:
        """[H, W, 3] of 8 bits, both."""
        return self.decoder_pool.convert_colors(pixels, self.profile, to_srgb=False)


def read_source(decoder_pool: DecoderPool, path: Path, plan: ReadPlan) -> tuple[ImageHeader, Source]:
    """Open an image. Raises what a bad file can raise."""
    header, pixels = decoder_pool.read_image(path, plan)
    colors = None if header.tags.profile is None else ProfileColors(decoder_pool, header.tags.profile)
    if header.is_held:
        return header, HeldSource(pixels, colors)
    return header, ReadSource(decoder_pool, path, plan, header, pixels, colors)

"""How a video's frames are stored and shown: size, rotation, pixel aspect and colors, for the source and the result."""

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Final, Literal

import numpy as np
from av.video.reformatter import Interpolation

Hdr = Literal["hlg", "pq"]

FULL_RANGE: Final = 2  # libavutil's numbers, also those that libswscale is given
LIMITED_RANGE: Final = 1
ITU709: Final = 1
ITU601: Final = 5
BT2020: Final = 9
_BT2020_MATRICES: Final = {9, 10}
_RGB: Final = 0
_UNSPECIFIED_MATRICES: Final = {_RGB, 2}
_HD_ROWS: Final = 720  # a video that does not name its matrix has BT.709 from here on, BT.601 below
_HDR_TRANSFERS: Final[dict[int, Hdr]] = {16: "pq", 18: "hlg"}  # SMPTE ST 2084, ARIB STD-B67
# without these two libswscale darkens everything by one level on the way there and back
_EXACT: Final = Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
SAME_SIZE: Final = int(Interpolation.BILINEAR | _EXACT)
OTHER_SIZE: Final = int(Interpolation.BICUBIC | _EXACT)
# to 16 bits, FULL_CHR_H_INT turns chroma into other colors
SIXTEEN_BITS: Final = int(Interpolation.BICUBIC | Interpolation.ACCURATE_RND)


@dataclass(frozen=True)
class VideoFormat:
    """How the stored frames are to be shown: kept from the video to its result.

    display_matrix: the nine numbers of MP4's rotation, None if upright. quarter_turns: anticlockwise turns that make a
    stored frame upright. The four color numbers are those of ITU-T H.273. interlaced: frames hold two fields each.
    transparent: there is alpha, which no result has.
    """

    width: int
    height: int
    pixel_aspect: Fraction | None
    display_matrix: tuple[int, ...] | None
    quarter_turns: int
    matrix: int
    full_range: bool
    primaries: int
    transfer: int
    bits: int
    fps: Fraction
    interlaced: bool = False
    transparent: bool = False

    @property
    def conversion(self) -> tuple[int, int]:
        """libswscale's numbers for matrix and range."""
        if self.matrix in _BT2020_MATRICES:
            matrix = BT2020
        elif self.matrix in _UNSPECIFIED_MATRICES:
            matrix = ITU709 if self.height >= _HD_ROWS else ITU601
        else:
            matrix = self.matrix
        return matrix, FULL_RANGE if self.full_range else LIMITED_RANGE

    @property
    def hdr(self) -> Hdr | None:
        """The transfer function of a high dynamic range, None if the range is standard."""
        return _HDR_TRANSFERS.get(self.transfer)

    def of_result(self) -> "VideoFormat":
        """The format of the result: progressive, 8 bits, and BT.709 instead of a high dynamic range."""
        result = replace(self, interlaced=False, bits=8, transparent=False)
        if self.matrix == _RGB:
            result = replace(result, matrix=self.conversion[0], full_range=False)
        if self.hdr is not None:
            result = replace(result, matrix=ITU709, primaries=ITU709, transfer=ITU709, full_range=False)
        return result


def format_of(frame: Any, stream: Any, interlaced: bool = False) -> VideoFormat:
    """The format of a decoded frame of that stream."""
    data = frame.side_data.get("DISPLAYMATRIX")
    aspect = stream.sample_aspect_ratio
    return VideoFormat(
        width=frame.width,
        height=frame.height,
        pixel_aspect=Fraction(aspect) if aspect else None,
        display_matrix=tuple(int(n) for n in np.frombuffer(bytes(data), np.int32)) if data is not None else None,
        quarter_turns=round(frame.rotation / 90) % 4,
        matrix=int(frame.colorspace),
        full_range=int(frame.color_range) == FULL_RANGE or frame.format.name.startswith("yuvj"),
        primaries=int(frame.color_primaries),
        transfer=int(frame.color_trc),
        bits=max(component.bits for component in frame.format.components),
        fps=Fraction(stream.average_rate or stream.guessed_rate or 25),
        interlaced=interlaced,
        # of VP8 and VP9 it lies beside the frames, which are decoded without
        transparent=any(part.is_alpha for part in frame.format.components) or stream.metadata.get("alpha_mode") == "1",
    )

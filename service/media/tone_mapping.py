"""Map frames of a high dynamic range (HLG or PQ, BT.2020) to standard range (BT.709).

The curve is the EETF of Report ITU-R BT.2390 from a 1,000 cd/m² display to the 203 cd/m² of reference white (BT.2408),
shown on a display of BT.1886. It works on the largest of R, G and B, so that hues stay; colors outside BT.709 are
clipped before it. `tone_map` defines the colors; frames go through a table of it, several times faster.
"""

from fractions import Fraction
from functools import cache
from typing import Any, Final

import av
import av.filter
import numpy as np
from numpy.typing import NDArray

from service.media.video_format import Hdr

FloatArray = NDArray[np.float32]

PEAK_NITS: Final = 1000.0  # of the display that HLG is meant for, and of most PQ masters
REFERENCE_WHITE_NITS: Final = 203.0
_CODES: Final = 65536
_TABLE_LEVEL: Final = 8  # 64 steps of each color
_TIME_BASE: Final = Fraction(1, 25)  # of frames that are not timed
_CURVE_STEPS: Final = 4096
_SDR_GAMMA: Final = 2.4
_HLG_GAMMA: Final = 1.2  # of the system, at 1,000 cd/m²
_HLG_LUMA: Final = np.array([0.2627, 0.6780, 0.0593], np.float32)  # BT.2020
_HLG_A, _HLG_B, _HLG_C = 0.17883277, 0.28466892, 0.55991073
_PQ_M1, _PQ_M2 = 2610 / 16384, 2523 / 4096 * 128
_PQ_C1, _PQ_C2, _PQ_C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_PQ_NITS: Final = 10_000.0
# linear light, BT.2020 -> BT.709 (Report ITU-R BT.2407)
_TO_BT709: Final = np.array(
    [[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349], [-0.018151, -0.100579, 1.118730]], np.float32
)


class ToneMapper:
    """Frames of one size and transfer function in, standard range out; libavfilter interpolates in a color table."""

    def __init__(self, width: int, height: int, transfer: Hdr) -> None:
        graph, side = av.filter.Graph(), _TABLE_LEVEL**3
        self._source = _input(graph, "frames", width, height)
        table = _input(graph, "table", side, side)
        lookup = graph.add("haldclut", "clut=first")
        self._sink = graph.add("buffersink")
        self._source.link_to(lookup, 0, 0)
        table.link_to(lookup, 0, 1)
        lookup.link_to(self._sink)
        graph.configure()
        colors = av.VideoFrame.from_ndarray(_table(transfer), format="rgb48le")
        colors.pts, colors.time_base = 0, _TIME_BASE
        table.push(colors)
        table.push(None)
        self._graph, self._frames = graph, 0

    def map(self, frame: Any) -> Any:
        """An RGB frame of 16 bits in BT.2020 -> one in BT.709."""
        frame.pts, frame.time_base = self._frames, _TIME_BASE
        self._frames += 1
        self._source.push(frame)
        return self._sink.pull()


def _input(graph: Any, name: str, width: int, height: int) -> Any:
    format = av.VideoFormat("rgb48le", width, height)
    return graph.add_buffer(width=width, height=height, format=format, name=name, time_base=_TIME_BASE)


@cache
def _table(transfer: Hdr) -> NDArray[np.uint16]:
    """`tone_map` of a grid of colors, as `haldclut` wants it: an image in which red runs fastest."""
    steps = np.rint(np.linspace(0, _CODES - 1, _TABLE_LEVEL**2)).astype(np.uint16)
    blue, green, red = np.meshgrid(steps, steps, steps, indexing="ij")
    grid = np.stack([red, green, blue], axis=-1).reshape(_TABLE_LEVEL**3, _TABLE_LEVEL**3, 3)
    return np.ascontiguousarray(tone_map(grid, transfer))


def tone_map(codes: NDArray[np.uint16], transfer: Hdr) -> NDArray[np.uint16]:
    """[H, W, 3] of 0..65535, R'G'B' of BT.2020 in that transfer function -> [H, W, 3] of BT.709."""
    nits = _linear(codes, transfer) @ _TO_BT709.T  # [H, W, 3]
    np.clip(nits, 0.0, PEAK_NITS, out=nits)
    curve, levels = _curves()
    brightest = nits.max(axis=2)
    # the steps are even in the square root of light, where the eye is about as exact everywhere
    ratio = curve[(np.sqrt(brightest / np.float32(PEAK_NITS)) * (_CURVE_STEPS - 1) + 0.5).astype(np.intp)]
    shown = nits * (ratio / np.float32(REFERENCE_WHITE_NITS))[:, :, None]
    mapped: NDArray[np.uint16] = levels[(np.sqrt(np.clip(shown, 0, 1)) * (_CODES - 1) + 0.5).astype(np.intp)]
    return mapped


def _linear(codes: NDArray[np.uint16], transfer: Hdr) -> FloatArray:
    """[H, W, 3] cd/m² on the display, BT.2020."""
    linear = _linear_table(transfer)[codes]
    if transfer == "hlg":  # the OOTF raises the luminance of the scene
        luma = np.maximum(linear @ _HLG_LUMA, np.float32(1e-6))
        linear *= (np.float32(PEAK_NITS) * luma ** np.float32(_HLG_GAMMA - 1))[:, :, None]
    return linear


@cache
def _linear_table(transfer: Hdr) -> FloatArray:
    """Light of each code: of the scene in 0..1 for HLG, cd/m² of the display for PQ."""
    signal = np.arange(_CODES) / (_CODES - 1)
    if transfer == "pq":
        return np.asarray(pq_to_nits(signal), np.float32)
    low, high = signal**2 / 3, (np.exp((signal - _HLG_C) / _HLG_A) + _HLG_B) / 12
    return np.where(signal <= 0.5, low, high).astype(np.float32)


@cache
def _curves() -> tuple[FloatArray, NDArray[np.uint16]]:
    """What light is multiplied by, over the square root of its share of the peak; codes over that of white's."""
    nits = PEAK_NITS * np.linspace(0, 1, _CURVE_STEPS) ** 2
    nits[0] = nits[1]
    ratio = (eetf_nits(nits) / nits).astype(np.float32)
    light = np.linspace(0, 1, _CODES) ** 2
    return ratio, np.rint((_CODES - 1) * light ** (1 / _SDR_GAMMA)).astype(np.uint16)


def eetf_nits(nits: NDArray[np.float64]) -> NDArray[np.float64]:
    """cd/m² up to PEAK_NITS -> up to REFERENCE_WHITE_NITS: BT.2390's curve, in PQ, with black at 0."""
    peak, white = nits_to_pq(np.array(PEAK_NITS)), nits_to_pq(np.array(REFERENCE_WHITE_NITS))
    given, most = nits_to_pq(nits) / peak, white / peak
    knee = 1.5 * most - 0.5
    t = np.clip((given - knee) / (1 - knee), 0, 1)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (-2 * t**3 + 3 * t**2) * most
    return pq_to_nits(np.where(given < knee, given, spline) * peak)


def pq_to_nits(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """PQ in 0..1 -> cd/m² (SMPTE ST 2084)."""
    power = np.asarray(signal, np.float64) ** (1 / _PQ_M2)
    light: NDArray[np.float64] = (np.maximum(power - _PQ_C1, 0) / (_PQ_C2 - _PQ_C3 * power)) ** (1 / _PQ_M1)
    return light * _PQ_NITS


def nits_to_pq(nits: NDArray[np.float64]) -> NDArray[np.float64]:
    """cd/m² -> PQ in 0..1."""
    power = (np.asarray(nits, np.float64) / _PQ_NITS) ** _PQ_M1
    signal: NDArray[np.float64] = ((_PQ_C1 + _PQ_C2 * power) / (1 + _PQ_C3 * power)) ** _PQ_M2
    return signal

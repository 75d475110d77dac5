"""Mix the channels of a sound down to mono: by its layout (ITU-R BS.775) to stereo, then by energy to one channel.

A plain mean loses 15.6 dB of a sound in the centre of 5.1, halves a stereo recording with one dead channel, and
cancels channels of opposite polarity. Here mono has the mean power of the live channels, frequency by frequency.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy import fft
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

_HALF_POWER: Final = 0.5**0.5
# Weight of each channel in left and right: fronts, centre and surrounds as in ITU-R BS.775 (table 2, downmix to 2/0),
# the others by the same rule (their own side, or both at half the power). The low-frequency effects are dropped.
_TO_STEREO: Final[dict[str, tuple[float, float]]] = {
    **dict.fromkeys(("FL", "DL", "FLC", "WL"), (1.0, 0.0)),
    **dict.fromkeys(("FR", "DR", "FRC", "WR"), (0.0, 1.0)),
    **dict.fromkeys(("SL", "BL", "TFL", "TBL", "TSL", "BFL", "SDL"), (_HALF_POWER, 0.0)),
    **dict.fromkeys(("SR", "BR", "TFR", "TBR", "TSR", "BFR", "SDR"), (0.0, _HALF_POWER)),
    "FC": (_HALF_POWER, _HALF_POWER),
    **dict.fromkeys(("BC", "TC", "TFC", "TBC", "BFC"), (0.5, 0.5)),
}
_LOW_FREQUENCY: Final = ("LFE", "LFE2")
_LIKELY_NAMES: Final[dict[int, tuple[str, ...]]] = {  # of channels that a file does not name, in the order of WAV
    2: ("FL", "FR"),
    5: ("FL", "FR", "FC", "SL", "SR"),
    6: ("FL", "FR", "FC", "LFE", "SL", "SR"),
    8: ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR"),
}
_DEAD_POWER: Final = 1e-4  # 40 dB below the loudest channel: a microphone that is not there
_FRAME_SECONDS: Final = 0.03
_PIECE_SECONDS: Final = 3.0
_FADE_SECONDS: Final = 0.1


def downmix_matrix(names: Sequence[str]) -> FloatArray:
    """[K, C] that takes channels with these names (FFmpeg's) to the K channels which `to_mono` joins.

    K is 2 for every layout of loudspeakers, 1 for mono and for ambisonics, and C where the places are not known.
    """
    count = len(names)
    if names[0] == "AMBI0":  # the omnidirectional component
        return np.eye(1, count, dtype=np.float32)
    if not any(name in _TO_STEREO for name in names):
        names = _LIKELY_NAMES.get(count, names)
    kept = [index for index, name in enumerate(names) if name not in _LOW_FREQUENCY] or list(range(count))
    if len(kept) == 1 or any(names[index] not in _TO_STEREO for index in kept):
        return np.eye(count, dtype=np.float32)[kept]
    matrix = np.zeros((2, count), np.float32)
    for index in kept:
        matrix[:, index] = _TO_STEREO[names[index]]
    return matrix


def downmix(channels: FloatArray, matrix: FloatArray) -> FloatArray:
    """[C, n] -> [K, n], by the matrix of `downmix_matrix`."""
    if np.array_equal(matrix, np.eye(len(channels))):
        return channels
    # not by BLAS, whose threads would wait, spinning, on cores that others need
    mixed: FloatArray = np.stack([_weighted(channels, row) for row in matrix])
    return mixed


def mean_power(channels: FloatArray) -> NDArray[np.float64]:
    """[K, n] -> [n]: what the power of `to_mono` follows, dead channels aside."""
    power: NDArray[np.float64] = np.square(channels, dtype=np.float64).mean(axis=0)
    return power


def to_mono(channels: FloatArray, sample_rate_hz: int) -> FloatArray:
    """[K, n] -> [n] with the mean power of the live channels at each frequency, so that nothing cancels.

    Equal channels give that channel. A channel 40 dB below the loudest is dead, and does not count.
    """
    power = np.square(channels, dtype=np.float64).mean(axis=1)
    live = channels[power > _DEAD_POWER * power.max()] if power.max() > 0 else channels[:1]
    if len(live) == 1 or all(np.array_equal(live[0], other) for other in live[1:]):
        mono: FloatArray = live[0].astype(np.float32, copy=False)
        return mono
    length = max(16, 1 << int(np.ceil(np.log2(_FRAME_SECONDS * sample_rate_hz))))
    spectra = np.stack([_analyse(channel, length) for channel in live])  # [K, frames, bins]
    reference = spectra[int(np.argmax(power[power > _DEAD_POWER * power.max()]))]
    # one polarity for each frequency of a channel, for all the time: what turns on the way would be heard
    agreement = (spectra * reference.conj()).real.sum(axis=1)  # [K, bins]
    total = (spectra * np.where(agreement < 0, -1.0, 1.0)[:, None, :]).sum(axis=0)
    wanted = np.sqrt(np.square(np.abs(spectra)).mean(axis=0))
    size = np.abs(total)
    phase = np.divide(total, size, out=np.ones_like(total), where=size > 0)
    mono = _synthesise(wanted * phase, length, channels.shape[1])
    made = float(np.mean(np.square(mono, dtype=np.float64)))
    target = float(np.mean(np.square(live, dtype=np.float64)))
    return (mono * np.sqrt(target / made) if made > 0 else mono).astype(np.float32)


class MonoStream:
    """`to_mono` for a sound that comes in blocks: the same number of samples comes out, a few seconds later."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._rate = sample_rate_hz
        self._piece = round(_PIECE_SECONDS * sample_rate_hz)
        self._fade = round(_FADE_SECONDS * sample_rate_hz)
        self._waiting: list[FloatArray] = []
        self._count = 0
        self._tail = np.zeros(0, np.float32)  # the end of the last piece, to be faded into the next

    def push(self, channels: FloatArray) -> FloatArray:
        """Take [K, n], give [m]."""
        self._waiting.append(channels)
        self._count += channels.shape[1]
        if self._count < self._piece + self._fade:
            return np.zeros(0, np.float32)
        whole = np.concatenate(self._waiting, axis=1)
        made = []
        while whole.shape[1] >= self._piece + self._fade:
            mono = self._faded(to_mono(whole[:, : self._piece], self._rate))
            made.append(mono[: -self._fade])
            self._tail = mono[-self._fade :]
            whole = whole[:, self._piece - self._fade :]
        self._waiting, self._count = [whole], whole.shape[1]
        return np.concatenate(made)

    def finish(self) -> FloatArray:
        """What is left, [m]."""
        if not self._count:
            return np.zeros(0, np.float32)
        return self._faded(to_mono(np.concatenate(self._waiting, axis=1), self._rate))

    def _faded(self, mono: FloatArray) -> FloatArray:
        count = len(self._tail)
        if not count:
            return mono
        rise = np.linspace(0, 1, count, dtype=np.float32)
        if float(np.dot(self._tail, mono[:count])) < 0:
            mono = -mono  # another channel has become the loudest, with the opposite polarity
        return np.concatenate([(1 - rise) * self._tail + rise * mono[:count], mono[count:]])


def mono_blocks(blocks: Iterator[FloatArray], names: Sequence[str], sample_rate_hz: int) -> Iterator[FloatArray]:
    """Blocks [C, n] of a sound whose channels have these names -> the same sound in mono, [m] each."""
    matrix, stream = downmix_matrix(names), MonoStream(sample_rate_hz)
    for block in blocks:
        if len(mono := stream.push(downmix(block, matrix))):
            yield mono
    if len(mono := stream.finish()):
        yield mono


def _weighted(channels: FloatArray, weights: FloatArray) -> FloatArray:
    total: FloatArray = np.zeros(channels.shape[1], np.float32)
    for channel, weight in zip(channels, weights, strict=True):
        if weight == 1:
            total += channel
        elif weight != 0:
            total += weight * channel
    return total


def _window(length: int) -> FloatArray:
    """Square root of a periodic Hann window: applied twice at half its length, it sums to 1."""
    return np.sin(np.pi * np.arange(length) / length).astype(np.float32)


def _analyse(samples: FloatArray, length: int) -> NDArray[np.complex64]:
    """[n] -> [frames, bins], overlapping by half; the ends are padded with silence."""
    hop = length // 2
    frames = -(-len(samples) // hop) + 1
    padded = np.pad(samples, (hop, frames * hop - len(samples)))
    pieces = np.lib.stride_tricks.sliding_window_view(padded, length)[::hop][:frames]
    spectra = fft.rfft(pieces * _window(length), axis=1).astype(np.complex64, copy=False)
    return spectra


def _synthesise(spectra: NDArray[np.complex64], length: int, count: int) -> FloatArray:
    """[frames, bins] -> [count]."""
    hop = length // 2
    pieces = fft.irfft(spectra, length, axis=1) * _window(length)
    samples = np.zeros((len(pieces) + 1) * hop, np.float32)
    samples[: len(pieces) * hop] += pieces[:, :hop].reshape(-1)
    samples[hop:] += pieces[:, hop:].reshape(-1)
    return samples[hop : hop + count]

"""Each sample of a soundtrack is at its time: gaps are filled, overlaps cut, and jitter is left alone."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from service.media.limits import MediaLimits
from service.media.soundtrack_reader import SoundtrackReader

LIMITS = MediaLimits()
RATE, SAMPLES = 48_000, 960  # of a packet: 20 ms


def write_packets(path: Path, starts_ms: list[float]) -> Path:
    """A Matroska file with 16-bit packets of 20 ms at those times; the value of each sample is its packet's number."""
    with av.open(str(path), "w", format="matroska") as output:
        stream: Any = output.add_stream("pcm_s16le", rate=RATE, layout="mono")
        output.start_encoding()
        for number, start in enumerate(starts_ms):
            packet = av.Packet(np.full(SAMPLES, number + 1, np.int16).tobytes())
            packet.stream, packet.time_base = stream, Fraction(1, 1000)
            packet.pts = packet.dts = round(start)
            packet.duration = 20
            output.mux(packet)
    return path


def samples_of(path: Path) -> NDArray[np.int64]:
    with SoundtrackReader(path, LIMITS) as reader:
        sound = np.concatenate(list(reader.blocks()), axis=1)
    return np.rint(sound[0] * 2**15).astype(np.int64)


def begins(samples: NDArray[np.int64]) -> list[int]:
    """When each packet's first sample is heard, in samples; silence counts as none."""
    return [int(np.argmax(samples == number)) for number in range(1, int(samples.max()) + 1)]


def test_even_packets_follow_each_other(tmp_path: Path) -> None:
    path = write_packets(tmp_path / "a.mkv", [20 * number for number in range(20)])
    assert begins(samples_of(path)) == [SAMPLES * number for number in range(20)]


def test_times_that_jitter_change_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    times = [0.0, *(20 * number + float(rng.uniform(-9, 9)) for number in range(1, 40))]
    assert begins(samples_of(write_packets(tmp_path / "a.mkv", times))) == [SAMPLES * number for number in range(40)]


@pytest.mark.parametrize("gap_ms", [12, 30, 200, 3000])
def test_a_gap_that_stays_is_filled_with_silence(gap_ms: int, tmp_path: Path) -> None:
    times = [20 * number + (gap_ms if number >= 15 else 0) for number in range(40)]
    samples = samples_of(write_packets(tmp_path / "a.mkv", times))
    shift = gap_ms * RATE // 1000
    assert begins(samples) == [SAMPLES * number + (shift if number >= 15 else 0) for number in range(40)]
    assert int((samples == 0).sum()) == shift


@pytest.mark.parametrize("overlap_ms", [5, 18])
def test_an_overlap_that_stays_is_cut(overlap_ms: int, tmp_path: Path) -> None:
    times = [20 * number - (overlap_ms if number >= 15 else 0) for number in range(40)]
    samples = samples_of(write_packets(tmp_path / "a.mkv", times))
    assert len(samples) == 40 * SAMPLES - overlap_ms * RATE // 1000
    assert int(np.argmax(samples == 30)) == 29 * SAMPLES - overlap_ms * RATE // 1000

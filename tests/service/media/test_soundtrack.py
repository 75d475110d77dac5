"""The soundtrack's loudness is edited sample by sample, and a boost never clips."""

from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from service.errors import MediaError
from service.media.audio_writer import AudioWriter
from service.media.limits import MediaLimits
from service.media.soundtrack import (
    CEILING_DBTP,
    GainCurve,
    Limiter,
    PeakMeter,
    with_second,
)
from service.media.soundtrack_reader import SoundtrackReader, TrackForm, read_frame, silent_blocks
from service.media.video_file import Container
from tests.support.video import Clip, noise_track, write_video

RATE = 48_000
FORM = TrackForm(RATE, 2, 0.0, "aac", 0)


def in_blocks(sound: NDArray[np.float32], samples: int = RATE) -> Iterator[NDArray[np.float32]]:
    for begin in range(0, sound.shape[1], samples):
        yield sound[:, begin : begin + samples]


def tone(seconds: float, amplitude: float, hertz: float = 440.0) -> NDArray[np.float32]:
    wave = amplitude * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)
    return np.stack([wave, wave]).astype(np.float32)


def test_a_curve_is_linear_between_its_points_and_held_at_its_ends() -> None:
    curve = GainCurve(((1.0, -10.0), (2.0, 10.0)))
    assert curve.gain_db(np.array([0.0, 1.0, 1.5, 2.0, 9.0])).tolist() == [-10, -10, 0, 10, 10]
    assert not curve.is_neutral
    assert curve.boosts
    assert GainCurve(((0.0, 0.0), (5.0, 0.0))).is_neutral
    assert not GainCurve(((0.0, -3.0),)).boosts


def test_blocks_are_made_louder_by_their_own_time() -> None:
    flat = np.full((2, RATE), 0.1, np.float32)
    made = GainCurve(((0.0, 0.0), (10.0, 20.0))).apply(flat, 5.0, RATE)
    assert made[:, 0] == pytest.approx(0.1 * 10**0.5, rel=1e-4)
    assert made[:, -1] == pytest.approx(0.1 * 10 ** (12 / 20), rel=1e-3)


@pytest.mark.parametrize("amplitude", [1.5, 8.0])
def test_a_boost_never_passes_the_ceiling(amplitude: float) -> None:
    sound = tone(2.0, amplitude)
    limited = np.concatenate(list(Limiter(FORM).blocks(in_blocks(sound))), axis=1)
    meter = PeakMeter(FORM)
    for block in in_blocks(limited):
        meter.push(block)
    assert limited.shape == sound.shape
    assert 20 * np.log10(meter.peak) <= CEILING_DBTP + 0.05
    assert np.sqrt(np.mean(limited[:, RATE:] ** 2)) > 0.5  # it is held down, not muted


def test_noise_far_over_full_scale_stays_below_it() -> None:
    sound = noise_track(2.0, rms=0.2) * 10
    limited = np.concatenate(list(Limiter(FORM).blocks(in_blocks(sound, 10_000))), axis=1)
    assert np.abs(limited).max() < 1.0


def test_what_is_not_loud_passes_the_limiter_in_step() -> None:
    sound = tone(2.0, 0.1)
    limited = np.concatenate(list(Limiter(FORM).blocks(in_blocks(sound))), axis=1)
    assert np.abs(limited[:, 1000:-1000] - sound[:, 1000:-1000]).max() < 2e-3


def test_a_true_peak_lies_between_the_samples() -> None:
    phase = np.pi / 4  # samples at 45 degrees of a tone of a quarter of the rate: 3 dB below its true peak
    wave = np.sin(np.pi / 2 * np.arange(RATE) + phase).astype(np.float32)
    meter = PeakMeter(TrackForm(RATE, 1, 0.0, "", 0))
    meter.push(wave[None])
    assert np.abs(wave).max() == pytest.approx(0.707, abs=0.01)
    assert meter.peak == pytest.approx(1.0, abs=0.1)


def test_a_second_sound_is_repeated_to_the_end_and_reaches_the_front_channels() -> None:
    form = TrackForm(RATE, 6, 0.0, "", 0)
    second = np.arange(30_000, dtype=np.float32) / np.float32(30_000)
    pairs = list(with_second(silent_blocks(form, 2.0), cycle([second]), -6.0206))
    given, beside = (np.concatenate([pair[which] for pair in pairs], axis=1) for which in (0, 1))
    assert given.shape == beside.shape == (6, 2 * RATE)
    assert np.allclose(beside[0], 0.5 * np.resize(second, 2 * RATE), atol=1e-4)
    assert np.array_equal(beside[0], beside[1])
    assert not beside[2:].any()
    assert not given.any()


def test_the_track_is_read_at_its_own_rate_and_level(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", Clip(layout="mono", sample_rate_hz=44_100), noise_track(2.0, 0.1, 1, 44_100))
    with SoundtrackReader(path, MediaLimits()) as reader:
        sound = np.concatenate(list(reader.blocks()), axis=1)
    assert (reader.form.sample_rate_hz, reader.form.channels, reader.form.codec) == (44_100, 1, "aac")
    assert sound.shape[1] == pytest.approx(2 * 44_100, abs=1024)
    assert np.sqrt(np.mean(sound**2)) == pytest.approx(0.1, rel=0.2)  # AAC thins noise out


def test_a_gap_in_the_track_is_silence_of_its_length(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "a.mkv", Clip(frames=30, audio_codec="libopus"), noise_track(3.0))
    gapped = tmp_path / "b.mkv"
    with av.open(str(whole)) as source, av.open(str(gapped), "w", format="matroska") as target:
        streams = [target.add_stream_from_template(stream) for stream in source.streams]
        for packet in source.demux():
            if not packet.size or (packet.stream.type == "audio" and 1.0 <= float(packet.pts * packet.time_base) < 2.0):
                continue
            packet.stream = streams[packet.stream.index]
            target.mux(packet)
    lengths = []
    for path in (whole, gapped):
        with SoundtrackReader(path, MediaLimits()) as reader:
            sound = np.concatenate(list(reader.blocks()), axis=1)
        lengths.append(sound.shape[1])
    assert lengths[1] == pytest.approx(lengths[0], abs=2000)
    assert np.abs(sound[:, int(1.2 * RATE) : int(1.8 * RATE)]).max() < 1e-3


def write_stretched(folder: Path, each_seconds: float) -> Path:
    """Three seconds of sound, each of whose packets claims to begin so much later after the one before."""
    whole = write_video(folder / "whole.mkv", Clip(frames=30, audio_codec="libopus"), noise_track(3.0))
    path = folder / "stretched.mkv"
    with av.open(str(whole)) as source, av.open(str(path), "w", format="matroska") as target:
        stream = target.add_stream_from_template(source.streams.audio[0])
        late = 0.0
        for packet in source.demux(source.streams.audio[0]):
            if packet.size:
                ticks = round(late / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts + ticks, packet.dts + ticks, stream
                target.mux(packet)
                late += each_seconds
    return path


def test_a_long_gap_is_given_in_blocks_like_all_else(tmp_path: Path) -> None:
    with SoundtrackReader(write_stretched(tmp_path, 20.0), MediaLimits()) as reader:
        lengths = [block.shape[1] for block in reader.blocks()]
    assert max(lengths) <= 2 * RATE
    assert sum(lengths) > 1000 * RATE


def test_foreign_times_ask_for_no_more_silence_than_a_video_may_last(tmp_path: Path) -> None:
    limits = MediaLimits(max_video_seconds=30.0)
    with SoundtrackReader(write_stretched(tmp_path, 20.0), limits) as reader:
        seconds = sum(block.shape[1] for block in reader.blocks()) / RATE
    assert 20 < seconds < 30 + 3.1


def test_places_that_no_encoder_has_are_refused_in_words(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", Clip(audio_codec="flac", layout="7.1(wide)"), noise_track(2.0, channels=8))
    with (
        pytest.raises(MediaError, match=r"8 channels \(7.1\(wide\)\); mix it down"),
        SoundtrackReader(path, MediaLimits()),
    ):
        pass


@pytest.mark.parametrize(
    ("layout", "made", "rows"),
    [
        ("2.1", "5.1", [[0], [1], [3]]), ("quad", "5.0", [[0], [1], [3], [4]]), ("3.1", "5.1", [[0], [1], [2], [3]]),
        ("5.1(side)", "5.1", [[0], [1], [2], [3], [4], [5]]), ("4.1", "5.1", [[0], [1], [2], [3], [4, 5]]),
        ("6.1", "7.1", [[0], [1], [2], [3], [4, 5], [6], [7]]), ("4.0", "4.0", [[0], [1], [2], [3]]),
    ],
)  # fmt: skip
def test_every_channel_is_heard_from_its_own_place(
    layout: str, made: str, rows: list[list[int]], tmp_path: Path
) -> None:
    """By its name: of 2.1 the low-frequency effects are not the centre, nor the rear corners of quad."""
    sound = np.zeros((len(rows), len(rows) * RATE // 10), np.float32)
    for channel in range(len(rows)):
        sound[channel, channel * RATE // 10 : (channel + 1) * RATE // 10] = tone(0.1, 0.4)[0]
    path = write_video(tmp_path / "a.mkv", Clip(frames=9, audio_codec="flac", layout=layout), sound)
    with SoundtrackReader(path, MediaLimits()) as reader:
        heard = np.concatenate(list(reader.blocks()), axis=1)
    assert (reader.form.layout, reader.form.channels) == (made, len(heard))
    power = np.square(heard[:, : sound.shape[1]]).reshape(len(heard), len(rows), -1).mean(axis=2)  # [rows, tenths]
    assert [np.flatnonzero(power[:, tenth] > 1e-6).tolist() for tenth in range(len(rows))] == rows
    np.testing.assert_allclose(power.sum(axis=0), power[0, 0], rtol=0.01)


@pytest.mark.parametrize("container", ["mp4", "webm"])
def test_eight_channels_stay_in_their_places(container: Container, tmp_path: Path) -> None:
    sound = np.zeros((8, 9 * RATE // 10), np.float32)
    for channel in range(8):
        begin = channel * RATE // 10
        sound[channel, begin : begin + RATE // 10] = tone(0.1, 0.3 + 0.2 * (channel % 2))[0]
    source = write_video(tmp_path / "a.mkv", Clip(frames=9, audio_codec="flac", layout="7.1"), sound)
    with SoundtrackReader(source, MediaLimits()) as reader:
        limited = Limiter(reader.form).blocks(GainCurve(((0.0, 12.0),)).apply(one, 0, RATE) for one in reader.blocks())
        with AudioWriter(tmp_path / f"a.{container}", container, reader.form) as writer:
            meter = PeakMeter(reader.form)
            for block in limited:
                meter.push(block)
                writer.write(block)
    assert 0.7 < meter.peak < 10 ** (CEILING_DBTP / 20)
    with av.open(str(tmp_path / f"a.{container}")) as made:
        assert made.streams.audio[0].layout.name == "7.1"
        resampler = av.AudioResampler("flt", "7.1", RATE)
        frames = [one for frame in made.decode(audio=0) for one in resampler.resample(frame)]
        heard = np.concatenate([read_frame(frame, 8) for frame in frames], axis=1)
    middles = [(channel * 2 + 1) * RATE // 20 for channel in range(8)]
    loudest = [int(np.abs(heard[:, at - 1200 : at + 1200]).max(axis=1).argmax()) for at in middles]
    assert loudest == list(range(8))

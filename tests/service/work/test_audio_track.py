"""What drives a video is the loudness and the kind of its sound around each moment."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from service.media.soundtrack_reader import TrackForm
from service.model.bundle import load_bundle
from service.model.engine import Engine
from service.work.audio_track import HOP_SECONDS, AudioTrack, AudioTrackEncoder
from tests.support.media import make_noise, make_tone
from tests.support.tiny_bundle import write_tiny_bundle

RATE = 48_000


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine(load_bundle(write_tiny_bundle(tmp_path_factory.mktemp("models") / "tiny")))


def hear(engine: Engine, sound: NDArray[np.float32], start: float = 0.0, block: int = RATE) -> AudioTrack:
    listener = AudioTrackEncoder(engine, TrackForm(RATE, 1, start, "", 0))
    for begin in range(0, len(sound), block):
        listener.push(sound[None, begin : begin + block])
    return listener.finish()


def steps(*levels: float, seconds: float = 4.0) -> NDArray[np.float32]:
    """Noise that is `seconds` long at each of the levels."""
    return np.concatenate([make_noise(seconds, level, sample_rate_hz=RATE) for level in levels])


def test_there_is_a_window_for_every_half_second(engine: Engine) -> None:
    track = hear(engine, steps(0.1, seconds=7.0))
    assert np.allclose(track.seconds, np.arange(0, 7.01, HOP_SECONDS))
    assert track.embeddings.shape == (15, engine.manifest.embedding_dim)
    assert hear(engine, steps(0.1), start=2.5).seconds[0] == 2.5


@pytest.mark.parametrize("seconds", [0.6, 1.4, 1.6, 2.9, 3.0, 3.1])
def test_a_short_sound_is_heard_to_its_end(engine: Engine, seconds: float) -> None:
    track = hear(engine, steps(0.1, seconds=seconds))
    assert np.allclose(track.seconds, np.arange(0, seconds + 0.01, HOP_SECONDS))
    assert track.loudness_dbfs == pytest.approx(
        np.full(len(track.seconds), -24.8), abs=1
    )  # two thirds of the band are gone


def test_blocks_of_any_size_make_the_same_track(engine: Engine) -> None:
    sound = steps(0.02, 0.2)
    whole, pieces = hear(engine, sound), hear(engine, sound, block=7001)
    assert np.allclose(whole.embeddings, pieces.embeddings, atol=1e-3)
    assert np.allclose(whole.loudness_dbfs, pieces.loudness_dbfs, atol=0.1)


def test_the_embedding_follows_the_loudness_in_step(engine: Engine) -> None:
    track = hear(engine, steps(0.005, 0.3, 0.005))
    lengths = np.linalg.norm(track.embedding_at(np.array([0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0]), 0.0), axis=1)
    assert int(np.argmax(lengths)) == 3
    assert lengths[0] < 0.5 * lengths[3]
    assert lengths[2] == pytest.approx(lengths[4], rel=0.2)
    assert track.heard.windows[0].start_seconds == pytest.approx(4.5, abs=1.1)


def test_between_two_windows_it_is_linear_and_smoothing_widens_it(engine: Engine) -> None:
    track = hear(engine, steps(0.005, 0.3))
    middle = track.embedding_at(np.array([4.25]), 0.0)[0]
    assert np.allclose(middle, (track.embeddings[8] + track.embeddings[9]) / 2, atol=1e-6)
    seconds = np.arange(0, 8, 0.1)
    sharp, smooth = (np.linalg.norm(track.embedding_at(seconds, width), axis=1) for width in (0.0, 4.0))
    assert np.abs(np.diff(smooth)).max() < 0.7 * np.abs(np.diff(sharp)).max()


def test_an_hour_is_not_kept(engine: Engine) -> None:
    listener = AudioTrackEncoder(engine, TrackForm(RATE, 1, 0.0, "", 0))
    for second in range(30):
        listener.push(make_noise(1.0, seed=second, sample_rate_hz=RATE)[None])
    kept = len(listener._kept)
    assert kept <= 2 * engine.manifest.clip_samples + engine.manifest.sample_rate_hz


def test_a_sum_whose_parts_are_heard_points_where_they_do_by_their_amplitudes(engine: Engine) -> None:
    first, second = make_noise(6.0, 0.05, sample_rate_hz=RATE), make_tone(6.0, 700.0, 0.1, RATE)
    form = TrackForm(RATE, 1, 0.0, "", 0)
    whole, *parts = (AudioTrackEncoder(engine, form) for _ in range(3))
    for listener, sound in zip((whole, *parts), (first + second, first, second), strict=True):
        listener.push(sound[None])
    track = whole.finish(parts)
    alone, one, other = hear(engine, first + second), hear(engine, first), hear(engine, second)
    amplitudes = [10 ** (each.loudness_dbfs / 20) for each in (one, other)]
    wanted = amplitudes[0][:, None] * one.embeddings + amplitudes[1][:, None] * other.embeddings
    lengths = np.linalg.norm(track.embeddings, axis=1)
    assert np.allclose(lengths, np.linalg.norm(alone.embeddings, axis=1), rtol=1e-4)
    assert np.allclose(
        track.embeddings / lengths[:, None], wanted / np.linalg.norm(wanted, axis=1, keepdims=True), atol=1e-4
    )
    assert np.allclose(track.loudness_dbfs, alone.loudness_dbfs)


def test_silence_is_reported(engine: Engine, tmp_path: Path) -> None:
    track = hear(engine, np.zeros(4 * RATE, np.float32))
    assert [warning.code for warning in track.heard.warnings] == ["silence"]
    assert np.linalg.norm(track.embeddings, axis=1).max() < 0.01


def test_channels_of_opposite_polarity_and_dead_ones_are_heard(engine: Engine) -> None:
    sound, silent = steps(0.1), np.zeros(4 * RATE, np.float32)
    alone = hear(engine, sound).loudness_dbfs.mean()
    for channels in ([sound, -sound], [sound, silent], [silent, sound]):
        track = AudioTrackEncoder(engine, TrackForm(RATE, 2, 0.0, "", 0))
        track.push(np.stack(channels))
        assert track.finish().loudness_dbfs.mean() == pytest.approx(alone, abs=0.2)


def test_what_is_in_the_center_of_surround_is_as_loud_as_in_stereo(engine: Engine) -> None:
    center = np.zeros((6, 4 * RATE), np.float32)
    center[2] = steps(0.1)
    surround, stereo = (AudioTrackEncoder(engine, TrackForm(RATE, count, 0.0, "", 0)) for count in (6, 2))
    surround.push(center)
    stereo.push(np.stack([center[2], center[2]]) * np.float32(0.5**0.5))
    assert surround.finish().loudness_dbfs.mean() == pytest.approx(stereo.finish().loudness_dbfs.mean(), abs=0.5)

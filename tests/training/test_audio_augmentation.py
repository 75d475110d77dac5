"""Augmented hearings: always a whole window at one level, whatever the recording is."""

from pathlib import Path

import numpy as np
import pytest

from tests.support.windows import pick_window
from training.data import audio_augmentation as augmentation
from training.data.sound_recordings import SoundRecipeError, read_recordings, source_of
from training.data.synthetic_sounds import synthetic_stranger

RATE, SAMPLES = 16_000, 48_000


def steps(seconds: float = 6.0) -> np.ndarray:
    """Two steps a second with digital silence in between."""
    rng = np.random.default_rng(0)
    wave = np.zeros(round(seconds * RATE), np.float32)
    for start in range(0, len(wave), RATE // 2):
        wave[start : start + 1600] = rng.standard_normal(len(wave[start : start + 1600])) * 0.3
    return wave


@pytest.mark.parametrize("length", [1, 800, SAMPLES - 1, SAMPLES, 7 * RATE])
def test_a_hearing_is_one_finite_window_at_minus_20_dbfs(length: int) -> None:
    recording = np.random.default_rng(1).standard_normal(length).astype(np.float32)
    for seed in range(12):
        window = augmentation.hear(recording, RATE, SAMPLES, np.random.default_rng(seed))
        assert window.shape == (SAMPLES,)
        assert window.dtype == np.float32
        assert np.isfinite(window).all()
        assert np.sqrt(np.mean(window**2)) == pytest.approx(0.1, rel=1e-3)


def test_the_same_seed_hears_the_same() -> None:
    first, again, other = (augmentation.hear(steps(), RATE, SAMPLES, np.random.default_rng(s)) for s in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_digital_silence_between_steps_mostly_gets_a_room_tone() -> None:
    depths = [
        augmentation.gap_depth_db(augmentation.hear(steps(), RATE, SAMPLES, np.random.default_rng(seed)), RATE)
        for seed in range(30)
    ]
    assert augmentation.gap_depth_db(steps(), RATE) > 100
    assert np.mean(np.asarray(depths) < 60) > 0.8


def test_digital_silence_stays_finite() -> None:
    window = augmentation.hear(np.zeros(SAMPLES, np.float32), RATE, SAMPLES, np.random.default_rng(0))
    assert np.isfinite(window).all()


def test_the_loudest_window_is_the_one_that_serving_chooses() -> None:
    recording = np.random.default_rng(2).standard_normal(5 * RATE).astype(np.float32)
    recording[20_000:60_000] *= 3
    served = pick_window(recording, SAMPLES, RATE).waveform
    assert np.array_equal(augmentation.loudest(recording, SAMPLES, 160), served)
    assert np.array_equal(
        augmentation.loudest(recording[:9000], SAMPLES, 160), pick_window(recording[:9000], SAMPLES, RATE).waveform
    )


def test_speed_moves_a_tone() -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(round(SAMPLES * 1.25)) / RATE).astype(np.float32)
    faster = augmentation.at_speed(tone, SAMPLES)
    assert np.abs(np.fft.rfft(faster)).argmax() / 3 == pytest.approx(1250, abs=1)


def test_reverberation_fills_the_gaps() -> None:
    rung = [augmentation.reverberate(steps(3), RATE, np.random.default_rng(seed)) for seed in range(8)]
    depths = [augmentation.gap_depth_db(one, RATE) for one in rung]
    assert np.mean(depths) < augmentation.gap_depth_db(steps(3), RATE) - 30  # a short one leaves some of them silent


def test_made_strangers_are_many_and_level() -> None:
    made = [synthetic_stranger(RATE, SAMPLES, np.random.default_rng(seed)) for seed in range(40)]
    assert {kind for kind, _ in made} == {"noise", "music", "city", "impacts"}
    assert all(np.sqrt(np.mean(wave**2)) == pytest.approx(0.1, rel=1e-3) for _, wave in made)


RECIPE = """
collections = ["esc10"]
same_source = { mtg = "minetest" }
[folders]
rain = "rain"
wind = "wind"
[files]
"wind/app-leaves.ogg" = "autumn"
[shares.wind]
wind = 0.5
autumn = 0.5
[folds]
0 = ["app"]
1 = ["esc10-17", "minetest"]
"""


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    (tmp_path / "recipe.toml").write_text(RECIPE)
    for name in (
        "rain/esc10-17.ogg",
        "rain/app-rain.ogg",
        "rain/notes.txt",
        "wind/mtg-wind.ogg",
        "wind/app-leaves.ogg",
    ):
        (tmp_path / "sounds" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "sounds" / name).touch()
    return tmp_path


def test_recordings_have_the_kind_of_their_folder_or_file_and_the_fold_of_their_source(sounds: Path) -> None:
    found = read_recordings(sounds / "recipe.toml", sounds / "sounds")
    assert {(one.name, one.kind, one.source, one.fold) for one in found} == {
        ("rain/esc10-17.ogg", "rain", "esc10-17", 1),
        ("rain/app-rain.ogg", "rain", "app", 0),
        ("wind/mtg-wind.ogg", "wind", "minetest", 1),
        ("wind/app-leaves.ogg", "autumn", "app", 0),
    }
    assert {one.kind: dict(one.shares) for one in found}["wind"] == {"wind": 0.5, "autumn": 0.5}


def test_a_source_without_a_fold_is_refused(sounds: Path) -> None:
    (sounds / "sounds" / "rain" / "stranger-1.ogg").touch()
    with pytest.raises(SoundRecipeError, match="'stranger'"):
        read_recordings(sounds / "recipe.toml", sounds / "sounds")


@pytest.mark.parametrize("text", ["", "folders = 3\nfolds = 4", "[folders]\nrain = 'rain'\n[folds]\nx = ['a']", "]"])
def test_a_damaged_recipe_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "recipe.toml").write_text(text)
    with pytest.raises(SoundRecipeError):
        read_recordings(tmp_path / "recipe.toml", tmp_path)


def test_a_folder_without_known_recordings_is_refused(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(RECIPE)
    with pytest.raises(SoundRecipeError, match="no recording"):
        read_recordings(tmp_path / "recipe.toml", tmp_path)


def test_a_source_is_the_prefix_except_in_collections() -> None:
    assert source_of("rain/esc10-17.ogg", ["esc10"], {}) == "esc10-17"
    assert source_of("videos/one-two.mp4", ["videos"], {}) == "one-two"
    assert source_of("snow-steps/presence-snow-walk1.ogg", ["esc10"], {}) == "presence"

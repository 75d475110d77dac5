"""Draws are numbered: each is the same whenever and wherever it is drawn."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from training.config import AudioConfig, DataConfig, TrainingConfig
from training.data import media
from training.data.dataset import CoOccurrences, batches, crop_at
from training.data.index import PairingError, read_index, write_index
from training.presets import PRESETS

AUDIO = AudioConfig(clip_seconds=1.0)


def dataset(index: Path, **changes: object) -> CoOccurrences:
    return CoOccurrences(index, "train", dataclasses.replace(DataConfig(), **changes), AUDIO, seed=3)  # type: ignore[arg-type]


def test_a_draw_is_the_same_in_another_dataset(index: Path) -> None:
    first, second = dataset(index)[(17, 32)], dataset(index)[(17, 32)]
    for name in ("source", "target", "waveform"):
        assert torch.equal(first[name], second[name])


def test_another_draw_is_another(index: Path) -> None:
    first, second = dataset(index)[(17, 32)], dataset(index)[(18, 32)]
    assert not torch.equal(first["source"], second["source"])


def test_images_fill_the_crop_and_the_range(index: Path) -> None:
    drawn = dataset(index)[(0, 48)]
    assert drawn["source"].shape == drawn["target"].shape == (3, 48, 48)
    assert drawn["waveform"].shape == (16_000,)
    assert drawn["source"].min() >= -1
    assert drawn["source"].max() <= 1


def test_a_crop_larger_than_the_photograph_is_scaled_up(index: Path) -> None:
    assert dataset(index)[(0, 96)]["source"].shape == (3, 96, 96)


def test_the_level_is_kept_unless_one_is_asked_for(index: Path) -> None:
    kept = {round(media.rms_dbfs(dataset(index)[(draw, 16)]["waveform"])) for draw in range(12)}
    assert kept <= {-20, -17}  # noise of 0.1 RMS, a tone of amplitude 0.2
    levels = [media.rms_dbfs(dataset(index, loudness_dbfs=(-40.0, -14.0))[(n, 16)]["waveform"]) for n in range(24)]
    assert min(levels) >= -40.1
    assert max(levels) <= -13.9
    assert max(levels) - min(levels) > 15


def test_windows_stay_within_their_stretch(index: Path) -> None:
    pair = next(p for p in read_index(index, "train") if p.scene == "snow")  # 0 to 4 s of an 8 s recording
    assert pair.sound is not None
    whole = media.read_sound(pair.sound, 16_000)
    drawn = dataset(index)
    starts = []
    for seed in range(8):
        window = drawn.sound(pair, np.random.default_rng(seed))
        starts.append(find(window, whole))
    assert all(0 <= start <= 3 * 16_000 for start in starts)
    assert len(set(starts)) > 4


def find(window: torch.Tensor, whole: torch.Tensor) -> int:
    places = (whole[: len(whole) - len(window) + 1] == window[0]).nonzero().flatten().tolist()
    return next(p for p in places if torch.equal(whole[p : p + len(window)], window))


def test_sounds_of_every_scene_are_drawn_about_as_often(index: Path) -> None:
    pairs, waveforms = dataset(index).draw_sounds(150, 0)
    assert waveforms.shape == (150, 16_000)
    for scene in ("snow", "rain", "summer"):
        assert 30 < sum(p.scene == scene for p in pairs) < 70


def test_processes_share_each_batch(index: Path, smoke: TrainingConfig) -> None:
    data = dataset(index, crops=((0.0, 16),))
    alone = list(batches(data, 4, 0, 8))
    shares = [list(batches(data, 4, 0, 8, rank, 2)) for rank in range(2)]
    for number, whole in enumerate(alone):
        together = torch.cat([shares[0][number]["source"], shares[1][number]["source"]])
        assert torch.equal(together[[0, 2, 1, 3]], whole["source"])


def test_a_resumed_run_goes_on_with_the_next_images(index: Path) -> None:
    data = dataset(index, crops=((0.0, 16), (0.5, 24)))
    whole, rest = list(batches(data, 2, 0, 8)), list(batches(data, 2, 4, 8))
    assert [b["source"].shape[-1] for b in whole] == [16, 16, 24, 24]
    assert all(torch.equal(a["source"], b["source"]) for a, b in zip(whole[2:], rest, strict=True))


def test_crops_grow_as_scheduled() -> None:
    data = PRESETS["demo"].data
    assert crop_at(data, 0.0) == data.crops[0][1]
    assert crop_at(data, 1.0) == data.crops[-1][1]


def test_an_index_without_sounds_is_refused(index: Path, tmp_path: Path) -> None:
    write_index([p for p in read_index(index, "train") if p.sound is None], tmp_path / "mute.jsonl")
    with pytest.raises(PairingError, match="no pair with a sound"):
        dataset(tmp_path / "mute.jsonl")


def test_an_image_that_occurs_with_the_same_sound(index: Path) -> None:
    data = dataset(index)
    pair = data.pairs[0]
    drawn = {data.image_like(pair, draw) for draw in range(20)}
    assert drawn <= {p.image for p in data.pairs if p.sound == pair.sound}
    assert len(drawn) > 1


def test_red_is_held_back_where_the_recipe_says_so_and_nothing_else_is() -> None:
    tail_light, street_light, leaf = (255, 30, 20), (250, 200, 90), (40, 120, 30)
    pixels = np.array([[tail_light, street_light, leaf]], dtype=np.uint8)
    assert media.less_red(pixels, 0.1).tolist() == [[[56, 30, 20], [226, 200, 90], [40, 120, 30]]]
    assert media.less_red(pixels, 1.0) is pixels


def test_photographs_are_muted_only_beside_their_sounds(index: Path) -> None:
    pairs = [dataclasses.replace(p, max_red=0.0) for p in read_index(index, "train")]
    muted_index = index.with_name("muted.jsonl")
    write_index(pairs, muted_index)
    plain, muted = dataset(index)[(5, 32)], dataset(muted_index)[(5, 32)]
    assert torch.equal(plain["source"], muted["source"])
    red, others = muted["target"][0], muted["target"][1:].amax(dim=0)
    assert (red <= others + 1e-6).all()
    assert not torch.equal(plain["target"], muted["target"])


# Data as people have it


def test_a_bad_image_and_bad_audio_are_skipped_and_told(index: Path, tmp_path: Path) -> None:
    pairs = [p for p in read_index(index, "train") if p.sound is not None]
    (tmp_path / "bad.png").write_bytes(b"no image")
    (tmp_path / "bad.wav").write_bytes(b"no audio")
    bad = [
        dataclasses.replace(pairs[0], image=tmp_path / "bad.png", weight=0.5),
        dataclasses.replace(pairs[0], sound=tmp_path / "bad.wav", weight=0.5),
    ]
    write_index([*pairs, *bad], tmp_path / "index.jsonl")
    data = dataset(tmp_path / "index.jsonl")
    items = [data[(draw, 16)] for draw in range(30)]
    skipped = {name: reason for item in items for name, reason in item["skipped"].items()}
    assert {Path(name).name for name in skipped} == {"bad.png", "bad.wav"}
    assert all(name in reason for name, reason in skipped.items())
    _, waveforms = data.draw_sounds(40, 0)
    assert waveforms.shape == (40, 16_000)
    strict = dataset(tmp_path / "index.jsonl", strict=True)
    with pytest.raises(media.MediaError, match="bad"):
        [strict[(draw, 16)] for draw in range(30)]


def test_a_draw_after_a_skipped_one_is_the_same_wherever_it_is_drawn(index: Path, tmp_path: Path) -> None:
    pairs = [p for p in read_index(index, "train") if p.sound is not None]
    (tmp_path / "bad.png").write_bytes(b"no image")
    write_index([*pairs, dataclasses.replace(pairs[0], image=tmp_path / "bad.png", weight=1.0)], tmp_path / "i.jsonl")
    first, second = dataset(tmp_path / "i.jsonl"), dataset(tmp_path / "i.jsonl")
    second.skipped[tmp_path / "bad.png"] = "found before"
    for draw in range(12):
        assert torch.equal(first[(draw, 16)]["target"], second[(draw, 16)]["target"])


def test_an_index_whose_files_cannot_be_read_at_all_ends_the_run(index: Path, tmp_path: Path) -> None:
    pair = next(p for p in read_index(index, "train") if p.sound is not None)
    write_index([dataclasses.replace(pair, sound=tmp_path / "gone.wav")], tmp_path / "index.jsonl")
    with pytest.raises(media.MediaError, match=r"20 draws in a row .*gone\.wav"):
        dataset(tmp_path / "index.jsonl")[(0, 16)]


def test_an_index_that_is_older_than_its_audio_is_told_by_name(index: Path, tmp_path: Path) -> None:
    pair = next(p for p in read_index(index, "train") if p.sound is not None)
    write_index([dataclasses.replace(pair, start=600.0)], tmp_path / "index.jsonl")
    with pytest.raises(media.MediaError, match=r"\.(wav|ogg) lasts .* expects audio from 600.0 .*older than the file"):
        dataset(tmp_path / "index.jsonl", strict=True)[(0, 16)]

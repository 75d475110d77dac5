"""A run from a pack is the run from the index; a pack that cannot be used says why."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.media import make_noise, write_png, write_wav
from tests.training.conftest import photograph
from tests.training.test_trainer import all_same
from training import checkpoint
from training.__main__ import main
from training.config import AudioConfig, DataConfig
from training.data import media, pack_writer
from training.data.dataset import CoOccurrences, batches
from training.data.index import Pair, read_index, write_index
from training.data.pack import PackError, open_pack
from training.data.pack_writer import write_pack
from training.data.resident import ResidentCoOccurrences
from training.presets import PRESETS, with_settings
from training.start import Start
from training.trainer import train

AUDIO = AudioConfig(clip_seconds=1.0)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pack(index: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pack") / "world.pack"
    assert main(["pack", str(index), str(path)]) == 0
    return path


@pytest.mark.parametrize("split", ["train", "test"])
def test_it_holds_the_index_and_what_this_names(index: Path, pack: Path, split: str) -> None:
    packed, filed = read_index(pack, split), read_index(index, split)
    assert [dataclasses.replace(p, image=f.image, sound=f.sound) for p, f in zip(packed, filed, strict=True)] == filed
    for one, other in zip(packed, filed, strict=True):
        np.testing.assert_array_equal(media.read_image(one.image), media.read_image(other.image))
        if other.sound is not None and one.sound is not None:
            assert torch.equal(media.read_sound(one.sound, 16_000), media.read_sound(other.sound, 16_000))
    order = [path.name.partition("-")[2] for path in sorted({p.image for p in packed})]
    assert order == [path.name for path in sorted({p.image for p in filed})]


@pytest.mark.parametrize("preset", ["smoke", "smoke-scene"])
def test_a_run_from_it_equals_the_run_from_the_index(
    preset: str, index: Path, pack: Path, scene_audio: Path, tmp_path: Path
) -> None:
    config = with_settings(PRESETS[preset], ["images=4", "data.crops=[[0.0, 32]]", "sample_images=1000000"])
    start = Start(audio_weights=scene_audio if preset == "smoke-scene" else None)
    runs = [checkpoint.load(train(config, source, tmp_path / source.name, start)) for source in (index, pack)]
    all_same(*runs)


def test_loading_ahead_from_it_gives_the_same(index: Path, pack: Path) -> None:
    loaded = []
    for source, workers in ((index, 0), (pack, 2)):
        data = DataConfig(crops=((0.0, 32),), workers=workers)
        loaded.append(list(batches(CoOccurrences(source, "train", data, AUDIO, 3), 4, 0, 8)))
    for first, second in zip(*loaded, strict=True):
        assert torch.equal(first["source"], second["source"])
        assert torch.equal(first["waveform"], second["waveform"])


def test_it_needs_the_files_no_more(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    for number in range(2):
        write_png(tmp_path / "files" / f"{number}.png", photograph("snow", number))
    sound = write_wav(tmp_path / "files" / "a.wav", make_noise(2.0))
    pairs = [Pair(tmp_path / f"files/{n}.png", sound, 0.0, 2.0, "train", str(n), 1.0, "snow") for n in range(2)]
    write_index(pairs, tmp_path / "index.jsonl")
    write_pack(tmp_path / "index.jsonl", tmp_path / "a.pack", 16_000)
    shutil.rmtree(tmp_path / "files")
    moved = tmp_path / "elsewhere" / "b.pack"
    moved.parent.mkdir()
    (tmp_path / "a.pack").rename(moved)
    assert CoOccurrences(moved, "train", DataConfig(), AUDIO, 0)[(0, 32)]["waveform"].std() > 0.05


def test_an_unreadable_file_is_skipped_as_from_the_index(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        write_png(tmp_path / f"{number}.png", photograph("snow", number))
    (tmp_path / "1.png").write_bytes(b"no image")
    sound = write_wav(tmp_path / "a.wav", make_noise(2.0))
    pairs = [Pair(tmp_path / f"{n}.png", sound, 0.0, 2.0, "train", str(n), 1.0, "snow") for n in range(3)]
    write_index(pairs, tmp_path / "index.jsonl")
    assert main(["pack", str(tmp_path / "index.jsonl"), str(tmp_path / "a.pack")]) == 0
    assert "skipped in training: 0000001-1.png: " in capsys.readouterr().out
    filed, packed, resident = (
        CoOccurrences(tmp_path / "index.jsonl", "train", DataConfig(), AUDIO, 0),
        CoOccurrences(tmp_path / "a.pack", "train", DataConfig(), AUDIO, 0),
        ResidentCoOccurrences(tmp_path / "a.pack", "train", DataConfig(), AUDIO, 0, None, CPU),
    )
    for draw in range(8):
        first, second, third = filed[(draw, 32)], packed[(draw, 32)], resident[(draw, 32)]
        assert torch.equal(first["source"], second["source"])
        assert torch.equal(first["waveform"], third["waveform"])
    assert len(filed.skipped) == len(packed.skipped) == len(resident.skipped) == 1


class TestResident:
    """On the CPU, which is a device like another."""

    @pytest.mark.parametrize("crop", [24, 48, 96])
    def test_the_draws_are_those_from_the_index(self, index: Path, pack: Path, crop: int) -> None:
        changes = {"loudness_dbfs": (-30.0, -10.0), "source_sounds": True}
        data = dataclasses.replace(DataConfig(), **changes)
        filed = CoOccurrences(index, "train", data, AUDIO, 3)
        resident = ResidentCoOccurrences(pack, "train", data, AUDIO, 3, None, CPU)
        for draw in range(12):
            first, second = filed[(draw, crop)], resident[(draw, crop)]
            assert torch.equal(first["waveform"], second["waveform"])
            assert torch.equal(first["source_waveform"], second["source_waveform"])
            for name in ("source", "target"):
                assert first[name].shape == second[name].shape
                assert torch.corrcoef(torch.stack([first[name].flatten(), second[name].flatten()]))[0, 1] > 0.9
                # up to half a pixel beside it, in photographs with noise
                assert (first[name] - second[name]).abs().mean() < 0.06

    def test_a_whole_image_at_its_own_size_is_equal(self, pack: Path) -> None:
        data = DataConfig(zoom=(1.0, 1.0))
        filed = CoOccurrences(pack, "train", data, AUDIO, 3)
        resident = ResidentCoOccurrences(pack, "train", data, AUDIO, 3, None, CPU)
        for draw in range(6):  # crops of 64 px out of images of 64 rows
            assert (filed[(draw, 64)]["source"] - resident[(draw, 64)]["source"]).abs().max() < 1e-6

    def test_red_is_muted_alike(self, pack: Path) -> None:
        data = DataConfig(zoom=(1.0, 1.0))
        filed = CoOccurrences(pack, "train", data, AUDIO, 3)
        resident = ResidentCoOccurrences(pack, "train", data, AUDIO, 3, None, CPU)
        path = next(path for path in filed.images if "other" in path.name)
        for one in (filed, resident):
            one._max_red[path] = 0.1
        first, second = filed.view(path, 64, 0), resident.view(path, 64, 0)
        assert torch.equal(first, second)
        assert (first[0] - first[1:].amax(dim=0)).max() <= 2 * 0.1 + 1e-2

    def test_a_run_learns_from_it_and_goes_on_from_files(self, pack: Path, tmp_path: Path) -> None:
        settings = ["images=4", "data.crops=[[0.0, 32]]", "data.on_device=true", "data.workers=2"]
        train(with_settings(PRESETS["smoke"], settings), pack, tmp_path / "run")
        settings[0], settings[2] = "images=6", "data.on_device=false"
        path = train(with_settings(PRESETS["smoke"], settings), pack, tmp_path / "run", Start(force=True))
        assert checkpoint.load(path)["images_seen"] == 6


def test_levels_on_a_device_are_those_of_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The branch for GPUs, on a tensor that says it lies on one."""

    class Elsewhere(torch.Tensor):
        device = torch.device("cuda")

    waveform = 0.1 * torch.randn(1600, generator=torch.Generator().manual_seed(0))
    expected = media.at_level(waveform, -12.0)
    assert torch.allclose(media.at_level(waveform.as_subclass(Elsewhere), -12.0).as_subclass(torch.Tensor), expected)
    silence = torch.zeros(1600)
    assert not media.at_level(silence.as_subclass(Elsewhere), -12.0).any()


class TestBadPacks:
    def test_another_ending_is_refused(self, index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["pack", str(index), str(tmp_path / "world.pt")]) == 2
        assert r"must end in .pack" in capsys.readouterr().err

    def test_another_rate_is_told_how_to_be_had(self, pack: Path) -> None:
        audio = dataclasses.replace(AUDIO, sample_rate_hz=8000)
        with pytest.raises(PackError, match=r"audio at 16000 Hz, and 8000 are needed: pack .* --sample-rate 8000"):
            CoOccurrences(pack, "train", DataConfig(), audio, 0)[(0, 32)]

    @pytest.mark.parametrize("spoil", [b"", b"no pack", None])
    def test_a_damaged_file_is_refused(self, pack: Path, tmp_path: Path, spoil: bytes | None) -> None:
        path = tmp_path / "damaged.pack"
        path.write_bytes(pack.read_bytes()[:-2000] if spoil is None else spoil)
        with pytest.raises(PackError, match="is not a readable pack"):
            read_index(path, "train")

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"format": 2}, "has format 2, not 1"),
            ({"images": {"a.png": (0, 1 << 20, 1 << 20)}}, "ends before its images do"),
            ({"sounds": {"a.wav": (-5, 3)}}, "ends before its audio does"),
            ({"samples": torch.zeros(3, dtype=torch.float64)}, "or its samples no floats"),
        ],
    )
    def test_what_does_not_fit_together_is_refused(
        self, pack: Path, tmp_path: Path, change: dict[str, object], reason: str
    ) -> None:
        values = torch.load(pack, weights_only=True)
        torch.save({**values, **change}, tmp_path / "odd.pack")
        with pytest.raises(PackError, match=reason):
            open_pack(tmp_path / "odd.pack")

    def test_nothing_but_tensors_is_loaded(self, tmp_path: Path) -> None:
        torch.save({"format": 1, "pixels": Path("/etc/passwd")}, tmp_path / "evil.pack")
        with pytest.raises(PackError, match="is not a readable pack"):
            open_pack(tmp_path / "evil.pack")

    def test_more_than_fits_is_refused(self, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pack_writer, "MOST_BYTES", 100_000)
        with pytest.raises(PackError, match="decodes to more than"):
            write_pack(index, tmp_path / "a.pack", 16_000)
        assert not list(tmp_path.iterdir())

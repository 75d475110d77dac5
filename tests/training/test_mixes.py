"""A mix of two sounds lies between them: the goal of the sound tower, and how it is taught."""

from __future__ import annotations

import copy
import dataclasses
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from training import checkpoint
from training.__main__ import main
from training.config import PRESETS
from training.correspond import even_out_mixes
from training.dataset import CoOccurrences
from training.mixing import even_out_pictures, mix_losses
from training.networks.audio_encoder import AudioEncoder
from training.networks.correspondence import between
from training.stylizer import Stylizer


def test_a_direction_between_two_turns_evenly_with_the_weight() -> None:
    first, second = torch.tensor([[1.0, 0.0]]), torch.tensor([[math.cos(2.0), math.sin(2.0)]])
    for weight in (0.0, 0.25, 0.5, 1.0):
        middle = between(first, second, torch.tensor([[weight]]))
        angle = torch.acos((middle * first).sum().clamp(-1, 1)).item()
        assert angle == pytest.approx(2.0 * (1 - weight), abs=1e-3)
        assert middle.norm().item() == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_equal_and_opposite_directions_have_a_finite_one_between(sign: float) -> None:
    direction = F.normalize(torch.ones(1, 8), dim=1)
    assert between(direction, sign * direction, torch.tensor([[0.5]])).isfinite().all()


def test_mixes_are_evened_out_and_whole_sounds_stay(index: Path) -> None:
    smoke = PRESETS["smoke"]
    config = dataclasses.replace(
        smoke, correspondence=dataclasses.replace(smoke.correspondence, mix_steps=60, batch=8), bf16=False
    )
    torch.manual_seed(0)
    encoder = AudioEncoder(config.audio)
    dataset = CoOccurrences(index, "train", config.data, config.audio, 0)
    _, waves = dataset.draw_sounds(16, 7)
    with torch.no_grad():
        encoder.direction(waves)  # its norms get to know these sounds
    before = copy.deepcopy(encoder).eval()
    first, second = waves[:8], waves[8:]

    def off(taught: AudioEncoder) -> tuple[float, float]:
        """How far mixes lie from between, and whole sounds from where they were (1 - cosine)."""
        with torch.no_grad():
            goal = between(before.direction(first), before.direction(second), torch.full((8, 1), 0.5))
            mixed = (taught.direction((first + second) / 2) * goal).sum(dim=1)
            kept = (taught.direction(waves) * before.direction(waves)).sum(dim=1)
        return (1 - mixed.mean()).item(), (1 - kept.mean()).item()

    even_out_mixes(encoder, dataset, config, torch.device("cpu"))
    assert off(encoder)[0] < 0.9 * off(before)[0]
    assert off(encoder)[1] < 0.1
    assert not any(p.requires_grad for p in encoder.parameters())
    for name, buffer in encoder.named_buffers():
        assert torch.equal(buffer, before.get_buffer(name)), name


def test_a_mixs_picture_is_held_to_the_blend_and_a_whole_sounds_to_what_it_was() -> None:
    def weighed(content: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        return content * (embedding @ torch.tensor([[1.0], [3.0]]))[:, :, None, None]

    def twice(content: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        return 2 * weighed(content, embedding)

    content = torch.ones(1, 1, 2, 2)
    own, other = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 5.0]])
    for weight in (0.0, 0.25, 1.0):
        found = mix_losses(weighed, weighed, content, own, other, torch.tensor([[weight]]))
        assert found["kept"].item() == 0
        angle = weight * math.pi / 2  # from the other's direction
        picture, blend = 2 * (math.sin(angle) + 3 * math.cos(angle)), 2 * weight + 6 * (1 - weight)
        assert found["mix"].item() == pytest.approx(abs(picture - blend), abs=1e-2)
    assert mix_losses(twice, weighed, content, own, other, torch.ones(1, 1))["kept"].item() == pytest.approx(2.0)


def test_the_decoder_learns_and_the_rest_of_the_generator_stays(index: Path, finished_run: Path) -> None:
    model = Stylizer(finished_run)
    before = {name: values.clone() for name, values in model.average.state_dict().items()}
    dataset = CoOccurrences(index, "train", model.config.data, model.config.audio, 0)
    said = even_out_pictures(model.average, dataset, model.config, torch.device("cpu"), steps=3)
    assert set(said) == {"picture, kept", "picture, mix"}
    moved = {name for name, values in model.average.state_dict().items() if not torch.equal(values, before[name])}
    assert moved
    assert all(name.startswith("generator.decoder.") for name in moved)


def test_the_command_writes_a_checkpoint_that_ships(index: Path, finished_run: Path, tmp_path: Path) -> None:
    steps = ["--index", str(index), "--steps", "2"]
    assert main(["even-mixes", str(finished_run), str(tmp_path / "even.pt"), *steps]) == 0
    before, after = (checkpoint.load(path) for path in (finished_run, tmp_path / "even.pt"))
    assert "optimizers" not in after
    moved = {
        name.split(".")[0]
        for name, values in checkpoint.slim(before)["networks"].items()
        if not torch.equal(values, after["networks"][name])
    }
    assert moved == {"generator"}
    assert main(["even-mixes", str(tmp_path / "none.pt"), str(tmp_path / "x.pt"), *steps]) == 2

"""A mix of two sounds lies between them: the goal of the sound tower, and how it is taught."""

from __future__ import annotations

import copy
import dataclasses
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from training.config import PRESETS
from training.correspond import even_out_mixes
from training.dataset import CoOccurrences
from training.networks.audio_encoder import AudioEncoder
from training.networks.correspondence import between


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

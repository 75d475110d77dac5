"""A mix of two sounds lies between them: the goal of the sound tower, and how it is taught."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from tests.training.steps import adversarial_stage, shrunken
from training.data import media
from training.data.dataset import SKIPPED, CoOccurrences
from training.losses.contrastive import between
from training.models.own.audio_encoder import AudioEncoder
from training.stages.audio_visual_pretraining import MixPretraining, at_one_level, augmented
from training.stages.distill_interpolation import InterpolationDistillation, mix_losses
from training.stages.stage import Stage


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


def lesson(index: Path) -> MixPretraining:
    """Sixty steps, for an encoder whose norms know the clips, so that their directions differ."""
    stage = adversarial_stage(shrunken("smoke-own", "pretraining.mix_steps=60", "pretraining.batch=8"))
    run = stage.run
    run.dataset = CoOccurrences(index, "train", run.config.data, run.config.audio, 0)
    _, waves = run.dataset.draw_sounds(16, 7)
    run.networks.audio_encoder.train()
    with torch.no_grad():
        for _ in range(50):
            run.networks.audio_encoder.direction(waves)
    return MixPretraining(run)


def learn(stage: Stage) -> None:
    for number in range(stage.steps):
        stage.step(number, {}, number / stage.steps)
    stage.end()


def test_mixes_are_taught_and_whole_clips_stay(index: Path) -> None:
    stage = lesson(index)
    _, waves = stage.run.dataset.draw_sounds(16, 7)
    encoder, before = stage.encoder, copy.deepcopy(stage.encoder)
    first, second = waves[:8], waves[8:]

    def off(taught: AudioEncoder) -> tuple[float, float]:
        """How far mixes lie from between, and whole clips from where they were (1 - cosine)."""
        with torch.no_grad():
            goal = between(before.direction(first), before.direction(second), torch.full((8, 1), 0.5))
            mixed = (taught.direction((first + second) / 2) * goal).sum(dim=1)
            kept = (taught.direction(waves) * before.direction(waves)).sum(dim=1)
        return (1 - mixed.mean()).item(), (1 - kept.mean()).item()

    learn(stage)
    assert off(encoder)[0] < 0.9 * off(before)[0]
    assert off(encoder)[1] < 0.25
    assert not any(p.requires_grad for p in encoder.parameters())
    for name, buffer in encoder.named_buffers():
        assert torch.equal(buffer, before.get_buffer(name)), name


def test_another_microphone_changes_the_level_of_bands_and_not_of_the_whole() -> None:
    noise = torch.randn(64, 16_000, generator=torch.Generator().manual_seed(0))
    heard = augmented(noise, 16_000, torch.Generator().manual_seed(1))
    assert torch.equal(heard, augmented(noise, 16_000, torch.Generator().manual_seed(1)))
    levels = torch.tensor([media.rms_dbfs(wave) for wave in heard])
    assert ((levels + 20).abs() < 0.3).all()  # the noise adds the rest
    power = torch.fft.rfft(heard).abs().square()  # [B, a bin a hertz]
    lows, highs = 10 * torch.log10(power[:, 20:200].mean(1)), 10 * torch.log10(power[:, 6_000:].mean(1))
    middle = 10 * torch.log10(power[:, 1_500:3_000].mean(1))
    assert ((lows - middle) < -15).float().mean() > 0.15  # a small microphone hears no rumble
    assert ((highs - middle) < -10).float().mean() > 0.05


def test_a_clip_through_another_microphone_gets_the_direction_of_the_clip(index: Path) -> None:
    stage = lesson(index)
    waves = at_one_level(stage.run.dataset.draw_sounds(32, 7)[1])
    before = copy.deepcopy(stage.encoder)
    elsewhere = augmented(waves, stage.run.config.audio.sample_rate_hz, torch.Generator().manual_seed(3))

    def off(taught: AudioEncoder) -> float:
        with torch.no_grad():
            return 1 - (taught.direction(elsewhere) * before.direction(waves)).sum(dim=1).mean().item()

    learn(stage)
    assert off(stage.encoder) < 0.5 * off(before)


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


def test_the_decoder_of_the_average_learns_and_the_rest_stays(index: Path) -> None:
    stage = adversarial_stage(shrunken("smoke-own", "distillation_steps=3"))
    run = stage.run
    run.dataset = CoOccurrences(index, "train", run.config.data, run.config.audio, 0)
    distillation = InterpolationDistillation(run)
    before = {name: values.clone() for name, values in run.average.state_dict().items()}
    loader = distillation.batches(0, lambda step: 0.0)
    for number in range(3):
        batch = next(loader)
        batch.pop(SKIPPED)
        assert set(distillation.step(number, batch, number / 3)) == {"image, kept", "image, mix"}
    moved = {name for name, values in run.average.state_dict().items() if not torch.equal(values, before[name])}
    assert moved
    assert all(name.startswith("generator.decoder.") for name in moved)

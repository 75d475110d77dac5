"""A batch that is worked through in slices teaches what the whole batch does."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from tests.training.test_step import random_batch, shrunken
from training.config import TrainingConfig
from training.models.average import Average
from training.models.own.networks import Networks
from training.models.own.running_norm import running_norms
from training.presets import PRESETS
from training.stages.own.slices import among_all
from training.stages.own.step import make_optimizers, train_step

BATCH = 4
STEPS = 4  # the step in which every term is there: NCE, identity and mix need not be in every one


def gradients(
    config: TrainingConfig, slices: int
) -> tuple[dict[str, torch.Tensor], list[torch.Tensor], dict[str, float]]:
    """The gradients that one step leaves, the statistics of the norms, and what it says."""
    torch.manual_seed(0)
    networks = Networks(config).train()
    tell_apart(networks, random_batch(config, BATCH)["waveform"])
    sliced = dataclasses.replace(config, accumulate=slices)
    rng = torch.Generator().manual_seed(3)
    said = train_step(networks, make_optimizers(networks, sliced), random_batch(config, BATCH), sliced, STEPS, rng)
    found = {name: p.grad.clone() for name, p in networks.named_parameters() if p.grad is not None}
    statistics = [
        torch.stack([norm.mean, norm.variance, norm.steps.expand_as(norm.mean)]) for norm in running_norms(networks)
    ]
    return found, statistics, said


def tell_apart(networks: Networks, waveforms: torch.Tensor) -> None:
    """As drawn, a frozen encoder hears all sounds alike, and the mix's L1 would be the sign of rounding errors."""
    for module in networks.audio_encoder.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        networks.audio_encoder.train()(waveforms)
        networks.generator.decoder.head.weight.mul_(30)
    networks.train()


def all_terms(preset: str) -> TrainingConfig:
    """A preset in full precision, with every term that its networks allow, and a discriminator that sees mismatches."""
    config = shrunken(PRESETS[preset])
    losses = dataclasses.replace(config.losses, mask=0.1, mix=1.0, tone=1.0, correspondence=1.0)
    discriminator = dataclasses.replace(config.discriminator, mismatched_pairs=True, feature_noise=0.05)
    return dataclasses.replace(config, losses=losses, discriminator=discriminator, bf16=False, clip_gradient_norm=1e9)


@pytest.mark.parametrize(
    ("preset", "slices"),
    [
        *(("paper", 2), ("default", 2), ("default", 4), ("cycle", 2), ("late-fusion", 2), ("demo", 4)),
        *(("correspondence", 2), ("keyword", 2), ("adain", 2)),
    ],
)
def test_the_slices_gradients_add_up_to_the_batchs(preset: str, slices: int) -> None:
    config = all_terms(preset)
    (whole, statistics, said), (parts, statistics_of_parts, said_of_parts) = (
        gradients(config, number) for number in (1, slices)
    )
    assert whole.keys() == parts.keys()
    for network in {name.split(".")[0] for name in whole}:
        together = torch.cat([g.flatten() for name, g in whole.items() if name.split(".")[0] == network])
        summed = torch.cat([parts[name].flatten() for name in whole if name.split(".")[0] == network])
        # rounding: a generator's deep norms multiply it about 10,000 times
        assert (summed - together).norm() < (5e-3 if network == "generator" else 1e-4) * together.norm(), network
    for together, summed in zip(statistics, statistics_of_parts, strict=True):
        assert torch.allclose(together, summed, rtol=1e-3, atol=1e-5)
    norm, norm_of_parts = said.pop("gradient/generator"), said_of_parts.pop("gradient/generator")
    assert norm_of_parts == pytest.approx(norm, rel=1e-3)
    assert said_of_parts == pytest.approx(said, rel=1e-4, abs=1e-6)


def test_a_batch_that_does_not_divide_is_refused() -> None:
    config = dataclasses.replace(shrunken(PRESETS["smoke"]), accumulate=3)
    networks = Networks(config)
    with pytest.raises(ValueError, match="4 pictures cannot be worked through in 3 slices of equal size"):
        train_step(networks, make_optimizers(networks, config), random_batch(config, 4), config, 0, torch.Generator())


def test_norm_statistics_move_once_a_step() -> None:
    config = shrunken(PRESETS["scratch"])
    moved = []
    for slices in (1, 2):
        torch.manual_seed(0)
        networks = Networks(config).train()
        sliced = dataclasses.replace(config, accumulate=slices)
        train_step(networks, make_optimizers(networks, sliced), random_batch(config), sliced, 0, torch.Generator())
        moved.append(Average(networks, 0.0).audio_encoder.network.stem[1].running_var)
    assert torch.equal(*moved)


def test_slices_among_all_give_the_batchs_value_and_gradient() -> None:
    rows = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    torch.cdist(rows, rows).square().sum().backward()
    whole = rows.grad
    rows.grad = torch.zeros_like(rows)
    for first in (0, 2):
        everyone = among_all(rows, rows[first : first + 2], first)
        assert torch.allclose(everyone, rows)
        (torch.cdist(everyone, everyone).square().sum() / 2).backward()
    assert whole is not None
    assert rows.grad is not None
    assert torch.allclose(rows.grad, whole, rtol=1e-5)

"""One step of every preset learns, and slices of a batch teach what the whole batch does."""

from __future__ import annotations

import math

import pytest
import torch

from tests.training.steps import adversarial_stage, built, changed_parts, one_step, random_batch, shrunken
from training.losses.adversarial import lsgan
from training.models.average import Average
from training.models.paper import Discriminator
from training.presets import PRESETS

PAPERS = sorted(name for name, config in PRESETS.items() if config.kind == "paper")


@pytest.mark.parametrize("preset", PAPERS)
def test_a_step_of_the_paper_or_a_variant_moves_what_it_should(preset: str) -> None:
    config = shrunken(preset)
    before, after, said = one_step(config)
    assert all(map(math.isfinite, said.values()))
    assert all(torch.isfinite(p).all() for p in after.parameters())
    learned = {"generator", "discriminator"}
    learned |= {"projector"} if config.losses.nce else {"back_generator"}
    learned |= {"audio_encoder"} if config.condition.kind == "audio" else set()
    learned |= {"conditioner"} if config.condition.kind in ("keyword", "label") else set()
    assert changed_parts(before, after) == learned


def test_the_paper_uses_the_papers_losses_alone() -> None:
    _, _, said = one_step(shrunken("paper"))
    assert {name for name in said if name.startswith("generator/")} == {
        "generator/gan", "generator/nce", "generator/identity_nce",
    }  # fmt: skip


def test_a_step_is_the_same_again() -> None:
    (_, first, _), (_, second, _) = (one_step(shrunken("paper")) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_gradients_are_clipped() -> None:
    moved = []
    for bound in (1e-12, 1e6):  # far below Adam's epsilon a clipped gradient moves nothing
        before, after, _ = one_step(shrunken("paper", f"clip_gradient_norm={bound}"))
        pairs = zip(before.generator.parameters(), after.generator.parameters(), strict=True)
        moved.append(max((new - old).abs().max().item() for old, new in pairs))
    assert moved[0] < 0.01 * moved[1]


@pytest.mark.parametrize(
    ("preset", "slices"),
    [("paper", 2), ("paper", 4), ("cycle", 2), ("late-fusion", 2), ("keyword", 2), ("adain", 2)],
)
def test_the_slices_gradients_add_up_to_the_batchs(preset: str, slices: int) -> None:
    """Patches are drawn for each slice anew, so all of them are compared."""
    found, said = [], []
    for count in (1, slices):
        config = shrunken(preset, f"accumulate={count}", "losses.nce_patches=1024", "clip_gradient_norm=1e9")
        stage = adversarial_stage(config)
        with torch.no_grad():  # a decoder that draws something, so that no gradient is rounding alone
            stage.run.networks.generator.decoder.head.weight.mul_(30)
        said.append({k: v.item() for k, v in stage.step(1, random_batch(config, 4), 0.0).items()})
        found.append({k: p.grad.clone() for k, p in stage.run.networks.named_parameters() if p.grad is not None})
    whole, parts = found
    assert whole.keys() == parts.keys()
    for network in {name.split(".")[0] for name in whole}:
        together = torch.cat([g.flatten() for name, g in whole.items() if name.split(".")[0] == network])
        summed = torch.cat([parts[name].flatten() for name in whole if name.split(".")[0] == network])
        bound = 1e-4 if "discriminator" in network else 1e-2  # a generator's norms multiply rounding errors
        assert (summed - together).norm() < bound * together.norm(), network
    assert said[1] == pytest.approx(said[0], rel=1e-2, abs=1e-5)


def test_batch_norm_statistics_move_once_a_step_however_many_slices() -> None:
    moved = []
    for slices in (1, 2):
        _, after, _ = one_step(shrunken("paper", f"accumulate={slices}"))
        moved.append(after.audio_encoder.network.stem[1].running_var)
    assert torch.equal(*moved)


def test_the_average_lies_between_its_past_and_the_present() -> None:
    networks = built(shrunken("smoke"))
    average = Average(networks, images=100.0)
    with torch.no_grad():
        networks.generator.decoder.head.weight += 1.0
    old = average.generator.decoder.head.weight.clone()
    average.update(networks, batch=10, images_seen=100_000)
    moved = (average.generator.decoder.head.weight - old).mean().item()
    assert moved == pytest.approx(1 - 2.718281828 ** (-10 / 100), rel=1e-3)


def test_an_average_over_no_images_is_the_network_itself() -> None:
    networks = built(shrunken("paper"))
    average = Average(networks, images=0.0)
    with torch.no_grad():
        networks.generator.decoder.head.weight += 1.0
    average.update(networks, batch=2, images_seen=2)
    assert torch.equal(average.generator.decoder.head.weight, networks.generator.decoder.head.weight)


def test_the_papers_discriminator_uses_the_spectrogram() -> None:
    torch.manual_seed(0)
    judge = Discriminator(PRESETS["smoke"].discriminator)  # type: ignore[attr-defined]
    image, spectrograms = torch.randn(1, 3, 64, 64), torch.randn(2, 1, 3, 64, 64)
    scores = [judge(image, spectrogram) for spectrogram in spectrograms]
    assert scores[0].shape == (1, 1, 6, 6)
    assert not torch.allclose(scores[0], scores[1])
    assert lsgan(scores[0], True) != lsgan(scores[1], True)

"""The presets of the paper's ablations differ from `default` in one matter, and train in the same loop."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from training import checkpoint
from training.config import DiscriminatorConfig, TrainingConfig
from training.data.dataset import CoOccurrences
from training.losses.cycle import cycle_losses
from training.models.late_fusion import LateFusionDiscriminator
from training.models.own.generator import Generator
from training.presets import PRESETS
from training.trainer import train

ABLATIONS = ("no-identity", "late-fusion", "cycle")


def small(name: str) -> TrainingConfig:
    """The size of `smoke` with the ablation's own settings; no stage before the loop."""
    smoke, ablation = PRESETS["smoke"], PRESETS[name]
    return dataclasses.replace(
        smoke,
        preset=name,
        discriminator=dataclasses.replace(
            smoke.discriminator, conditioning=ablation.discriminator.conditioning, feature_width=0
        ),
        losses=dataclasses.replace(ablation.losses, feature_gan=0.0, nce_patches=16, projector_width=8),
        correspondence=dataclasses.replace(smoke.correspondence, steps=0),
        data=dataclasses.replace(smoke.data, crops=((0.0, 32),), source_sounds=ablation.data.source_sounds),
        images=4,
        sample_images=100,
        bf16=False,
    )


def settings(config: TrainingConfig) -> set[tuple[str, object]]:
    values = checkpoint.config_to_dict(config)
    flat = {(f"{part}.{k}", str(v)) for part, of in values.items() if isinstance(of, dict) for k, v in of.items()}
    return flat | {(name, str(v)) for name, v in values.items() if not isinstance(v, dict)}


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("no-identity", {"losses.identity_nce"}),
        ("late-fusion", {"discriminator.conditioning"}),
        (
            "cycle",
            {"losses.nce", "losses.identity_nce", "losses.cycle", "losses.identity_l1", "data.source_sounds"},
        ),
    ],
)
def test_an_ablation_is_the_default_but_for_one_matter(name: str, changed: set[str]) -> None:
    different = settings(PRESETS[name]) ^ settings(PRESETS["default"])
    assert {key for key, _ in different} == {"preset", *changed}


@pytest.mark.parametrize("name", ABLATIONS)
def test_an_ablation_trains_and_resumes_from_its_checkpoint(name: str, index: Path, tmp_path: Path) -> None:
    config = small(name)
    first = checkpoint.load(train(config, index, tmp_path))
    assert checkpoint.config_of(first) == config
    second = checkpoint.load(train(dataclasses.replace(config, images=6), index, tmp_path))
    assert (first["images_seen"], second["images_seen"]) == (4, 6)
    weights = "generator.decoder.head.weight"
    assert not torch.equal(first["networks"][weights], second["networks"][weights])


def test_late_fusion_hears_the_sound_and_sees_the_picture() -> None:
    torch.manual_seed(0)
    judge = LateFusionDiscriminator(DiscriminatorConfig(width=4, conditioning="late-fusion"))
    image, sound = torch.rand(2, 1, 3, 64, 64), torch.rand(2, 1, 3, 64, 64)
    with torch.no_grad():
        scores = judge(image[0], sound[0], None)
        assert scores.shape == (1, 1, 6, 6)  # as the PatchGAN's
        assert not torch.allclose(scores, judge(image[0], sound[1] * 0.5, None), atol=1e-4)
        assert not torch.allclose(scores, judge(image[1], sound[0], None), atol=1e-4)


def test_without_the_identity_loss_the_others_keep_their_weights() -> None:
    without, default = PRESETS["no-identity"].losses, PRESETS["default"].losses
    assert without.identity_nce == 0
    assert without.nce == default.nce


def test_the_cycle_draws_every_source_with_a_sound_of_its_own(index: Path) -> None:
    config = small("cycle")
    dataset = CoOccurrences(index, "train", config.data, config.audio, config.seed)
    item = dataset[0, 32]
    assert item["source_waveform"].shape == item["waveform"].shape
    assert not torch.equal(item["source_waveform"], item["waveform"])


def test_the_cycle_costs_nothing_where_the_source_is_found_again() -> None:
    class Restoring(Generator):
        def forward(self, image: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
            return image - 0.5

    weights = PRESETS["cycle"].losses
    back = Restoring(PRESETS["smoke"].generator, 8)
    source, embedding = torch.rand(1, 3, 32, 32) * 0.5, torch.ones(1, 8)
    found = cycle_losses(back, weights, source, source + 0.5, embedding, source, source + 0.1)
    assert found["cycle"].item() == pytest.approx(0, abs=1e-6)
    assert found["identity_l1"].item() == pytest.approx(0.1 * weights.identity_l1, rel=1e-4)

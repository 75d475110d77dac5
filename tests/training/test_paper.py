"""The paper's networks have its sizes and shapes, and the faults that belong to the method as published."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.bench.plain_step import PlainNetworks
from training.config import AudioConfig, PaperGeneratorConfig
from training.models.blocks import conv_of_concat
from training.models.paper import AudioEncoder, Generator
from training.models.paper_networks import PaperNetworks
from training.models.paper_variants import AdaINDecoder, LateFusionDiscriminator
from training.models.patch_projector import PatchProjector, draw_places
from training.models.spectrogram import Spectrogram, align_to_image, peak_normalized
from training.presets import PRESETS

PAPER: Any = PRESETS["paper"]
SMALL = PaperGeneratorConfig(width=4, blocks=6)


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def seeded(build: type[nn.Module], *arguments: object) -> nn.Module:
    torch.manual_seed(0)
    return build(*arguments).eval()


# The paper's architecture


def test_the_paper_generator_has_the_size_of_the_authors_code() -> None:
    assert parameters(Generator(PAPER.generator, PAPER.audio.embedding_dim)) == 12_493_699


def test_patch_nce_compares_five_layers() -> None:
    """The pixels, both down-sampling convolutions, the first and the fifth block."""
    encoder = Generator(SMALL, 8).encoder
    content, maps = encoder.features(noise(1, 3, 32, 32))
    assert [m.shape[1] for m in maps] == list(encoder.nce_channels)
    assert [m.shape[2] for m in maps] == [32, 32, 16, 8, 8]  # the down-samplings before their blur
    assert Generator(PAPER.generator, 256).encoder.nce_channels == (3, 128, 256, 256, 256)
    fifth, for_nce = encoder.features(noise(1, 3, 32, 32), for_nce_alone=True)
    assert torch.equal(fifth, for_nce[-1])
    assert not torch.equal(content, fifth)  # a sixth block follows


def test_content_is_a_quarter_of_the_size() -> None:
    generator = seeded(Generator, SMALL, 8)
    content = generator.encoder(noise(2, 3, 24, 40))
    assert content.shape == (2, 16, 6, 10)
    image, maps = generator(noise(2, 3, 24, 40), noise(2, 8))
    assert image.shape == (2, 3, 24, 40)
    assert torch.equal(maps[0], noise(2, 3, 24, 40))


@pytest.mark.parametrize("size", [(2, 2), (3, 7), (9, 4)])
def test_the_constant_half_of_a_concatenation_needs_no_convolution(size: tuple[int, int]) -> None:
    conv, x, vector = nn.Conv2d(12, 5, 3, padding=1), noise(2, 8, *size), noise(2, 4, seed=1)
    whole = conv(torch.cat([x, vector[:, :, None, None].expand(-1, -1, *size)], dim=1))
    assert torch.allclose(conv_of_concat(conv, x, vector), whole, atol=1e-5)


def test_the_norm_after_the_fusion_leaves_little_of_the_audio() -> None:
    """The fault of the published method that our own model was made for: 4e-5 at 256 px."""
    generator = seeded(Generator, PaperGeneratorConfig(width=16, blocks=6), 32)
    content = generator.encoder(noise(1, 3, 64, 64)).detach().expand(4, -1, -1, -1)
    embedding = F.normalize(noise(4, 32, seed=1), dim=1)
    with torch.no_grad():
        fused = F.instance_norm(conv_of_concat(generator.decoder.up1, content, embedding))
    assert fused.var(dim=0).mean() / fused.var(dim=(2, 3)).mean() < 1e-2


def test_silence_gives_a_finite_embedding() -> None:
    audio = AudioConfig(clip_seconds=1.0, encoder_width=4, embedding_dim=8)
    assert torch.isfinite(seeded(AudioEncoder, audio)(torch.zeros(1, 16_000))).all()


def test_the_paper_audio_encoder_is_a_resnet18() -> None:
    assert parameters(AudioEncoder(PAPER.audio)) == pytest.approx(11.3e6, abs=0.05e6)


def test_the_spectrogram_of_three_seconds_is_257_by_301() -> None:
    assert Spectrogram(AudioConfig())(torch.zeros(1, 48_000)).shape == (1, 1, 257, 301)


def test_the_spectrogram_finds_the_frequency_of_a_tone() -> None:
    time = torch.arange(16_000) / 16_000
    magnitude = Spectrogram(AudioConfig())(torch.sin(2 * torch.pi * 1000 * time)[None])[0, 0]
    assert magnitude.mean(dim=1).argmax().item() == 32  # 1000 Hz / (16 kHz / 512)


def test_an_instance_norm_subtracts_a_constant() -> None:
    features = noise(1, 4, 16, 16)
    raised = features + noise(1, 4, 1, 1, seed=2)
    norm = nn.InstanceNorm2d(4)
    assert torch.allclose(norm(features), norm(raised), atol=1e-5)


def test_the_papers_loader_erases_gain() -> None:
    waveform = noise(1, 16_000)
    assert torch.allclose(peak_normalized(waveform), peak_normalized(waveform * 0.01), atol=1e-6)


# The discriminator and the projector


@pytest.mark.parametrize("size", [64, 256, 320])
def test_the_spectrogram_is_aligned_to_any_image(size: int) -> None:
    spectrogram = Spectrogram(AudioConfig())(noise(2, 48_000) * 0.1)
    aligned = align_to_image(spectrogram, size, size)
    assert aligned.shape == (2, 3, size, size)
    if size == 256:  # as the authors' code stacks it
        assert torch.equal(aligned[:, 0], spectrogram[:, 0, :256, :256])


def test_late_fusion_uses_audio_and_image() -> None:
    judge = seeded(LateFusionDiscriminator, PRESETS["smoke"].discriminator)  # type: ignore[attr-defined]
    image, spectrogram = noise(2, 1, 3, 64, 64), noise(2, 1, 3, 64, 64, seed=1).abs()
    with torch.no_grad():
        scores = judge(image[0], spectrogram[0])
        assert scores.shape == (1, 1, 6, 6)  # as the PatchGAN's
        assert not torch.equal(scores, judge(image[0], spectrogram[1] * 9))
        assert not torch.equal(scores, judge(image[1], spectrogram[0]))


def test_adain_gives_the_content_the_styles_statistics() -> None:
    decoder, seen = seeded(AdaINDecoder, SMALL), list[Tensor]()
    decoder.up1.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    mean, deviation = noise(1, 16), noise(1, 16, seed=1).abs()
    smooth = F.interpolate(noise(1, 16, 4, 4), size=(24, 24), mode="bilinear") * 5 + 3  # so that up-sampling keeps it
    with torch.no_grad():
        decoder(smooth, torch.cat([mean, deviation], dim=1))
    assert torch.allclose(seen[0].mean(dim=(2, 3)), mean, atol=0.02)
    assert torch.allclose(seen[0].std(dim=(2, 3)), deviation, rtol=0.02)


def test_the_same_places_are_taken_of_query_and_key() -> None:
    maps = [noise(2, 3, 16, 16), noise(2, 8, 4, 4)]
    places = draw_places(maps, 64, torch.Generator().manual_seed(0))
    assert [len(p) for p in places] == [64, 16]  # never more than there are
    assert all(len(set(p.tolist())) == len(p) for p in places)
    projector = PatchProjector((3, 8), 256)
    projected = projector(maps, places)
    assert [tuple(p.shape) for p in projected] == [(2, 64, 256), (2, 16, 256)]
    assert torch.allclose(projected[0].norm(dim=-1), torch.ones(2, 64), atol=1e-5)


def test_the_yardstick_of_speed_is_the_papers_size() -> None:
    plain, ours = PlainNetworks(), PaperNetworks(PAPER)
    assert parameters(plain.encoder) + parameters(plain.decoder) == parameters(ours.generator)
    assert parameters(plain.audio) == parameters(ours.audio_encoder)
    assert parameters(plain.judge) == parameters(ours.discriminator)
    assert parameters(plain.heads) == parameters(ours.projector)

"""The networks have the paper's sizes and shapes, and the sound does to the picture what it should."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.bench.plain_step import PlainNetworks
from training.config import AudioConfig, DiscriminatorConfig, GeneratorConfig, LossConfig
from training.models.discriminator import PatchDiscriminator
from training.models.feature_discriminator import shifted
from training.models.own.audio_encoder import AudioEncoder
from training.models.own.generator import Decoder, Generator
from training.models.own.networks import Networks
from training.models.patch_projector import PatchProjector, draw_places
from training.models.spectrogram import Spectrogram, align_to_picture, peak_normalized
from training.presets import PRESETS

PAPER = PRESETS["paper"]
SMALL_AUDIO = AudioConfig(clip_seconds=1.0, encoder_width=4, embedding_dim=8)
SMALL = GeneratorConfig(width=4, blocks=2, encoder_blocks=1)


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


def test_the_demo_models_control_is_the_papers_but_for_its_size() -> None:
    paper, narrow, demo = PAPER, PRESETS["paper-narrow"], PRESETS["demo"]
    assert (narrow.generator.width, narrow.generator.blocks) == (demo.generator.width, demo.generator.blocks)
    assert (narrow.batch, narrow.data.crops) == (demo.batch, demo.data.crops)
    as_wide = dataclasses.replace(
        narrow.generator, width=paper.generator.width, blocks=paper.generator.blocks, encoder_blocks=9
    )
    assert as_wide == paper.generator
    assert narrow.losses == dataclasses.replace(paper.losses, projector_width=demo.losses.projector_width)
    assert narrow.discriminator == dataclasses.replace(paper.discriminator, width=demo.discriminator.width)
    assert not narrow.audio.level_preserving
    assert narrow.ema_images == paper.ema_images == 0


def test_the_paper_audio_encoder_is_a_resnet18() -> None:
    assert parameters(AudioEncoder(PAPER.audio)) == pytest.approx(11.3e6, abs=0.05e6)


def test_the_spectrogram_of_three_seconds_is_257_by_301() -> None:
    assert Spectrogram(AudioConfig())(torch.zeros(1, 48_000)).shape == (1, 1, 257, 301)


def test_the_spectrogram_finds_the_frequency_of_a_tone() -> None:
    time = torch.arange(16_000) / 16_000
    magnitude = Spectrogram(AudioConfig())(torch.sin(2 * torch.pi * 1000 * time)[None])[0, 0]
    assert magnitude.mean(dim=1).argmax().item() == 32  # 1000 Hz / (16 kHz / 512)


def test_patch_nce_compares_five_scales() -> None:
    generator = Generator(dataclasses.replace(PAPER.generator, width=4), 8)
    _, maps = generator.encoder.features(noise(1, 3, 32, 32))
    assert [m.shape[1] for m in maps] == list(generator.nce_channels())
    assert [m.shape[2] for m in maps] == [32, 32, 16, 8, 8]  # the down-samplings before their blur
    assert Generator(PAPER.generator, 256).nce_channels() == (3, 128, 256, 256, 256)


def test_content_is_a_quarter_of_the_size() -> None:
    generator = seeded(Generator, SMALL, 8)
    content = generator.encoder(noise(2, 3, 24, 40))
    assert content.shape[2:] == (6, 10)
    assert generator.decoder(content, noise(2, 8)).shape == (2, 3, 24, 40)


# The sound reaches the picture


def first_feature(decoder: Decoder, content: Tensor, embedding: Tensor) -> Tensor:
    """What the decoder computes of content and sound first: after fusion and the next norm."""
    kept: list[Tensor] = []
    layer = decoder.blocks[0].first if len(decoder.blocks) else decoder.up1.layer
    hook = layer.register_forward_hook(lambda _module, _inputs, output: kept.append(output))
    with torch.no_grad():
        decoder(content, embedding)
    hook.remove()
    return kept[0]


def share_of_the_sound(config: GeneratorConfig) -> float:
    """Variance of the decoder's first feature across four sounds over its variance across space."""
    generator = seeded(Generator, config, 32)
    content = generator.encoder(noise(1, 3, 64, 64)).detach().expand(4, -1, -1, -1)
    feature = first_feature(generator.decoder, content, F.normalize(noise(4, 32, seed=1), dim=1) * 0.9)
    return (feature.var(dim=0).mean() / feature.var(dim=(2, 3)).mean()).item()


def test_the_papers_fusion_loses_the_sound_in_the_next_norm() -> None:
    paper = dataclasses.replace(PAPER.generator, width=16)
    assert share_of_the_sound(paper) < 1e-2


def test_our_fusion_does_not_lose_it() -> None:
    ours = dataclasses.replace(PRESETS["default"].generator, width=16)
    assert share_of_the_sound(ours) > 0.1


def test_an_instance_norm_subtracts_a_constant() -> None:
    features = noise(1, 4, 16, 16)
    raised = features + noise(1, 4, 1, 1, seed=2)
    norm = nn.InstanceNorm2d(4)
    assert torch.allclose(norm(features), norm(raised), atol=1e-5)


def test_a_shifted_picture_is_the_same_picture_elsewhere_in_half_precision_too() -> None:
    image = noise(1, 3, 256, 256)
    with torch.autocast("cpu", torch.bfloat16):
        moved = shifted(image, torch.tensor([[5.4, 9.3]]))
    assert torch.equal(moved[:, :, :247, :251], image[:, :, 9:, 5:])


def test_a_masked_output_starts_near_the_source_and_ends_there_in_silence() -> None:
    generator = seeded(Generator, SMALL, 8)
    image = noise(1, 3, 32, 32).clamp(-1, 1)
    with torch.no_grad():
        silent = generator(image, torch.zeros(1, 8))
        loud = generator(image, F.normalize(noise(1, 8), dim=1) * 0.9)
    assert torch.isfinite(silent).all()
    assert (silent - image).abs().max().item() < 2 / 255  # the range is [-1, 1]
    assert (loud - image).abs().max().item() > (silent - image).abs().max().item()


def test_louder_is_never_less_anywhere() -> None:
    generator = seeded(Generator, SMALL, 8)
    nn.init.normal_(generator.decoder.head.weight, std=0.5)
    content, direction = generator.encoder(noise(1, 3, 32, 32)), F.normalize(noise(1, 8), dim=1)
    with torch.no_grad():
        masks = [generator.decoder.outputs(content, direction * length)[1] for length in (0.0, 0.1, 0.4, 0.7, 0.99)]
    for softer, louder in itertools.pairwise(masks):
        assert softer is not None
        assert louder is not None
        assert (louder >= softer).all()
        assert louder.mean() > softer.mean()


# The audio encoder


def test_silence_gives_a_finite_embedding_of_no_length() -> None:
    embedding = seeded(AudioEncoder, SMALL_AUDIO)(torch.zeros(2, 16_000))
    assert torch.isfinite(embedding).all()
    assert embedding.norm(dim=1).max().item() < 1e-3


def test_silence_is_finite_in_the_paper_preset_too() -> None:
    audio = dataclasses.replace(PAPER.audio, clip_seconds=1.0, encoder_width=4, embedding_dim=8)
    assert torch.isfinite(seeded(AudioEncoder, audio)(torch.zeros(1, 16_000))).all()


def test_gain_changes_the_length_and_not_the_direction() -> None:
    encoder, waveform = seeded(AudioEncoder, SMALL_AUDIO), noise(1, 16_000) * 0.2
    with torch.no_grad():
        embeddings = torch.cat([encoder(waveform * 10 ** (gain / 20)) for gain in (-60, -40, -20, 0)])
    lengths = embeddings.norm(dim=1)
    assert (lengths.diff() > 0).all()
    assert lengths[-1].item() > 0.9
    directions = F.normalize(embeddings, dim=1)
    assert (directions @ directions[0]).min().item() > 0.9999


def test_the_papers_loader_erases_gain() -> None:
    waveform = noise(1, 16_000)
    assert torch.allclose(peak_normalized(waveform), peak_normalized(waveform * 0.01), atol=1e-6)


def test_different_sounds_have_different_directions() -> None:
    encoder = seeded(AudioEncoder, SMALL_AUDIO)
    tone = torch.sin(torch.arange(16_000) * 0.5)[None] * 0.3
    sounds = torch.cat([tone, noise(1, 16_000) * 0.2])
    with torch.no_grad():
        for _ in range(30):
            encoder.train()(sounds)  # the norms learn what sounds have in common
        both = F.normalize(encoder.eval()(sounds), dim=1)
    assert (both[0] @ both[1]).item() < 0.99


# The discriminator and the projector


def test_the_spectrogram_is_aligned_to_any_picture() -> None:
    spectrogram = Spectrogram(AudioConfig())(noise(2, 48_000) * 0.1)
    aligned = align_to_picture(spectrogram, 96, 512, crop=False)
    assert aligned.shape == (2, 3, 96, 512)
    assert aligned.abs().max().item() < 2
    assert align_to_picture(spectrogram, 256, 256, crop=True).shape == (2, 3, 256, 256)


def test_a_crop_beyond_the_spectrogram_is_refused() -> None:
    with pytest.raises(ValueError, match="larger than the spectrogram"):
        align_to_picture(torch.zeros(1, 1, 257, 301), 512, 512, crop=True)


@pytest.mark.parametrize("conditioning", ["early-fusion", "projection"])
def test_the_discriminator_hears_the_sound(conditioning: str) -> None:
    config = DiscriminatorConfig(width=4, conditioning=conditioning)  # type: ignore[arg-type]
    judge = seeded(PatchDiscriminator, config, 8)
    image, spectrograms = noise(1, 3, 64, 64), noise(2, 3, 64, 64, seed=1)
    directions = F.normalize(noise(2, 8, seed=2), dim=1)
    with torch.no_grad():
        first, second = (judge(image, spectrograms[i : i + 1], directions[i : i + 1]) for i in range(2))
    assert first.shape == (1, 1, 6, 6)
    assert not torch.allclose(first, second)


def test_the_same_places_are_taken_of_query_and_key() -> None:
    maps = [noise(2, 3, 16, 16), noise(2, 8, 4, 4)]
    places = draw_places(maps, 64, torch.Generator().manual_seed(0))
    assert [len(p) for p in places] == [64, 16]  # never more than there are
    assert all(len(set(p.tolist())) == len(p) for p in places)
    projector = PatchProjector((3, 8), LossConfig().projector_width)
    projected = projector(maps, places)
    assert [tuple(p.shape) for p in projected] == [(2, 64, 256), (2, 16, 256)]
    assert torch.allclose(projected[0].norm(dim=-1), torch.ones(2, 64), atol=1e-5)


def test_the_yardstick_of_speed_is_the_papers_size() -> None:
    plain, ours = PlainNetworks(), Networks(PAPER)
    assert parameters(plain.encoder) + parameters(plain.decoder) == parameters(ours.generator)
    assert parameters(plain.audio) == parameters(ours.audio_encoder)
    assert parameters(plain.judge) == parameters(ours.discriminator)
    assert parameters(plain.heads) == parameters(ours.projector)

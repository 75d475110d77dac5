"""Our own model: silence leaves the image alone, louder is never less, and the audio is not lost in a norm."""

from __future__ import annotations

import itertools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.training.test_paper import noise, seeded
from training.models.feature_discriminator import shifted
from training.models.own.audio_encoder import AudioEncoder
from training.models.own.config import OwnAudioConfig, OwnGeneratorConfig
from training.models.own.generator import Generator

SMALL_AUDIO = OwnAudioConfig(clip_seconds=1.0, encoder_width=4, embedding_dim=8)
SMALL = OwnGeneratorConfig(width=4, blocks=2, encoder_blocks=1)


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


def test_silence_gives_a_finite_embedding_of_no_length() -> None:
    embedding = seeded(AudioEncoder, SMALL_AUDIO)(torch.zeros(2, 16_000))
    assert torch.isfinite(embedding).all()
    assert embedding.norm(dim=1).max().item() < 1e-3


def test_gain_changes_the_length_and_not_the_direction() -> None:
    encoder, waveform = seeded(AudioEncoder, SMALL_AUDIO), noise(1, 16_000) * 0.2
    with torch.no_grad():
        embeddings = torch.cat([encoder(waveform * 10 ** (gain / 20)) for gain in (-60, -40, -20, 0)])
    lengths = embeddings.norm(dim=1)
    assert (lengths.diff() > 0).all()
    assert lengths[-1].item() > 0.9
    directions = F.normalize(embeddings, dim=1)
    assert (directions @ directions[0]).min().item() > 0.9999


def test_different_sounds_have_different_directions() -> None:
    encoder = seeded(AudioEncoder, SMALL_AUDIO)
    tone = torch.sin(torch.arange(16_000) * 0.5)[None] * 0.3
    sounds = torch.cat([tone, noise(1, 16_000) * 0.2])
    with torch.no_grad():
        for _ in range(30):
            encoder.train()(sounds)  # the norms learn what sounds have in common
        both = F.normalize(encoder.eval()(sounds), dim=1)
    assert (both[0] @ both[1]).item() < 0.99


def test_a_shifted_picture_is_the_same_picture_elsewhere_in_half_precision_too() -> None:
    image = noise(1, 3, 256, 256)
    with torch.autocast("cpu", torch.bfloat16):
        moved = shifted(image, torch.tensor([[5.4, 9.3]]))
    assert torch.equal(moved[:, :, :247, :251], image[:, :, 9:, 5:])


def test_the_fusion_does_not_lose_the_audio() -> None:
    """Variance of the decoder's first feature across four clips over its variance across space."""
    generator: Any = seeded(Generator, OwnGeneratorConfig(width=16), 32)
    content = generator.encoder(noise(1, 3, 64, 64)).detach().expand(4, -1, -1, -1)
    kept: list[Tensor] = []
    generator.decoder.blocks[0].first.register_forward_hook(lambda _module, _inputs, output: kept.append(output))
    with torch.no_grad():
        generator.decoder(content, F.normalize(noise(4, 32, seed=1), dim=1) * 0.9)
    assert kept[0].var(dim=0).mean() / kept[0].var(dim=(2, 3)).mean() > 0.1

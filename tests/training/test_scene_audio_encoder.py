"""The audio encoder: direction is the scene, length is loudness times certainty."""

import io
import math
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch.export import Dim

from training.models.scene_audio_encoder import (
    LEAST_CERTAINTY,
    PowerSpectrogram,
    SceneAudioConfig,
    SceneAudioEncoder,
    effect_of_loudness,
    load_encoder,
    mel_filters,
    save_encoder,
)
from training.models.scene_prototypes import PhotographProjector, photograph_retrieval, scene_directions

SMALL = SceneAudioConfig(widths=(4, 8, 8, 8))
YAMNET = SceneAudioConfig(classifier="yamnet")


@pytest.fixture(scope="module", params=[SMALL, YAMNET], ids=["small", "yamnet"])
def encoder(request: pytest.FixtureRequest) -> SceneAudioEncoder:
    torch.manual_seed(0)
    return SceneAudioEncoder(request.param).eval().requires_grad_(False)


def noise(count: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(count, SMALL.clip_samples, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("config", [SMALL, YAMNET], ids=["small", "yamnet"])
def test_silence_gives_a_zero_embedding_and_finite_gradients(config: SceneAudioConfig) -> None:
    encoder = SceneAudioEncoder(config).eval()
    waveform = torch.zeros(2, SMALL.clip_samples, requires_grad=True)
    embedding = encoder(waveform)
    assert embedding.abs().max() == 0
    embedding.sum().backward()
    assert waveform.grad is not None
    assert waveform.grad.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in encoder.parameters())


def test_loudness_is_that_of_bs_1770() -> None:
    """A sine of 997 Hz at full scale reads -3.01 LKFS, by the standard's own calibration."""
    time = torch.arange(SMALL.clip_samples) / SMALL.sample_rate_hz
    sine = torch.sin(2 * math.pi * 997 * time)[None]
    loudness = PowerSpectrogram(SMALL)(torch.cat([sine, 0.1 * sine]))[1]
    assert loudness.tolist() == pytest.approx([-3.01, -23.01], abs=0.1)


def test_deep_rumble_counts_for_less_than_it_measures() -> None:
    time = torch.arange(SMALL.clip_samples) / SMALL.sample_rate_hz
    tones = torch.stack([torch.sin(2 * math.pi * hertz * time) for hertz in (30, 1000, 4000)])
    rumble, middle, high = PowerSpectrogram(SMALL)(tones)[1].tolist()
    assert rumble < middle - 5 < middle < high


def test_mel_power_adds_up_to_about_the_power() -> None:
    power, _ = PowerSpectrogram(SMALL)(noise(1))
    assert (power.sum(dim=1).mean() / 0.01).item() == pytest.approx(1, abs=0.1)


def test_every_band_hears_something() -> None:
    for config in (SMALL, YAMNET):
        assert (mel_filters(config).sum(dim=1) > 0.3).all()


@pytest.mark.parametrize(("level", "shares"), [(-23, (0.15, 0.4, 0.7, 0.9, 1.0)), (-33, (0.05, 0.2, 0.5, 0.75, 1.0))])
def test_the_dial_does_something_everywhere(level: float, shares: tuple[float, ...]) -> None:
    lengths = effect_of_loudness(level + torch.tensor([-30.0, -20.0, -10.0, 0.0, 12.0]))
    assert (lengths / lengths.max()).tolist() == pytest.approx(shares, abs=0.06)


def test_louder_is_always_more_above_silence() -> None:
    lengths = effect_of_loudness(torch.arange(-69.5, 3.0, 0.5))
    assert (lengths.diff() > 0).all()
    assert lengths.max() < 1
    assert effect_of_loudness(torch.tensor([-100.0, -70.0])).tolist() == [0, 0]


def test_the_direction_does_not_depend_on_the_level(encoder: SceneAudioEncoder) -> None:
    waveform = noise(1)
    embeddings = encoder(torch.cat([waveform * gain for gain in (0.01, 0.1, 1.0, 3.0)]))
    lengths = embeddings.norm(dim=1)
    assert (lengths.diff() > 0).all()
    cosines = torch.nn.functional.cosine_similarity(embeddings[:-1], embeddings[1:])
    assert cosines.min() > 0.9999


def test_a_stranger_is_short_and_has_its_own_direction(encoder: SceneAudioEncoder) -> None:
    kinds = torch.eye(len(SMALL.kinds))
    embedding = encoder.scene_embedding(kinds)
    lengths = embedding.norm(dim=1)
    scenes = len(SMALL.scenes)
    assert lengths[:scenes].tolist() == pytest.approx([1.0] * scenes)
    assert lengths[scenes:].tolist() == pytest.approx([LEAST_CERTAINTY] * len(SMALL.strangers))
    assert ((embedding / lengths[:, None]) @ encoder.prototypes.T).argmax(dim=1).tolist() == list(range(len(kinds)))


def test_a_mix_of_two_scenes_lies_between_them_at_full_length(encoder: SceneAudioEncoder) -> None:
    share = torch.linspace(0, 1, 5)[:, None]
    kinds = share * torch.eye(len(SMALL.kinds))[:1] + (1 - share) * torch.eye(len(SMALL.kinds))[1:2]
    embedding = encoder.scene_embedding(kinds)
    assert embedding.norm(dim=1).tolist() == pytest.approx([1.0] * 5)
    assert ((embedding @ encoder.prototypes[0]).diff() > 0).all()


def test_half_a_stranger_is_half_as_long_and_leaves_the_direction_near_the_scene(encoder: SceneAudioEncoder) -> None:
    kinds = torch.zeros(1, len(SMALL.kinds))
    kinds[0, 1], kinds[0, -1] = 0.5, 0.5
    embedding = encoder.scene_embedding(kinds)
    assert embedding.norm().item() == pytest.approx(0.52, abs=0.01)
    assert (embedding @ encoder.prototypes[1] / embedding.norm()).item() > 0.95


def test_the_graph_computes_the_same_for_any_batch(encoder: SceneAudioEncoder) -> None:
    program = torch.onnx.export(
        encoder,
        (noise(2),),
        input_names=["waveform"],
        output_names=["embedding"],
        dynamic_shapes=({0: Dim("batch", min=1)},),
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    file = io.BytesIO()
    file.write(program.model_proto.SerializeToString())
    session = onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    for count in (1, 3):
        waveform = noise(count, seed=count)
        waveform[-1] *= 0 if count == 3 else 1
        (served,) = session.run(None, {"waveform": waveform.numpy()})
        np.testing.assert_allclose(served, encoder(waveform).numpy(), atol=1e-4)


def test_a_checkpoint_gives_the_same_encoder_again(encoder: SceneAudioEncoder, tmp_path: Path) -> None:
    save_encoder(encoder, tmp_path / "encoder.pt")
    again = load_encoder(tmp_path / "encoder.pt")
    assert again.config == encoder.config
    assert torch.equal(again(noise(2)), encoder(noise(2)))


@pytest.mark.parametrize("content", [b"", b"no checkpoint", {"config": {"widths": [1]}}, {"other": 1}])
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, content: object) -> None:
    path = tmp_path / "encoder.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(ValueError, match="not a checkpoint"):
        load_encoder(path)


def test_scenes_lie_as_their_photographs_do_and_strangers_apart() -> None:
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(3, 40, generator=generator)
    base[1] = base[0] + 0.8 * base[1]  # the second scene looks like the first
    photographs = {
        name: base[i] + 0.3 * torch.randn(30, 40, generator=generator) for i, name in enumerate(("a", "b", "c"))
    }
    directions = scene_directions(photographs, strangers=2, embedding_dim=16, seed=1)
    cosines = directions @ directions.T
    assert torch.allclose(cosines.diagonal(), torch.ones(5))
    assert cosines[0, 1] > max(cosines[0, 2], cosines[1, 2])
    assert cosines[3:, :3].abs().max() < 1e-5
    assert cosines[3, 4].abs() < 1e-5
    assert torch.equal(directions, scene_directions(photographs, strangers=2, embedding_dim=16, seed=1))
    projector = PhotographProjector(photographs, directions)
    assert min(photograph_retrieval([projector(p) for p in photographs.values()], directions)) > 0.9


def test_more_kinds_than_dimensions_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        scene_directions({"a": torch.randn(4, 8), "b": torch.randn(4, 8)}, strangers=8, embedding_dim=4, seed=0)

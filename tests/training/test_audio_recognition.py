"""The figures of recognition: what they count, and that they tell a good encoder from a bad one."""

import itertools

import numpy as np
import pytest
import torch

from training.evaluation.audio_recognition import (
    GAINS_DB,
    HeardRecording,
    confusion,
    effect_at_gains,
    hear_recordings,
    mix_figures,
    recognition_figures,
)
from training.models.scene_audio_encoder import SceneAudioConfig, SceneAudioEncoder
from training.models.small_audio_classifier import log_mel

CONFIG = SceneAudioConfig(scenes=("snow", "rain"), strangers=("speech", "wind"), widths=(4, 8, 8, 8), embedding_dim=8)


def heard(kind: str, scene: str, certainty: float, source: str) -> HeardRecording:
    return HeardRecording(f"{kind}/{source}", kind, source, scene, certainty, scene)


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The intervals are drawn less often than for a report."""
    monkeypatch.setattr("training.evaluation.audio_recognition._ROUNDS", 100)


GOOD = [
    *(heard("snow", "snow", 0.9, f"a{i}") for i in range(4)),
    *(heard("rain", "rain", 0.8, f"b{i}") for i in range(8)),
    *(heard("speech", "rain", 0.1, f"c{i}") for i in range(5)),
    heard("wind", "snow", 0.9, "d"),
]


def test_a_perfect_ear_has_perfect_figures() -> None:
    figures = recognition_figures(GOOD, CONFIG.scenes)
    assert figures["balanced accuracy"] == {"mean": 1, "low": 1, "high": 1}
    assert figures["auroc"]["mean"] == 1  # wind is left out
    assert [one["kind"] for one in figures["wrong"]] == ["wind"]
    assert figures["stranger over known"] == pytest.approx(0.1 / (0.9 * 4 + 0.8 * 8) * 12)


def test_balanced_accuracy_weighs_scenes_not_recordings() -> None:
    worse = [*GOOD, *(heard("snow", "rain", 0.9, f"e{i}") for i in range(4))]
    figures = recognition_figures(worse, CONFIG.scenes)
    assert figures["balanced accuracy"]["mean"] == pytest.approx(0.75)
    assert figures["balanced accuracy"]["low"] < 0.75 < figures["balanced accuracy"]["high"]
    assert figures["recall"] == {"snow": 0.5, "rain": 1.0}


def test_an_uncertain_answer_is_right_but_not_recognised() -> None:
    figures = recognition_figures([*GOOD[4:], heard("snow", "snow", 0.3, "f")], CONFIG.scenes)
    assert figures["balanced accuracy"]["mean"] == 1
    assert figures["recognised"]["mean"] == 0.5
    assert figures["auroc"]["mean"] == 1


def test_the_interval_is_over_sources() -> None:
    one_author = [heard("snow", "rain", 0.9, "same") for _ in range(50)]
    many = [heard("snow", "rain", 0.9, f"s{i}") for i in range(50)]
    widths = [
        np.ptp(list(recognition_figures([*GOOD, *wrong], CONFIG.scenes)["balanced accuracy"].values()))
        for wrong in (one_author, many)
    ]
    assert widths[0] > widths[1]


def test_confusion_counts_every_recording_once() -> None:
    table = confusion(GOOD, CONFIG.scenes)
    assert table["speech"] == {"snow": 0, "rain": 0, "none": 5}
    assert sum(sum(row.values()) for row in table.values()) == len(GOOD)


@pytest.fixture(scope="module")
def encoder() -> SceneAudioEncoder:
    """Hears a hiss as snow and a hum as rain, with no training: by one band against another."""

    class ByPitch(torch.nn.Module):
        spectrogram = staticmethod(log_mel)

        def forward(self, spectrogram: torch.Tensor) -> torch.Tensor:
            power = torch.exp(4 * (spectrogram[:, 0] - 1)).mean(dim=2)  # [B, M]
            amplitude = torch.stack([power[:, 32:].sum(dim=1), power[:, :32].sum(dim=1)], dim=1).sqrt()
            strangers = torch.full_like(amplitude, 1e-4)
            return torch.cat([amplitude, strangers], dim=1).log()

    built = SceneAudioEncoder(CONFIG)
    built.classifier = ByPitch()  # type: ignore[assignment]
    return built.eval()


def recordings() -> list[tuple[str, str, str, np.ndarray]]:
    rng = np.random.default_rng(0)
    spectrum = np.fft.rfft(rng.standard_normal(80_000))
    hertz = np.fft.rfftfreq(80_000, 1 / 16_000)
    hiss, hum = (np.fft.irfft(spectrum * keep).astype(np.float32) for keep in (hertz > 3_000, hertz < 400))
    return [("snow/a", "snow", "a", hiss), ("rain/b", "rain", "b", hum)]


def test_the_loudest_window_is_heard_as_what_it_is(encoder: SceneAudioEncoder) -> None:
    assert [one.scene for one in hear_recordings(encoder, recordings())] == ["snow", "rain"]
    assert min(one.certainty for one in hear_recordings(encoder, recordings())) > 0.95


def test_certainty_is_the_probability_of_a_scene(encoder: SceneAudioEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    half = torch.tensor([[0.5, 0.0, 0.5, 0.0]])
    monkeypatch.setattr(encoder, "kind_probabilities", lambda mel_power: half.expand(len(mel_power), -1))
    assert [one.certainty for one in hear_recordings(encoder, recordings())] == pytest.approx([0.5, 0.5], abs=0.03)


def test_effect_rises_with_every_gain(encoder: SceneAudioEncoder) -> None:
    effects = effect_at_gains(encoder, [one[3] for one in recordings()], -23.0)
    assert len(effects) == len(GAINS_DB)
    assert effects[-1] == pytest.approx(1)
    assert all(later > sooner + 0.05 for sooner, later in itertools.pairwise(effects))


def test_mixes_by_amplitude_turn_evenly(encoder: SceneAudioEncoder) -> None:
    figures = mix_figures(encoder, recordings(), pairs=4)
    assert figures["monotone"] == figures["even"] == 1
    assert figures["position"] == pytest.approx([0, 0.25, 0.5, 0.75, 1], abs=0.1)
    assert min(figures["certainty"]) > 0.95

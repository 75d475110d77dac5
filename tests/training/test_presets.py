"""Presets are data: a file with a base and what differs; every setting can be set, by its type."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from training.config import flat, setting_names, to_dict
from training.kinds import KINDS
from training.presets import PRESETS, PresetError, read_preset, with_settings

PAPER = PRESETS["paper"]


def differences(name: str) -> set[str]:
    """The settings in which a preset is not `paper`."""
    mine, papers = flat(to_dict(PRESETS[name])), flat(to_dict(PAPER))
    return {key for key in mine.keys() | papers.keys() if mine.get(key) != papers.get(key)} - {"preset"}


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("no-identity", {"losses.identity_nce"}),
        ("late-fusion", {"discriminator.fusion"}),
        ("cycle", {"losses.nce", "losses.identity_nce", "losses.cycle", "losses.identity_l1", "data.source_sounds"}),
        ("keyword", {"condition.kind"}),
        ("class-pred", {"condition.kind"}),
        ("adain", {"condition.kind"}),
        ("pretrained-audio", {"pretraining.steps"}),
        ("selavi", {"audio_start", "audio.stage_blocks", "audio.first_padding"}),
        ("wav2clip", {"audio_start", "audio.first_padding"}),
    ],
)
def test_an_ablation_or_baseline_is_the_paper_but_for_one_matter(name: str, changed: set[str]) -> None:
    assert differences(name) == changed


def test_the_paper_has_the_papers_settings() -> None:
    assert (PAPER.batch, PAPER.epochs, PAPER.learning_rate, PAPER.betas) == (16, 50, 2e-4, (0.5, 0.999))
    assert (PAPER.losses.nce, PAPER.losses.identity_nce) == (0.5, 0.5)  # type: ignore[attr-defined]
    assert PAPER.constant_share * PAPER.epochs == 30


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_setting_can_be_set(kind: str) -> None:
    config = next(config for config in PRESETS.values() if config.kind == kind)
    values = flat(to_dict(config))
    for name in setting_names(type(config)):
        value = values[name]
        text = str(value).lower() if isinstance(value, bool) else str(value).replace("(", "[").replace(")", "]")
        text = text.replace(",]", "]").replace("None", "none")
        assert with_settings(config, [f"{name}={text}"]) == config, name


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("losses.nec=0.2", "no setting 'losses.nec'; near it: losses.nce"),
        ("bacth=4", "near it: batch"),
        ("batch=4.5", "batch is int, not 4.5"),
        ("batch=true", "batch is int, not True"),
        ("losses.nce=much", "losses.nce is float, not 'much'"),
        ("precision=fp8", "precision is one of auto, fp32, bf16, fp16, not 'fp8'"),
        ("betas=[0.5]", "betas has 2 entries, not 1"),
        ("losses=3", "no setting 'losses'"),
        ("kind=own", "choose another --preset"),
        ("batch", "write NAME=VALUE"),
    ],
)
def test_a_setting_that_is_not_one_is_refused_in_words(setting: str, message: str) -> None:
    with pytest.raises(PresetError, match=message.replace("[", r"\[")):
        with_settings(PAPER, [setting])


def test_a_preset_of_ones_own_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(b'\xef\xbb\xbfbase = "paper-narrow"\r\n[losses]\r\nnce = 1\r\n')
    mine, narrow = read_preset(str(tmp_path / "mine.toml")), PRESETS["paper-narrow"]
    assert mine.preset == "mine"
    expected = dataclasses.replace(narrow.losses, nce=1.0)  # type: ignore[attr-defined]
    assert mine == dataclasses.replace(narrow, preset="mine", losses=expected)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('base = "paper"\nbatsh = 3', "no setting batsh; did you mean batch"),
        ('base = "papre"', "did you mean paper"),
        ("batch = 3", "of the kind"),
        ("batch = ", "is no preset"),
        ('base = "mine.toml"', "each other's base"),
    ],
)
def test_a_preset_that_is_none_is_refused_in_words(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PresetError, match=message):
        read_preset("mine.toml")

"""What a reproduction trains and judges: the paper's rows, their scales, and the orderings that it states."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.words import write_words
from tests.training.test_reproduce import SMOKE, TRAINED
from training.config import flat, to_dict
from training.presets import PRESETS
from training.reproduce.measure import Figure
from training.reproduce.orderings import Verdict, judge, table_orderings
from training.reproduce.rows import LONGER_NAME, OUR_NAME, PAPER_NAME, ROWS
from training.reproduce.run import ReproduceError, RowSources, plan
from training.reproduce.scale import SCALES, scaled

# Verdicts


@pytest.mark.parametrize(
    ("better", "worse", "higher", "verdict"),
    [
        (Figure(0.8, 0.7, 0.9, 9), Figure(0.5, 0.4, 0.6, 9), True, Verdict.HOLDS),
        (Figure(0.8, 0.7, 0.9, 9), Figure(0.5, 0.4, 0.6, 9), False, Verdict.FAILS),
        (Figure(0.8, 0.5, 0.9, 9), Figure(0.5, 0.4, 0.6, 9), True, Verdict.OPEN),
        (Figure(0.8, 0.8, 0.8, 1), Figure(0.5, 0.4, 0.6, 9), True, Verdict.OPEN),  # one source has no interval
        (None, Figure(0.5, 0.4, 0.6, 9), True, Verdict.LEFT_OUT),
    ],
)
def test_an_ordering_is_told_where_intervals_lie_apart(
    better: Figure | None, worse: Figure, higher: bool, verdict: Verdict
) -> None:
    assert judge(better, worse, higher) is verdict


def test_a_single_photograph_has_no_interval() -> None:
    assert str(Figure(0.5, 0.5, 0.5, 1)) == "0.5"
    assert str(Figure(0.5, 0.4, 0.6, 2)) == "0.5 [0.4, 0.6]"
    assert str(Figure(1423.0, 999.4, 1501.0, 2)) == "1,423 [999, 1,501]"


def test_the_paper_says_that_a_lower_frechet_distance_is_better() -> None:
    figures = {PAPER_NAME: {"frechet_efficientnet": Figure(9.0, 8.0, 10.0, 9)}}
    figures["CycleGAN"] = {"frechet_efficientnet": Figure(20.0, 18.0, 22.0, 9)}
    found = [o for o in table_orderings(3, ROWS, figures) if {o.better, o.worse} == {PAPER_NAME, "CycleGAN"}]
    (by_distance,) = [o for o in found if o.measure == "frechet_efficientnet"]
    assert (by_distance.better, by_distance.verdict) == (PAPER_NAME, Verdict.HOLDS)
    assert by_distance.paper == "34.139 against 35.244"


def test_the_baselines_enter_the_orderings_that_the_paper_states() -> None:
    found = {(o.better, o.worse, o.paper) for o in table_orderings(1, ROWS, {})}
    assert (PAPER_NAME, "Keyword", "34.139 against 38.066") in found
    assert (PAPER_NAME, "AdaIN", "0.82 against 0.812") in found
    assert ("Keyword", "Class Pred.", "0.809 against 0.801") in found  # said in the text
    assert not any({better, worse} == {"AdaIN", "Keyword"} for better, worse, _ in found)
    by_scene = {(o.better, o.worse, o.paper) for o in table_orderings(2, ROWS, {})}
    assert (PAPER_NAME, "Class Pred.", "0.816 against 0.793") in by_scene
    assert ("Keyword", "Class Pred.", "0.827 against 0.819") in by_scene


# Rows and scales


def test_each_row_is_a_preset_that_exists() -> None:
    assert {row.preset for row in ROWS} <= set(PRESETS)
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_the_papers_figures_stand_beside_the_papers_method_and_its_variants_alone() -> None:
    for row in ROWS:
        config = PRESETS[row.preset]
        if any(row.tables.values()):
            assert config.kind == "paper", row.name
    (ours,) = [row for row in ROWS if row.name == OUR_NAME]
    assert not any(ours.tables.values())
    assert PRESETS[ours.preset].kind != "paper"


@pytest.mark.parametrize("name", [row.preset for row in ROWS])
def test_a_scale_changes_sizes_and_not_what_a_preset_is_about(name: str) -> None:
    whole, small = (flat(to_dict(config)) for config in (PRESETS[name], scaled(PRESETS[name], SCALES["cpu"], seed=0)))
    sizes = {
        "audio.encoder_width", "audio.embedding_dim", "generator.width", "generator.blocks", "discriminator.width",
        "losses.nce_patches", "losses.projector_width", "data.crops", "batch", "images", "sample_images",
        "checkpoint_seconds", "pretraining.steps", "pretraining.batch",
    }  # fmt: skip
    assert {key for key in whole if whole[key] != small[key]} <= sizes
    assert bool(small["pretraining.steps"]) == bool(whole["pretraining.steps"])


def test_the_scale_of_the_paper_is_the_presets_as_they_are() -> None:
    for row in ROWS:
        assert scaled(PRESETS[row.preset], SCALES["paper"], seed=0) == PRESETS[row.preset]


def test_rows_without_their_weights_are_left_out_with_the_reason(index: Path, tmp_path: Path) -> None:
    words = str(write_words(tmp_path / "words.txt"))
    sources = RowSources({"wav2clip": index, "scene": index}, words, "tests.support.taggers:tone_is_bird")
    jobs, left_out = plan(ROWS, SCALES["paper"], index, tmp_path, 0, sources)
    assert {job.name for job in jobs} == (TRAINED - {LONGER_NAME}) | {"+ Wav2CLIP", "Our model"}
    assert "--audio-weights selavi=FILE" in left_out["+ SeLaVi"]
    assert "narrow" in plan(ROWS, SMOKE, index, tmp_path, 0, sources)[1]["+ Wav2CLIP"]


def test_rows_without_words_or_a_tagger_are_left_out_with_the_reason(index: Path, tmp_path: Path) -> None:
    words = str(write_words(tmp_path / "words.txt"))
    jobs, left_out = plan(ROWS, SMOKE, index, tmp_path, 0, RowSources({}, words, "none"))
    assert "Keyword" in {job.name for job in jobs}
    assert "needs a tagger" in left_out["Class Pred."]
    nowhere = RowSources({}, str(tmp_path / "nowhere.txt"), "none")
    without = plan(ROWS, SMOKE, index, tmp_path, 0, nowhere)[1]
    assert "nowhere.txt" in without["Keyword"]
    assert "nowhere.txt" in without["Class Pred."]
    assert "AdaIN" not in without


def test_chosen_rows_are_trained_in_their_order_and_the_others_are_named(index: Path, tmp_path: Path) -> None:
    jobs, left_out = plan(ROWS, SMOKE, index, tmp_path, 0, RowSources(chosen=["cycle", "paper-longer", "paper"]))
    assert [job.name for job in jobs] == ["CycleGAN", LONGER_NAME, PAPER_NAME]
    assert "--rows" in left_out["Keyword"]
    assert len({job.folder for job in jobs}) == 3
    with pytest.raises(ReproduceError, match="no row cicle; --rows takes class-pred"):
        plan(ROWS, SMOKE, index, tmp_path, 0, RowSources(chosen=["cicle"]))

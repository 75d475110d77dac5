"""The study page holds what raters need and nothing that names a method; the report counts what they sent back."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.media import make_photo, write_png
from training.__main__ import main
from training.study.page import write_study
from training.study.report import agreement, report_study
from training.study.samples import StudyError, draw_samples

KEY = {
    "study": "5",
    "methods": {"a": "ours", "b": "keyword", "c": "labels"},
    "samples": {"0000": "rain", "0001": "snow"},
}


@pytest.fixture
def folders(index: Path, tmp_path: Path) -> dict[str, Path]:
    """Two methods' images of the first three samples."""
    methods = {name: tmp_path / name for name in ("Keyword words", "AdaIN images")}
    for place, folder in enumerate(methods.values()):
        folder.mkdir()
        for sample in draw_samples(index, 3, seed=0):
            write_png(folder / f"{sample.name}.png", make_photo(40, 40, seed=place))
    return methods


def data_of(page: Path) -> dict[str, Any]:
    found = re.search(r"const study = (\{.*\});", page.read_text())
    assert found
    return dict(json.loads(found[1]))


def test_the_page_shows_every_method_under_a_code(
    index: Path, finished_run: Path, folders: dict[str, Path], tmp_path: Path
) -> None:
    methods = {"our own network": finished_run, **folders}
    page = write_study(tmp_path / "study", index, methods, count=3, size=48)
    key, content = json.loads((tmp_path / "study" / "key.json").read_text()), data_of(page)
    assert sorted(key["methods"].values()) == sorted(methods)
    assert len(content["samples"]) == 3
    for sample in content["samples"]:
        assert set(sample["results"]) == set(key["methods"])
        assert all(value.startswith("data:image/webp") for value in sample["results"].values())
        assert sample["sound"].startswith("data:audio/wav")
    assert content["study"] == key["study"]


def test_the_page_names_no_method_and_asks_for_nothing_outside(
    index: Path, folders: dict[str, Path], tmp_path: Path
) -> None:
    text = write_study(tmp_path / "study", index, folders, count=3, size=48).read_text()
    assert not any(name in text for name in folders)
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", text)


def test_the_list_of_samples_lets_another_program_make_the_images(
    index: Path, folders: dict[str, Path], tmp_path: Path
) -> None:
    write_study(tmp_path / "study", index, folders, count=3, size=48)
    lines = [json.loads(line) for line in (tmp_path / "study" / "samples.jsonl").read_text().splitlines()]
    assert [line["name"] for line in lines] == ["0000", "0001", "0002"]
    for line in lines:
        assert Path(line["sound"]).is_file()
        with Image.open(line["image"]) as opened:
            assert opened.size[0] > 0


def test_the_same_seed_gives_the_same_samples(index: Path) -> None:
    first, again, other = (draw_samples(index, 4, seed) for seed in (3, 3, 4))
    names = [[(s.image, s.sound, s.start_seconds) for s in samples] for samples in (first, again, other)]
    assert names[0] == names[1] != names[2]
    assert len({image for image, _, _ in names[0]}) == 4


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--method", "one"], "not NAME=PATH"),
        (["--method", "one=/nowhere"], "there is no /nowhere"),
        (["--method", "one=."], "2 to 6 methods"),
        (["--method", "one=.", "--method", "two=.", "--samples", "999"], "held-out photographs"),
        (["--method", "one=.", "--method", "two=.", "--samples", "2"], r"has no 0000\.png"),
    ],
)
def test_a_study_that_cannot_be_made_says_why(
    arguments: list[str], says: str, index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["study", str(tmp_path / "study"), "--index", str(index), *arguments]) == 2
    assert re.search(says, capsys.readouterr().err)


def rankings(folder: Path, rater: str, *samples: tuple[int, int, int], study: str = "5") -> Path:
    """A rater's file: the ranks of a, b and c for each sample."""
    lines = [
        {"sample": f"{number:04d}", "shown": ["c", "a", "b"], "ranks": dict(zip("abc", ranks, strict=True))}
        for number, ranks in enumerate(samples)
    ]
    path = folder / f"{rater}.json"
    path.write_text(json.dumps({"study": study, "rater": rater, "rankings": lines}))
    return path


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key.json"
    path.write_text(json.dumps(KEY))
    return path


def test_mean_ranks_are_by_method_and_best_first(key: Path, tmp_path: Path) -> None:
    files = [
        rankings(tmp_path, "ann", (3, 2, 1), (3, 1, 2)),
        rankings(tmp_path, "bob", (3, 2, 1), (2, 1, 3)),
    ]
    report = report_study(key, files, tmp_path / "report.json")
    assert {name: round(estimate.mean, 3) for name, estimate in report.methods.items()} == {
        "ours": 2.75,
        "labels": 1.75,
        "keyword": 1.5,
    }
    assert next(iter(report.methods)) == "ours"
    assert all(estimate.low <= estimate.mean <= estimate.high for estimate in report.methods.values())
    assert json.loads((tmp_path / "report.json").read_text())["raters"] == 2
    assert "| ours | 2.75 [" in (tmp_path / "report.md").read_text()


def test_agreement_is_one_where_all_rank_alike_and_nought_where_they_rank_inversely() -> None:
    alike = np.array([[[1.0, 2, 3, 4]], [[1, 2, 3, 4]], [[1, 2, 3, 4]]])
    inverse = np.array([[[1.0, 2, 3, 4]], [[4, 3, 2, 1]]])
    assert agreement(alike) == pytest.approx(1)
    assert agreement(inverse) == pytest.approx(0)
    assert agreement(alike[:1]) is None


def test_samples_that_a_rater_left_out_do_not_count(key: Path, tmp_path: Path) -> None:
    files = [rankings(tmp_path, "ann", (3, 2, 1)), rankings(tmp_path, "bob", (3, 2, 1), (1, 2, 3))]
    report = report_study(key, files, tmp_path / "report.json")
    assert report.methods["ours"].mean == pytest.approx(7 / 3)
    assert report.agreement == pytest.approx(1)


@pytest.mark.parametrize(
    ("ranks", "study", "says"),
    [
        ((3, 3, 1), "5", "the ranks must be 1 to 3, each once"),
        ((4, 2, 1), "5", "the ranks must be 1 to 3"),
        ((3, 2, 1), "6", "of another study"),
    ],
)
def test_a_wrong_file_is_named(ranks: tuple[int, int, int], study: str, says: str, key: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=f"ann.json.*{says}"):
        report_study(key, [rankings(tmp_path, "ann", ranks, study=study)], tmp_path / "report.json")


def test_a_rater_counts_once(key: Path, tmp_path: Path) -> None:
    file = rankings(tmp_path, "ann", (3, 2, 1))
    with pytest.raises(StudyError, match="ann: more than one file"):
        report_study(key, [file, file], tmp_path / "report.json")


def test_a_file_that_is_no_ranking_is_refused(key: Path, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text('{"study": "5", "rankings": 3}')
    with pytest.raises(StudyError, match="not a file of rankings"):
        report_study(key, [tmp_path / "other.json"], tmp_path / "report.json")

"""Which orderings of the paper hold here, which do not, and which cannot be told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import combinations

from training.evaluation.metrics.avc import OpenL3Correspondence, OwnCorrespondence
from training.evaluation.metrics.clip import Clip
from training.evaluation.metrics.judges import FID as CLEAN_FID
from training.evaluation.metrics.judges import FRECHET, SHUFFLED
from training.reproduce import rows
from training.reproduce.measure import COPY_NAME, TARGET_NAME, TRANSFER_NAME, Figure, Figures
from training.reproduce.rows import PAPER_NAME, TARGET, Row

# What stands for a measure of the paper: its own where the weights were given, else the substitute.
STANDS_FOR: Mapping[str, Sequence[str]] = {
    rows.AVC: (OpenL3Correspondence.name, OwnCorrespondence.name),
    rows.FID: (CLEAN_FID, FRECHET),
    rows.CLIP: (Clip.name,),
    rows.AMT: (),  # people; `python -m training study`
}
SCENE_NAMES: Mapping[str, Sequence[str]] = {
    rows.RAINY: ("rain", "rainy"),
    rows.SUNNY: ("summer", "sunny", "sun"),
    rows.SNOWY: ("snow", "snowy"),
}
STATED = {"Keyword", "Class Pred."}  # the paper's text says that the first outperforms the second
ANOTHER_SOUND = "another sound"  # what the same images are judged against


class Verdict(Enum):
    HOLDS = "holds"
    FAILS = "does not hold"
    OPEN = "cannot be told"
    LEFT_OUT = "left out"


@dataclass(frozen=True)
class Ordering:
    """`better` is better than `worse` by `measure` of the paper: what the paper, or sense, says, and what was found."""

    measure: str
    better: str
    worse: str
    paper: str  # the paper's two figures; empty for a control of ours
    verdict: Verdict
    found: str


def measure_key(measure: str, figures: Mapping[str, Figures], scene: str | None = None) -> str | None:
    """The measured key that stands for the paper's measure; None if none was measured."""
    for key in STANDS_FOR[measure]:
        whole = key if scene is None else f"{key}: {scene}"
        if any(whole in found for found in figures.values()):
            return whole
    return None


def scene_key(measure: str, figures: Mapping[str, Figures]) -> str | None:
    """As `measure_key`, for a column of Table 2."""
    found = (measure_key(rows.AVC, figures, scene) for scene in SCENE_NAMES[measure])
    return next((key for key in found if key is not None), None)


def judge(better: Figure | None, worse: Figure | None, higher: bool) -> Verdict:
    """Held against each other by their intervals: where those overlap it cannot be told."""
    if better is None or worse is None:
        return Verdict.LEFT_OUT
    if not (better.has_interval and worse.has_interval):
        return Verdict.OPEN
    if not higher:
        better, worse = worse, better
    if better.low > worse.high:
        return Verdict.HOLDS
    return Verdict.FAILS if better.high < worse.low else Verdict.OPEN


def table_orderings(number: int, listed: Sequence[Row], figures: Mapping[str, Figures]) -> list[Ordering]:
    """Every ordering that the paper's table states: in Tables 1 to 3 of its method and another, in Table 4 of any two.

    In Tables 1 and 2 also that of Keyword and Class Pred., which the paper's text draws.
    """
    said = {row.name: row.tables[number] for row in listed if row.tables.get(number)}
    if number == 1:
        said[TARGET_NAME] = TARGET
    baseline = PAPER_NAME if PAPER_NAME in said else next(iter(said), "")
    found = []
    for first, second in combinations(said, 2):
        if number != 4 and baseline not in (first, second) and {first, second} != STATED:
            continue
        for measure in said[first]:
            if measure not in said[second] or said[first][measure] == said[second][measure]:
                continue
            scene = number == 2
            higher = scene or rows.HIGHER_IS_BETTER[measure]
            better, worse = (
                (first, second) if (said[first][measure] > said[second][measure]) == higher else (second, first)
            )
            key = scene_key(measure, figures) if scene else measure_key(measure, figures)
            paper = f"{said[better][measure]:g} against {said[worse][measure]:g}"
            found.append(_ordering(measure, key, better, worse, higher, paper, figures))
    return found


def control_orderings(trained: Sequence[str], figures: Mapping[str, Figures]) -> list[Ordering]:
    """What a method that hears must do: be better than the input, than a palette, and than under another sound."""
    found = []
    correspondence = measure_key(rows.AVC, figures)
    for name in trained:
        for key in (correspondence, "right scene"):
            if key is None:
                continue
            own, other = figures[name].get(key), figures[name].get(key + SHUFFLED)
            text = f"{own} against {other}"
            found.append(Ordering(key, name, ANOTHER_SOUND, "", judge(own, other, True), text))
            for control in (COPY_NAME, TRANSFER_NAME):
                found.append(_ordering(key, key, name, control, True, "", figures))
    return found


def _ordering(
    measure: str, key: str | None, better: str, worse: str, higher: bool, paper: str, figures: Mapping[str, Figures]
) -> Ordering:
    first, second = (figures.get(name, {}).get(key or "") for name in (better, worse))
    verdict = judge(first, second, higher)
    missing = [name for name, figure in ((better, first), (worse, second)) if figure is None]
    if key is None:
        text = f"nothing here stands for {measure}"
    else:
        text = f"{first} against {second}" if not missing else f"{' and '.join(missing)} not measured"
    return Ordering(key or measure, better, worse, paper, verdict, text)

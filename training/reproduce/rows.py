"""The rows of the paper's tables: which preset stands for each, and what the paper measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

AVC, FID, AMT, CLIP = "AVC", "FID", "AMT", "CLIP"
RAINY, SUNNY, SNOWY = "AVC, rainy", "AVC, sunny", "AVC, snowy"
HIGHER_IS_BETTER: Mapping[str, bool] = {AVC: True, FID: False, AMT: True, CLIP: True}


@dataclass(frozen=True)
class Row:
    """One method.

    tables: the paper's figures by table number; empty where the row is ours and stands beside the paper's.
    longer: trained for the scale's longer run, whose progress the report draws.
    """

    name: str
    preset: str
    tables: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    longer: bool = False

    @property
    def key(self) -> str:
        """What names it on the command line and its folder: the preset, or PRESET-longer."""
        return f"{self.preset}-longer" if self.longer else self.preset


PAPER_NAME, OUR_NAME = "Paper (reimplemented)", "Our model"
LONGER_NAME = "Paper (reimplemented), longer run"
OURS_IN_PAPER = {AVC: 0.820, FID: 34.139, CLIP: 0.238}  # the paper's rows `Ours`
SELAVI = {AVC: 0.822, FID: 32.882, CLIP: 0.242}
KEYWORD = {RAINY: 0.827, SUNNY: 0.802, SNOWY: 0.808}
CLASS_PREDICTION = {RAINY: 0.819, SUNNY: 0.796, SNOWY: 0.793}
PAPER_ROW = {
    1: {**OURS_IN_PAPER, AMT: 3.273},
    2: {RAINY: 0.831, SUNNY: 0.820, SNOWY: 0.816},
    3: OURS_IN_PAPER,
    4: OURS_IN_PAPER,
}

# Every row but the last is the paper's method or the method but for one matter.
ROWS: tuple[Row, ...] = (
    Row("Class Pred.", "class-pred", {1: {AVC: 0.801, FID: 91.417, AMT: 1.833, CLIP: 0.228}, 2: CLASS_PREDICTION}),
    Row("AdaIN", "adain", {1: {AVC: 0.812, FID: 62.851, AMT: 2.269, CLIP: 0.232}}),
    Row("Keyword", "keyword", {1: {AVC: 0.809, FID: 38.066, AMT: 2.626, CLIP: 0.236}, 2: KEYWORD}),
    Row("CycleGAN", "cycle", {3: {AVC: 0.812, FID: 35.244, CLIP: 0.232}}),
    Row("Late fusion", "late-fusion", {3: {AVC: 0.811, FID: 54.025, CLIP: 0.230}}),
    Row("w/o ID loss", "no-identity", {3: {AVC: 0.810, FID: 41.019, CLIP: 0.236}}),
    Row(PAPER_NAME, "paper", PAPER_ROW),
    Row(LONGER_NAME, "paper", {1: {}, 3: {}}, longer=True),
    Row("+ SeLaVi", "selavi", {3: SELAVI, 4: SELAVI}),
    Row("+ Wav2CLIP", "wav2clip", {4: {AVC: 0.831, FID: 30.334, CLIP: 0.246}}),
    Row("+ pre-training on the index", "pretrained-audio", {3: {}, 4: {}}),
    Row(OUR_NAME, "demo", {1: {}, 2: {}}),
)
TARGET = {AVC: 0.842, CLIP: 0.247}  # the real images that occur with the audio (Table 1)

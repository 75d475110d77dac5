"""Means, intervals and agreement of the rankings that a study's raters sent back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.evaluation.metrics.statistics import Estimate
from training.study.samples import StudyError

_ROUNDS = 2000


@dataclass(frozen=True)
class StudyReport:
    """methods: mean rank of each (as many as there are methods: always best; 1: always worst), best first.

    agreement: Kendall's W of the raters of a sample, mean over the samples that at least two have ranked: 1 where all
    agree, about 1 / raters where all guess; None if no sample has two raters.
    """

    raters: int
    samples: int
    methods: dict[str, Estimate]
    agreement: float | None

    def table(self) -> str:
        """As Markdown."""
        best = len(self.methods)
        lines = [f"| method | mean rank ({best} best, 1 worst) |", "|---|---|"]
        lines += [f"| {name} | {estimate} |" for name, estimate in self.methods.items()]
        agreement = "not known (one rater a sample)" if self.agreement is None else f"{self.agreement:.2f}"
        note = (
            f"{self.raters} raters, {self.samples} samples. Mean and 95 % bootstrap interval, raters and samples both "
            f"drawn anew. Agreement of the raters of a sample (Kendall's W): {agreement}."
        )
        return "\n".join([*lines, "", note, ""])


def report_study(key: Path, rankings: Sequence[Path], output: Path, seed: int = 0) -> StudyReport:
    """Read the key and every rater's file, write the report as JSON and, beside it, as Markdown.

    Raises StudyError for a file that is not of this study, or that ranks wrongly.
    """
    known = _read(key)
    try:
        codes, samples = sorted(known["methods"]), sorted(known["samples"])
        study = known["study"]
    except (KeyError, TypeError) as exc:
        raise StudyError(f"{key} is not the key.json of a study") from exc
    answers = [_answers(path, study, codes, samples) for path in rankings]
    names = [rater for rater, _ in answers]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise StudyError(f"{', '.join(twice)}: more than one file has this rater's name; keep one of them")
    ranks = np.stack([table for _, table in answers])  # [raters, samples, methods], NaN where not ranked
    if np.isnan(ranks).all():
        raise StudyError("no sample was ranked")
    estimates = {known["methods"][code]: estimate for code, estimate in zip(codes, _means(ranks, seed), strict=True)}
    best_first = dict(sorted(estimates.items(), key=lambda item: -item[1].mean))
    report = StudyReport(len(answers), len(samples), best_first, agreement(ranks))
    output.write_text(json.dumps(asdict(report), indent=1))
    output.with_suffix(".md").write_text(report.table())
    return report


def agreement(ranks: NDArray[np.float64]) -> float | None:
    """Kendall's W of each sample's raters, mean over samples with two of them or more. ranks: [R, S, K], NaN: none."""
    found = []
    for sample in ranks.transpose(1, 0, 2):
        given = sample[~np.isnan(sample).any(axis=1)]
        raters, methods = given.shape
        if raters >= 2:
            sums = given.sum(axis=0)
            found.append(12 * ((sums - sums.mean()) ** 2).sum() / (raters**2 * (methods**3 - methods)))
    return float(np.mean(found)) if found else None


def _means(ranks: NDArray[np.float64], seed: int) -> list[Estimate]:
    """For each method the mean over raters and samples, and its interval."""
    rng = np.random.default_rng(seed)
    raters, samples, _ = ranks.shape
    given = ~np.isnan(ranks[:, :, :1])
    sums = np.where(given, ranks, 0)

    def mean(rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.float64]:
        count = given[rows][:, columns].sum()
        return np.asarray(sums[rows][:, columns].sum(axis=(0, 1)) / count if count else np.full(ranks.shape[2], np.nan))

    row_draws = rng.integers(raters, size=(_ROUNDS, raters))
    column_draws = rng.integers(samples, size=(_ROUNDS, samples))
    draws = [mean(rows, columns) for rows, columns in zip(row_draws, column_draws, strict=True)]
    low, high = np.nanpercentile(draws, [2.5, 97.5], axis=0)
    whole = mean(np.arange(raters), np.arange(samples))
    return [Estimate(float(m), float(a), float(b)) for m, a, b in zip(whole, low, high, strict=True)]


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as exc:
        raise StudyError(f"{path} is not readable JSON: {exc}") from exc


def _answers(path: Path, study: str, codes: list[str], samples: list[str]) -> tuple[str, NDArray[np.float64]]:
    """(rater, ranks [samples, methods])."""
    given = _read(path)
    try:
        if given["study"] != study:
            raise StudyError(f"{path} is of another study")
        rater, table = str(given["rater"]), np.full((len(samples), len(codes)), np.nan)
        for line in given["rankings"]:
            ranks = [line["ranks"][code] for code in codes]
            if sorted(ranks) != list(range(1, len(codes) + 1)) or len(line["ranks"]) != len(codes):
                raise StudyError(f"{path}, sample {line['sample']}: the ranks must be 1 to {len(codes)}, each once")
            table[samples.index(line["sample"])] = ranks
    except (KeyError, TypeError, ValueError) as exc:
        if isinstance(exc, StudyError):
            raise
        raise StudyError(f"{path} is not a file of rankings: {exc!r}") from exc
    return rater, table

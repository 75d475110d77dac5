"""Train the rows, several at a time, so that a run that was killed goes on where it stopped."""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from training import checkpoint
from training.config import TrainingConfig, to_dict
from training.data.conditions import SOURCES, with_sources
from training.data.files import written_whole
from training.data.tagger import TaggerError
from training.data.word_vectors import WordsError
from training.presets import PRESETS, with_settings
from training.reproduce.rows import Row
from training.reproduce.scale import Scale, scaled
from training.stages.stage import DivergedError
from training.start import Start
from training.trainer import train

JUDGE = "judge"  # the towers that measure every row and drive none
JUDGE_PRESET = "pretrained-audio"
JUDGE_SEED = 1_000  # further on than a run's own


class ReproduceError(ValueError):
    """A reproduction that cannot be made or gone on with; the message says what to do."""


@dataclass(frozen=True)
class Job:
    """A row to be trained in `folder`."""

    name: str
    config: TrainingConfig
    folder: Path
    index: Path
    audio_weights: Path | None = None

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.pt"

    def settings(self, index_sha256: str) -> dict[str, Any]:
        """What must be the same for the row to be gone on with, or used again."""
        values = {"config": to_dict(self.config), "index": index_sha256}
        if self.audio_weights is not None:
            values["audio_weights"] = _sha256(self.audio_weights)
        return json.loads(json.dumps(values))


@dataclass(frozen=True)
class RowSources:
    """What rows need from outside, and which are trained.

    audio_weights: published files by preset; word_vectors, tagger: of the rows that are told words (None: the presets'
    own); chosen: the keys of the rows to be trained, in this order (none: all).
    """

    audio_weights: Mapping[str, Path] = field(default_factory=dict)
    word_vectors: str | None = None
    tagger: str | None = None
    chosen: Sequence[str] = ()


def plan(
    rows: Sequence[Row],
    scale: Scale,
    index: Path,
    output: Path,
    seed: int,
    sources: RowSources,
) -> tuple[list[Job], dict[str, str]]:
    """The rows that can be trained, and why each of the others is left out. Raises ReproduceError for unknown rows."""
    chosen = list(sources.chosen)
    if unknown := set(chosen) - {row.key for row in rows}:
        known = ", ".join(row.key for row in rows)
        raise ReproduceError(f"there is no row {', '.join(sorted(unknown))}; --rows takes {known}")
    jobs, left_out = [], {}
    for row in sorted(rows, key=lambda row: chosen.index(row.key) if row.key in chosen else len(chosen)):
        if row.longer and not scale.longer_images:
            continue
        if chosen and row.key not in chosen:
            left_out[row.name] = "not trained in this run (--rows)"
            continue
        preset = PRESETS[row.preset]
        needs = SOURCES.get(preset.condition.kind, ())
        words = sources.word_vectors if "word_vectors" in needs else None
        labels = sources.tagger if "tagger" in needs else None
        try:
            config = scaled(with_sources(preset, words, labels), scale, seed, row.longer)
        except (WordsError, TaggerError) as exc:
            left_out[row.name] = str(exc)
            continue
        audio_start = getattr(config, "audio_start", "scratch")
        file = sources.audio_weights.get(audio_start)
        if audio_start != "scratch" and file is None:
            left_out[row.name] = f"its published weights are not here (--audio-weights {audio_start}=FILE)"
        elif audio_start in ("selavi", "wav2clip") and scale.overrides.narrow:
            left_out[row.name] = f"published weights do not fit the narrow networks of the scale {scale.name}"
        else:
            jobs.append(Job(row.name, config, output / "rows" / row.key, index, file))
    return jobs, left_out


def judge_job(scale: Scale, index: Path, output: Path, seed: int) -> Job:
    """The audio-visual pre-training alone, from another seed than any row's: what follows it has a rate of zero."""
    config = scaled(PRESETS[JUDGE_PRESET], scale, seed + JUDGE_SEED)
    still = [f"images={config.batch}", "learning_rate=0.0", "discriminator_learning_rate=0.0"]
    return Job(JUDGE, with_settings(config, still), output / JUDGE, index)


def train_all(jobs: Sequence[Job], processes: int, threads: int) -> dict[str, dict[str, Any]]:
    """What became of each row, by name: `images`, `seconds`, and `diverged` (the message) where a run did.

    Raises ReproduceError if a folder holds a row of other settings.
    """
    for job in jobs:
        _claim(job)
    context = multiprocessing.get_context("spawn")
    found: dict[str, dict[str, Any]] = {}
    with (
        ProcessPoolExecutor(processes, context, _begin_process, (threads,)) as pool,
        tqdm(total=len(jobs), desc="rows trained", unit="row") as progress,
    ):
        waiting = {pool.submit(train_row, job): job.name for job in jobs}
        try:
            for done in as_completed(waiting):
                found[waiting[done]] = done.result()
                progress.set_postfix_str(waiting[done])
                progress.update()
        except BrokenProcessPool as exc:
            raise ReproduceError(
                "a process that trained was killed (out of memory?); the same command goes on"
            ) from exc
        except KeyboardInterrupt:
            raise ReproduceError("stopped; the same command goes on") from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    return {job.name: found[job.name] for job in jobs}


def train_row(job: Job) -> dict[str, Any]:
    """Train one row to its end, or find that it is there. What the run says goes to `train.log`."""
    record = job.folder / "trained.json"
    if record.exists():
        return json.loads(record.read_text())
    begun = time.monotonic()
    before = int(checkpoint.load(job.checkpoint)["images_seen"]) if job.checkpoint.exists() else 0
    said: dict[str, Any] = {}
    with (job.folder / "train.log").open("a") as log, contextlib.redirect_stderr(log):
        try:
            train(job.config, job.index, job.folder, Start(audio_weights=job.audio_weights))
        except DivergedError as exc:  # the same seed would diverge again: this is what is known of the row
            said["diverged"] = str(exc)
    images = int(checkpoint.load(job.checkpoint)["images_seen"])
    said |= {"images": images, "images_of_this_part": images - before, "seconds": time.monotonic() - begun}
    write_json(record, said)
    return said


def write_json(path: Path, values: Any) -> None:
    with written_whole(path) as partial:
        partial.write_text(json.dumps(values, indent=1))


def _claim(job: Job) -> None:
    settings, path = job.settings(_sha256(job.index)), job.folder / "settings.json"
    if path.exists() and json.loads(path.read_text()) != settings:
        raise ReproduceError(
            f"{job.folder} holds a row of other settings: choose another --output, or delete that folder to train anew"
        )
    write_json(path, settings)


def _begin_process(threads: int) -> None:
    torch.set_num_threads(threads)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:  # a killed command must not leave rows training that its next start trains too
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

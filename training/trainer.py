"""The trainer: a run is a list of stages, each with its bar and its curve, resumable between any two steps."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from training import checkpoint
from training.config import TrainingConfig, to_dict
from training.data.conditions import load_conditions
from training.data.dataset import SKIPPED, Batch, CoOccurrences
from training.data.resident import ResidentCoOccurrences
from training.data.stream import require_streamable
from training.evaluation.samples import has_held_out, sample_sheet
from training.kinds import kind_of
from training.loss_meter import LossMeter
from training.models.average import Average
from training.models.compiled import compile_networks
from training.record import sha256_of, write_record
from training.stages.parallel import join_processes, leave_processes, same_for_all, take_those_of_the_first
from training.stages.precision import choose_precision
from training.stages.stage import Run, Stage
from training.start import Progress, Start, begin_alike, begin_with_weights, resume

LOG_STEPS = 20


def train(
    config: TrainingConfig, index: Path, folder: Path, start: Start | None = None, stream: Sequence[str] = ()
) -> Path:
    """Train into `folder`, going on where its checkpoint stopped. Returns the checkpoint's path.

    `stream`: addresses of shards to learn from instead, of which `index` leads into an excerpt. The number of processes
    is torchrun's; each takes its share of every batch. Raises CheckpointError, PairingError, ShardError, MediaError,
    DivergedError and ValueError.
    """
    start = start or Start()
    rank, ranks, device = join_processes()
    if config.batch % (ranks * config.accumulate):
        raise ValueError(
            f"a batch of {config.batch} cannot be shared by {ranks} processes in {config.accumulate} equal slices"
        )
    if stream:
        require_streamable(config)
        if config.data.on_device:
            raise ValueError("a stream is not kept, on no device: train from an index or a pack with --on-device")
    precision = choose_precision(config.precision, device)
    folder.mkdir(parents=True, exist_ok=True)
    conditions = load_conditions(config, index)
    dataset = (
        ResidentCoOccurrences(index, "train", config.data, config.audio, config.seed, conditions, device)
        if config.data.on_device
        else CoOccurrences(index, "train", config.data, config.audio, config.seed, conditions)
    )

    # The same networks in every process
    torch.manual_seed(config.seed)
    torch.set_flush_denormal(True)
    networks = kind_of(config).networks(config)
    networks.to_device(device)
    if device.type == "cuda":  # on a CPU the instance norms would copy every map back: 1.5 times as slow
        networks.to_device(memory_format=torch.channels_last)
    average = Average(networks, config.ema_images)
    run = Run(config, networks, average, dataset, device, precision, rank, ranks, stream)
    progress, saved = resume(run, folder, start, sha256_of(index))
    begin_alike(progress.total_steps if saved else None, folder)
    if not saved:
        begin_with_weights(run, start)
    if rank == 0:
        write_record(folder, config, index, precision, ranks)
        print(f"precision: {precision}", file=sys.stderr)
    if config.compile:
        compile_networks(networks)

    # Its stages
    stages = kind_of(config).stages(config)
    if start.weights is not None:
        stages = [stage for stage in stages if not stage.begins_anew_only]
    names = [stage.name for stage in stages]
    if progress.stage and progress.stage not in names:
        raise checkpoint.CheckpointError(f"the run stopped in {progress.stage!r}, which these settings do not have")
    session = Session(run, folder, index, conditions, progress)
    with session:
        for place, kind in enumerate(stages):
            if saved and place < names.index(progress.stage):
                continue
            resumed = saved.pop("stage", None) if saved else None
            stage = kind(run)
            session.run_stage(stage, _budget(config, stages, kind), resumed, last=place == len(stages) - 1)
            saved = None
    leave_processes()
    return folder / checkpoint.NEWEST


class Session:
    """One start of the command: log, curves, sample sheets and checkpoints of the stages that it runs."""

    def __init__(self, run: Run, folder: Path, index: Path, conditions: Any, progress: Progress) -> None:
        self.run, self.folder, self.index, self.conditions = run, folder, index, conditions
        self.progress, self.saved_at = progress, time.monotonic()
        self.index_sha256 = sha256_of(index)
        self.shows = has_held_out(index)
        self.leads = run.rank == 0
        self._finish = ExitStack()
        self._told: set[str] = set()

    def __enter__(self) -> Session:
        if self.leads:
            self.writer = SummaryWriter(str(self.folder / "tensorboard"))
            self._finish.callback(self.writer.close)
            self.log = self._finish.enter_context((self.folder / "log.jsonl").open("a", encoding="utf-8"))
        return self

    def __exit__(self, *_: object) -> None:
        self._finish.close()

    def run_stage(self, stage: Stage, budget: float | None, resumed: Mapping[str, Any] | None, last: bool) -> None:
        """All remaining steps of one stage, and its end. budget: seconds, instead of its own number of steps."""
        run, progress, name = self.run, self.progress, stage.name
        if resumed is None:
            stage.begin()
            take_those_of_the_first(run.networks)
            progress.stage, progress.steps[name], progress.seconds[name] = name, 0, 0.0
            if stage.images_per_step and not progress.images_seen:
                run.average.copy_from(run.networks)
            self._save(stage)  # so that a run that diverges at once leaves what it began with
        else:
            stage.load_state_dict(dict(resumed))
        first = progress.steps[name]
        began = time.monotonic() - progress.seconds[name]
        shares = {"now": 0.0}

        def share_at(step: int) -> float:
            return shares["now"] if budget else step / max(1, stage.steps)

        def elapsed_share(step: int) -> float:
            if not budget:
                return step / max(1, stage.steps)
            shares["now"] = min(1.0, same_for_all((time.monotonic() - began) / budget))
            return shares["now"]

        bar = tqdm(
            total=None if budget else stage.steps, initial=first, desc=name, unit="step", disable=not self.leads,
            smoothing=0.05,
        )  # fmt: skip
        losses = LossMeter(run.device)
        loader: Iterator[Batch] | None = None
        waited, logged = 0.0, time.monotonic()
        step = first
        while (share := elapsed_share(step)) < 1.0 or (budget is not None and step == 0):
            loader = stage.batches(step, share_at) if loader is None else loader
            waiting = time.monotonic()
            batch = self._to_device(next(loader))
            waited += time.monotonic() - waiting
            losses.add(stage.step(step, batch, share), step)
            step += 1
            progress.steps[name], progress.seconds[name] = step, time.monotonic() - began
            progress.images_seen += stage.images_per_step
            bar.update()
            losses.check(run.config.max_gradient_norm, eager=run.device.type == "cpu")
            due = time.monotonic() - self.saved_at > run.config.checkpoint_seconds
            if step % LOG_STEPS == 0 or due:
                said = losses.fetch(run.config.max_gradient_norm)
                now = time.monotonic()
                bar.set_postfix({k: f"{v:.3f}" for k, v in list(said.items())[:4]})
                said |= {"steps_per_second": losses.fetched / (now - logged), "waiting_share": waited / (now - logged)}
                if stage.images_per_step:
                    said["images_per_second"] = said["steps_per_second"] * stage.images_per_step
                logged, waited = now, 0.0
                self._tell(name, step, said)
            self._show_samples(stage)
            if due:
                self._save(stage)
        losses.fetch(run.config.max_gradient_norm)
        bar.close()
        stage.end()
        take_those_of_the_first(run.networks)
        self._report_skipped(run.dataset.skipped_by_name())
        if last or not stage.images_per_step:
            self._save(stage)

    def _to_device(self, batch: Batch) -> Batch:
        self._report_skipped(batch.pop(SKIPPED, {}))
        return {k: v.to(self.run.device, non_blocking=True) for k, v in batch.items()}

    def _report_skipped(self, skipped: Mapping[str, str]) -> None:
        for path, reason in skipped.items():
            if path not in self._told:
                self._told.add(path)
                tqdm.write(f"skipped ({len(self._told)}): {reason}", file=sys.stderr)

    def _tell(self, stage: str, step: int, said: dict[str, float]) -> None:
        if not self.leads:
            return
        for name, value in said.items():
            self.writer.add_scalar(f"{stage}/{name}", value, step)
        line = {"stage": stage, "step": step, "images": self.progress.images_seen, **said}
        if self._told:
            line["skipped_files"] = len(self._told)
        self.log.write(json.dumps(line) + "\n")
        self.log.flush()

    def _show_samples(self, stage: Stage) -> None:
        seen, every = self.progress.images_seen, self.run.config.sample_images
        per_step = stage.images_per_step
        if not (self.leads and self.shows and per_step and seen // every > (seen - per_step) // every):
            return
        sheet = sample_sheet(self.run.average, self.index, self.run.config, self.run.device, self.conditions)
        self.writer.add_image("samples", sheet, seen, dataformats="HWC")
        (self.folder / "samples").mkdir(exist_ok=True)
        Image.fromarray(sheet).save(self.folder / "samples" / f"{seen:07d}.png")

    def _save(self, stage: Stage) -> None:
        self.saved_at = time.monotonic()
        if not self.leads:
            return
        values = {
            "config": to_dict(self.run.config),
            "index_sha256": self.index_sha256,
            "images_seen": self.progress.images_seen,
            "networks": self.run.networks.state_dict(),
            "ema": self.run.average.state_dict(),
            "progress": vars(self.progress),
            "stage": stage.state_dict(),
        }
        checkpoint.save_numbered(self.folder, self.progress.total_steps, values, self.run.config.keep)


def _budget(config: TrainingConfig, stages: Sequence[type[Stage]], stage: type[Stage]) -> float | None:
    """Seconds of the run's time budget that are this stage's."""
    if not config.time_budget_minutes:
        return None
    return 60 * config.time_budget_minutes * stage.budget_share / sum(each.budget_share for each in stages)

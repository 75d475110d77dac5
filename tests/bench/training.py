"""`python -m tests.bench.training`: steps of the `paper` preset beside a plain restatement; how long a run waits."""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.bench.plain_step import PlainTrainer
from tests.support.running_service import ROOT
from tests.support.scene_data import write_scene_data
from training.config import TrainingConfig
from training.kinds import kind_of
from training.models.average import Average
from training.models.compiled import compile_networks
from training.presets import PRESETS, with_settings
from training.stages.precision import choose_precision, instruction_set
from training.stages.stage import Run
from training.trainer import train


def make_batch(config: TrainingConfig, batch: int, side: int) -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    pictures = {name: torch.rand(batch, 3, side, side, generator=rng) * 2 - 1 for name in ("source", "target")}
    return {**pictures, "waveform": 0.1 * torch.randn(batch, config.audio.clip_samples, generator=rng)}


def ours(config: TrainingConfig, batch: dict[str, torch.Tensor]) -> Callable[[], object]:
    """A step of the adversarial stage of `paper`."""
    torch.manual_seed(0)
    device = torch.device("cpu")
    networks = kind_of(config).networks(config)
    average = Average(networks, config.ema_images)
    if config.compile:
        compile_networks(networks)
    precision = choose_precision(config.precision, device)
    run = Run(config, networks, average, None, device, precision)  # type: ignore[arg-type]  # no data is drawn
    stage = kind_of(config).stages(config)[-1](run)
    steps = iter(range(10**6))
    return lambda: stage.step(next(steps), batch, 0.0)


def flops_an_image(config: TrainingConfig, side: int) -> float:
    """Operations of a step for each image, as torch counts them."""
    step = ours(config, make_batch(config, 2, side))
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops() / 2


def measure_steps(batch_size: int, side: int, rounds: int, compiled: bool) -> dict[str, Any]:
    """Images a second of each way to do a step, in turns; ratios are medians over the turns."""
    paper = PRESETS["paper"]
    batch = make_batch(paper, batch_size, side)
    torch.manual_seed(0)
    plain = PlainTrainer()
    fp32, best = (with_settings(paper, [f"precision={name}"]) for name in ("fp32", "auto"))
    ways: dict[str, Callable[[], object]] = {
        "plain": lambda: plain.step(batch["source"], batch["target"], batch["waveform"]),
        "ours, fp32": ours(fp32, batch),
    }
    name = choose_precision("auto", torch.device("cpu")).name
    if name != "fp32":
        ways[f"ours, {name}"] = ours(best, batch)
    if compiled:
        ways[f"compiled, {name}"] = ours(with_settings(best, ["compile=true"]), batch)
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):  # the first warms up, and compiles
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            taken[name].append(time.perf_counter() - began)
            print(f"turn {turn} of {rounds}, {name}: {taken[name][-1]:.2f} s", file=sys.stderr, flush=True)
    base = taken["plain"][1:]
    return {
        name: {
            "images_per_second": batch_size / median(seconds[1:]),
            "times_plain": median(one / other for one, other in zip(base, seconds[1:], strict=True)),
        }
        for name, seconds in taken.items()
    }


def measure_waiting(work: Path, images: int, workers: int) -> dict[str, float]:
    """The share of its time that a `paper-narrow` run on large photographs waits for images."""
    index = write_scene_data(work, 1600, 1200)
    settings = [f"images={images}", f"data.workers={workers}", "sample_images=1000000000"]
    train(with_settings(PRESETS["paper-narrow"], settings), index, work / "run")
    said = [json.loads(line) for line in (work / "run" / "log.jsonl").read_text().splitlines()][1:]
    return {name: float(np.median([line[name] for line in said])) for name in ("waiting_share", "images_per_second")}


def main() -> int:
    """Run both; 2 for bad arguments."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.training", description=__doc__)
    parser.add_argument("--side", type=int, default=256, help="pixels of an image's side (default: 256)")
    parser.add_argument("--batch", type=int, default=2, help="images of a step (default: 2)")
    parser.add_argument("--rounds", type=int, default=5, help="turns (default: 5)")
    parser.add_argument("--images", type=int, default=320, help="of the run that may wait, 0 for none (default: 320)")
    parser.add_argument("--workers", type=int, default=2, help="that load for it (default: 2)")
    parser.add_argument("--compile", action="store_true", help="also by torch.compile (compiling takes minutes)")
    parser.add_argument("--output", type=Path, default=ROOT / "bench-training.json", help="JSON (default: %(default)s)")
    options = parser.parse_args()
    report: dict[str, Any] = {
        "cores": os.cpu_count(),
        "instruction_set": instruction_set(),
        "load_before": round(os.getloadavg()[0], 2),
    }
    print(f"{report['cores']} cores, {report['instruction_set']}, load {report['load_before']} before")
    report["steps"] = measure_steps(options.batch, options.side, options.rounds, options.compile)
    for name, figures in report["steps"].items():
        print(f"{name:12}  {figures['images_per_second']:.3f} images/s  {figures['times_plain']:.2f} times plain")
    report["flops_an_image"] = flops_an_image(with_settings(PRESETS["paper"], ["precision=fp32"]), options.side)
    print(f"paper         {report['flops_an_image'] / 1e12:.2f} TFLOP an image")
    if options.images:
        with tempfile.TemporaryDirectory() as folder:
            report["loader"] = measure_waiting(Path(folder), options.images, options.workers)
        rate, waiting = report["loader"]["images_per_second"], report["loader"]["waiting_share"]
        print(f"narrow run    {rate:.2f} images/s, {waiting:.1%} of the time waiting")
    options.output.write_text(json.dumps(report, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

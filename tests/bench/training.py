"""`python -m tests.bench.training`: steps of the `paper` preset beside a plain restatement; how long a run waits."""

import argparse
import dataclasses
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
from tests.support.media import make_noise, make_photo, write_jpeg, write_wav
from tests.support.running_service import ROOT
from training.config import TrainingConfig
from training.data.index import build_scene_index
from training.models.compiled import compile_networks
from training.models.own.networks import Networks
from training.models.own.running_norm import running_norms, settle
from training.presets import PRESETS
from training.stages.own.step import make_optimizers, train_step
from training.trainer import train

RECIPE = """
test_share = 0.2

[[scene]]
name = "rain"
photos = ["rain/*.jpg"]
sounds = [{ file = "rain.wav", test_after = 40.0 }]

[[scene]]
name = "birds"
photos = ["birds/*.jpg"]
sounds = [{ file = "birds.wav", test_after = 40.0 }]
"""


def make_batch(config: TrainingConfig, batch: int, side: int) -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    images = {name: torch.rand(batch, 3, side, side, generator=rng) * 2 - 1 for name in ("source", "target")}
    return {**images, "waveform": 0.1 * torch.randn(batch, config.audio.clip_samples, generator=rng)}


def ours(config: TrainingConfig, batch: dict[str, torch.Tensor]) -> Callable[[], object]:
    torch.manual_seed(0)
    networks = Networks(config).eval()
    with torch.no_grad():
        embedding = networks.conditioner(networks.audio_encoder(batch["waveform"]), None)
    settle(running_norms(networks), lambda: networks.generator(batch["source"], embedding))  # as a run begins
    networks.train()
    optimizers = make_optimizers(networks, config)
    if config.compile:
        compile_networks(networks)
    steps = iter(range(10**6))
    rng = torch.Generator().manual_seed(0)
    return lambda: train_step(networks, optimizers, batch, config, next(steps), rng)


def flops_an_image(config: TrainingConfig, side: int, steps: int = 4) -> float:
    """Operations of a step for each image, as torch counts them, its terms of every n-th step shared out."""
    batch = make_batch(config, 2, side)
    step = ours(dataclasses.replace(config, compile=False), batch)
    with FlopCounterMode(display=False) as counter:
        for _ in range(steps):
            step()
    return counter.get_total_flops() / (2 * steps)


def measure_steps(batch_size: int, side: int, rounds: int, compiled: bool) -> dict[str, Any]:
    """Images a second of each way to do a step, in turns; ratios are medians over the turns."""
    paper = PRESETS["paper"]
    batch = make_batch(paper, batch_size, side)
    torch.manual_seed(0)
    plain = PlainTrainer()
    ways: dict[str, Callable[[], object]] = {
        "plain": lambda: plain.step(batch["source"], batch["target"], batch["waveform"]),
        "ours, fp32": ours(dataclasses.replace(paper, bf16=False), batch),
        "ours, bf16": ours(paper, batch),
        "default, bf16": ours(PRESETS["default"], batch),
    }
    if compiled:
        ways["compiled, bf16"] = ours(dataclasses.replace(paper, compile=True), batch)
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


def measure_waiting(work: Path, images: int) -> dict[str, float]:
    """The share of its time that a `demo` run on large photographs waits for images."""
    for scene in ("rain", "birds"):
        (work / "photos" / scene).mkdir(parents=True)
        for number in range(12):
            write_jpeg(work / "photos" / scene / f"{number}.jpg", make_photo(1600, 1200, 100 * len(scene) + number))
    (work / "sounds").mkdir()
    for seed, name in enumerate(("rain", "birds")):
        write_wav(work / "sounds" / f"{name}.wav", make_noise(60.0, 0.1, seed=seed))
    (work / "recipe.toml").write_text(RECIPE)
    index = work / "index.jsonl"
    build_scene_index(work / "recipe.toml", work, index)
    demo = PRESETS["demo"]
    short = dataclasses.replace(demo.correspondence, steps=1, mix_steps=1)
    config = dataclasses.replace(demo, images=images, correspondence=short, warmup_steps=1, sample_images=10**9)
    train(config, index, work / "run")
    said = [json.loads(line) for line in (work / "run" / "log.jsonl").read_text().splitlines()][1:]
    return {name: float(np.median([line[name] for line in said])) for name in ("waiting_share", "images_per_second")}


def main() -> int:
    """Run both; 2 for bad arguments."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.training", description=__doc__)
    parser.add_argument("--side", type=int, default=256, help="pixels of an image's side (default: 256)")
    parser.add_argument("--batch", type=int, default=2, help="images of a step (default: 2)")
    parser.add_argument("--rounds", type=int, default=3, help="turns (default: 3)")
    parser.add_argument("--images", type=int, default=320, help="of the run that may wait, 0 for none (default: 320)")
    parser.add_argument("--compile", action="store_true", help="also by torch.compile (compiling takes minutes)")
    parser.add_argument("--output", type=Path, default=ROOT / "bench-training.json", help="JSON (default: %(default)s)")
    options = parser.parse_args()
    report: dict[str, Any] = {"cores": os.cpu_count(), "load_before": round(os.getloadavg()[0], 2)}
    report["steps"] = measure_steps(options.batch, options.side, options.rounds, options.compile)
    for name, figures in report["steps"].items():
        print(f"{name:12}  {figures['images_per_second']:.3f} images/s  {figures['times_plain']:.2f} times plain")
    report["flops_an_image"] = {name: flops_an_image(PRESETS[name], options.side) for name in ("paper", "default")}
    for name, flops in report["flops_an_image"].items():
        print(f"{name:12}  {flops / 1e12:.2f} TFLOP an image")
    if options.images:
        with tempfile.TemporaryDirectory() as folder:
            report["loader"] = measure_waiting(Path(folder), options.images)
        rate, waiting = report["loader"]["images_per_second"], report["loader"]["waiting_share"]
        print(f"demo run      {rate:.2f} images/s, {waiting:.1%} of the time waiting")
    options.output.write_text(json.dumps(report, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Training on the device: images a second of the paper's model and of ours, and how long a real run waits for data."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.gpu.target import Target, timed
from tests.support.scene_data import write_scene_data
from training.config import TrainingConfig
from training.data.pack_writer import write_pack
from training.kinds import kind_of
from training.models.average import Average
from training.models.compiled import compile_networks
from training.presets import PRESETS, with_settings
from training.stages.precision import choose_precision
from training.stages.stage import Run
from training.trainer import train

# preset, side in pixels, batch; the sizes that the goals name
RUNS = (("paper", 256, 8), ("paper-narrow", 256, 32))
SECONDS_EACH = 3.0


def measure_training(target: Target, work: Path) -> dict[str, Any]:
    """Steps by precision, with and without compiling; then a run from a dataset."""
    found: dict[str, Any] = {"steps": {}}
    for preset, side, batch in (("smoke", 32, 2),) if target.quick else RUNS:
        for precision in ("fp32",) if target.quick else ("fp32", "bf16"):
            for compiled in (False,) if target.quick else (False, True):
                name = f"{preset} {precision}{' compiled' if compiled else ''}"
                # a step compiles half a dozen graphs
                if target.has_time_for(f"training {name}", 60 if compiled else 10):
                    found["steps"][name] = measure_steps(target, preset, side, batch, precision, compiled)
    if target.has_time_for("training run", 30):
        found["run"] = measure_run(target, work)
    return found


def measure_steps(target: Target, preset: str, side: int, batch: int, precision: str, compiled: bool) -> dict[str, Any]:
    """Images a second of adversarial steps on data that lies on the device; the most memory that they took."""
    settings = [f"precision={precision}", f"batch={batch}", f"compile={str(compiled).lower()}"]
    config = with_settings(PRESETS[preset], settings)
    if target.provider == "cuda":
        torch.cuda.reset_peak_memory_stats()
    try:
        figures = timed(make_step(target, config, batch, side), 0.1 if target.quick else SECONDS_EACH, least=2)
    except (RuntimeError, ValueError) as exc:  # no memory, or no compiler
        return {"error": str(exc).splitlines()[0][:200]}
    memory = torch.cuda.max_memory_allocated() / 1e6 if target.provider == "cuda" else None
    rate = 1000 * batch / figures["p50_ms"]
    return {"side": side, "batch": batch, "images_per_second": rate, "memory_mb": memory, **figures}


def make_step(target: Target, config: TrainingConfig, batch: int, side: int) -> Callable[[], None]:
    """A step of the stage that takes most of a run, which returns when the device is done."""
    device = torch.device(target.device)
    torch.manual_seed(0)
    networks = kind_of(config).networks(config)
    networks.to_device(device)
    if target.provider == "cuda":
        networks.to_device(memory_format=torch.channels_last)
    average = Average(networks, config.ema_images)
    if config.compile:
        compile_networks(networks)
    run = Run(config, networks, average, None, device, choose_precision(config.precision, device))  # type: ignore[arg-type]
    stage = kind_of(config).stages(config)[-1](run)
    rng = torch.Generator().manual_seed(0)
    data = {name: (torch.rand(batch, 3, side, side, generator=rng) * 2 - 1) for name in ("source", "target")}
    data["waveform"] = 0.1 * torch.randn(batch, config.audio.clip_samples, generator=rng)
    data = {name: values.to(device) for name, values in data.items()}
    numbers = iter(range(10**9))

    def step() -> None:
        stage.step(next(numbers), data, 0.0)
        if target.provider == "cuda":
            torch.cuda.synchronize()

    return step


def measure_run(target: Target, work: Path) -> dict[str, Any]:
    """A run of `paper-narrow` from a pack on the device, by the clock, as the trainer itself logs it."""
    index = write_scene_data(work, 640, 480)
    minutes = 0.05 if target.quick else 0.35
    settings = [f"time_budget_minutes={minutes}", "sample_images=1000000000", "data.workers=0"]
    settings += ["data.crops=[[0.0, 32]]", "batch=2"] if target.quick else ["batch=32", "data.on_device=true"]
    began = time.perf_counter()
    pack = work / "index.pack"
    write_pack(index, pack, 16_000)
    train(with_settings(PRESETS["smoke" if target.quick else "paper-narrow"], settings), pack, work / "run")
    said = [json.loads(line) for line in (work / "run" / "log.jsonl").read_text().splitlines()]
    found: dict[str, Any] = {"seconds": time.perf_counter() - began}
    lines = [line for line in said if "images_per_second" in line][1:]  # the first steps warm up
    if lines:
        for name in ("waiting_share", "images_per_second"):
            found[name] = float(np.median([line[name] for line in lines]))
    return found

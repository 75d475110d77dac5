"""`python -m tests.bench.video`: flicker, speed, memory, sharing, cancelling of videos; a table, and JSON beside it."""

import argparse
import collections
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.media.decoder_pool import DecoderPool
from service.media.limits import MediaLimits
from service.media.mux import Segment
from service.media.soundtrack import GainCurve
from service.media.video_manifest import read_manifest
from service.model.bundle import load_bundle
from service.model.engine import Engine
from service.work.prefetch import in_lanes
from service.work.soundtrack import edit_soundtrack
from service.work.video import VideoPlan, correlation, render
from tests.bench.rain import rainy_clip
from tests.bench.workers import measure_cancelling, measure_sharing
from tests.support.media import make_photo
from tests.support.running_service import ROOT
from tests.support.tiny_bundle import write_tiny_bundle
from tests.support.video import Clip

LIMITS = MediaLimits()
DECODER_POOL = DecoderPool(LIMITS)
PARTS = ("flicker", "speed", "memory", "sharing", "cancelling")


def plan_of(engine: Engine, source: Path, work: Path, side: int) -> VideoPlan:
    """The source with its sound as it is."""
    manifest = read_manifest(source, LIMITS)
    size, curve = (manifest.format.width, manifest.format.height), GainCurve(((0.0, 0.0),))
    sound = edit_soundtrack(engine, DECODER_POOL, source, manifest, None, curve, 0.0, work / "sound.mp4")
    return VideoPlan(DECODER_POOL, source, manifest, size, sound.track, 1.0, 0.5, side)


def measure_flicker(engine: Engine, source: Path, work: Path, side: int) -> dict[str, Any]:
    """Warping errors (0..255) of the input, of frames made one by one, and of the steadied result."""
    plan = plan_of(engine, source, work, side)
    segment = Segment(work / "segment.mp4", 0, len(plan.timeline.pts))
    naive = render(engine, replace(plan, steady=False, smoothing_seconds=0.0), segment, lambda _: None)
    steady = render(engine, plan, segment, lambda _: None)
    given, one_by_one = np.mean(naive.warping_errors, axis=0)
    shown = float(np.mean([steadied for _, steadied in steady.warping_errors]))
    seconds = np.array([plan.timeline.seconds(index) for index in range(len(plan.timeline.pts))])
    return {
        "input": float(given),
        "one_by_one": float(one_by_one),
        "steadied": shown,
        "ratio_to_input": shown / float(given),
        "added_share_of_one_by_one": (shown - float(given)) / max(1e-9, float(one_by_one) - float(given)),
        "effect_follows_loudness": correlation(plan.track.loudness_at(seconds).tolist(), steady.effect),
    }


def measure_speed(engine: Engine, source: Path, work: Path, side: int, rounds: int) -> dict[str, float]:
    """Frames a second of the whole work and of the bare graphs on batches of the same size, in turns.

    The bare graphs run as in the whole work, a batch on each core, and for comparison batch by batch on all cores.
    """
    plan = plan_of(engine, source, work, side)
    stop = min(len(plan.timeline.pts), 48)
    segment = Segment(work / "segment.mp4", 0, stop)
    scale = min(1.0, side / max(plan.size))
    width, height = (-(-round(length * scale) // 8) * 8 for length in plan.size)
    count = engine.images_at_once(height, width)
    images = np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8)
    embedding = np.repeat(plan.track.embeddings[:1], count, axis=0)
    batches = max(1, stop // count)
    whole, graphs, in_turn = [], [], []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        render(engine, plan, segment, lambda _: None)
        whole.append(stop / (time.perf_counter() - began))
        for runner, lanes, rates in ((engine.by_core, engine.lanes, graphs), (engine, 1, in_turn)):
            began = time.perf_counter()
            work = partial(_run_graphs, runner, images, embedding)
            collections.deque(in_lanes(work, iter(range(batches)), lanes, 2), 0)
            rates.append(batches * count / (time.perf_counter() - began))
    best = [max(pair) for pair in zip(graphs, in_turn, strict=True)]
    return {
        "frames_per_second": median(whole[1:]),
        "graphs_alone": median(graphs[1:]),
        "graphs_alone_in_turn": median(in_turn[1:]),
        "ratio": median(one / bare for one, bare in zip(whole[1:], best[1:], strict=True)),
    }


def _run_graphs(engine: Engine, images: NDArray[np.uint8], embedding: NDArray[np.float32], _: int) -> None:
    engine.decode(engine.encode(images), embedding)


def measure_memory(seconds: tuple[int, int], work: Path) -> dict[str, Any]:
    """The peak of a process that makes all segments of a short and of a long video, in 10^6 bytes; the null model."""
    bundle, found = write_tiny_bundle(work / "null"), {}
    for length in seconds:
        clip = Clip(width=320, height=180, fps=10, frames=10 * length, key_every=40)
        source = rainy_clip(work / f"{length}.mp4", clip, make_photo(800, 500))
        command = [sys.executable, "-m", "tests.bench.video", "--peak-of", str(source), "--bundle", str(bundle)]
        peaks = [float(subprocess.run(command, capture_output=True, check=True, text=True).stdout) for _ in range(2)]
        found[f"{length} s"] = min(peaks)
    short, long = found.values()
    return {**found, "ratio": long / short}


def print_peak(source: Path, bundle: Path) -> int:
    """In a process of its own: make the whole video, and say how much memory that took."""
    engine = Engine(load_bundle(bundle))
    with tempfile.TemporaryDirectory() as folder:
        plan = plan_of(engine, source, Path(folder), 256)
        for first in range(0, len(plan.timeline.pts), 80):
            stop = min(first + 80, len(plan.timeline.pts))
            render(engine, plan, Segment(Path(folder) / f"{first}.mp4", first, stop), lambda _: None)
    lines = Path("/proc/self/status").read_text().splitlines()
    print(next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM:")))
    return 0


def main() -> int:
    """Run what is asked for; 2 for bad arguments."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.video", description=__doc__)
    parser.add_argument("--bundle", type=Path, default=ROOT / "models" / "demo", help="bundle (default: models/demo)")
    parser.add_argument("--clip", type=Path, action="append", default=[], help="a video of yours, with sound")
    parser.add_argument("--photo", type=Path, action="append", default=[], help="a photograph to pan over")
    parser.add_argument("--side", type=int, default=384, help="longest side that the model sees (default: 384)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of what is compared (default: 3)")
    parser.add_argument("--shared-frames", type=int, default=360, help="frames of the shared minute (default: 360)")
    parser.add_argument("--only", choices=PARTS, help="one segment alone")
    parser.add_argument("--output", type=Path, default=ROOT / "bench-video.json", help="JSON (default: %(default)s)")
    parser.add_argument("--peak-of", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak_of:
        return print_peak(options.peak_of, options.bundle)
    if missing := [path for path in (*options.clip, *options.photo) if not path.is_file()]:
        parser.error(f"{missing[0]} is no file")
    report: dict[str, Any] = {"cores": os.cpu_count(), "load_before": round(os.getloadavg()[0], 2)}
    with tempfile.TemporaryDirectory() as folder:
        measure(report, Path(folder), options)
    for name, figures in report.items():
        if isinstance(figures, dict):
            for figure, value in figures.items():
                print(f"{name:24}  {figure:28}  {value if value is None else round(value, 3)}")
    options.output.write_text(json.dumps(report, indent=2) + "\n")
    return 0


def measure(report: dict[str, Any], work: Path, options: argparse.Namespace) -> None:
    """Fill the report."""
    wanted = {options.only} if options.only else set(PARTS)
    engine = Engine(load_bundle(options.bundle))
    images = [np.asarray(Image.open(path).convert("RGB")) for path in options.photo] or [make_photo(1600, 1000)]
    clips = {path.name: path for path in options.clip}
    if wanted & {"flicker", "speed"} and not clips:
        for number, image in enumerate(images):
            clip = Clip(width=1280, height=720, fps=24, frames=144, key_every=48)
            large = np.asarray(Image.fromarray(image).resize((1920, 1200), Image.Resampling.BICUBIC))
            clips[f"pan {number}"] = rainy_clip(work / f"pan{number}.mp4", clip, large, seed=number)
    for name, path in clips.items():
        if "flicker" in wanted:
            report[f"flicker, {name}"] = measure_flicker(engine, path, work, options.side)
    if "speed" in wanted:
        report["speed"] = measure_speed(engine, next(iter(clips.values())), work, options.side, options.rounds)
    if "memory" in wanted:
        report["memory"] = measure_memory((30, 600), work)
    if "sharing" in wanted:
        report["sharing"] = measure_sharing(options.bundle, work, options.shared_frames, max(1, options.rounds - 1))
    if "cancelling" in wanted:
        report["cancelling"] = measure_cancelling(options.bundle, work, options.rounds)


if __name__ == "__main__":
    sys.exit(main())

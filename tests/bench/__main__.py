"""`python -m tests.bench`: measure the real service; a table on the screen, JSON beside it."""

import argparse
import json
import os
import platform
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnxruntime

from service import __version__
from service.model.bundle import load_bundle
from service.model.engine import Engine
from tests.bench.latency import SIDE, measure_latency
from tests.bench.memory import measure_memory
from tests.bench.throughput import measure_throughput
from tests.support.media import make_noise, make_photo, write_jpeg, write_ogg, write_png
from tests.support.running_service import ROOT, running_service
from tests.support.tiny_bundle import write_tiny_bundle

PHOTOS = 8
LARGE = ((4000, 3000), (4096, 4096))


def main() -> int:
    """Run every benchmark for each bundle; 2 for bad arguments."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--bundle", type=Path, default=ROOT / "models" / "demo", help="bundle (default: models/demo)")
    parser.add_argument("--rounds", type=int, default=60, help="images for the latency (default: 60)")
    parser.add_argument("--requests", type=int, default=24, help="images for each throughput (default: 24)")
    parser.add_argument("--cycles", type=int, default=3, help="turns of the throughput (default: 3)")
    parser.add_argument("--output", type=Path, default=ROOT / "bench.json", help="JSON (default: bench.json)")
    options = parser.parse_args()
    options.bundle = options.bundle.resolve()
    if not (options.bundle / "manifest.json").is_file():
        parser.error(f"{options.bundle} is not a bundle: it has no manifest.json")

    report: dict[str, Any] = {"machine": describe_machine(), "models": {}}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for bundle in (options.bundle, write_tiny_bundle(work / "bundles" / "null")):
            say(f"{bundle.name}: starting the service")
            report["models"][bundle.name] = measure(bundle, work / f"work-{bundle.name}", options)
    print(table(report))
    options.output.write_text(json.dumps(report, indent=2) + "\n")
    say(f"written: {options.output}")
    return 0


def measure(bundle: Path, work: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Every figure of one bundle, as plain JSON."""
    work.mkdir(parents=True)
    photos = [write_png(work / f"{seed}.png", make_photo(SIDE, SIDE, seed)) for seed in range(PHOTOS)]
    sound = write_ogg(work / "sound.ogg", make_noise(10.0))
    engine = Engine(load_bundle(bundle))
    found: dict[str, Any] = {"provider": engine.provider}
    with running_service(work / "data", bundle.parent, default_model=bundle.name) as service:
        say(f"{bundle.name}: latency, {options.rounds} rounds")
        found["latency"] = asdict(measure_latency(service.address, service.pid, engine, photos, sound, options.rounds))
        say(f"{bundle.name}: throughput, {options.cycles} cycles")
        rates = measure_throughput(service.address, photos, sound, options.requests, options.cycles)
        found["throughput"] = [asdict(rate) for rate in rates]
        found["memory"] = []
        for width, height in LARGE:
            say(f"{bundle.name}: memory, {width} × {height}")
            photo = write_jpeg(work / f"{width}.jpg", make_photo(width, height))
            peak = measure_memory(service.address, service.pid, photo, sound, width, height)
            found["memory"].append(asdict(peak))
    return found


def describe_machine() -> dict[str, Any]:
    """What a figure depends on beside the code; a load above 0 means that the machine had other work."""
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "onnxruntime": onnxruntime.__version__,
        "service": __version__,
    }


def table(report: dict[str, Any]) -> str:
    """The report as lines of equal columns."""
    rows = [("model", "figure", "value", "")]
    for name, found in report["models"].items():
        latency = found["latency"]
        rows += [
            (name, f"{SIDE} px, upload to PNG, median", f"{latency['whole_ms']:.1f} ms", ""),
            (name, "  90th percentile", f"{latency['whole_p90_ms']:.1f} ms", ""),
            (name, "  the three graphs alone", f"{latency['graphs_ms']:.1f} ms", ""),
            (name, "  outside the graphs", f"{latency['outside_ms']:.1f} ms", f"whole : graphs {latency['ratio']:.2f}"),
            (name, "  processor time of all processes", f"{latency['processor_ms']:.1f} ms", ""),
            *((name, f"  the job's own clock: {part}", f"{ms:.1f} ms", "") for part, ms in latency["parts_ms"].items()),
        ]
        rows += [
            (name, f"{r['clients']} clients", f"{r['images_per_second']:.2f} images/s", f"× {r['ratio']:.2f}")
            for r in found["throughput"]
        ]
        rows += [
            (
                name,
                f"{m['width']} × {m['height']}, peak of the worker",
                f"{m['largest_mb']:.0f} MB",
                f"{m['seconds']:.1f} s, all processes {m['all_mb']:.0f} MB",
            )
            for m in found["memory"]
        ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    machine = report["machine"]
    return "\n".join([*lines, f"\n{machine['cores']} cores, load before {machine['load_before']}"])


def say(words: str) -> None:
    """Progress, on the error stream so that the table can be piped."""
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

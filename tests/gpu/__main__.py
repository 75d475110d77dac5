"""`python -m tests.gpu`: prove and measure bundles, worker and training on this machine's GPU; a table and gpu.json.

Exits with 3 where there is no GPU, with 1 if something is wrong, with 2 for bad arguments. What an installation lacks
(the service's packages, say) is left out and named. `--provider cpu --quick` tries the program out without a GPU.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.gpu.table import table
from tests.gpu.target import Target, find_gpu

NO_GPU = 3
PARTS = ("bundles", "service", "workers", "memory", "training")
ROOT = Path(__file__).parents[2]


def main(arguments: list[str] | None = None) -> int:
    """See the module's text."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu", description=__doc__)
    parser.add_argument("--provider", choices=("cuda", "cpu"), default="cuda", help="default: cuda")
    parser.add_argument("--quick", action="store_true", help="hardly any rounds, small sizes")
    parser.add_argument("--seconds", type=float, default=230, help="what does not fit is left out (default: 230)")
    parser.add_argument("--only", choices=PARTS, action="append", help="one part alone; may be repeated")
    parser.add_argument("--output", type=Path, default=ROOT / "gpu.json", help="JSON (default: gpu.json)")
    options = parser.parse_args(arguments)
    gpu = find_gpu()
    if options.provider == "cuda" and gpu is None:
        print("no GPU: libcuda.so.1 does not load or finds none", file=sys.stderr)
        return NO_GPU
    target = Target(options.provider, options.quick, time.monotonic() + options.seconds)
    report: dict[str, Any] = {"machine": describe_machine(gpu)}
    wanted = options.only or PARTS
    with tempfile.TemporaryDirectory() as folder:
        for name, part in parts(target, Path(folder)).items():
            if name in wanted and target.has_time_for(name, 5):
                report[name] = attempt(name, part)
                write(options.output, report, target)  # so that something is left if the next part never ends
    write(options.output, report, target)
    print(table(report))
    print(f"written: {options.output}", file=sys.stderr)
    return 1 if problems(report) else 0


def parts(target: Target, work: Path) -> dict[str, Callable[[], Any]]:
    """What is measured, in the order of its importance. Imported late, since a machine may lack a part's packages."""
    made: list[Any] = []

    def each_bundle() -> dict[str, Any]:
        from tests.gpu.bundles import bundles
        from tests.gpu.graphs import measure_bundle, peak_tflops

        made.extend(bundles(target, work))
        peak = peak_tflops(target)
        return {"peak_tflops": peak} | {one.directory.name: measure_bundle(target, one, peak) for one in made}

    def shipped() -> Path:
        if target.quick:  # the model's own speed is no matter then
            from tests.support.tiny_bundle import write_tiny_bundle

            return write_tiny_bundle(work / "tiny" / "tiny")
        return made[0].directory if made else ROOT / "models" / "demo"

    def service() -> Any:
        from tests.gpu.worker import measure_service

        return measure_service(target, shipped(), work / "service")

    def workers() -> Any:
        from tests.gpu.worker import measure_two_workers

        return measure_two_workers(target, shipped(), work / "workers")

    def memory() -> Any:
        from tests.gpu.worker import fill_the_gpu

        if target.provider == "cpu":
            return {"left_out": "ADIS_GPU_MEMORY_BYTES bounds a GPU's memory alone"}
        return fill_the_gpu(target, shipped(), work / "memory")

    def training() -> Any:
        from tests.gpu.training import measure_training

        return measure_training(target, work / "training")

    return dict(zip(PARTS, (each_bundle, service, workers, memory, training), strict=True))


def attempt(name: str, part: Callable[[], Any]) -> Any:
    """What the part found, or why it found nothing: the others are measured all the same."""
    print(f"{name} …", file=sys.stderr, flush=True)
    began = time.perf_counter()
    try:
        found = part()
    except ModuleNotFoundError as exc:
        return {"left_out": f"{exc.name} is not installed"}
    except Exception as exc:
        traceback.print_exc()
        return {"error": f"{type(exc).__name__}: {exc}"[:500]}
    return {**found, "took_s": time.perf_counter() - began}


def problems(report: dict[str, Any]) -> list[str]:
    """What is not as it should be."""
    found = [f"{name}: {part['error']}" for name, part in report.items() if isinstance(part, dict) and "error" in part]
    for name, bundle in report.get("bundles", {}).items():
        if isinstance(bundle, dict) and not bundle.get("forms", {}).get("fp32", {}).get("equal", True):
            found.append(f"{name}: fp32 differs from the CPU by {bundle['forms']['fp32']['difference']:.1e}")
    return found


def describe_machine(gpu: str | None) -> dict[str, Any]:
    """What the figures depend on beside the code."""
    import onnxruntime

    from service import __version__
    from service.model.cuda_versions import read_cuda_versions

    onnxruntime.preload_dlls()
    versions = read_cuda_versions()
    return {
        "gpu": gpu,
        "versions": {name: str(value) for name, value in vars(versions).items()},
        "mismatches": versions.mismatches(),
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "service": __version__,
    }


def write(path: Path, report: dict[str, Any], target: Target) -> None:
    """The report as JSON, with what there was no time for and what is wrong."""
    whole = {**report, "left_out": target.left_out, "problems": problems(report)}
    path.write_text(json.dumps(whole, indent=2, default=str) + "\n")


if __name__ == "__main__":
    sys.exit(main())

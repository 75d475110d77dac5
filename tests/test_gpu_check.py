"""`python -m tests.gpu` says in one line that there is no GPU, and its report is a table."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.gpu.__main__ import NO_GPU, attempt, problems, write
from tests.gpu.missing import missing
from tests.gpu.table import table
from tests.gpu.target import Target, find_gpu
from tests.support.running_service import ROOT

FORM = {
    "difference": 2e-6,
    "equal": True,
    "load_s": 1.0,
    "memory_mb": 300.0,
    "operators": {"decoder.onnx": {"cuda": {"Conv": 20}, "cpu": {"Shape": 2}}, "content_encoder.onnx": {"cuda": {}}},
    "latency": [
        {"batch": 8, "height": 256, "width": 256, "p50_ms": 4.0, "p90_ms": 5.0, "share_of_limit": 0.25, "rounds": 9}
    ],
}
REPORT: dict[str, Any] = {
    "machine": {"gpu": "A card", "cores": 16, "versions": {"cudnn": "(9, 24)"}, "mismatches": []},
    "bundles": {
        "peak_tflops": 700.0,
        "demo": {
            "gflop_256": 8.9,
            "forms": {"fp32": FORM, "fp16": FORM},
            "torch": {
                "fp16 eager": {"batch": 8, "side": 256, "p50_ms": 8.0},
                "fp16 compiled": {"error": "no compiler"},
            },
        },
        "took_s": 60.0,
    },
    "service": {"image": {"whole_ms": 20.0}, "receipt": {"provider": "cuda"}},
    "memory": {"left_out": "celery is not installed"},
}


@pytest.mark.skipif(find_gpu() is not None, reason="there is a GPU")
def test_without_a_gpu_it_says_so_in_one_line_and_exits_with_3(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.gpu", "--output", str(tmp_path / "gpu.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == NO_GPU
    assert done.stdout + done.stderr == "no GPU: libcuda.so.1 does not load or finds none\n"
    assert not (tmp_path / "gpu.json").exists()


def test_every_figure_has_a_row() -> None:
    said = table(REPORT)
    for row in (
        r"demo\s+fp16: decoder.onnx on the CPU\s+2 Shape",
        r"demo\s+fp16: content_encoder.onnx on the CPU\s+none",
        r"demo\s+fp32: 8 x 256x256\s+p50 4.0 ms, p90 5.0 ms, 2000.0 images/s, 25.0% of the limit",
        r"demo\s+PyTorch fp16 eager\s+p50 8.0 ms, 2.00 times fp16's",
        r"demo\s+PyTorch fp16 compiled\s+no compiler",
        r"service\s+image whole_ms\s+20",
        r"memory\s+left out\s+celery is not installed",
        r"A card, 16 cores, \{'cudnn': '\(9, 24\)'\}",
    ):
        assert pytest.RaisesExc(ValueError, match=row).matches(ValueError(said)), row


def test_a_part_that_fails_is_a_problem_and_one_that_is_not_installed_is_left_out() -> None:
    def fails() -> None:
        raise ValueError("the GPU is on fire")

    def lacks() -> None:
        raise ModuleNotFoundError("No module named 'celery'", name="celery")

    report = {"machine": REPORT["machine"], "service": attempt("service", fails), "workers": attempt("workers", lacks)}
    assert problems(report) == ["service: ValueError: the GPU is on fire"]
    assert report["workers"] == {"left_out": "celery is not installed"}


def test_an_unequal_bundle_is_a_problem(tmp_path: Path) -> None:
    unequal = {**FORM, "equal": False, "difference": 0.5}
    report = {**REPORT, "bundles": {"demo": {**REPORT["bundles"]["demo"], "forms": {"fp32": unequal}}}}
    assert problems(report) == ["demo: fp32 differs from the CPU by 5.0e-01"]
    write(tmp_path / "gpu.json", report, Target("cuda", False, 0.0, ["video"]))
    written = json.loads((tmp_path / "gpu.json").read_text())
    assert (written["left_out"], written["problems"]) == (["video"], problems(report))


def test_what_another_machine_lacks_is_listed_with_its_version() -> None:
    there = "numpy\nTorch, torchaudio\nnvidia-cudnn-cu13\n"
    lacking = {pin.partition("==")[0]: pin for pin in missing(there)}
    assert lacking["onnxruntime-gpu"].count(".") == 2
    assert {"av", "celery", "pydantic", "nnaudio"} <= set(lacking)
    assert not {"numpy", "torch", "torchaudio", "onnxruntime"} & set(lacking)
    assert not [name for name in lacking if name.startswith("nvidia-")]  # PyTorch came with its own

"""What does not fit together on a GPU host is named, with what to do about it."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.model.cuda_versions import CudaVersions
from tests.support.running_service import ROOT

FITTING = CudaVersions(("onnxruntime-gpu 1.31.1",), (13, 0), (13, 0), None, (9, 0), (13, 0), (9, 24))


def test_what_fits_is_not_complained_of() -> None:
    assert FITTING.mismatches() == []
    assert replace(FITTING, driver=(13, 2), capability=(7, 5), runtime=(13, 4)).mismatches() == []
    assert replace(FITTING, built_for=(12, 8), driver=(12, 2), runtime=(12, 8), capability=(6, 1)).mismatches() == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"driver": None, "capability": None}, r"no NVIDIA driver \(libcuda\.so\.1 does not load\): install it"),
        (
            {"driver": (12, 4)},
            r"supports CUDA 12\.4 at most, but onnxruntime-gpu 1\.31\.1 is built for CUDA 13\.0: install .* 580 or",
        ),
        (
            {"device_error": "CUDA_ERROR_NO_DEVICE", "capability": None},
            r"no GPU \(CUDA_ERROR_NO_DEVICE\): look at CU",
        ),
        ({"capability": (7, 0)}, r"compute capability 7\.0, but CUDA 13 needs 7\.5 or newer"),
        ({"runtime": None}, r"libcudart\.so\.13 does not load, but .* built for CUDA 13\.0: pip install"),
        ({"runtime": (12, 8)}, r"the CUDA runtime is 12\.8, but onnxruntime-gpu 1\.31\.1 is built for CUDA 13\.0"),
        ({"cudnn": None}, r"libcudnn\.so\.9 does not load: pip install 'onnxruntime-gpu\[cuda,cudnn\]'"),
        ({"cudnn": (8, 9)}, r"cuDNN is 8\.9, but onnxruntime-gpu 1\.31\.1 needs cuDNN 9"),
        ({"built_for": None, "builds": ("onnxruntime 1.32.0",)}, r"onnxruntime 1\.32\.0 is built without CUDA"),
        (
            {"builds": ("onnxruntime 1.32.0", "onnxruntime-gpu 1.31.1")},
            r"onnxruntime 1\.32\.0 and onnxruntime-gpu 1\.31\.1 share a module name .* uninstall both",
        ),
    ],
)
def test_each_mismatch_is_named(change: dict[str, Any], said: str) -> None:
    (found,) = replace(FITTING, **change).mismatches()
    assert pytest.RaisesExc(ValueError, match=said).matches(ValueError(found)), found


def test_everything_that_does_not_fit_is_named_at_once() -> None:
    assert len(replace(FITTING, driver=(12, 4), runtime=None, cudnn=None).mismatches()) == 3


DRIVER = """
int cuDriverGetVersion(int *v) { *v = 12040; return 0; }
int cuInit(unsigned f) { return INIT; }
int cuDeviceGet(int *d, int n) { *d = 0; return 0; }
int cuDeviceGetAttribute(int *v, int a, int d) { *v = a == 75 ? 8 : a == 76 ? 6 : -1; return 0; }
int cuGetErrorName(int e, const char **t) { *t = "CUDA_ERROR_NO_DEVICE"; return 0; }
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
@pytest.mark.parametrize(
    ("init", "expected"), [(0, ((12, 4), None, (8, 6))), (100, ((12, 4), "CUDA_ERROR_NO_DEVICE", None))]
)
def test_the_driver_and_cudnn_are_asked_themselves(tmp_path: Path, init: int, expected: tuple[Any, ...]) -> None:
    """By libraries of the driver's interface, which any machine can have."""
    for name, code in (
        ("libcuda.so.1", DRIVER.replace("INIT", str(init))),
        ("libcudnn.so.9", "unsigned long cudnnGetVersion(void) { return 92400; }"),
        ("libcudart.so.13", "int cudaRuntimeGetVersion(int *v) { *v = 13000; return 0; }"),
    ):
        (tmp_path / f"{name}.c").write_text(code)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", tmp_path / name, tmp_path / f"{name}.c"], check=True)
    program = (
        "import onnxruntime as ort; ort.cuda_version = '13.0'\n"
        "from service.model.cuda_versions import read_cuda_versions as read\n"
        "v = read(); print((v.driver, v.device_error, v.capability), v.built_for, v.runtime, v.cudnn, v.builds)"
    )
    environment = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"{expected} (13, 0) (13, 0) (9, 24) ('onnxruntime ")

"""Imports point one way: the service needs neither torch nor the training code, and the API no ONNX Runtime."""

import pkgutil
import subprocess
import sys
from pathlib import Path

import service

ROOT = Path(__file__).parents[2]
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(service.__path__, "service.")
    if not module.name.endswith("__main__")
)
PROGRAM = """
import importlib, sys
class Forbid:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {forbidden!r}:
            raise ImportError(name + " may not be imported here")
sys.meta_path.insert(0, Forbid())
for name in {modules!r}:
    importlib.import_module(name)
"""


def imports_without(forbidden: set[str], modules: list[str]) -> subprocess.CompletedProcess[str]:
    program = PROGRAM.format(forbidden=forbidden, modules=modules)
    return subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_service_imports_neither_torch_nor_training_nor_export() -> None:
    done = imports_without({"torch", "torchaudio", "nnAudio", "scipy", "training", "export"}, MODULES)
    assert done.returncode == 0, done.stderr


def test_the_service_needs_no_onnx_beside_its_runtime() -> None:
    done = imports_without({"onnx"}, MODULES)
    assert done.returncode == 0, done.stderr


def test_what_answers_http_needs_no_onnx_runtime() -> None:
    rooms = {"api", "auth", "jobs", "media", "redis", "schemas", "settings", "storage", "uploads", "webhooks"}
    modules = [name for name in MODULES if name.split(".")[1] in rooms]
    assert rooms == {name.split(".")[1] for name in modules}, "a room is gone"
    done = imports_without({"onnxruntime", "torch"}, modules)
    assert done.returncode == 0, done.stderr


def test_a_machine_that_only_sends_files_needs_only_the_client_s_packages() -> None:
    server = {"celery", "cv2", "fastapi", "onnxruntime", "pydantic_settings", "redis", "starlette", "uvicorn"}
    modules = [name for name in MODULES if name.startswith("service.client")]
    assert modules
    done = imports_without(server | {"prometheus_client"}, ["service.__main__", *modules])
    assert done.returncode == 0, done.stderr

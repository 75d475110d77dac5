"""Imports point one way: the service needs neither torch nor the training code, and the API no ONNX Runtime."""

import os
import pkgutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.parametrize(("part", "refusal"), [("worker", "the model 'none' is refused"), ("all", "cannot listen on")])
def test_what_answers_no_request_starts_without_the_api_s_libraries(part: str, refusal: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = {
            "DEFAULT_MODEL": "none",
            "REDIS_URL": "redis://127.0.0.1:1/0",
            "DATA_DIR": str(tmp_path),
            "PORT": str(taken.getsockname()[1]),
        }
        program = PROGRAM.format(forbidden={"fastapi", "starlette", "uvicorn"}, modules=["service"])
        program += f"sys.exit(importlib.import_module('service.__main__').main([{part!r}]))"
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {f"ADIS_{name}": value for name, value in settings.items()},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, refusal in done.stderr) == (2, True), done.stderr

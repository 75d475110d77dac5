"""What `pip install .` puts into another environment works from any folder: the command, its model, and its commit."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from PIL import Image

from tests.support.media import make_noise, make_photo, write_jpeg, write_ogg
from tests.support.running_service import ROOT

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SOURCES = ("LICENSE", "NOTICE", "MANIFEST.in", "README.md", "pyproject.toml", "setup.py")
FOLDERS = ("export", "models", "service", "training")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts' folder of a new environment with this package, which borrows its dependencies from this one."""
    folder = tmp_path_factory.mktemp("installed")
    source = folder / "source"
    source.mkdir()
    for name in SOURCES:
        shutil.copy2(ROOT / name, source / name)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "checkpoint.pt"))
    environment = folder / "environment"
    run([sys.executable, "-m", "venv", "--without-pip", str(environment)], folder)
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "borrowed.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    own_python = environment / "bin" / "python"
    pip = [
        str(own_python),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--ignore-installed",
    ]
    run([*pip, str(source)], folder, ADIS_COMMIT=COMMIT)
    shutil.rmtree(source)
    return environment / "bin"


def run(command: list[str], folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ADIS_", "PYTHON"))}
    done = subprocess.run(
        command, cwd=folder, env=environment | settings, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_the_version_names_the_commit_of_the_build_and_the_shipped_model(installed: Path, tmp_path: Path) -> None:
    said = run([str(installed / "adis"), "--version"], tmp_path).stdout
    assert f"+g{COMMIT[:12]} with demo " in said


def test_a_photograph_is_stylized_from_any_folder_without_a_service(installed: Path, tmp_path: Path) -> None:
    write_jpeg(tmp_path / "photo.jpg", make_photo(120, 80))
    write_ogg(tmp_path / "rain.ogg", make_noise(5.0))
    run([str(installed / "adis"), "stylize", "photo.jpg", "rain.ogg", "--local", "-o", "out.png"], tmp_path)
    with Image.open(tmp_path / "out.png") as image:
        assert image.size == (120, 80)


@pytest.mark.parametrize("folder", ["service/api/static", "service/examples/files", "service/model/adapters"])
def test_every_file_of_a_folder_is_in_the_package_however_deep_it_lies(folder: str, installed: Path) -> None:
    (packages,) = installed.parent.glob("lib/python*/site-packages")
    own, shipped = (
        {path.relative_to(root).as_posix(): path.read_bytes() for path in (root / folder).rglob("*") if path.is_file()}
        for root in (ROOT, packages)
    )
    assert len(own) >= 2
    assert shipped.keys() == own.keys()
    assert shipped == own


def test_the_package_says_that_it_is_typed(installed: Path) -> None:
    (packages,) = installed.parent.glob("lib/python*/site-packages")
    assert all((packages / name / "py.typed").is_file() for name in ("service", "training", "export"))
    assert not list(packages.rglob("checkpoint.pt"))

"""What pyproject.toml cannot say: each build carries the commit that it was made from, and the shipped models."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

ROOT = Path(__file__).resolve().parent
RECORD = "service/_build.json"
MODELS = "service/_models"


def read_commit() -> str | None:
    """The commit: of ADIS_COMMIT, this checkout, or the source archive that this is; None if none of them knows."""
    if given := os.environ.get("ADIS_COMMIT"):
        return given
    if (ROOT / ".git").exists():
        command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        try:
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            return None
    if (ROOT / RECORD).is_file():
        return json.loads((ROOT / RECORD).read_text())["commit"]
    return None


def write_record(folder: Path) -> None:
    path = folder / RECORD
    path.unlink(missing_ok=True)  # a source archive's files may be hard links to the checkout's
    path.write_text(json.dumps({"commit": read_commit()}) + "\n")


class BuildWithModels(build_py):
    """Adds to a wheel what the service finds by its own place; an editable installation reads the checkout's."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        build = Path(self.build_lib)
        write_record(build)
        shutil.rmtree(build / MODELS, ignore_errors=True)
        for manifest in sorted((ROOT / "models").glob("*/manifest.json")):
            bundle = build / MODELS / manifest.parent.name
            bundle.mkdir(parents=True)
            about = json.loads(manifest.read_text())
            for name in ("manifest.json", "README.md", *about["sha256"], *about.get("fp16", ())):
                if (manifest.parent / name).is_file():
                    shutil.copy2(manifest.parent / name, bundle / name)


class SourceWithCommit(sdist):
    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        super().make_release_tree(base_dir, files)
        write_record(Path(base_dir))


setup(cmdclass={"build_py": BuildWithModels, "sdist": SourceWithCommit})

"""Which build of the service runs: its version, the commit that it was made from, and the models shipped with it."""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Final

from service import __version__

_PACKAGE: Final = Path(__file__).resolve().parent
_CHECKOUT: Final = _PACKAGE.parent
_RECORD: Final = _PACKAGE / "_build.json"  # written by setup.py into wheels and source archives
_COMMIT_DIGITS: Final = 12
_GIT_SECONDS: Final = 5.0

# An installed package carries its models inside itself; in a checkout and in the images they lie beside it.
SHIPPED_MODELS: Final = _PACKAGE / "_models" if (_PACKAGE / "_models").is_dir() else _CHECKOUT / "models"


def command_name() -> str:
    """How this process was called, for messages: the installed command, or the module."""
    return "adis" if Path(sys.argv[0]).name == "adis" else "python -m service"


def shipped_versions() -> list[str]:
    """The shipped models as `name version`, by name."""
    manifests = [json.loads(path.read_text()) for path in sorted(SHIPPED_MODELS.glob("*/manifest.json"))]
    return [f"{manifest['name']} {manifest['version']}" for manifest in manifests]


@cache
def build_version() -> str:
    """The version and the commit, `0.5.0+g82a0c88b1c2d`, `.dirty` behind it if files differ from the commit.

    Without a record of the build, and where Git does not answer, it is the version alone.
    """
    commit = _commit()
    if commit is None:
        return __version__
    digits, _, state = commit.partition("-")
    return f"{__version__}+g{digits[:_COMMIT_DIGITS]}{'.dirty' if state else ''}"


def _commit() -> str | None:
    """The commit's hash, `-dirty` behind it if files differ: from ADIS_COMMIT, the build's record, or the checkout."""
    if given := os.environ.get("ADIS_COMMIT"):
        return given
    if _RECORD.is_file():
        recorded = json.loads(_RECORD.read_text())["commit"]
        return None if recorded is None else str(recorded)
    if not (_CHECKOUT / ".git").exists():
        return None
    command = ["git", "-C", str(_CHECKOUT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_GIT_SECONDS)
    except (OSError, subprocess.SubprocessError):
        return None
    return said.stdout.strip() or None

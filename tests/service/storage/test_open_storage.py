"""A bucket is only spoken to where its package is, and a folder needs none."""

import os
import subprocess
import sys

import pytest

from tests.support.running_service import ROOT

PROGRAM = """
import sys
from importlib.machinery import PathFinder
class Blind(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] in ("boto3", "botocore") else super().find_spec(name, path, target)
sys.meta_path = [Blind if finder is PathFinder else finder for finder in sys.meta_path]
"""


def run_without_boto3(program: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ADIS_")} | settings
    command = [sys.executable, "-c", PROGRAM + program]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("part", ["all", "api", "worker"])
def test_a_bucket_without_the_package_is_refused_with_what_to_install(part: str) -> None:
    program = f"from service.__main__ import main; sys.exit(main([{part!r}]))"
    done = run_without_boto3(program, ADIS_STORAGE="s3://bucket", ADIS_REDIS_URL="redis://127.0.0.1:9/0")
    assert done.returncode == 2
    assert "pip install '.[s3]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_needs_no_package() -> None:
    program = (
        "import service.api.app; from service.storage.open_storage import *; from service.settings import Settings\n"
    )
    done = run_without_boto3(program + "print(type(open_storage(Settings(_env_file=None))).__name__)")
    assert done.stdout == "Storage\n", done.stderr

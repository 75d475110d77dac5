"""`python -m service doctor` says what the machine has, and fails where the service could not run."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.support.running_service import ROOT


def doctor(folder: Path, *options: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "ADIS_DATA_DIR": str(folder), **settings}
    command = [sys.executable, "-m", "service", "doctor", *options]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def test_it_tells_what_there_is(tmp_path: Path) -> None:
    ran = doctor(tmp_path, "--json")
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["problems"] == []
    assert "cpu" in found["model"]["providers"]
    assert "rain" in found["model"]["model"]
    assert "H.264" in found["images and sounds"]["writes videos"]
    assert "HEIC" in found["images and sounds"]["images"]
    assert str(tmp_path) in found["storage"]["files"]
    assert "sandbox" in doctor(tmp_path).stdout


def test_a_service_that_could_not_run_is_a_problem(tmp_path: Path) -> None:
    ran = doctor(tmp_path, ADIS_DEFAULT_MODEL="nobody")
    assert (ran.returncode, "problem: the model 'nobody'" in ran.stdout) == (1, True)

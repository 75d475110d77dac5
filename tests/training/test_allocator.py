"""A step's large tensors take the memory of the step before."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.running_service import ROOT

PROGRAM = """
import resource, sys
import numpy as np
from training.__main__ import main

if arguments := sys.argv[1:]:
    assert main(arguments) == 0

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

for _ in range(2):
    np.ones(2**24, np.float32)
before = faults()
for _ in range(10):
    np.ones(2**24, np.float32)
print("faults:", faults() - before)
"""


def faults_after(*arguments: str) -> int:
    """Pages that ten arrays of 64 MiB touch anew, after that command of training."""
    command = [sys.executable, "-c", PROGRAM, *arguments]
    ended = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return int(ended.stdout.rpartition("faults: ")[2])


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_what_a_training_frees_is_taken_again(index: Path, tmp_path: Path) -> None:
    run = ("--index", str(index), "--run", str(tmp_path / "run"), "--images", "2", "--workers", "0")
    assert faults_after("train", "--preset", "smoke", *run) < 0.1 * faults_after()

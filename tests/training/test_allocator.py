"""A step's large tensors take the memory of the step before."""

import platform
import subprocess
import sys

import pytest

from tests.support.running_service import ROOT

PROGRAM = """
import resource, sys
import numpy as np
from training.allocator import keep_freed_memory

if sys.argv[1] == "kept":
    assert keep_freed_memory()

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

for _ in range(2):
    np.ones(2**24, np.float32)
before = faults()
for _ in range(10):
    np.ones(2**24, np.float32)
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_freed_memory_is_taken_again() -> None:
    fresh, kept = (
        int(subprocess.run([sys.executable, "-c", PROGRAM, way], cwd=ROOT, check=True, capture_output=True).stdout)
        for way in ("fresh", "kept")
    )
    assert kept < 0.1 * fresh

"""`python -m tests.gpu.missing < NAMES`: what a machine that has these packages lacks for `python -m tests.gpu`.

NAMES: as `pip list --format=freeze` prints them there, or by commas. Prints `name==version`, for `pip download`.
"""

import re
import sys

from tests.support.running_service import ROOT

PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^ \\;]+)", re.MULTILINE)
NOT_FOR_IT = ("onnxruntime",)  # the build for CPUs, beside which the one for GPUs must not lie


def missing(names: str) -> list[str]:
    """The pins of the service's and the training's locks that are not among `names`.

    CUDA's own packages are taken to come with PyTorch where this is installed.
    """
    there = {_normal(name) for name in re.findall(r"[A-Za-z][A-Za-z0-9._-]*", names)}
    found: dict[str, str] = {}
    for lock in ("training", "gpu"):
        for name, version in PIN.findall((ROOT / "requirements" / f"{lock}.txt").read_text()):
            is_cuda = name.startswith(("nvidia-", "cuda-")) and "torch" in there
            if _normal(name) not in there and name not in NOT_FOR_IT and not is_cuda:
                found.setdefault(_normal(name), f"{_normal(name)}=={version}")
    return sorted(found.values())


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    print("\n".join(missing(sys.stdin.read())))

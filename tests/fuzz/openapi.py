"""`python -m tests.fuzz.openapi`: schemathesis makes requests from the API's own document, and checks every answer.

What must hold: no 5xx but the documented 503, no status, header or body that the document does not describe, no answer
without a key, no method that is refused without saying which are not.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.support.running_service import ROOT
from tests.support.tiny_service import tiny_service

ALL_PHASES = ("examples", "coverage", "fuzzing", "stateful")

# The document cannot say which bytes are an image, or which cursor this service gave; and the deletion of a job that
# waits or runs cancels it, so that it is still there.
_HOOKS = "tests.fuzz.openapi_hooks"
_EXCLUDED = "positive_data_acceptance,use_after_free"
# what is wrong with a form may be mended by the files put into it
_EXCLUDED_WITH_FILES = f"{_EXCLUDED},negative_data_rejection"


def run(
    work: Path, examples: int, seed: int, with_made_up_files: Sequence[str] = ALL_PHASES
) -> Iterator[subprocess.CompletedProcess[str]]:
    """Twice: with made-up files, in these phases alone, and with good ones.

    examples: for each operation and phase, beside a fixed part.
    """
    environment = os.environ | {"ADIS_DATA_DIR": str(work / "data")}
    made = subprocess.run(
        [sys.executable, "-m", "service", "keys", "create", "fuzz", "--rate", "0", "--jobs", "0"],
        env=environment, cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    with tiny_service(work, max_queue_length="100000", max_wait_seconds="1") as service:
        for hooks, excluded, phases in (
            ({}, _EXCLUDED, with_made_up_files),
            ({"SCHEMATHESIS_HOOKS": _HOOKS}, _EXCLUDED_WITH_FILES, ALL_PHASES),
        ):
            command = [
                str(Path(sys.executable).with_name("schemathesis")), "run", f"{service.address}/openapi.json",
                "--header", f"Authorization: Bearer {made.stdout.strip()}", "--request-timeout", "60",
                "--checks", "all", "--exclude-checks", excluded, "--max-examples", str(examples), "--seed", str(seed),
                "--phases", ",".join(phases), "--continue-on-failure", "--no-color",
            ]  # fmt: skip
            variables = environment | {"PYTHONPATH": str(ROOT)} | hooks
            yield subprocess.run(command, env=variables, cwd=work, capture_output=True, text=True, check=False)


def main() -> int:
    """The long form: 0 if everything holds."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.openapi", description=__doc__)
    parser.add_argument("--examples", type=int, default=300, help="for each operation and phase (default: 300)")
    parser.add_argument("--seed", type=int, default=1, help="of the cases (default: 1)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        codes = []
        for ended in run(Path(folder), options.examples, options.seed):
            print(ended.stdout, ended.stderr, sep="\n", flush=True)
            codes.append(ended.returncode)
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())

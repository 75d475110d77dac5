"""`python -m tests.fuzz.files`: thousands of broken images, sounds and videos through the doors of `service.media`.

What must hold: each file is taken or refused with a problem of ours, whatever it holds; the process that opens it lives
on; and, as strace sees it, nothing is opened meanwhile but that file, and no socket and no program at all.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tests.fuzz.decoder import BEGINS
from tests.fuzz.mutations import hostile_file, valid_files
from tests.support.running_service import ROOT

CALLS = "trace=open,openat,openat2,creat,socket,connect,execve,execveat"
_OPENED = re.compile(r'(?:open|openat|openat2|creat)\((?:[^"]*, )?"([^"]*)"')
_ALLOCATOR = "/proc/sys/vm/overcommit_memory"  # glibc asks this when it gives memory back; no file can choose the path


@dataclass
class Found:
    """outcomes: how many ended how. faults: numbers of the files that ended otherwise than they may, and what was said.

    strange: what was opened, called or run beside the files themselves; None if strace did not look.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[tuple[int, str]] = field(default_factory=list)
    slowest_seconds: float = 0.0
    strange: list[str] | None = None


class Decoder:
    """The process that opens the files; started anew when one of them has killed it. trace: None without strace."""

    def __init__(self, path: Path, valid: dict[str, list[bytes]], trace: Path | None) -> None:
        self._path, self._valid, self._trace = path, valid, trace
        self._process: subprocess.Popen[str] | None = None
        self.strange: list[str] = []

    def open(self, kind: str, content: bytes) -> dict[str, Any]:
        """How the file ended; `killed` if it took the process with it."""
        if self._process is None:
            self._begin()
        self._path.write_bytes(content)
        return self._ask(f"{kind} {self._path}")

    def close(self) -> None:
        """End the process, and look at what it called."""
        if self._process is not None:
            self._process.communicate()
            self._process = None
            if self._trace is not None:
                self.strange += strange_calls(self._trace.read_text(), self._path)

    def _begin(self) -> None:
        # a warning would read the line of code that it is about
        command = [sys.executable, "-W", "ignore", "-m", "tests.fuzz.decoder"]
        if self._trace is not None:
            command = ["strace", "-f", "-qq", "-o", str(self._trace), "-e", CALLS, *command]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
        )
        for kind, files in self._valid.items():  # whatever a decoder loads, it has loaded then
            for content in files:
                self._path.write_bytes(content)
                said = self._ask(f"{kind} {self._path}")
                if said["outcome"] != "taken":
                    raise RuntimeError(f"a valid {kind} is {said}")
        self._ask("begins")

    def _ask(self, line: str) -> dict[str, Any]:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(f"{line}\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            self.close()
            return {"outcome": "killed", "seconds": 0.0, "said": f"exit code {process.returncode}"}
        said: dict[str, Any] = json.loads(answer)
        return said


def fuzz(
    work: Path,
    count: int,
    seed: int,
    traced: bool,
    keep: Path | None = None,
    fields: Sequence[str] = (),
    first: int = 0,
) -> Found:
    """Open `count` files, from number `first` on. fields: only of these, if any.

    keep: folder for those that ended otherwise than they may.
    """
    found = Found()
    valid = {field: files for field, files in valid_files().items() if not fields or field in fields}
    decoder = Decoder(work / "upload", valid, work / "trace.txt" if traced else None)
    for number in tqdm(range(first, first + count), desc="hostile files", unit="file", disable=None):
        kind, content = hostile_file(valid, seed, number)
        said = decoder.open(kind, content)
        found.outcomes[said["outcome"]] += 1
        found.slowest_seconds = max(found.slowest_seconds, said["seconds"])
        if said["outcome"] not in ("taken", "refused"):
            found.faults.append((number, f"{kind}: {said['outcome']}: {said['said']}"))
            if keep is not None:
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{seed}-{number}.{kind}").write_bytes(content)
    decoder.close()
    found.strange = decoder.strange if traced else None
    return found


def strange_calls(trace: str, upload: Path) -> list[str]:
    """The traced calls after the beginning that are not for the upload. Raises RuntimeError if it never began."""
    before, mark, after = trace.partition(BEGINS)
    if not mark:
        raise RuntimeError(f"strace saw no beginning in {len(before)} characters")
    lines = after.splitlines()[1:]
    return [line for line in lines if "(" in line and not _is_of(line, upload)]


def _is_of(line: str, upload: Path) -> bool:
    if "resumed>" in line or "exit" in line.partition("(")[0]:
        return True
    opened = _OPENED.search(line)
    return opened is not None and opened[1] in (str(upload), _ALLOCATOR)


def main() -> int:
    """The long form: 0 if everything holds."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.files", description=__doc__)
    parser.add_argument("--files", type=int, default=10_000, help="how many (default: 10,000)")
    parser.add_argument("--first", type=int, default=0, help="number of the first one, to go on (default: 0)")
    parser.add_argument("--seed", type=int, default=1, help="of the faults (default: 1)")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-faults"), help="folder for files that break something")
    parser.add_argument("--fields", nargs="*", default=[], choices=("image", "audio", "video"), help="default: all")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = fuzz(
            Path(folder),
            options.files,
            options.seed,
            shutil.which("strace") is not None,
            options.keep,
            options.fields,
            options.first,
        )
    print(dict(found.outcomes), f"slowest: {found.slowest_seconds:.2f} s")
    print(
        "strace is not installed: nobody watched" if found.strange is None else f"strange calls: {found.strange[:20]}"
    )
    for number, said in found.faults[:50]:
        print(f"file {number} of seed {options.seed}: {said}")
    return 1 if found.faults or found.strange else 0


if __name__ == "__main__":
    sys.exit(main())

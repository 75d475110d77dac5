"""Broken files are taken or refused, kill nobody, and have nothing else opened."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.decoder import BEGINS
from tests.fuzz.files import CALLS, Decoder, fuzz, strange_calls
from tests.fuzz.mutations import SCRIPTS, hostile_file, valid_files


def may_trace() -> bool:
    """Whether strace is here, and allowed to watch: a container may forbid it."""
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False).returncode == 0


strace = pytest.mark.skipif(not may_trace(), reason="strace cannot watch what is opened")


@strace
def test_broken_files_are_refused_or_taken_and_open_nothing_else(tmp_path: Path) -> None:
    found = fuzz(tmp_path, count=400, seed=7, traced=True)
    assert found.faults == []
    assert found.strange == []
    assert set(found.outcomes) == {"taken", "refused"}


@strace
def test_scripts_that_name_other_files_and_hosts_open_none(tmp_path: Path) -> None:
    decoder = Decoder(tmp_path / "upload", valid_files(), tmp_path / "trace.txt")
    outcomes = {decoder.open(kind, script)["outcome"] for kind in ("image", "audio", "video") for script in SCRIPTS}
    decoder.close()
    assert (outcomes, decoder.strange) == ({"refused"}, [])


@strace
def test_what_else_is_opened_would_be_seen(tmp_path: Path) -> None:
    code = (
        "import os, socket\n"
        f"try: os.open({BEGINS!r}, os.O_RDONLY)\nexcept FileNotFoundError: pass\n"
        "os.open('/etc/hostname', os.O_RDONLY)\nsocket.socket()\n"
    )
    trace = tmp_path / "trace.txt"
    command = ["strace", "-f", "-qq", "-e", CALLS, "-o", str(trace), sys.executable, "-c", code]
    subprocess.run(command, check=True)
    calls = "\n".join(strange_calls(trace.read_text(), tmp_path / "upload"))
    assert "/etc/hostname" in calls
    assert "socket(" in calls


def test_a_file_that_kills_the_decoder_would_be_told(tmp_path: Path) -> None:
    valid = valid_files()
    decoder = Decoder(tmp_path / "upload", valid, None)
    assert decoder.open("image", valid["image"][0])["outcome"] == "taken"
    assert decoder._process is not None
    decoder._process.kill()
    assert decoder.open("image", valid["image"][0])["outcome"] == "killed"
    assert decoder.open("image", valid["image"][0])["outcome"] == "taken"
    decoder.close()


def test_a_number_always_gives_the_same_file() -> None:
    valid = valid_files()
    assert hostile_file(valid, 1, 5) == hostile_file(valid, 1, 5)
    assert hostile_file(valid, 1, 5) != hostile_file(valid, 1, 6)

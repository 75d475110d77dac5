"""A full disk refuses new jobs, fails what cannot be stored with a clear error, and is forgotten when there is room."""

import errno
import signal
import subprocess
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.faults.__main__ import SETTINGS
from tests.faults.cluster import Cluster
from tests.support.media import make_noise, make_photo, png_bytes, write_ogg
from tests.support.processes import until
from tests.support.running_service import free_port
from tests.support.tiny_bundle import write_tiny_bundle

CHUNK = 4096


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def takes(file: FileIO) -> bool:
    """Whether there was room for one chunk more."""
    try:
        return file.write(bytes(CHUNK)) == CHUNK
    except OSError as exc:
        if exc.errno == errno.ENOSPC:
            return False
        raise


def fill(disk: Path) -> Path:
    """Take all the room that is left."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        while takes(file):
            pass
    return filler


def test_a_full_disk_refuses_jobs_and_the_service_recovers(tmp_path: Path, small_disk: Path) -> None:
    models = write_tiny_bundle(tmp_path / "models" / "tiny").parent
    sound = write_ogg(tmp_path / "noise.ogg", make_noise(3.0)).read_bytes()
    files = {"image": png_bytes(make_photo(96, 64)), "audio": sound}
    with (
        Cluster(tmp_path, models, free_port(), 1, data_dir=str(small_disk), **SETTINGS) as cluster,
        httpx.Client(base_url=cluster.address, timeout=60) as http,
    ):

        def end_of(answer: httpx.Response) -> httpx.Response:
            assert answer.status_code == 202, answer.text
            url = answer.headers["Location"]
            return until(lambda: job if (job := http.get(url)).json()["state"] in ("succeeded", "failed") else None)

        assert end_of(http.post("/stylize", files=files)).json()["state"] == "succeeded"

        cluster.harm("worker 0", signal.SIGSTOP)  # takes no job before the disk is full
        accepted = http.post("/stylize", files=files)
        filler = fill(small_disk)
        cluster.harm("worker 0", signal.SIGCONT)
        job = end_of(accepted).json()
        assert (job["state"], job["error"]["status"]) == ("failed", 503)
        assert "disk is full" in job["error"]["detail"]

        refused = http.post("/stylize", files=files)
        assert refused.status_code == 503, refused.text
        assert int(refused.headers["Retry-After"]) > 0

        filler.unlink()
        assert end_of(http.post("/stylize", files=files)).json()["state"] == "succeeded"

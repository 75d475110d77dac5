"""A worker of its own."""

import os
import subprocess
import sys
from pathlib import Path

from service.jobs.connection import connect
from service.standalone.embedded_valkey import prepare_valkey
from tests.support.processes import until
from tests.support.running_service import ROOT
from tests.support.valkey import running_valkey


def test_a_worker_that_starts_before_redis_waits_for_it_and_says_so(tmp_path: Path, models_dir: Path) -> None:
    url = prepare_valkey(tmp_path / "queue").url
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ADIS_")}
    settings = {"redis_url": url, "models_dir": models_dir, "default_model": "tiny", "data_dir": tmp_path / "data"}
    environment |= {f"ADIS_{name.upper()}": str(value) for name, value in settings.items()}
    log = tmp_path / "worker.log"
    with log.open("w") as output:
        command = [sys.executable, "-m", "service", "worker"]
        worker = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=output)
    try:
        until(lambda: "waiting for Redis at" in log.read_text() or None)
        with running_valkey(tmp_path / "queue"), connect(url) as client:
            until(lambda: client.smembers("adis:workers") or None)
            assert worker.poll() is None
    finally:
        worker.kill()
        worker.wait()
    assert "Traceback" not in log.read_text()

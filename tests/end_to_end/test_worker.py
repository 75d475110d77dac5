"""A worker of its own."""

import os
import subprocess
import sys
from pathlib import Path

import httpx2 as httpx

from service.redis.connection import connect
from service.standalone.embedded_valkey import prepare_valkey
from tests.support.media import make_noise, make_photo, png_bytes, write_wav
from tests.support.processes import until
from tests.support.running_service import ROOT, running_service
from tests.support.tiny_bundle import make_decoder, make_model, replace_tiny_bundle, write_tiny_bundle
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


def test_a_model_that_is_replaced_is_taken_up_and_shown_and_the_default_stays_one(tmp_path: Path) -> None:
    tiny = write_tiny_bundle(tmp_path / "models" / "tiny")
    files = {
        "image": png_bytes(make_photo(96, 64)),
        "audio": write_wav(tmp_path / "a.wav", make_noise(3.0)).read_bytes(),
    }
    with (
        running_service(tmp_path / "data", tiny.parent, default_model="tiny") as service,
        httpx.Client(base_url=service.address, timeout=60) as http,
    ):

        def model_of_a_job() -> str:
            receipt = http.post("/stylize", files=files, headers={"Prefer": "wait=60"}).json()["receipt"]
            return str(receipt["model_sha256"])

        def shown() -> list[tuple[str, bool]]:
            return [(model["sha256"], model["default"]) for model in http.get("/models").json()["models"]]

        before = model_of_a_job()
        assert shown() == [(before, True)]
        after = replace_tiny_bundle(tiny, "2.0.0", make_decoder(-1.0))
        assert model_of_a_job() == after
        until(lambda: True if shown() == [(after, True)] else None)
        odd = make_model([], {"content": ["B"]}, {"content": ["B"]}, {})
        broken = replace_tiny_bundle(tiny, "3.0.0", odd)
        until(lambda: True if shown() == [(broken, True)] else None)
        assert model_of_a_job() == after  # which is how it turns out; the videos' worker has not tried yet
        until(lambda: True if (after, True) in shown() else None)
    assert "is refused, and 2.0.0 goes on" in service.log.read_text()

"""Workers wait while Redis has reached its maxmemory, say so, and go on; none of them ends."""

import signal
from pathlib import Path

import httpx2 as httpx

from service.redis.connection import connect
from tests.faults.__main__ import SETTINGS
from tests.faults.cluster import Cluster
from tests.support.media import make_noise, make_photo, png_bytes, write_ogg
from tests.support.processes import until
from tests.support.running_service import free_port
from tests.support.tiny_bundle import write_tiny_bundle
from tests.support.valkey import full


def test_a_worker_waits_while_redis_is_full_and_goes_on(tmp_path: Path) -> None:
    models = write_tiny_bundle(tmp_path / "models" / "tiny").parent
    sound = write_ogg(tmp_path / "noise.ogg", make_noise(3.0)).read_bytes()
    files = {"image": png_bytes(make_photo(96, 64)), "audio": sound}
    with (
        Cluster(tmp_path, models, free_port(), 1, **SETTINGS) as cluster,
        httpx.Client(base_url=cluster.address, timeout=60) as http,
        connect(cluster.redis_url) as client,
    ):
        worker = cluster.pid("worker 0")
        cluster.harm("worker 0", signal.SIGSTOP)  # takes no message before Redis is full
        jobs = [http.post("/stylize", files=files).headers["Location"] for _ in range(3)]
        with full(client):
            cluster.harm("worker 0", signal.SIGCONT)
            until(lambda: "this worker waits until there is room" in cluster.log.read_text() or None)
            assert http.post("/stylize", files=files).status_code == 503
            assert http.get("/readyz").status_code == 200  # which a worker must be there for
            assert http.delete(jobs.pop()).status_code == 204
            assert {http.get(url).json()["state"] for url in jobs} == {"queued"}
        until(lambda: True if {http.get(url).json()["state"] for url in jobs} == {"succeeded"} else None)
        assert cluster.pid("worker 0") == worker
    log = cluster.log.read_text()
    assert "Redis has room again; this worker goes on" in log
    assert "Traceback" not in log
    assert "Frequent restarts" not in log

"""The service as separate processes (queue server, API, workers), each of which may be killed and comes again."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

from redis.exceptions import OutOfMemoryError, RedisError

from service.redis.connection import connect
from service.standalone.embedded_valkey import prepare_valkey
from tests.support.object_store import ENVIRONMENT, ObjectStore
from tests.support.processes import until
from tests.support.running_service import ROOT

START_SECONDS = 60.0
RESTART_SECONDS = 0.5
LOOK_AGAIN_SECONDS = 0.1

_ROOM_BYTES = 1_000_000
_FILLER_BYTES = 100_000


class Cluster:
    """Use as a context manager; a keeper thread starts again whatever has ended, as a supervisor would."""

    def __init__(
        self,
        folder: Path,
        models_dir: Path,
        port: int,
        workers: int,
        queues: str = "images",
        store: ObjectStore | None = None,
        **settings: str,
    ) -> None:
        """folder: gets the queue's data, the log and, unless `data_dir` is among the settings, the jobs' files.

        queues: what workers take. store: runs already; each process then has a `data_dir` of its own, as on a host.
        """
        self.address = f"http://127.0.0.1:{port}"
        self.log = folder / "cluster.log"
        self._valkey = prepare_valkey(folder / "data")
        self.redis_url = self._valkey.url
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("ADIS_")} | {
            "ADIS_DATA_DIR": str(folder / "data"),
            "ADIS_MODELS_DIR": str(models_dir),
            "ADIS_REDIS_URL": self.redis_url,
            "ADIS_HOST": "127.0.0.1",
            "ADIS_PORT": str(port),
            **{f"ADIS_{name.upper()}": value for name, value in settings.items()},
        }
        self._store = store
        if store is not None:
            names = {"ADIS_STORAGE": store.url, "ADIS_S3_ENDPOINT": store.endpoint}
            self._environment |= names | ENVIRONMENT
        part = [sys.executable, "-m", "service"]
        self._commands = {"valkey": self._valkey.command, "api": [*part, "api"]}
        self._commands |= {f"worker {n}": [*part, "worker", "--queues", queues] for n in range(workers)}
        self._data_dirs = {name: str(folder / "disks" / name) for name in self._commands} if store else {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._stopping = threading.Event()
        self._keeper = threading.Thread(target=self._keep, daemon=True)

    def __enter__(self) -> "Cluster":
        try:
            self._start("valkey")
            asyncio.run(self._valkey.wait_until_answers(START_SECONDS))
            for name in self._commands:
                if name != "valkey":
                    self._start(name)
            until(lambda: True if self.is_ready() else None)
        except BaseException:
            self._stop()
            raise
        self._keeper.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._keeper.join()
        self._stop()

    def is_ready(self) -> bool:
        """Whether queue, storage and a worker answer."""
        try:
            with urllib.request.urlopen(f"{self.address}/readyz", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def spares_a_worker(self) -> bool:
        """Whether more than half of the workers have loaded their model, so that jobs go on when one of them ends."""
        workers = {str(process.pid) for name, process in self._processes.items() if name.startswith("worker")}
        try:
            with connect(self.redis_url) as client:
                entries = [
                    client.hmget(f"adis:worker:{one}", "pid", "runtime") for one in client.smembers("adis:workers")
                ]
        except RedisError:
            return False
        return 2 * sum(pid in workers and runtime is not None for pid, runtime in entries) > len(workers)

    def pid(self, name: str) -> int:
        """Of the process of that name which runs now."""
        return self._processes[name].pid

    def fill_redis(self) -> None:
        """Have Redis reach its `maxmemory` by what is in it."""
        with connect(self.redis_url) as client:
            client.config_set("maxmemory", client.info("memory")["used_memory"] + _ROOM_BYTES)
            with suppress(OutOfMemoryError):
                while True:
                    client.append("filler", bytes(_FILLER_BYTES))

    def make_room_in_redis(self) -> None:
        """Take the limit and the filling away."""
        with connect(self.redis_url) as client:
            client.config_set("maxmemory", 0)
            client.delete("filler")

    def harm(self, name: str, number: signal.Signals) -> None:
        """Send the signal to one process; `worker` means a random one. `store` is stopped for a while."""
        if name == "store":
            assert self._store is not None
            self._store.stop()
            time.sleep(RESTART_SECONDS)
            self._store.start()
            return
        if name == "worker":
            name = random.choice([other for other in self._commands if other.startswith("worker")])
        self._processes[name].send_signal(number)

    def _start(self, name: str) -> None:
        own = {"ADIS_DATA_DIR": self._data_dirs[name]} if name in self._data_dirs else {}
        with self.log.open("ab") as output:
            self._processes[name] = subprocess.Popen(
                self._commands[name], env=self._environment | own, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT
            )

    def _keep(self) -> None:
        while not self._stopping.wait(LOOK_AGAIN_SECONDS):
            for name, process in list(self._processes.items()):
                if process.poll() is not None:
                    time.sleep(RESTART_SECONDS)
                    self._start(name)

    def _stop(self) -> None:
        """Workers and API first: they still need the queue's server to end cleanly."""
        for wanted in (False, True):
            group = [process for name, process in self._processes.items() if (name == "valkey") is wanted]
            for process in group:
                process.terminate()
            for process in group:
                try:
                    process.wait(START_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

"""Hand in jobs at a steady rate while processes are killed, then check every accepted job one by one."""

import hashlib
import os
import signal
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2 as httpx

from service.redis.connection import connect
from tests.faults.cluster import Cluster
from tests.faults.recovery import by_kind, flows_again
from tests.support.media import make_noise, make_photo, png_bytes, write_ogg
from tests.support.tiny_bundle import make_decoder, replace_tiny_bundle

GAINS_DB = ("-18", "-12", "-6", "0")
PATIENCE_SECONDS = 240.0  # without any job's end
RETRY_SECONDS = 0.2
RESENT = 100
FULL_SECONDS = 20.0  # that Redis has no room
MODELS = {"1.0.0": 1.0, "2.0.0": 0.5}  # versions of the model, and how strongly each shifts colors


@dataclass(frozen=True)
class Plan:
    """rate: jobs a second. kill_every: seconds between kills of a random worker, 0 for a single kill in all.

    The next kill waits until most workers are ready, however long that takes: else a busy machine would have none.

    store: the files lie in a bucket, whose server is stopped once, too. full_seconds: that Redis is full, once.
    """

    jobs: int
    rate: float
    kill_every: float
    clients: int
    store: bool = False
    full_seconds: float = FULL_SECONDS


@dataclass
class Ledger:
    """What the clients were told. accepted: job ids by the number of the request. retries: answers by status."""

    accepted: dict[int, str] = field(default_factory=dict)
    retries: dict[str, int] = field(default_factory=dict)
    faults: list[tuple[str, float]] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, answer: str) -> None:
        with self.lock:
            self.retries[answer] = self.retries.get(answer, 0) + 1


class Scenario:
    """One run against a cluster; `run` returns the report."""

    def __init__(self, cluster: Cluster, plan: Plan, folder: Path, bundle: Path) -> None:
        """bundle: of the model, which is replaced once."""
        self._cluster = cluster
        self._bundle = bundle
        self._room_at = float("inf")
        self._full_since = self._full_seconds = 0.0
        self._faults_left = 0
        self._plan = plan
        self._photos = [png_bytes(make_photo(96, 64, seed)) for seed in range(4)]
        self._sound = write_ogg(folder / "noise.ogg", make_noise(3.0)).read_bytes()
        self._run_id = uuid.uuid4().hex
        self._ledger = Ledger()
        self._http = httpx.Client(base_url=cluster.address, timeout=20, follow_redirects=True)

    def run(self) -> dict[str, Any]:
        """References from the calm service, then the storm, then the checks."""
        with self._http:
            return self._run()

    def _run(self) -> dict[str, Any]:
        variants = len(self._photos) * len(GAINS_DB)
        references: dict[str, list[str]] = {}
        for n, version in enumerate(reversed(MODELS)):
            self._put_model(version)
            jobs = [self._finished(self._submit(-1 - n * variants - v, v)) for v in range(variants)]
            references[version] = [self._result_of(job_id) for job_id in jobs]
        if len({result for found in references.values() for result in found}) != variants * len(MODELS):
            raise AssertionError("different requests gave the same image: the check could not tell a wrong result")
        began = time.monotonic()
        threads = [threading.Thread(target=self._client, args=(n, began)) for n in range(self._plan.clients)]
        for thread in threads:
            thread.start()
        self._harm(threads)
        for thread in threads:
            thread.join()
        if self._ledger.errors:
            raise self._ledger.errors[0]
        self._wait_until_all_ended()
        storm_seconds = time.monotonic() - began
        return self._check(references) | {"seconds": round(storm_seconds, 1)}

    def _client(self, number: int, began: float) -> None:
        for index in range(number, self._plan.jobs, self._plan.clients):
            time.sleep(max(0.0, began + index / self._plan.rate - time.monotonic()))
            try:
                job_id = self._submit(index, index % (len(self._photos) * len(GAINS_DB)))
            except Exception as exc:
                self._ledger.errors.append(exc)
                return
            with self._ledger.lock:
                self._ledger.accepted[index] = job_id

    def _submit(self, index: int, variant: int) -> str:
        """Until it is accepted, always with the same key."""
        files = {"image": self._photos[variant % len(self._photos)], "audio": self._sound}
        data = {"gain_db": GAINS_DB[variant // len(self._photos)]}
        headers = {"Idempotency-Key": f"{self._run_id}{index}"}
        while True:
            try:
                answer = self._http.post("/stylize", files=files, data=data, headers=headers)
            except httpx.TransportError as exc:
                self._ledger.note(type(exc).__name__)
            else:
                if answer.status_code in (200, 202):
                    job_id: str = answer.json()["id"]
                    return job_id
                if answer.status_code not in (429, 503):
                    raise AssertionError(f"{answer.status_code}: {answer.text}")
                self._ledger.note(str(answer.status_code))
            time.sleep(RETRY_SECONDS)

    def _harm(self, clients: list[threading.Thread]) -> None:
        """Great faults when a share of the jobs is accepted, a worker's death in between; says how it stands."""
        great: list[tuple[float, str, signal.Signals | None]] = [
            (0.2, "valkey", signal.SIGKILL), (0.3, "model", None), (0.45, "api", signal.SIGKILL), (0.6, "full", None),
            (0.75, "valkey", signal.SIGTERM),
        ]  # fmt: skip
        if self._plan.store:
            great.insert(-1, (0.7, "store", signal.SIGTERM))
        worker_at = time.monotonic() + (self._plan.kill_every or 2.0)
        # the last faults may come when all is accepted, and not all is done
        while any(thread.is_alive() for thread in clients) or (
            len(self._ledger.accepted) == self._plan.jobs and (great or self._room_at < float("inf"))
        ):
            time.sleep(0.2)
            accepted = len(self._ledger.accepted)
            if time.monotonic() >= self._room_at:
                self._make_room()
            elif great and accepted >= great[0][0] * self._plan.jobs and self._room_at == float("inf"):
                _, name, number = great.pop(0)
                self._fault(name, number)
            if time.monotonic() >= worker_at and self._cluster.spares_a_worker():
                self._fault("worker", signal.SIGKILL)
                worker_at = time.monotonic() + self._plan.kill_every if self._plan.kill_every else float("inf")
            line = f"\r{accepted}/{self._plan.jobs} accepted, {len(self._ledger.faults)} faults, retried "
            print(f"{line}{self._ledger.retries}", end="", file=sys.stderr, flush=True)
        self._faults_left = len(great)
        print(file=sys.stderr)

    def _fault(self, name: str, number: signal.Signals | None) -> None:
        """full: Redis has no room for a while. model: another takes its place. All others: a signal to a process."""
        at = time.time()
        if name == "full":
            self._cluster.fill_redis()
            self._full_since = time.monotonic()
            self._room_at = self._full_since + self._plan.full_seconds
        elif name == "model":
            self._put_model(list(MODELS)[-1])
        else:
            assert number is not None
            self._cluster.harm(name, number)
        self._ledger.faults.append((f"{name} {number.name}" if number else name, at))

    def _make_room(self) -> None:
        self._full_seconds = time.monotonic() - self._full_since
        self._cluster.make_room_in_redis()
        self._room_at = float("inf")

    def _put_model(self, version: str) -> None:
        replace_tiny_bundle(self._bundle, version, make_decoder(MODELS[version]))

    def _wait_until_all_ended(self) -> None:
        """Or until patience ends: what is active then counts as lost."""
        latest = time.monotonic()
        waiting = set(self._ledger.accepted.values())
        while waiting and time.monotonic() < latest + PATIENCE_SECONDS:
            if ended := {job_id for job_id in waiting if self._get(f"/jobs/{job_id}").json()["state"] in _ENDED}:
                waiting, latest = waiting - ended, time.monotonic()
            print(f"\r{len(waiting)} jobs still wait or run    ", end="", file=sys.stderr, flush=True)
            time.sleep(0.3)
        print(file=sys.stderr)

    def _get(self, url: str) -> httpx.Response:
        while True:
            try:
                answer = self._http.get(url)
                if answer.status_code != 503:
                    return answer
            except httpx.TransportError:
                pass
            time.sleep(RETRY_SECONDS)

    def _finished(self, job_id: str) -> str:
        while self._get(f"/jobs/{job_id}").json()["state"] not in _ENDED:
            time.sleep(0.05)
        return job_id

    def _result_of(self, job_id: str) -> str:
        answer = self._get(f"/jobs/{job_id}/results/0")
        return hashlib.sha256(answer.content).hexdigest() if answer.status_code == 200 else answer.text

    def _check(self, references: dict[str, list[str]]) -> dict[str, Any]:
        accepted = self._ledger.accepted
        variants = len(self._photos) * len(GAINS_DB)

        def look(index: int) -> dict[str, Any]:
            job_id = accepted[index]
            events = self._get(f"/jobs/{job_id}/events").text
            twice = [self._result_of(job_id) for _ in range(2)]
            job = self._get(f"/jobs/{job_id}").json()
            version = (job.get("receipt") or {}).get("model_version", "none")
            return {
                "state": job.get("state", "no record"),
                "model": version,
                "right": version in references and twice[0] == references[version][index % variants],
                "same": twice[0] == twice[1],
                "successes": events.count('"state":"succeeded"'),
            }

        with ThreadPoolExecutor(self._plan.clients) as pool:
            found = list(pool.map(look, sorted(accepted)))
        every = max(1, self._plan.jobs // RESENT)
        resent = sorted(accepted)[::every]
        again = [self._submit(index, index % variants) == accepted[index] for index in resent]
        states, models = [one["state"] for one in found], [one["model"] for one in found]
        with connect(self._cluster.redis_url) as client:
            records = sum(1 for _ in client.scan_iter("adis:job:*", count=1000))
            times = [client.hmget(f"adis:job:{job_id}", "started", "finished", "lost") for job_id in accepted.values()]
        faults = [(name, flows_again(at, times)) for name, at in self._ledger.faults]
        return {
            "accepted": len(accepted),
            "never_accepted": self._plan.jobs - len(accepted),
            "states": {state: states.count(state) for state in sorted(set(states))},
            "models": {model: models.count(model) for model in sorted(set(models))},
            "lost": sum(state != "succeeded" for state in states),
            "wrong_bytes": sum(not one["right"] for one in found),
            "changed_between_reads": sum(not one["same"] for one in found),
            "delivered_twice": sum(one["successes"] > 1 for one in found),
            "without_success_event": sum(one["successes"] == 0 for one in found),
            "records_beyond_keys": records - len(accepted) - len(MODELS) * variants,
            "keys_resent": len(again),
            "keys_with_two_jobs": again.count(False),
            "jobs_that_lost_a_worker": sum(int(lost or 0) > 0 for _, _, lost in times),
            "retried": self._ledger.retries,
            "redis_full_seconds": round(self._full_seconds, 1),
            "faults_that_never_came": self._faults_left,
            "load_average": [round(load, 1) for load in os.getloadavg()],
            "faults_by_kind": by_kind(faults),
            "faults": [{"fault": name, "flows_again_after_seconds": seconds} for name, seconds in faults],
        }


_ENDED = ("succeeded", "failed", "cancelled")

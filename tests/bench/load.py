"""`python -m tests.bench.load`: what happens to the service when it is asked for several times what it can do.

Its capacity is measured first, by clients that wait for each answer. Then requests come at a fixed rate above it,
whether those before are answered or not. Client and service share this machine, so capacity falls under the load.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

import httpx2 as httpx
import numpy as np

from tests.bench.processes import memory_bytes
from tests.support.media import make_noise, make_photo, write_ogg, write_png
from tests.support.running_service import ROOT, running_service
from tests.support.tiny_bundle import write_tiny_bundle

CLIENTS = 4
MOST_OPEN = 600  # requests; beyond that the client itself would be what is measured
RECOVERED = 1.5  # times the idle latency


@dataclass
class Offered:
    """What came of the requests. accepted: the job and the wait that was promised, in seconds (0: done)."""

    answers: Counter[str] = field(default_factory=Counter)
    accepted: list[tuple[str, float]] = field(default_factory=list)
    retry_after: list[float] = field(default_factory=list)


class Client:
    """Sends images to one service; small ones, so that the client takes little of the machine."""

    def __init__(self, http: httpx.AsyncClient, work: Path) -> None:
        self._http = http
        self._photos = [write_png(work / f"{seed}.png", make_photo(128, 128, seed)).read_bytes() for seed in range(8)]
        self._sound = write_ogg(work / "sound.ogg", make_noise(3.0)).read_bytes()
        self._sent = 0

    async def post(self, wait: bool) -> httpx.Response:
        self._sent += 1
        files = {"image": self._photos[self._sent % len(self._photos)], "audio": self._sound}
        return await self._http.post("/stylize", files=files, headers={"Prefer": "wait=60"} if wait else {})

    async def timed(self) -> float:
        """Seconds from upload to the finished job; infinite for a refusal."""
        began = time.perf_counter()
        answer = await self.post(wait=True)
        return time.perf_counter() - began if answer.status_code == 200 else float("inf")

    async def capacity(self, seconds: float) -> float:
        """Images a second for CLIENTS that wait for each answer."""
        ends = time.monotonic() + seconds

        async def go_on() -> int:
            made = 0
            while time.monotonic() < ends:
                taken = await self.timed()
                made += np.isfinite(taken)
            return made

        return sum(await asyncio.gather(*(go_on() for _ in range(CLIENTS)))) / seconds

    async def offer(self, rate: float, seconds: float) -> Offered:
        """`rate` requests a second, evenly, each on its own."""
        offered, going = Offered(), set[asyncio.Task[None]]()
        began = time.monotonic()
        for number in range(round(rate * seconds)):
            await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
            if len(going) >= MOST_OPEN:
                offered.answers["not sent: too many open"] += 1
                continue
            task = asyncio.create_task(self._one(offered))
            going.add(task)
            task.add_done_callback(going.discard)
        await asyncio.gather(*going)
        return offered

    async def _one(self, offered: Offered) -> None:
        try:
            answer = await self.post(wait=False)
        except httpx.TransportError as exc:
            offered.answers[type(exc).__name__] += 1
            return
        offered.answers[str(answer.status_code)] += 1
        wait = float(answer.headers.get("Retry-After", 0))
        if answer.is_success:
            offered.accepted.append((answer.headers["Location"], wait))
        else:
            offered.retry_after.append(wait)

    async def waits(self, accepted: list[tuple[str, float]]) -> list[float]:
        """Seconds from acceptance to the end of each job, by the service's own clock; raises if one did not succeed."""
        found = []
        for address, _ in accepted:
            job = (await self._http.get(address)).raise_for_status().json()
            if job["state"] != "succeeded":
                raise RuntimeError(f"{address} is {job['state']}")
            found.append(_moment(job["finished_at"]) - _moment(job["created_at"]))
        return found

    async def until_recovered(self, idle_seconds: float) -> float:
        """Seconds until an image takes no more than RECOVERED times what it takes an idle service."""
        began = time.perf_counter()
        while await self.timed() > RECOVERED * idle_seconds:
            await asyncio.sleep(0.05)
        return time.perf_counter() - began


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


async def measure(address: str, pid: int, work: Path, times: float, seconds: float) -> dict[str, Any]:
    """The report, as plain JSON."""
    limits = httpx.Limits(max_connections=MOST_OPEN + CLIENTS, max_keepalive_connections=CLIENTS * 8)
    async with httpx.AsyncClient(base_url=address, timeout=300, limits=limits) as http:
        client = Client(http, work)
        for _ in range(5):
            await client.timed()
        idle = median([await client.timed() for _ in range(20)])
        capacity = await client.capacity(min(10.0, seconds))
        before = memory_bytes(pid) / 1e6
        offering = asyncio.create_task(client.offer(times * capacity, seconds))
        memory = []
        while not offering.done():
            await asyncio.wait([offering], timeout=seconds / 6)
            memory.append((await asyncio.to_thread(memory_bytes, pid)) / 1e6)
        offered = await offering
        recovered = await client.until_recovered(idle)
        waits = np.array(await client.waits(offered.accepted))
    promised = np.array([wait for _, wait in offered.accepted])
    return {
        "idle_p50_ms": 1000 * idle,
        "capacity_per_second": capacity,
        "offered_per_second": times * capacity,
        "answers": dict(offered.answers),
        "accepted_per_second": len(waits) / seconds,
        "accepted_p50_seconds": float(np.percentile(waits, 50)),
        "accepted_p99_seconds": float(np.percentile(waits, 99)),
        "promised_p99_seconds": float(np.percentile(promised, 99)),
        "late_p99_seconds": float(np.percentile(waits - promised, 99)),
        "refused_without_retry_after": sum(wait == 0 for wait in offered.retry_after),
        "retry_after_seconds": sorted({*offered.retry_after}),
        "memory_mb": {"before": before, "under_load": memory},
        "recovered_seconds": recovered,
    }


def main() -> int:
    """Measure, print, and write the JSON; 2 for bad arguments."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.load", description=__doc__)
    parser.add_argument("--bundle", type=Path, help="bundle (default: graphs that do nothing)")
    parser.add_argument("--times", type=float, default=4.0, help="of the capacity (default: 4)")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (default: 60)")
    parser.add_argument("--output", type=Path, default=ROOT / "bench-load.json", help="JSON (default: %(default)s)")
    options = parser.parse_args()
    if options.bundle is not None and not (options.bundle / "manifest.json").is_file():
        parser.error(f"{options.bundle} is not a bundle: it has no manifest.json")
    report: dict[str, Any] = {"cores": os.cpu_count(), "load_before": round(os.getloadavg()[0], 2)}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        bundle = (options.bundle or write_tiny_bundle(work / "models" / "null")).resolve()
        with running_service(work / "data", bundle.parent, default_model=bundle.name) as service:
            report |= asyncio.run(measure(service.address, service.pid, work, options.times, options.seconds))
    print(json.dumps(report, indent=2))
    options.output.write_text(json.dumps(report, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

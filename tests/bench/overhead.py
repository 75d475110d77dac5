"""`python -m tests.bench.overhead`: what the service costs beside the work itself, with a model that does nothing.

The same photographs, sound, decoders, null graphs and encoder stand behind the whole service, LitServe and a bare
FastAPI route, which take turns. Those two keep nothing on disk, have no queue and no limits. A sound of plain samples
(WAV) costs next to nothing to decode; Opus (Ogg) shows what a decoder adds.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx2 as httpx

from tests.support.media import make_noise, make_photo, write_ogg, write_png, write_wav
from tests.support.processes import until
from tests.support.running_service import ROOT, free_port, running_service
from tests.support.tiny_bundle import write_tiny_bundle

CLIENTS = 4
PHOTOS = 8
WRITERS = {"wav": write_wav, "ogg": write_ogg}


@contextmanager
def plain_server(kind: str, bundle: Path, log: Path) -> Iterator[str]:
    """The address of a server of `tests.bench.plain_server`, ready to answer."""
    port = free_port()
    command = [sys.executable, "-m", "tests.bench.plain_server", kind, str(bundle), str(port)]
    address = f"http://127.0.0.1:{port}"

    def is_ready() -> bool | None:
        try:
            return True if httpx.get(f"{address}/health").is_success else None
        except httpx.TransportError:
            return None

    with log.open("wb") as output:  # a session of its own, since LitServe's processes do not end with their parent
        server = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output, start_new_session=True)
        try:
            until(is_ready)
            yield address
        finally:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


class Caller:
    """Sends the photographs in turn, so that no result can be remembered."""

    def __init__(self, address: str, photos: list[bytes], sound: bytes) -> None:
        self._client = httpx.Client(base_url=address, timeout=120)
        self._photos, self._sound, self._sent = photos, sound, 0

    def call(self, _: int = 0) -> float:
        """Seconds from upload to PNG."""
        self._sent += 1
        files = {"image": self._photos[self._sent % len(self._photos)], "audio": self._sound}
        began = time.perf_counter()
        answer = self._client.post("/stylize", files=files, headers={"Accept": "image/png", "Prefer": "wait=60"})
        seconds = time.perf_counter() - began
        answer.raise_for_status()
        if answer.headers["content-type"] != "image/png":
            raise RuntimeError(f"the answer is not an image: {answer.text[:200]}")
        return seconds


def measure(callers: dict[str, Caller], rounds: int, requests: int) -> dict[str, dict[str, float]]:
    """Every round: one call to each, then `requests` by CLIENTS at once to each."""
    alone, rates = defaultdict(list), defaultdict(list)
    for caller in callers.values():
        for _ in range(5):
            caller.call()
    for number in range(rounds):
        for name, caller in callers.items():
            alone[name] += [1000 * caller.call() for _ in range(4)]
        for name, caller in callers.items():
            with ThreadPoolExecutor(CLIENTS) as pool:
                began = time.perf_counter()
                list(pool.map(caller.call, range(requests)))
                rates[name].append(requests / (time.perf_counter() - began))
        print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    base_ms, base_rates = alone["fastapi"], rates["fastapi"]
    return {
        name: {
            "p50_ms": median(alone[name]),
            "p95_ms": quantiles(alone[name], n=20)[-1],
            "more_than_fastapi_ms": median(one - other for one, other in zip(alone[name], base_ms, strict=True)),
            "requests_per_second": median(rates[name]),
            "times_fastapi": median(one / other for one, other in zip(rates[name], base_rates, strict=True)),
        }
        for name in callers
    }


def main() -> int:
    """Measure, print, and write the JSON; 2 for bad arguments."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.overhead", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="turns (default: 10)")
    parser.add_argument("--requests", type=int, default=24, help="images of a turn, by 4 clients (default: 24)")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of the sound (default: 3)")
    parser.add_argument("--output", type=Path, default=ROOT / "bench-overhead.json", help="JSON (default: %(default)s)")
    options = parser.parse_args()
    report: dict[str, Any] = {"cores": os.cpu_count(), "load_before": round(os.getloadavg()[0], 2)}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        work = Path(folder)
        bundle = write_tiny_bundle(work / "models" / "null")
        service = stack.enter_context(running_service(work / "data", bundle.parent, default_model="null"))
        addresses = {"service": service.address}
        for name in ("litserve", "fastapi"):
            addresses[name] = stack.enter_context(plain_server(name, bundle, work / f"{name}.log"))
        photos = [write_png(work / f"{seed}.png", make_photo(256, 256, seed)).read_bytes() for seed in range(PHOTOS)]
        for kind, write in WRITERS.items():
            sound = write(work / "sound", make_noise(options.seconds)).read_bytes()
            callers = {name: Caller(address, photos, sound) for name, address in addresses.items()}
            report[kind] = measure(callers, options.rounds, options.requests)
    for kind in WRITERS:
        for name, figures in report[kind].items():
            print(f"{kind}  {name:10}" + "".join(f"  {figure} {value:.2f}" for figure, value in figures.items()))
    options.output.write_text(json.dumps(report, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`python -m tests.bench.large_image`: the largest inputs through the whole service, and the memory of all processes.

An image of 100 megapixels in several formats, then a small one with a recording of three hours.

Memory is the sum of their proportional set sizes, so that what they share counts once, looked at ten times a second.
"""

import argparse
import io
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import av
import httpx2 as httpx
import numpy as np
from PIL import Image

from tests.bench.processes import memory_bytes
from tests.support.media import make_noise, make_photo, write_wav
from tests.support.running_service import ROOT, running_service

_LOOK_SECONDS = 0.1
_RECORDING_RATE_HZ = 16_000
Image.MAX_IMAGE_PIXELS = None


class Watch:
    """The most memory that a tree of processes had while the block ran."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.most_bytes = 0

    def __enter__(self) -> "Watch":
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            self.most_bytes = max(self.most_bytes, memory_bytes(self._pid))


def large_image(side: int, kind: str) -> bytes:
    """side x side pixels of a photograph with fine noise."""
    tile = make_photo(500, 500)
    pixels = np.tile(np.asarray(Image.fromarray(tile)), (side // 500, side // 500, 1))
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, quality=80)
    return buffer.getvalue()


def long_recording(hours: float) -> bytes:
    """An MP3 of noise, at 32 kbit/s: the same minute again and again."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "minute.mp3"
        noise = make_noise(60.0, sample_rate_hz=_RECORDING_RATE_HZ)
        with av.open(str(path), "w", format="mp3", options={"write_xing": "0", "id3v2_version": "0"}) as output:
            stream: Any = output.add_stream("libmp3lame", rate=_RECORDING_RATE_HZ, layout="mono")
            stream.bit_rate = 32_000
            frame = av.AudioFrame.from_ndarray(noise[None], format="fltp", layout="mono")
            frame.sample_rate = _RECORDING_RATE_HZ
            output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
        return path.read_bytes() * round(60 * hours)


def measure(address: str, pid: int, image: bytes, sound: bytes, result: str) -> dict[str, Any]:
    """One job: its seconds, the most memory meanwhile, and what came of it."""
    began = time.monotonic()
    with httpx.Client(base_url=address, timeout=900) as client, Watch(pid) as watch:
        answer = client.post("/stylize", files={"image": image, "audio": sound}, data={"format": result})
        job = answer.json()
        while job.get("state") in ("queued", "running"):
            time.sleep(_LOOK_SECONDS)
            job = client.get(job["url"]).json()
    if job.get("state") != "succeeded":
        raise RuntimeError(f"the job did not succeed: {job.get('error') or job}")
    (made,) = job["results"]
    return {
        "seconds": round(time.monotonic() - began, 1),
        "most_bytes": watch.most_bytes,
        "size": (made["width"], made["height"]),
        "bytes": made["bytes"],
        "windows": made["receipt"]["windows"],
        "warnings": [warning["code"] for warning in made["warnings"]],
    }


def main() -> int:
    """A line for each kind: 0 if all stayed within the bound."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.large_image", description=__doc__)
    parser.add_argument("--side", type=int, default=10_000, help="pixels, a multiple of 500 (default: 10,000)")
    parser.add_argument("--bound", type=float, default=1.5, help="GB (default: 1.5)")
    parser.add_argument(
        "--kinds", default="JPEG:jpeg,JPEG:png,PNG:png,TIFF:png", help="of the input, and of the result"
    )
    parser.add_argument("--hours", type=float, default=3.0, help="length of the recording (default: 3)")
    options = parser.parse_args()
    worst = 0
    with tempfile.TemporaryDirectory() as folder:
        sound = write_wav(Path(folder) / "sound", make_noise(3.0)).read_bytes()
        with running_service(Path(folder) / "data", ROOT / "models", max_image_bytes=str(2**30)) as service:
            print(f"at rest: {memory_bytes(service.pid) / 1e9:.2f} GB")
            for given, wanted in (kind.split(":") for kind in filter(None, options.kinds.split(","))):
                image = large_image(options.side, given)
                made = measure(service.address, service.pid, image, sound, wanted)
                worst = max(worst, made["most_bytes"])
                print(f"{given} to {wanted}: {made['most_bytes'] / 1e9:.2f} GB, {made}", flush=True)
            recording = long_recording(options.hours)
            made = measure(service.address, service.pid, large_image(500, "JPEG"), recording, "jpeg")
            worst = max(worst, made["most_bytes"])
            size = f"{options.hours:g} h of MP3 ({len(recording) / 1e6:.0f} MB)"
            print(f"{size}: {made['most_bytes'] / 1e9:.2f} GB, {made}", flush=True)
    return int(worst > options.bound * 1e9)


if __name__ == "__main__":
    sys.exit(main())

"""A whole service on the provider: image, sweep, video, two workers, a killed worker, a full GPU."""

import os
import signal
import time
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import httpx2 as httpx

from service.model.bundle import load_bundle
from service.model.engine import Engine
from tests.bench.latency import SIDE, measure_latency
from tests.gpu.target import Target
from tests.support.media import make_noise, make_photo, png_bytes, tiled_photo, write_ogg, write_png
from tests.support.processes import child_named, children_of
from tests.support.running_service import RunningService, running_service
from tests.support.video import Clip, noise_track, write_video

JOB_SECONDS = 300
SWEEP_DB = (-24, -18, -12, -6, 0, 3, 6, 9)
SMALL_GPU_BYTES = 512 * 1024 * 1024


class WrongResult(Exception):
    """A job did not end as it should have."""


def measure_service(target: Target, bundle: Path, work: Path) -> dict[str, Any]:
    """Everything of one service with a worker for images and one for videos."""
    work.mkdir()
    found: dict[str, Any] = {}
    sound = write_ogg(work / "sound.ogg", make_noise(10.0))
    settings = {"default_model": bundle.name, "providers": target.provider, "provider_fallback": "false"}
    engine = Engine(load_bundle(bundle), [target.provider], allow_fallback=False)
    with (
        running_service(work / "data", bundle.parent, **settings) as service,
        httpx.Client(base_url=service.address, timeout=JOB_SECONDS) as http,
    ):
        photos = [write_png(work / f"{seed}.png", make_photo(SIDE, SIDE, seed)) for seed in range(8)]
        rounds = 3 if target.quick else 60
        found["image"] = asdict(measure_latency(service.address, service.pid, engine, photos, sound, rounds))
        job = done(http, image_job(http, make_photo(SIDE, SIDE), sound))
        found["receipt"] = {name: job["receipt"][name] for name in ("provider", "runtime")}
        if found["receipt"]["provider"] != target.provider:
            raise WrongResult(f"the receipt names {found['receipt']['provider']}, not {target.provider}")
        found["sweep"] = measure_sweep(target, http, sound)
        if target.has_time_for("video", 30):
            found["video"] = measure_video(target, http, work)
        if target.has_time_for("killed worker", 30):
            found["killed_worker"] = kill_and_wait(service, http, sound)
    return found


def measure_two_workers(target: Target, bundle: Path, work: Path) -> dict[str, float]:
    """Images a second of 8 clients that wait for each of theirs, with one and with two processes on the device."""
    from tests.bench.throughput import measure_throughput

    work.mkdir()
    sound = write_ogg(work / "sound.ogg", make_noise(10.0))
    photos = [write_png(work / f"{seed}.png", make_photo(SIDE, SIDE, seed)) for seed in range(8)]
    found = {}
    for processes in (1, 2):
        settings = {
            "default_model": bundle.name,
            "providers": target.provider,
            "provider_fallback": "false",
            "worker_processes": str(processes),
            "worker_queues": "images",
        }
        with running_service(work / str(processes), bundle.parent, **settings) as service:
            rates = measure_throughput(service.address, photos, sound, 4 if target.quick else 48, 1)
            found[f"{processes} processes"] = max(rate.images_per_second for rate in rates)
    return found


def fill_the_gpu(target: Target, bundle: Path, work: Path) -> dict[str, Any]:
    """A 4096 px image on a GPU that is bounded to half a gigabyte: that job alone must fail, and say why."""
    work.mkdir()
    sound = write_ogg(work / "sound.ogg", make_noise(4.0))
    settings = {
        "default_model": bundle.name,
        "providers": target.provider,
        "provider_fallback": "false",
        "gpu_memory_bytes": str(SMALL_GPU_BYTES),
        "max_inference_side": "4096",
    }
    with (
        running_service(work / "data", bundle.parent, **settings) as service,
        httpx.Client(base_url=service.address, timeout=JOB_SECONDS) as http,
    ):
        before = pool_processes(service, "images")
        job = ended(http, image_job(http, tiled_photo(4096, 4096), sound))
        if job["state"] != "failed" or "does not fit in memory" not in job["error"]["detail"]:
            raise WrongResult(f"the large image's job is {job['state']}: {job.get('error')}")
        done(http, image_job(http, make_photo(SIDE, SIDE), sound))
        return {"detail": job["error"]["detail"], "worker_stays": pool_processes(service, "images") == before}


def measure_sweep(target: Target, http: httpx.Client, sound: Path) -> dict[str, float]:
    """Seconds of a sweep and of one image alone, of the same size."""
    side = 128 if target.quick else 512
    taken: dict[str, list[float]] = {"one_s": [], "sweep_s": []}
    for seed in range(1 if target.quick else 5):
        for name, gains in (("one_s", {}), ("sweep_s", {"gains_db": ",".join(map(str, SWEEP_DB))})):
            job = done(http, image_job(http, make_photo(side, side, 50 + seed), sound, **gains))
            taken[name].append(job["seconds"]["stylize"])
            if gains and len(job["results"]) != len(SWEEP_DB):
                raise WrongResult(f"the sweep has {len(job['results'])} results")
    return {"side": side, "gains": len(SWEEP_DB)} | {name: median(seconds) for name, seconds in taken.items()}


def measure_video(target: Target, http: httpx.Client, work: Path) -> dict[str, Any]:
    """A pan of 720p through the service."""
    clip = Clip(width=160, height=90, frames=10) if target.quick else Clip(1280, 720, fps=30, frames=360, key_every=60)
    source = write_video(work / "pan.mp4", clip, noise_track(clip.frames / clip.fps))
    answer = http.post("/stylize/video", files={"video": source.read_bytes()}, data={"gain_db": "6"})
    answer.raise_for_status()
    job = done(http, answer.headers["Location"])
    provider = job["receipt"]["provider"]
    if provider != target.provider:
        raise WrongResult(f"the video's receipt names {provider}")
    seconds = job["seconds"]
    return {"frames": clip.frames, "frames_per_second": clip.frames / seconds["stylize"], "seconds": seconds}


def kill_and_wait(service: RunningService, http: httpx.Client, sound: Path) -> dict[str, Any]:
    """Kill the process that has the GPU in the middle of a job, which another must then finish."""
    gains = ",".join(map(str, range(-16, 0)))
    url = image_job(http, make_photo(1500, 1000), sound, gains_db=gains)
    while http.get(url).json()["state"] == "queued":
        time.sleep(0.01)
    killed = pool_processes(service, "images")
    for process in killed:
        os.kill(process, signal.SIGKILL)
    began = time.perf_counter()
    done(http, url)
    now = pool_processes(service, "images")
    return {"seconds_until_done": time.perf_counter() - began, "another_process": not set(killed) & set(now)}


def pool_processes(service: RunningService, queue: str) -> list[int]:
    """The processes of a queue's worker that hold models."""
    return children_of(child_named(service.pid, queue))


def image_job(http: httpx.Client, photo: Any, sound: Path, **form: str) -> str:
    """The new job's address."""
    answer = http.post("/stylize", files={"image": png_bytes(photo), "audio": sound.read_bytes()}, data=form)
    answer.raise_for_status()
    url: str = answer.headers["Location"]
    return url


def ended(http: httpx.Client, url: str) -> dict[str, Any]:
    """The job when it is over. Raises WrongResult if that takes too long."""
    deadline = time.monotonic() + JOB_SECONDS
    while time.monotonic() < deadline:
        job: dict[str, Any] = http.get(url).raise_for_status().json()
        if job["state"] not in ("queued", "running"):
            return job
        time.sleep(0.02)
    raise WrongResult(f"the job does not end in {JOB_SECONDS} s")


def done(http: httpx.Client, url: str) -> dict[str, Any]:
    """The job when it has succeeded. Raises WrongResult if it did not."""
    job = ended(http, url)
    if job["state"] != "succeeded":
        raise WrongResult(f"the job {job['state']}: {job.get('error')}")
    return job

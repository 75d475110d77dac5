"""`python -m tests.bench.prepare`: how fast videos become clips; a table, and JSON beside it.

The video is made here: a moving photograph with the grain of a camera in 720p H.264, and noise as AAC.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from tests.support.media import make_photo
from tests.support.running_service import ROOT
from tests.support.video import noise_track, pan

RATE_HZ = 48_000
FPS = 30
CUT_SECONDS = 20  # made once; a video is as many copies as it takes


def write_walk(path: Path, seconds: int, grain: int = 6) -> Path:
    """720p at 30 frames a second as a phone or YouTube has it: B-frames, a key frame every 5 s, stereo sound."""
    rng = np.random.default_rng(0)
    image = make_photo(2560, 1440)
    with av.open(str(path), "w") as output:
        video: Any = output.add_stream("libx264", rate=FPS)
        video.width, video.height, video.pix_fmt, video.gop_size = 1280, 720, "yuv420p", 5 * FPS
        video.options = {"preset": "veryfast", "crf": "23"}
        audio: Any = output.add_stream("aac", rate=RATE_HZ, layout="stereo")
        for index in range(seconds * FPS):
            view = pan(image, 1280, 720, abs(index / (seconds * FPS) * 2 - 1)).astype(np.int16)
            view += rng.integers(-grain, grain + 1, (720, 1280, 1), np.int16)
            frame = av.VideoFrame.from_ndarray(view.clip(0, 255).astype(np.uint8), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
        sound = av.AudioFrame.from_ndarray(noise_track(seconds).astype(np.float32), "fltp", "stereo")
        sound.sample_rate, sound.pts, sound.time_base = RATE_HZ, 0, Fraction(1, RATE_HZ)
        output.mux(audio.encode(sound))
        output.mux(audio.encode(None))
    return path


def repeat(path: Path, cut: Path, times: int) -> Path:
    """The cut's packets that many times one after the other, not encoded again."""
    with av.open(str(path), "w") as output, av.open(str(cut)) as source:
        streams = {stream.index: output.add_stream_from_template(stream) for stream in source.streams}
        last = dict.fromkeys(streams, -(1 << 62))
        for number in range(times):
            source.seek(0)
            for packet in source.demux():
                if packet.pts is None or packet.dts is None or packet.time_base is None:
                    continue
                shift = round(number * CUT_SECONDS / packet.time_base)
                if packet.dts + shift <= last[packet.stream.index]:  # what a coder of sound puts before the first
                    continue
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                last[packet.stream.index] = packet.dts
                packet.stream = streams[packet.stream.index]
                output.mux(packet)
    return path


def measure(videos: Path, output: Path, jobs: int, options: list[str]) -> dict[str, float]:
    """One run of the command: seconds, and CPU seconds of it and its processes."""
    command = [sys.executable, "-m", "training", "prepare", str(videos), str(output), "--jobs", str(jobs), *options]
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seconds, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "cpu_seconds": cpu}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.prepare", description=__doc__)
    parser.add_argument("--minutes", type=int, default=10, help="length of each of two videos (default: 10)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    parser.add_argument("--output", type=Path, default=ROOT / "bench-prepare.json", help="JSON (default: %(default)s)")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cut = write_walk(folder / "cut.mp4", CUT_SECONDS)
        videos = folder / "videos"
        videos.mkdir()
        for number in range(2):  # of different lengths, or the second would be taken for a copy
            repeat(videos / f"walk-{number}.mp4", cut, 3 * options.minutes + number)
        video_seconds = CUT_SECONDS * (6 * options.minutes + 1)
        for kind, more in (("loose files", []), ("shards", ["--shards"])):
            told = measure(videos, folder / "out", options.jobs, ["--tagger", "none", *more])
            clips = len((folder / "out" / "clips.jsonl").read_text().splitlines())
            assert clips == video_seconds // 3 or clips == video_seconds // 3 - 1
            rows.append({"kind": kind, "video_seconds": video_seconds, "clips": clips, **told})
            shutil.rmtree(folder / "out")
    print(f"{'':>12}  hours per hour  CPU s per video s  {options.jobs} idle cores would reach")
    for row in rows:
        cost = row["cpu_seconds"] / row["video_seconds"]
        print(
            f"{row['kind']:>12}  {row['video_seconds'] / row['seconds']:14.1f}  {cost:17.4f}  {options.jobs / cost:.1f}"
        )
    options.output.write_text(json.dumps({"jobs": options.jobs, "rows": rows}, indent=2) + "\n")
    print(f"written: {options.output}")


if __name__ == "__main__":
    main()

"""`python -m tests.fuzz.decoder`: read `FIELD PATH` lines, take each file through every door of its kind.

A line of JSON says how each ended: `outcome` is `taken`, `refused`, or an exception that no door may let out.
"""

import json
import os
import sys
import time
from pathlib import Path

from service.errors import StylizationError
from service.media.audio import decode_audio, probe_audio, read_window
from service.media.frames import read_frames
from service.media.image import probe_image
from service.media.image_reader import ReadPlan, read_image, read_strips
from service.media.limits import MediaLimits
from service.media.soundtrack_reader import SoundtrackReader
from service.media.video_file import probe_video
from service.media.video_manifest import read_manifest

BEGINS = "/the-files-begin-here"  # asked for once the kinds are known: what is opened after it is opened by a file
LIMITS = MediaLimits()
_MOST_FRAMES = 20


def open_image(path: Path) -> None:
    """As a job does, small and large: with all that goes with the pixels, and in strips."""
    probe_image(path, LIMITS)
    list(read_image(path, LIMITS, ReadPlan(max_side=4096, metadata="keep")))
    list(read_image(path, LIMITS, ReadPlan(held_pixels=0, model_side=32, color_profile="input", format="png")))
    list(read_strips(path, LIMITS, ReadPlan(max_side=40, format="jpeg")))


def open_audio(path: Path) -> None:
    probe_audio(path, LIMITS)
    decode_audio(path, LIMITS, 16_000)
    list(read_window(path, LIMITS, 16_000, 48_000, start_seconds=11.0))


def open_video(path: Path) -> None:
    """As a job does: the packets, the sound, the frames."""
    info = probe_video(path, LIMITS)
    manifest = read_manifest(path, LIMITS, allow_partial=True)
    if info.has_sound:
        with SoundtrackReader(path, LIMITS, manifest.soundtrack, manifest.clock) as reader:
            for _ in reader.blocks():
                pass
    stop = min(len(manifest.timeline.pts), _MOST_FRAMES)
    for _ in read_frames(path, LIMITS, manifest, 0, stop, (manifest.format.width, manifest.format.height)):
        pass


DOORS = {"image": open_image, "audio": open_audio, "video": open_video}


def main() -> int:
    """Until there are no more lines."""
    for line in sys.stdin:
        field, _, name = line.strip().partition(" ")
        if field == "begins":
            try:
                os.open(BEGINS, os.O_RDONLY)
            except FileNotFoundError:
                print(json.dumps({"outcome": "begun"}), flush=True)
            continue
        began, said = time.perf_counter(), ""
        try:
            DOORS[field](Path(name))
            outcome = "taken"
        except StylizationError as refusal:
            outcome, said = "refused", refusal.detail
        except Exception as fault:
            outcome, said = type(fault).__name__, str(fault)
        print(json.dumps({"outcome": outcome, "seconds": time.perf_counter() - began, "said": said}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

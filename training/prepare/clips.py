"""The pictures and the sound of a stretch of video, on one clock: the presentation times of the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np
import torch
import torchaudio.functional as AF
from numpy.typing import NDArray

from training.media import MediaError

CLIP_SECONDS = 3.0
FRAMES_PER_CLIP = 8
_LEAD_SECONDS = 1.0  # a seek may land late by a packet; decoding from earlier costs little


def frame_times(clip_start: float) -> list[float]:
    """The middles of FRAMES_PER_CLIP equal parts of a clip, in seconds."""
    return [clip_start + (i + 0.5) * CLIP_SECONDS / FRAMES_PER_CLIP for i in range(FRAMES_PER_CLIP)]


def frames_at(path: Path, times: Sequence[float], short_side: int) -> Iterator[NDArray[np.uint8]]:
    """For each time (ascending) the picture then on display, [H, W, 3], its short side at most `short_side`.

    Stops at the first time that has no picture: before the video begins, or after its last picture's own time.
    Raises MediaError.
    """
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            container.seek(int(max(0.0, times[0] - _LEAD_SECONDS) * 1_000_000), backward=True)
            shown: av.VideoFrame | None = None
            wanted = 0
            for frame in container.decode(stream):
                if frame.time is None:
                    continue
                while shown is not None and wanted < len(times) and frame.time > times[wanted]:
                    yield _scaled(shown, short_side)
                    wanted += 1
                if wanted == len(times):
                    return
                if frame.time > times[wanted]:
                    return  # the video begins later
                shown = frame
    except (av.FFmpegError, IndexError, OSError) as exc:
        raise MediaError(f"{path} is not a readable video: {exc}") from exc


def sound_between(path: Path, start: float, stop: float, sample_rate_hz: int) -> torch.Tensor:
    """Mono [N] of exactly that stretch, each sample at its presentation time; gaps are silent. Raises MediaError."""
    try:
        with av.open(str(path)) as container:
            stream = container.streams.audio[0]
            rate = stream.codec_context.sample_rate
            heard = torch.zeros(round((stop - start) * rate))
            container.seek(int(max(0.0, start - _LEAD_SECONDS) * 1_000_000), backward=True)
            for frame in container.decode(stream):
                if frame.time is None:
                    continue
                if frame.time >= stop:
                    break
                # A fresh resampler a frame: layout and format change, the rate does not, so nothing is held back.
                mono = av.AudioResampler(format="flt", layout="mono", rate=rate).resample(frame)
                samples = np.concatenate([part.to_ndarray()[0] for part in mono])
                first = round((frame.time - start) * rate)
                left, right = max(0, first), min(len(heard), first + len(samples))
                if left < right:
                    heard[left:right] = torch.from_numpy(samples[left - first : right - first].copy())
    except (av.FFmpegError, IndexError, OSError) as exc:
        raise MediaError(f"{path} has no readable sound: {exc}") from exc
    return AF.resample(heard, rate, sample_rate_hz)


def _scaled(frame: av.VideoFrame, short_side: int) -> NDArray[np.uint8]:
    scale = min(1.0, short_side / min(frame.width, frame.height))
    size = {"width": round(frame.width * scale), "height": round(frame.height * scale)}
    return frame.to_ndarray(format="rgb24", **size)

"""The images and the sound of a stretch of video, on one clock: the presentation times of the file."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
import torch
import torchaudio.functional as AF
from numpy.typing import NDArray

from training.data.media import MediaError
from training.prepare.videos import CLIP_SECONDS

FRAMES_PER_CLIP = 8
_LEADS_SECONDS = (1.0, 10.0, 60.0, float("inf"))  # how far to seek back, tried in turn; from the file's begin at last
_LOCAL = {"protocol_whitelist": "file"}  # a playlist that calls itself a video opens no address


def frame_times(clip_start: float) -> list[float]:
    """The middles of FRAMES_PER_CLIP equal parts of a clip, in seconds."""
    return [clip_start + (i + 0.5) * CLIP_SECONDS / FRAMES_PER_CLIP for i in range(FRAMES_PER_CLIP)]


def frames_at(path: Path, times: Sequence[float], short_side: int) -> Generator[NDArray[np.uint8] | None, None, None]:
    """For each time (ascending) the image then on display, [H, W, 3], its short side at most `short_side`.

    Upright and with square pixels. None where there is no image: before the video begins, and after the time of its
    last image. Raises MediaError.
    """
    try:
        lead, needed = _look_ahead(path, times)
        with _open_before(path, times[0], lead) as container:
            stream = container.streams.video[0]
            # Files are shared among processes: a thread each.
            stream.thread_type, stream.codec_context.thread_count = "NONE", 1
            shown: av.VideoFrame | None = None
            image: NDArray[np.uint8] | None = None
            answered = 0
            for frame in _decode(container, stream, needed):
                if frame.pts is None:
                    continue
                while answered < len(times) and frame.time > times[answered]:
                    if image is None and shown is not None:
                        image = _scaled(shown, stream.sample_aspect_ratio, short_side)
                    yield image
                    answered += 1
                if answered == len(times):
                    return
                shown, image = frame, None
            yield from [None] * (len(times) - answered)
    except (av.FFmpegError, IndexError, OSError) as exc:
        raise MediaError(f"{path} is not a readable video: {exc}") from exc


def sound_between(path: Path, start: float, stop: float, sample_rate_hz: int) -> torch.Tensor:
    """Mono [N] of exactly that stretch, each sample at its presentation time; gaps are silent. Raises MediaError."""
    try:
        for lead in _LEADS_SECONDS:
            with _open_before(path, start, lead) as container:
                stream = container.streams.audio[0]
                rate = stream.codec_context.sample_rate
                frames = (frame for frame in container.decode(stream) if frame.time is not None)
                first = next(frames, None)
                late = first is None or (first.time or 0.0) > start
                if late and lead < _LEADS_SECONDS[-1]:
                    continue
                heard = _placed(chain([first] if first else [], frames), start, stop, rate)
                break
    except (av.FFmpegError, IndexError, OSError) as exc:
        raise MediaError(f"{path} has no readable sound: {exc}") from exc
    return AF.resample(heard.nan_to_num(0.0, 0.0, 0.0), rate, sample_rate_hz)


def _placed(frames: Iterable[av.AudioFrame], start: float, stop: float, rate: int) -> torch.Tensor:
    """The mono samples [N] of the frames, each where its time says."""
    heard = torch.zeros(round((stop - start) * rate))
    # Layout and format change, the rate does not, so a resampler holds no sample back.
    mixers: dict[tuple[str, str, int], av.AudioResampler] = {}
    for frame in frames:
        time = frame.time
        if time is None:
            continue
        if time >= stop:
            break
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if kind not in mixers:
            mixers[kind] = av.AudioResampler(format="flt", layout="mono", rate=rate)
        mono = [part.to_ndarray()[0] for part in mixers[kind].resample(frame)]
        if not mono:
            continue
        samples = np.concatenate(mono)
        first = round((time - start) * rate)
        left, right = max(0, first), min(len(heard), first + len(samples))
        if left < right:
            heard[left:right] = torch.from_numpy(samples[left - first : right - first].copy())
    return heard


@contextmanager
def _open_before(path: Path, time: float, lead: float) -> Iterator[av.container.InputContainer]:
    """The file, `lead` seconds before that time or at its begin, where a seek may already miss the first key frame."""
    with av.open(str(path), "r", options=_LOCAL) as container:
        begin = (container.start_time or 0) / av.time_base
        if time - lead > begin:
            container.seek(int((time - lead) * av.time_base), backward=True)
        yield container


def _look_ahead(path: Path, times: Sequence[float]) -> tuple[float, set[int] | None]:
    """How long before the first time decoding must begin, and when the frames that are then on display come, in ticks.

    None for these if the packets do not tell. Reads packets, decodes none.
    """
    for lead in _LEADS_SECONDS:
        with _open_before(path, times[0], lead) as container:
            stream = container.streams.video[0]
            base = stream.time_base or Fraction(1, av.time_base)
            shown: list[int] = []
            for packet in container.demux(stream):
                if packet.size == 0:  # the end
                    break
                if packet.pts is None:
                    return _LEADS_SECONDS[-1], None
                if not shown and not packet.is_keyframe:
                    continue
                if not shown and packet.pts * base > times[0] and lead < _LEADS_SECONDS[-1]:
                    break  # the seek came too late: MPEG-TS has no list of key frames
                if not packet.is_discard:
                    shown.append(packet.pts)
                if packet.dts is not None and packet.dts * base > times[-1]:  # what comes now is shown later still
                    break
            if shown:
                break
    shown.sort()
    places = (bisect_right(shown, int(time / base)) for time in times)
    return lead, {shown[place - 1] for place in places if place}


def _decode(
    container: av.container.InputContainer, stream: av.VideoStream, needed: set[int] | None
) -> Iterator[av.VideoFrame]:
    """Frames in the order of display; without those that are neither needed nor referred to by others."""
    for packet in container.demux(stream):
        if needed is not None and packet.pts is not None:
            stream.codec_context.skip_frame = "DEFAULT" if packet.pts in needed else "NONREF"
        yield from packet.decode()


def _scaled(frame: av.VideoFrame, pixel_aspect: Fraction | None, short_side: int) -> NDArray[np.uint8]:
    width = frame.width * float(pixel_aspect or 1)
    scale = min(1.0, short_side / min(width, frame.height))
    scaled = frame.reformat(max(1, round(width * scale)), max(1, round(frame.height * scale)), "rgb24")
    pixels = np.asarray(scaled.to_ndarray(), np.uint8)
    quarter_turns = round(frame.rotation / 90) % 4  # anticlockwise
    return np.ascontiguousarray(np.rot90(pixels, quarter_turns)) if quarter_turns else pixels

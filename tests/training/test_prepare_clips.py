"""Pictures and sound of a clip are of the same moment."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from training.media import MediaError
from training.prepare.clips import frame_times, frames_at, sound_between

RATE = 48_000


def flash_and_click(path: Path, at: float, steps_ms: list[int], video_from: float, audio_from: float) -> None:
    """A black 7 s video, white for the 0.3 s from `at` on, and a click at `at`; frames `steps_ms` apart in turn."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 160, 96, "yuv420p"
        video.codec_context.time_base = Fraction(1, 1000)
        audio = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        now, number = round(video_from * 1000), 0
        while now < 7000:
            lit = at <= now / 1000 < at + 0.3
            frame = av.VideoFrame.from_ndarray(np.full((96, 160, 3), 255 if lit else 0, np.uint8), format="rgb24")
            frame.pts, frame.time_base = now, Fraction(1, 1000)
            container.mux(video.encode(frame))
            now, number = now + steps_ms[number % len(steps_ms)], number + 1
        container.mux(video.encode(None))
        wave = np.zeros((1, round((7 - audio_from) * RATE)), np.int16)
        wave[0, round((at - audio_from) * RATE) :][:48] = 30_000
        for begin in range(0, wave.shape[1], 1024):
            sound = av.AudioFrame.from_ndarray(wave[:, begin : begin + 1024], format="s16", layout="mono")
            sound.rate, sound.time_base = RATE, Fraction(1, RATE)
            sound.pts = begin + round(audio_from * RATE)
            container.mux(audio.encode(sound))
        container.mux(audio.encode(None))


@pytest.mark.parametrize("steps_ms", [[40], [20, 60, 33]], ids=["constant", "variable"])
@pytest.mark.parametrize(("video_from", "audio_from"), [(0, 0), (0.5, 0), (0, 0.7)])
def test_flash_and_click_fall_together(
    tmp_path: Path, steps_ms: list[int], video_from: float, audio_from: float
) -> None:
    path = tmp_path / "flash.mkv"
    flash_and_click(path, 4.0, steps_ms, video_from, audio_from)
    times = list(np.arange(3.2, 5.8, 0.01))
    light = [picture.mean() for picture in frames_at(path, times, 64)]
    flash = times[int(np.flatnonzero(np.array(light) > 128)[0])]
    click = 3.0 + int(sound_between(path, 3.0, 6.0, 16_000).abs().argmax()) / 16_000
    assert abs(click - 4.0) < 0.005
    assert abs(flash - click) <= max(steps_ms) / 1000 + 0.01


def test_a_clip_has_eight_pictures_of_its_aspect_and_three_seconds(tmp_path: Path) -> None:
    path = tmp_path / "flash.mkv"
    flash_and_click(path, 4.0, [40], 0, 0)
    pictures = list(frames_at(path, frame_times(3.0), 48))
    assert [p.shape for p in pictures] == [(48, 80, 3)] * 8
    assert len(sound_between(path, 3.0, 6.0, 16_000)) == 48_000


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.mp4"
    path.write_text("no video")
    with pytest.raises(MediaError, match="not a readable video"):
        list(frames_at(path, [0.0], 64))
    with pytest.raises(MediaError, match="no readable sound"):
        sound_between(path, 0.0, 3.0, 16_000)

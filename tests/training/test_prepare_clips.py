"""Images and sound of a clip are of the same moment."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.support.flashes import flash_and_click
from tests.support.video import Clip, write_video
from training.data.media import MediaError
from training.prepare.clips import frame_times, frames_at, sound_between


@pytest.mark.parametrize("steps_ms", [[40], [20, 60, 33]], ids=["constant", "variable"])
@pytest.mark.parametrize(("video_from", "audio_from"), [(0, 0), (0.5, 0), (0, 0.7)])
def test_flash_and_click_fall_together(
    tmp_path: Path, steps_ms: list[int], video_from: float, audio_from: float
) -> None:
    path = tmp_path / "flash.mkv"
    flash_and_click(path, [4.0], steps_ms=steps_ms, video_from=video_from, audio_from=audio_from)
    times = list(np.arange(3.2, 5.8, 0.01))
    light = [image.mean() for image in frames_at(path, times, 64) if image is not None]
    flash = times[int(np.flatnonzero(np.array(light) > 128)[0])]
    click = 3.0 + int(sound_between(path, 3.0, 6.0, 16_000).abs().argmax()) / 16_000
    assert abs(click - 4.0) < 0.005
    assert abs(flash - click) <= max(steps_ms) / 1000 + 0.01


def test_a_clip_has_eight_images_of_its_aspect_and_three_seconds(tmp_path: Path) -> None:
    path = tmp_path / "flash.mkv"
    flash_and_click(path, [4.0])
    images = list(frames_at(path, frame_times(3.0), 48))
    assert [p.shape for p in images if p is not None] == [(48, 80, 3)] * 8
    assert len(sound_between(path, 3.0, 6.0, 16_000)) == 48_000


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.mp4"
    path.write_text("no video")
    with pytest.raises(MediaError, match="not a readable video"):
        list(frames_at(path, [0.0], 64))
    with pytest.raises(MediaError, match="no readable sound"):
        sound_between(path, 0.0, 3.0, 16_000)


def test_where_there_is_no_image_there_is_none(tmp_path: Path) -> None:
    path = flash_and_click(tmp_path / "late.mkv", [4.0], video_from=1.0)
    images = list(frames_at(path, [0.5, 0.9, 1.1, 6.9, 7.5], 64))
    assert [image is None for image in images] == [True, True, False, False, True]


@pytest.mark.parametrize(
    ("codec", "ending"), [("libx264", "mp4"), ("libx264", "mkv"), ("libx264", "ts"), ("libvpx-vp9", "webm")]
)
def test_neither_seeking_nor_leaving_frames_out_changes_an_image(tmp_path: Path, codec: str, ending: str) -> None:
    path = write_video(tmp_path / f"clip.{ending}", Clip(frames=60, key_every=25, video_codec=codec))
    with av.open(str(path)) as container:
        every = [(float(frame.time or 0), frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    times = [every[0][0] + time for time in (0.05, 0.33, 0.34, 1.07, 2.46, 2.55, 4.44, 5.31)]
    late = next(frames_at(path, times[-1:], 96))
    assert np.array_equal(late, [pixels for begin, pixels in every if begin <= times[-1]][-1])
    for time, image in zip(times, frames_at(path, times, 96), strict=True):
        shown = [pixels for begin, pixels in every if begin <= time][-1]
        assert np.array_equal(image, shown)


def test_images_are_upright_and_their_pixels_square(tmp_path: Path) -> None:
    turned = write_video(tmp_path / "turned.mp4", Clip(frames=5, rotation=90))
    wide = write_video(tmp_path / "wide.mp4", Clip(frames=5, pixel_aspect=Fraction(4, 3)))
    plain = write_video(tmp_path / "plain.mp4", Clip(frames=5))
    first = {path.stem: next(frames_at(path, [0.05], 96)) for path in (turned, wide, plain)}
    assert {name: image.shape for name, image in first.items() if image is not None} == {
        "turned": (128, 96, 3), "wide": (96, 171, 3), "plain": (96, 128, 3)
    }  # fmt: skip
    assert np.array_equal(first["turned"], np.rot90(first["plain"]))

"""An image and a sound become a video that shows the one as long as the other lasts, without loss."""

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from service.errors import MediaError, TooLarge, UnsupportedMedia
from service.media.limits import MediaLimits
from service.media.still_video import STILL_FPS, write_still_video
from service.media.video_manifest import read_manifest
from tests.support.media import make_noise, make_photo, write_jpeg, write_wav


def make(tmp_path: Path, image: Path, audio: Path, side: int = 1920, limits: MediaLimits | None = None) -> Path:
    target = tmp_path / "still.mkv"
    assert list(write_still_video(image, audio, target, limits or MediaLimits(), side))
    return target


@pytest.mark.parametrize(("size", "shown"), [((64, 48), (64, 48)), ((63, 49), (62, 48)), ((9, 8), (16, 16))])
def test_it_shows_the_image_as_long_as_the_sound_lasts(
    size: tuple[int, int], shown: tuple[int, int], tmp_path: Path
) -> None:
    photo = write_jpeg(tmp_path / "a.jpg", make_photo(*size))
    sound = write_wav(tmp_path / "a.wav", make_noise(2.5))
    video = make(tmp_path, photo, sound)
    manifest = read_manifest(video, MediaLimits())
    assert (manifest.format.width, manifest.format.height) == shown
    assert manifest.timeline.end_seconds == pytest.approx(2.5, abs=1 / STILL_FPS)
    with av.open(str(video)) as opened:
        frames = [frame.to_ndarray(format="rgb24") for frame in opened.decode(video=0)]
    with Image.open(photo) as image:
        expected = np.asarray(image.convert("RGB"), int)[: shown[1], : shown[0]]
    assert np.abs(frames[-1][: expected.shape[0], : expected.shape[1]] - expected).max() <= 3
    np.testing.assert_array_equal(frames[0], frames[-1])
    with av.open(str(video)) as opened:
        heard = np.concatenate([frame.to_ndarray().ravel() for frame in opened.decode(audio=0)]) / 2**31
    np.testing.assert_allclose(heard, make_noise(2.5), atol=1e-4)


def test_it_is_reduced_to_a_side(tmp_path: Path) -> None:
    video = make(
        tmp_path,
        write_jpeg(tmp_path / "a.jpg", make_photo(200, 100)),
        write_wav(tmp_path / "a.wav", make_noise(1)),
        100,
    )
    assert read_manifest(video, MediaLimits()).format.width == 100


def test_bad_files_and_long_sounds_are_refused(tmp_path: Path) -> None:
    photo = write_jpeg(tmp_path / "a.jpg", make_photo(64, 48))
    sound = write_wav(tmp_path / "a.wav", make_noise(2.5))
    with pytest.raises((UnsupportedMedia, MediaError)):
        make(tmp_path, sound, sound)
    with pytest.raises((UnsupportedMedia, MediaError)):
        make(tmp_path, photo, photo)
    with pytest.raises(TooLarge):
        make(tmp_path, photo, sound, limits=MediaLimits(max_video_seconds=1.0))

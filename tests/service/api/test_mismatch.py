"""A file in the wrong field is told where it belongs."""

from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.service.api.harness import PHOTO, SOUND, stored_files
from tests.support import media
from tests.support.audio_files import FORMATS
from tests.support.media import make_noise, make_photo, write_image
from tests.support.video import Clip, noise_track, write_video


@pytest.fixture
def clip(tmp_path: Path) -> bytes:
    return write_video(tmp_path / "a.mp4", Clip(frames=6), noise_track(1.0)).read_bytes()


def refusal(http: TestClient, address: str, **files: bytes) -> tuple[str, str]:
    """(field, detail)."""
    answer = http.post(address, files=[(field, ("file", content)) for field, content in files.items()])
    assert answer.status_code == 415, answer.text
    problem = answer.json()
    return problem["field"], problem["detail"]


def test_an_image_and_a_sound_that_are_swapped_are_said_to_be(http: TestClient, data_dir: Path) -> None:
    field, detail = refusal(http, "/stylize", image=SOUND, audio=PHOTO)
    assert field == "image"
    assert detail == (
        "the parts 'image' and 'audio' are swapped: 'image' is a sound (WAV) and 'audio' is an image (PNG); "
        "send each in the other's place"
    )
    assert stored_files(data_dir) == set()


def test_the_order_of_the_parts_does_not_matter(http: TestClient) -> None:
    field, detail = refusal(http, "/stylize", audio=PHOTO, image=SOUND)
    assert field == "audio"
    assert "are swapped: 'audio' is an image (PNG) and 'image' is a sound (WAV)" in detail


@pytest.mark.parametrize(
    "name", ["AIFF", "CAF", "AAC (ADTS)", "WMA 2", "AMR", "AC-3", "AU", "FLAC in Ogg", "ALAC in M4A"]
)
def test_every_kind_of_sound_is_known_where_an_image_is_due(name: str, http: TestClient, tmp_path: Path) -> None:
    write, rate_hz = FORMATS[name]
    content = write(tmp_path / "x", make_noise(0.4, sample_rate_hz=rate_hz)).read_bytes()
    assert "are swapped" in refusal(http, "/stylize", image=content, audio=PHOTO)[1]


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_every_kind_of_image_is_known_where_a_sound_is_due(format: str, http: TestClient, tmp_path: Path) -> None:
    content = write_image(tmp_path / "x", make_photo(32, 24), format).read_bytes()
    assert "are swapped" in refusal(http, "/stylize", image=SOUND, audio=content)[1]


def test_a_video_as_image_is_sent_where_videos_are_taken(http: TestClient, clip: bytes) -> None:
    field, detail = refusal(http, "/stylize", image=clip, audio=SOUND)
    assert field == "image"
    assert "(MP4), not an image; send videos to POST /stylize/video" in detail


def test_a_sound_as_image_beside_another_sound_is_no_swap(http: TestClient) -> None:
    assert (
        "'image' is a sound (WAV), not an image; send sounds as `audio`"
        in refusal(http, "/stylize", image=SOUND, audio=SOUND)[1]
    )


def test_an_image_as_sound_beside_an_image_is_no_swap(http: TestClient) -> None:
    field, detail = refusal(http, "/stylize", image=PHOTO, audio=PHOTO)
    assert (field, "'audio' is an image (PNG), not a sound; send images as `image`" in detail) == ("audio", True)


@pytest.mark.parametrize("write", [media.write_wav, media.write_flac])
def test_a_video_and_a_sound_that_are_swapped_are_said_to_be(
    write: Callable[..., Path], http: TestClient, clip: bytes, tmp_path: Path
) -> None:
    sound = write(tmp_path / "sound", make_noise(1)).read_bytes()
    field, detail = refusal(http, "/stylize/video", video=sound, audio=clip)
    assert (field, "'video' and 'audio' are swapped" in detail) == ("video", True)


def test_an_image_as_video_is_sent_where_images_are_taken(http: TestClient) -> None:
    assert (
        "'video' is an image (PNG), not a video; send images to POST /stylize"
        in refusal(http, "/stylize/video", video=PHOTO)[1]
    )

"""From an upload to its result: the format, the alpha, the bits, the profile and the metadata that people get."""

import io
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.jobs.record import JobRecord
from service.media.icc import profile_of_code_points
from service.media.image_writer import encode_image
from service.storage.folder import Storage
from service.work import image_job
from service.work.job_runner import JobRunner
from tests.fuzz.mutations import image_tags
from tests.service.jobs.harness import read
from tests.service.work.test_job_runner import queued, settings  # noqa: F401  # fixtures
from tests.support.media import make_photo

PHOTO = make_photo(48, 32)
ALPHA = np.dstack([PHOTO, np.tile(np.arange(48, dtype=np.uint8) * 5, (32, 1))])

Run = Callable[..., tuple[JobRecord, bytes]]


@pytest.fixture
def run(
    workshop: JobRunner,
    storage: Storage,
    redis_url: str,
    queued: Callable[..., str],  # noqa: F811
) -> Run:
    """Run a job with that image; returns its record and the first result's bytes."""

    def do(image: bytes, **parameters: object) -> tuple[JobRecord, bytes]:
        job_id = queued({"image": [image]}, **parameters)
        workshop.run(job_id)
        record = read(redis_url, job_id)
        assert record.error is None
        return record, storage.result_path(job_id, record.results[0].sha256).read_bytes()

    return do


def encoded(pixels: NDArray[np.uint8], plugin: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=plugin, **options)
    return buffer.getvalue()


def deep_png(content: bytes) -> NDArray[np.uint16]:
    """[H, W, C], with the colors in their usual order."""
    found = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert found is not None
    return found[..., [2, 1, 0, *range(3, found.shape[2])]]  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("plugin", "media_type"),
    [
        ("JPEG", "image/jpeg"), ("PNG", "image/png"), ("WEBP", "image/webp"), ("HEIF", "image/jpeg"),
        ("AVIF", "image/jpeg"), ("TIFF", "image/png"), ("BMP", "image/png"), ("GIF", "image/png"),
    ],
)  # fmt: skip
def test_a_result_is_of_the_inputs_kind(run: Run, plugin: str, media_type: str) -> None:
    record, content = run(encoded(PHOTO, plugin))
    (result,) = record.results
    assert (result.media_type, result.width, result.height) == (media_type, 48, 32)
    assert result.receipt["parameters"]["format"] == media_type.removeprefix("image/")
    assert Image.open(io.BytesIO(content)).get_format_mimetype() == media_type


@pytest.mark.parametrize("name", ["png", "webp"])
def test_alpha_stays_and_strength_zero_changes_no_bit(run: Run, name: str) -> None:
    source = encoded(ALPHA, name.upper(), lossless=True, exact=True)
    _, content = run(source, strength=0.0)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(content))), ALPHA)
    _, content = run(source)
    changed = np.asarray(Image.open(io.BytesIO(content)))
    np.testing.assert_array_equal(changed[..., 3], ALPHA[..., 3])
    assert np.abs(changed[:, 8:, :3].astype(int) - ALPHA[:, 8:, :3]).mean() > 5


def test_jpeg_of_a_transparent_image_is_white_where_it_was_clear_and_says_so(run: Run) -> None:
    record, content = run(encoded(ALPHA, "PNG"), format="jpeg")
    assert [warning["code"] for warning in record.results[0].warnings] == ["flattened"]
    assert np.asarray(Image.open(io.BytesIO(content)))[:, 0].min() > 240


def test_sixteen_bits_stay(run: Run) -> None:
    low = np.random.default_rng(0).integers(0, 256, ALPHA.shape, dtype=np.uint16)
    deep = (ALPHA.astype(np.uint16) << 8) + low
    source = encode_image(deep, "png")
    _, content = run(source, strength=0.0)
    np.testing.assert_array_equal(deep_png(content), deep)
    record, content = run(source)
    assert record.results[0].warnings == ()
    changed = deep_png(content)
    assert np.unique(changed[..., 2]).size > 256
    np.testing.assert_array_equal(changed[..., 3], deep[..., 3])


def test_the_inputs_profile_is_kept_on_request_with_colors_that_srgb_has_not(run: Run) -> None:
    profile = profile_of_code_points(12, 13)
    flat = np.full((48, 64, 3), (40, 250, 40), np.uint8)  # a green of Display P3 beyond sRGB
    source = encoded(flat, "PNG", icc_profile=profile)
    _, content = run(source, strength=0.0, color_profile="input")
    same = Image.open(io.BytesIO(content))
    assert same.info["icc_profile"] == profile
    np.testing.assert_array_equal(np.asarray(same), flat)
    _, content = run(source, strength=0.02, color_profile="input")
    nearly = Image.open(io.BytesIO(content))
    assert nearly.info["icc_profile"] == profile
    assert np.abs(np.asarray(nearly).astype(int) - flat).max() <= 6
    _, content = run(source, strength=0.0)
    converted = Image.open(io.BytesIO(content))
    assert converted.info["srgb"] == 0
    assert np.asarray(converted)[0, 0].tolist() != [40, 250, 40]


def test_a_result_says_what_its_image_said_but_for_the_place(run: Run) -> None:
    tags = image_tags().model_copy(update={"profile": None})
    _, content = run(encode_image(PHOTO, "jpeg", tags))
    image = Image.open(io.BytesIO(content))
    assert image.getexif()[0x013B] == "Jane"
    assert b"Munich" not in content
    _, content = run(encode_image(PHOTO, "jpeg", tags), metadata="keep")
    assert b"Munich" in content
    _, content = run(encode_image(PHOTO, "jpeg", tags), metadata="strip")
    assert b"Jane" not in content


@pytest.mark.parametrize(("name", "channels"), [("png", 4), ("jpeg", 3), ("webp", 4)])
def test_an_image_that_is_not_held_gives_the_same_result(
    run: Run, name: str, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = encode_image(np.dstack([make_photo(900, 700), np.full((700, 900), 200, np.uint8)])[..., :channels], "png")
    held, content = run(source, format=name)
    plan = image_job.ReadPlan
    monkeypatch.setattr(image_job, "ReadPlan", lambda **given: plan(held_pixels=1000, **given))
    read_in_strips, again = run(source, format=name)
    assert held.results[0].receipt["method"] == read_in_strips.results[0].receipt["method"] == "detail"
    one, other = (np.asarray(Image.open(io.BytesIO(one))).astype(int) for one in (content, again))
    assert one.shape == other.shape == (700, 900, channels)
    assert np.abs(one - other).mean() < 1
    assert read_in_strips.results[0].bytes == len(again)

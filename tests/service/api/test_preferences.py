"""What `Prefer` and `Accept` mean."""

import pytest

from service.api.preferences import read_preferences


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        (None, None),
        ("wait=10", 10),
        ("wait=0", 0),
        ("Wait = 5", 5),
        ('wait="7"', 7),
        ("wait=1000", 60),
        ("respond-async, wait=3", 3),
        ("wait=4, wait=9", 4),
        ("wait=4; foo=bar", 4),
        ("wait=-1", None),
        ("wait=soon", None),
        ("wait", None),
        ("handling=lenient", None),
        ("wait=99999999999999999999", None),
    ],
)
def test_the_wait_is_read_and_bounded(prefer: str | None, seconds: float | None) -> None:
    assert read_preferences(prefer, None, 60).wait_seconds == seconds


@pytest.mark.parametrize(
    ("accept", "image", "format"),
    [
        (None, False, None),
        ("*/*", False, None),
        ("application/json", False, None),
        ("image/*", True, None),
        ("image/png", True, "png"),
        ("IMAGE/JPEG", True, "jpeg"),
        ("image/webp;q=0.9, image/png;q=0.8", True, "webp"),
        ("image/*, image/webp;q=0.2", True, None),
        ("image/avif, image/webp, */*;q=0.8", True, "webp"),
        ("image/gif", True, None),
        ("image/png;q=0", False, None),
        ("application/json, image/png;q=0.5", False, "png"),
        ("application/json;q=0.5, image/png", True, "png"),
        ("image/png;q=nonsense", True, "png"),
        (",;,", False, None),
    ],
)
def test_accept_says_whether_an_image_is_wanted_and_which(accept: str | None, image: bool, format: str | None) -> None:
    preferences = read_preferences(None, accept, 60)
    assert (preferences.result, preferences.format) == (image, format)


def test_one_who_wants_an_image_waits_for_it() -> None:
    assert read_preferences(None, "image/*", 60).patience_seconds == 30
    assert read_preferences("wait=5", "image/*", 60).patience_seconds == 5
    assert read_preferences("wait=0", "image/*", 60).patience_seconds == 0
    assert read_preferences(None, None, 60).patience_seconds == 0

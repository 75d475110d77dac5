"""Results are named after the files that they come of, in words that every system and header can hold."""

from typing import Any

import pytest

from service.jobs.record import JobRecord, JobState, StoredInput, StoredResult
from service.schemas.file_name import content_disposition, result_name, safe_name


def record(image: str, sounds: list[str], gains: list[float], media_type: str = "image/png", **more: Any) -> JobRecord:
    inputs = [("image", image), *(("audio", name) for name in sounds)]
    results = [
        StoredResult(sha256="a", bytes=1, media_type=media_type, width=1, height=1, gain_db=gain, heard={}, receipt={})
        for gain in gains
    ]
    values = {
        "id": "0" * 32, "kind": "image",
        "state": JobState.SUCCEEDED, "parameters": {}, "fingerprint": "", "created": 0.0, "total": 1,
        "inputs": tuple(StoredInput(field=field, sha256="b", bytes=1, name=safe_name(name)) for field, name in inputs),
        "results": tuple(results),
    }  # fmt: skip
    return JobRecord.model_validate(values | more)


@pytest.mark.parametrize(
    ("image", "sounds", "gain", "media_type", "name"),
    [
        ("photo.jpg", ["rain.ogg"], 6.0, "image/jpeg", "photo-rain+6dB.jpg"),
        ("photo.png", ["rain.ogg", "birds.wav"], -4.5, "image/webp", "photo-rain+birds-4.5dB.webp"),
        ("Schloß Linderhof.heic", ["дождь.mp3"], 0.0, "image/jpeg", "Schloß Linderhof-дождь+0dB.jpg"),
        ("", [""], 0.0, "image/png", "stylized+0dB.png"),
        ("archive.tar.gz", ["a"], 0.0, "image/png", "archive.tar-a+0dB.png"),
        ("CON.png", ["x.wav"], 0.0, "image/png", "_CON-x+0dB.png"),
    ],
)
def test_a_result_has_the_names_of_its_image_and_sounds(
    image: str, sounds: list[str], gain: float, media_type: str, name: str
) -> None:
    assert result_name(record(image, sounds, [gain], media_type), 0) == name


def test_a_sweep_sorts_in_the_order_of_its_gains() -> None:
    gains = [6.0, -30.0, 0.0, -4.5, 12.0, -60.0, 3.0, -10.0, 24.0, -6.0, 9.0]
    job = record("photo.jpg", ["rain.ogg"], gains)
    names = [result_name(job, index) for index in range(len(gains))]
    assert [names.index(name) for name in sorted(names)] == [gains.index(gain) for gain in sorted(gains)]
    assert names[0] == "photo-rain-08_+6dB.png"


def test_names_of_a_hostile_client_are_made_harmless() -> None:
    assert safe_name("../../etc/passwd") == "passwd"
    assert safe_name("C:\\temp\\a.png") == "a.png"
    assert safe_name('a"b<c>|d?*%.png') == "a_b_c_d_.png"
    assert safe_name("cod\u202egnp.exe") == "codgnp.exe"  # would be read as codexe.png
    assert safe_name("a\r\nSet-Cookie: x") == "aSet-Cookie_ x"
    assert safe_name("\0") == safe_name("..") == safe_name("") == ""
    assert len(safe_name("ü" * 500).encode()) <= 150


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("photo-rain+6dB.png", 'inline; filename="photo-rain+6dB.png"'),
        ("a b.png", "inline; filename=\"a_b.png\"; filename*=UTF-8''a%20b.png"),
        ("naïve.png", "inline; filename=\"naive.png\"; filename*=UTF-8''na%C3%AFve.png"),
        ("雨.png", "inline; filename=\"result.png\"; filename*=UTF-8''%E9%9B%A8.png"),
        ("雨-rain+6dB.png", "inline; filename=\"rain+6dB.png\"; filename*=UTF-8''%E9%9B%A8-rain+6dB.png"),
        ("a'b(1).png", "inline; filename=\"a_b(1).png\"; filename*=UTF-8''a%27b%281%29.png"),
    ],
)
def test_the_header_holds_the_name_for_old_and_new_clients(name: str, value: str) -> None:
    assert content_disposition(name) == value
    value.encode("ascii")


def test_a_video_is_named_by_its_gain_or_as_edited() -> None:
    job = record("clip.mov", [], [12.0], "video/mp4", kind="video")
    assert result_name(job, 0) == "clip+12dB.mp4"
    curve = job.model_copy(update={"parameters": {"automation": [[0, -20], [5, 12]]}})
    assert result_name(curve, 0) == "clip-stylized.mp4"

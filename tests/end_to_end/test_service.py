"""What a user can do with the running service, and what it does with requests that are no good."""

import io
import json
import wave
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
import pytest
from PIL import Image

from tests.end_to_end.conftest import SIZE
from tests.support.hostile import png_bomb
from tests.support.media import make_noise, make_photo, png_bytes, write_float_wav, write_jpeg, write_wav

IMAGE = {"Accept": "image/png"}
WAIT = {"Prefer": "wait=60"}


def open_image(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def finished(http: httpx.Client, job: dict[str, Any]) -> dict[str, Any]:
    """Follow the job's events to the end, however long it takes, and return it."""
    if job["state"] in ("queued", "running"):
        http.get(f"{job['url']}/events").read()
    ended: dict[str, Any] = http.get(job["url"]).json()
    return ended


def submitted(http: httpx.Client, files: Any, headers: dict[str, str] | None = None, **data: Any) -> dict[str, Any]:
    answer = http.post("/stylize", files=files, data=data, headers=headers or {})
    assert answer.status_code in (200, 202), answer.text
    job: dict[str, Any] = answer.json()
    return job


def stylized(http: httpx.Client, files: Any, **data: Any) -> Image.Image:
    """The image, asked for as curl does; on a slow machine from its job."""
    answer = http.post("/stylize", files=files, data=data, headers=IMAGE)
    if answer.status_code == 202:
        answer = http.get(finished(http, answer.json())["results"][0]["url"])
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "image/png"
    return open_image(answer.content)


def test_an_image_and_a_sound_give_an_image(http: httpx.Client, photo: bytes, rain: bytes, birds: bytes) -> None:
    cold = stylized(http, {"image": photo, "audio": rain})
    warm = stylized(http, {"image": photo, "audio": birds})
    assert cold.size == warm.size == SIZE
    given = np.asarray(open_image(photo)).mean(axis=(0, 1))
    assert np.asarray(cold).mean(axis=(0, 1))[2] > given[2]
    assert np.abs(np.asarray(cold).astype(int) - np.asarray(warm)).mean() > 5


def test_strength_0_gives_the_image_back(http: httpx.Client, rain: bytes) -> None:
    pixels = make_photo(*SIZE, seed=3)
    back = stylized(http, {"image": png_bytes(pixels), "audio": rain}, strength="0")
    np.testing.assert_array_equal(np.asarray(back), pixels)


def test_a_job_tells_its_whole_story(http: httpx.Client, photo: bytes, rain: bytes) -> None:
    job = finished(http, submitted(http, {"image": photo, "audio": rain}, gain_db="-6", format="webp"))
    assert job["state"] == "succeeded"
    assert job["progress"] == {"done": 1, "total": 1, "unit": "results"}
    (result,) = job["results"]
    assert (result["media_type"], result["width"], result["height"]) == ("image/webp", *SIZE)
    assert result["heard"]["nearest"][0]["name"] == "noise"
    receipt = result["receipt"]
    assert receipt == job["receipt"]
    assert (receipt["model"], receipt["provider"], receipt["gain_db"]) == ("tiny", "cpu", -6.0)
    answer = http.get(result["url"])
    assert (len(answer.content), answer.headers["ETag"]) == (result["bytes"], f'"{result["sha256"]}"')
    assert open_image(answer.content).format == "WEBP"


def test_a_sweep_gives_one_result_for_each_gain(http: httpx.Client, photo: bytes, rain: bytes) -> None:
    job = finished(http, submitted(http, {"image": photo, "audio": rain}, WAIT, gains_db="-60,-20,0"))
    assert [result["gain_db"] for result in job["results"]] == [-60, -20, 0]
    given = np.asarray(open_image(photo)).astype(int)
    images = [np.asarray(open_image(http.get(result["url"]).content)) for result in job["results"]]
    changes = [np.abs(image - given).mean() for image in images]
    assert changes == sorted(changes)


def test_two_sounds_are_mixed(http: httpx.Client, photo: bytes, rain: bytes, birds: bytes) -> None:
    files = [("image", photo), ("audio", ("a.ogg", rain)), ("audio", ("b.ogg", birds))]
    job = finished(http, submitted(http, files, weights="0.1,0.9"))
    (result,) = job["results"]
    assert [window["length_seconds"] for window in result["heard"]["windows"]] == [3.0, 3.0]
    assert result["receipt"]["weights"] == [0.1, 0.9]


def test_events_tell_a_jobs_life_and_can_be_read_again(http: httpx.Client, photo: bytes, rain: bytes) -> None:
    job = submitted(http, {"image": photo, "audio": rain}, gains_db="-3,-2,-1")
    with http.stream("GET", f"{job['url']}/events") as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        lines = list(answer.iter_lines())
    ids = [line.removeprefix("id: ") for line in lines if line.startswith("id: ")]
    events = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    assert [event["state"] for event in events] == ["queued", *["running"] * 4, "succeeded"]
    assert [event["progress"]["done"] for event in events] == [0, 0, 1, 2, 3, 3]
    again = http.get(f"{job['url']}/events", headers={"Last-Event-ID": ids[-2]})
    assert [line for line in again.text.splitlines() if line.startswith("id: ")] == [f"id: {ids[-1]}"]
    assert http.get(f"{job['url']}/events", headers={"Last-Event-ID": ids[-1]}).status_code == 204


def test_a_part_of_a_result_can_be_fetched(http: httpx.Client, photo: bytes, rain: bytes) -> None:
    job = finished(http, submitted(http, {"image": photo, "audio": rain}))
    url = job["results"][0]["url"]
    whole = http.get(url).content
    part = http.get(url, headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, whole[100:200])


def test_head_has_the_headers_and_no_body(http: httpx.Client) -> None:
    for path in ("/healthz", "/models", "/openapi.json", "/"):
        get, head = http.get(path), http.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["Content-Length"] == get.headers["Content-Length"]


def test_a_deleted_job_is_gone(http: httpx.Client, photo: bytes, rain: bytes) -> None:
    job = finished(http, submitted(http, {"image": photo, "audio": rain}))
    assert http.delete(job["url"]).status_code == 204
    assert http.get(job["url"]).status_code == 404
    assert http.get(job["results"][0]["url"]).status_code == 404


def test_a_running_job_can_be_cancelled(http: httpx.Client, rain: bytes, tmp_path: Path) -> None:
    large = write_jpeg(tmp_path / "large.jpg", make_photo(1500, 1500)).read_bytes()
    job = submitted(http, {"image": large, "audio": rain}, gains_db="-3,-2,-1,0")
    with http.stream("GET", f"{job['url']}/events") as answer:
        for line in answer.iter_lines():
            if line.startswith("data: ") and json.loads(line.removeprefix("data: "))["state"] == "running":
                assert http.delete(job["url"]).status_code == 204
                break
    assert http.get(job["url"]).json()["state"] == "cancelled"


def test_a_repeated_request_with_a_key_is_one_job(http: httpx.Client, photo: bytes, rain: bytes) -> None:
    headers = {"Idempotency-Key": "end-to-end"}
    jobs = [submitted(http, {"image": photo, "audio": rain}, headers) for _ in range(2)]
    assert jobs[0]["id"] == jobs[1]["id"]


def test_models_and_readiness_name_what_runs(http: httpx.Client) -> None:
    (model,) = http.get("/models").json()["models"]
    assert (model["name"], model["default"], model["provider"]) == ("tiny", True, "cpu")
    assert model["runtime"].startswith("onnxruntime ")
    assert http.get("/readyz").json()["checks"]["worker"] == "1 on cpu"


# ---- requests that are no good


def bad_sound(tmp_path: Path, kind: str) -> bytes:
    path = tmp_path / "sound"
    match kind:
        case "0.1 s of sound":
            return write_wav(path, make_noise(0.1)).read_bytes()
        case "NaN WAV":
            return write_float_wav(path, np.full(32_000, np.nan, np.float32)).read_bytes()
        case "ffconcat":
            return b"ffconcat version 1.0\nfile /etc/passwd\n"
        case "play list":
            return b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:1/a.ts\n"
        case "header alone":
            with wave.open(str(path), "wb") as file:
                file.setparams((1, 2, 16_000, 0, "NONE", ""))
            return path.read_bytes()
    raise AssertionError(kind)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("0.1 s of sound", 422),
        ("NaN WAV", 422),
        ("ffconcat", 415),
        ("play list", 415),
        ("header alone", 422),
    ],
)
def test_a_bad_sound_gets_its_problem(http: httpx.Client, photo: bytes, tmp_path: Path, kind: str, status: int) -> None:
    answer = http.post("/stylize", files={"image": photo, "audio": bad_sound(tmp_path, kind)}, headers=IMAGE)
    check_problem(answer, status, "audio")


@pytest.mark.parametrize(
    ("image", "status"),
    [
        (b"this is no image", 415),
        (b"GIF89a" + bytes(100), 422),
        (png_bomb(), 413),
        (bytes(1_000_001), 413),
        (png_bytes(make_photo(64, 64))[:60], 422),
        (b"", 422),
    ],
    ids=["text file", "GIF", "30,000 px PNG", "too many bytes", "truncated PNG", "empty"],
)
def test_a_bad_image_gets_its_problem(http: httpx.Client, rain: bytes, image: bytes, status: int) -> None:
    check_problem(http.post("/stylize", files={"image": image, "audio": rain}, headers=IMAGE), status, "image")


def test_an_image_that_is_only_bad_inside_gets_its_problem_too(http: httpx.Client, rain: bytes) -> None:
    whole = png_bytes(make_photo(300, 300))
    files = {"image": whole[: len(whole) // 2], "audio": rain}
    answer = http.post("/stylize", files=files, headers=IMAGE | {"Prefer": "wait=60"})
    if answer.status_code != 202:  # on a slow machine time may be up before
        check_problem(answer, 422, "image")
    assert finished(http, submitted(http, files))["error"]["type"] == "/problems/damaged-media"


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"gain_db": "999"}, "gain_db"),
        ({"gains_db": "1,2,3,4,5"}, "gains_db"),
        ({"strength": "-1"}, "strength"),
        ({"model": "absent"}, "model"),
        ({"colour": "blue"}, "colour"),
    ],
)
def test_a_bad_value_gets_its_problem(
    http: httpx.Client, photo: bytes, rain: bytes, form: dict[str, str], field: str
) -> None:
    check_problem(http.post("/stylize", files={"image": photo, "audio": rain}, data=form), 422, field)


def test_a_missing_part_gets_its_problem(http: httpx.Client, photo: bytes, rain: bytes) -> None:
    check_problem(http.post("/stylize", files={"image": photo}), 422, "audio")
    check_problem(http.post("/stylize", files={"audio": rain}), 422, "image")


def test_an_upload_far_beyond_the_limit_is_refused_in_time(http: httpx.Client, photo: bytes) -> None:
    """The answer comes although most of the body was never read."""
    answer = http.post("/stylize", files={"image": photo, "audio": bytes(300_000_000)})
    check_problem(answer, 413, None)


def test_what_does_not_exist_is_a_problem(http: httpx.Client) -> None:
    for path in (f"/jobs/{'0' * 32}", f"/jobs/{'0' * 32}/events", f"/jobs/{'0' * 32}/results/0", "/nowhere"):
        check_problem(http.get(path), 404, None)


def check_problem(answer: httpx.Response, status: int, field: str | None) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem.get("field") == field
    assert problem["detail"]
    assert "Traceback" not in answer.text


def test_the_service_goes_on(http: httpx.Client, photo: bytes, rain: bytes) -> None:
    """Runs last in this file: after all of that it is ready and works."""
    assert http.get("/readyz").status_code == 200
    assert stylized(http, {"image": photo, "audio": rain}).size == SIZE

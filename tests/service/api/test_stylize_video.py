"""POST /stylize/video: what is taken, what is refused with which problem, and where the job goes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.jobs.queue import messages
from service.jobs.worker_registry import Runtime, WorkerRegistration
from service.redis.connection import Client, connect
from tests.service.api.harness import MODEL, PHOTO, RESULT, SOUND, api, finish, somebody_at_work, stored_files
from tests.support.video import Clip, noise_track, write_video
from tests.support.video_edits import write_empty_track

VIDEO = "video"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_video(tmp_path_factory.mktemp("clips") / "a.mp4", Clip(), noise_track(2.0)).read_bytes()


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_video(tmp_path_factory.mktemp("clips") / "b.mp4", Clip()).read_bytes()


@pytest.fixture
def http(redis_url: str, tmp_path: Path) -> Iterator[TestClient]:
    with somebody_at_work(redis_url), api(redis_url, tmp_path / "data") as http:
        yield http


def post(http: TestClient, video: bytes | None, audio: bytes | None = None, headers: Any = None, **form: Any) -> Any:
    files = [("video", ("clip.mp4", video))] if video is not None else []
    files += [("audio", ("rain.wav", audio))] if audio is not None else []
    return http.post("/stylize/video", files=files, data=form, headers=headers)


def test_a_video_becomes_a_job_in_the_queue_of_videos(http: TestClient, client: Client, clip: bytes) -> None:
    answer = post(http, clip, gain_db="12")
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["Location"] == job["url"]
    assert job["progress"] == {"done": 0, "total": 20, "unit": "frames"}
    (message,) = client.lrange(messages("videos"), 0, -1)
    assert job["id"] in message or json.loads(message)["headers"]["task"] == "stylize-video"
    assert client.llen(messages("images")) == 0


def test_a_curve_is_json(http: TestClient, clip: bytes) -> None:
    assert post(http, clip, automation="[[0, -20], [2.5, 6]]").status_code == 202


def test_a_curve_may_have_a_thousand_points_with_every_digit(http: TestClient, clip: bytes) -> None:
    points = [[number * 3.6 + 1 / 3, 5 * number / 300 - 12 - 1 / 3] for number in range(1000)]
    text = json.dumps(points)
    assert len(text) > 32 * 1024
    assert post(http, clip, automation=text).status_code == 202
    more = [*points, [4000.0, 0.0]]
    answer = post(http, clip, automation=json.dumps(more))
    assert (answer.status_code, answer.json()["field"]) == (422, "automation")


def test_a_track_without_packets_is_no_soundtrack(http: TestClient, clip: bytes, tmp_path: Path) -> None:
    silent = write_empty_track(tmp_path / "a.mkv").read_bytes()
    answer = post(http, silent)
    assert (answer.status_code, answer.json()["field"]) == (422, "video")
    assert "no soundtrack" in answer.json()["detail"]
    assert post(http, silent, SOUND).status_code == 202


@pytest.mark.parametrize(
    ("form", "field", "words"),
    [
        ({"gain_db": "999"}, "gain_db", "less than or equal to 24"),
        ({"gain_db": "6", "automation": "[[0, 0]]"}, None, "not both"),
        ({"automation": "[[2, 0], [1, 3]]"}, "automation", "must increase"),
        ({"automation": "[]"}, "automation", "at least 1"),
        ({"automation": "[[0, 0], [1]]"}, "automation", ""),
        ({"automation": "[[0, NaN]]"}, "automation", ""),
        ({"automation": "[[-1, 0]]"}, "automation", "greater than or equal to 0"),
        ({"automation": "[[0, 0"}, "automation", "not a JSON list"),
        ({"smoothing_seconds": "99"}, "smoothing_seconds", "less than or equal to 30"),
        ({"strength": "2"}, "strength", "less than or equal to 1"),
        ({"allow_partial": "perhaps"}, "allow_partial", "bool"),
        ({"max_side": "3"}, "max_side", "greater than or equal to 64"),
        ({"gains_db": "1,2"}, "gains_db", ""),
        ({"model": "nobody"}, "model", "no model is called"),
    ],
)
def test_a_bad_value_is_refused_with_its_field(
    form: dict[str, str], field: str | None, words: str, http: TestClient, clip: bytes, tmp_path: Path
) -> None:
    answer = post(http, clip, **form)
    assert (answer.status_code, answer.headers["Content-Type"]) == (422, "application/problem+json")
    assert answer.json().get("field") == field
    assert words in answer.json()["detail"]
    assert not stored_files(tmp_path / "data")


def test_a_missing_video_is_named(http: TestClient) -> None:
    answer = post(http, None, SOUND)
    assert (answer.status_code, answer.json()["field"]) == (422, "video")


def test_a_silent_video_is_refused_unless_a_sound_comes_with_it(http: TestClient, silent: bytes) -> None:
    answer = post(http, silent)
    assert (answer.status_code, answer.json()["field"]) == (422, "video")
    assert "no soundtrack" in answer.json()["detail"]
    assert post(http, silent, SOUND).status_code == 202


def test_falling_is_ignored_with_a_warning(http: TestClient, clip: bytes) -> None:
    (warning,) = post(http, clip, falling="false").json()["warnings"]
    assert (warning["code"], "falling" in warning["detail"]) == ("field-ignored", True)
    assert post(http, clip).json()["warnings"] == []


def test_what_is_no_video_is_refused(http: TestClient) -> None:
    for content in (
        b"hello " * 50,
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"#EXTM3U\nhttp://localhost/\n",
        SOUND,
    ):
        answer = post(http, content)
        assert (answer.status_code, answer.json()["field"]) == (415, "video")
    assert post(http, b"").status_code in (415, 422)


def test_caps_are_kept_before_a_job_is_made(redis_url: str, tmp_path: Path, clip: bytes) -> None:
    caps = {"max_video_bytes": 1000, "max_video_seconds": 1.0, "max_video_pixels": 5000, "max_video_frames": 5}
    for number, (cap, value) in enumerate({**caps, "max_video_fps": 5.0}.items()):
        with somebody_at_work(redis_url), api(redis_url, tmp_path / str(number), **{cap: value}) as http:
            answer = post(http, clip)
            assert (answer.status_code, answer.json()["type"]) == (413, "/problems/too-large"), cap


def test_two_sounds_are_one_too_many(http: TestClient, clip: bytes) -> None:
    files = [("video", ("v", clip)), ("audio", ("a", SOUND)), ("audio", ("b", SOUND))]
    answer = http.post("/stylize/video", files=files)
    assert (answer.status_code, answer.json()["field"]) == (422, "audio")


def test_without_a_worker_for_videos_there_is_a_503(redis_url: str, tmp_path: Path, clip: bytes) -> None:
    with connect(redis_url) as client, api(redis_url, tmp_path / "data") as http:
        registration = WorkerRegistration(client, "images-only")
        registration.register([MODEL], ["images"])
        registration.announce_runtime(Runtime(provider="cpu", runtime="onnxruntime 1"))
        answer = post(http, clip)
        assert (answer.status_code, "videos" in answer.json()["detail"]) == (503, True)
        assert http.get("/readyz").status_code == 200
        assert http.get("/readyz?kind=video").status_code == 503
        assert http.get("/readyz?kind=film").status_code == 422


def test_the_same_key_gives_the_same_job(http: TestClient, clip: bytes) -> None:
    headers = {"Idempotency-Key": "k"}
    first, second = (post(http, clip, headers=headers, gain_db="3") for _ in range(2))
    assert first.json()["id"] == second.json()["id"]
    assert second.headers["Idempotency-Replayed"] == "true"
    assert post(http, clip, headers=headers, gain_db="4").status_code == 422


def test_one_who_accepts_a_video_gets_its_bytes(redis_url: str, tmp_path: Path, clip: bytes) -> None:
    import threading

    with somebody_at_work(redis_url), api(redis_url, tmp_path / "data") as http, connect(redis_url) as client:

        def work() -> None:
            while not (ids := client.zrange("adis:queued:video", 0, -1)):
                pass
            finish(redis_url, tmp_path / "data", ids[0], results=1)

        worker = threading.Thread(target=work)
        worker.start()
        answer = post(http, clip, headers={"Accept": "video/*"})
        worker.join()
        assert (answer.status_code, answer.content) == (200, RESULT)


def test_a_preview_is_a_job_in_the_queue_of_images(http: TestClient, client: Client, clip: bytes) -> None:
    answer = http.post("/stylize/video?preview=true&at_seconds=1.2", files=[("video", ("v", clip))])
    assert answer.status_code == 202
    assert answer.json()["progress"] == {"done": 0, "total": 6, "unit": "results"}
    assert (client.llen(messages("images")), client.llen(messages("videos"))) == (1, 0)


def test_a_previews_moment_is_a_number_of_seconds(http: TestClient, clip: bytes) -> None:
    for moment in ("-1", "soon", "nan"):
        answer = http.post(f"/stylize/video?preview=true&at_seconds={moment}", files=[("video", ("v", clip))])
        assert (answer.status_code, answer.json()["field"]) == (422, "at_seconds")


def test_an_image_and_a_sound_become_a_video(http: TestClient, client: Client) -> None:
    files = [("image", ("photo.png", PHOTO)), ("audio", ("rain.wav", SOUND))]
    answer = http.post("/stylize/video", files=files, data={"gain_db": "6"})
    assert answer.status_code == 202, answer.text
    assert answer.json()["progress"] == {"done": 0, "total": 15, "unit": "frames"}
    assert client.llen(messages("videos")) == 1


def test_an_image_needs_a_sound_and_no_video(http: TestClient, clip: bytes) -> None:
    image, audio = ("image", ("photo.png", PHOTO)), ("audio", ("rain.wav", SOUND))
    alone = http.post("/stylize/video", files=[image]).json()
    assert (alone["status"], alone["type"], alone["field"]) == (422, "/problems/missing-field", "audio")
    both = http.post("/stylize/video", files=[image, audio, ("video", ("clip.mp4", clip))]).json()
    assert (both["status"], both["field"]) == (422, "image")
    preview = http.post("/stylize/video?preview=true", files=[image, audio]).json()
    assert (preview["status"], preview["field"]) == (422, "image")

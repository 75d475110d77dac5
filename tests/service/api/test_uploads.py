"""A file is uploaded once, named by its content, and used by any number of jobs of its owner."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.auth.keys import ApiKeyRepository
from service.redis.connection import Client
from tests.service.api.harness import PHOTO, SOUND, api, somebody_at_work, stored_files
from tests.service.api.uploading import AUDIO, IMAGE, PHOTO_ID, SOUND_ID, inputs, refusal, upload
from tests.service.jobs.harness import with_client
from tests.support.media import make_noise, write_ogg
from tests.support.video import Clip, noise_track, write_video


@pytest.fixture
def clip(tmp_path: Path) -> bytes:
    return write_video(tmp_path / "a.mp4", Clip(frames=6), noise_track(1.0)).read_bytes()


def test_an_image_tells_what_it_is(http: TestClient) -> None:
    answer = http.post("/uploads", files={"file": ("my photo.png", PHOTO)})
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/uploads/{PHOTO_ID}"
    document = answer.json()
    seconds = document.pop("expires_at")
    assert seconds > time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() + 86_000))
    assert document == {
        "id": PHOTO_ID,
        "url": f"/uploads/{PHOTO_ID}",
        "kind": "image",
        "usable_as": ["image_id"],
        "bytes": len(PHOTO),
        "file_name": "my photo.png",
        "image": {"format": "png", "width": 24, "height": 16},
        "audio": None,
        "video": None,
    }
    assert http.get(f"/uploads/{PHOTO_ID}").json()["image"]["width"] == 24


def test_a_sound_and_a_video_tell_what_they_are(http: TestClient, clip: bytes, tmp_path: Path) -> None:
    sound = upload(http, SOUND)
    assert (sound["kind"], sound["usable_as"], sound["audio"]["seconds"]) == ("audio", ["audio_id"], 1.0)
    ogg = upload(http, write_ogg(tmp_path / "a.ogg", make_noise(1.0)).read_bytes())  # a container of videos, too
    assert (ogg["kind"], ogg["usable_as"]) == ("audio", ["audio_id"])
    video = upload(http, clip)
    assert (video["kind"], video["usable_as"]) == ("video", ["video_id", "audio_id"])
    assert (video["video"]["frames"], video["video"]["has_audio"]) == (6, True)


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        (b"", 422, "empty"),
        (b"%PDF-1.7 and so on", 415, "PDF"),
        (b"\x89PNG\r\n\x1a\n and no more", 422, "image"),
        (PHOTO + bytes(100_001), 413, "at most 100000"),
        (b"neither of these" * 9, 415, "no kind that is known"),
    ],
)
def test_what_no_job_can_use_is_refused_and_leaves_nothing(
    content: bytes, status: int, said: str, http: TestClient, data_dir: Path
) -> None:
    problem = http.post("/uploads", files={"file": ("x", content)}).json()
    assert (problem["status"], problem["field"]) == (status, "file")
    assert said in problem["detail"]
    assert stored_files(data_dir) == set()


@pytest.mark.parametrize("sent", [{"data": {"file": "no file"}}, {"files": [("image", ("x", PHOTO))]}, {"data": {}}])
def test_a_form_without_a_file_is_refused(sent: Any, http: TestClient) -> None:
    answer = http.post("/uploads", **sent)
    assert answer.status_code in (415, 422)
    assert "file" in answer.json()["detail"]


def test_the_same_file_again_is_the_same_upload_and_kept_once(http: TestClient, data_dir: Path) -> None:
    first = upload(http, PHOTO, "a.png")
    again = http.post("/uploads", files={"file": ("b.png", PHOTO)})
    assert (again.status_code, again.json()["id"]) == (200, first["id"])
    assert again.json()["expires_at"] >= first["expires_at"]
    assert len([path for path in data_dir.rglob("*") if path.is_file()]) == 1


def test_jobs_take_the_files_of_uploads(http: TestClient, client: Client, data_dir: Path, clip: bytes) -> None:
    for content, name in ((PHOTO, "photo.png"), (SOUND, "rain.wav")):
        upload(http, content, name)
    photo = {"field": "image", "sha256": PHOTO_ID, "bytes": len(PHOTO), "name": "photo.png"}
    rain = {"field": "audio", "sha256": SOUND_ID, "bytes": len(SOUND), "name": "rain.wav"}
    assert inputs(http, client, data={"image_id": PHOTO_ID, "audio_id": SOUND_ID}) == [photo, rain]
    assert inputs(http, client, files=[IMAGE], data={"audio_id": [SOUND_ID]}) == [photo, rain]
    assert inputs(http, client, files=[AUDIO], data={"image_id": PHOTO_ID}) == [rain, photo]
    video = {"video_id": upload(http, clip)["id"]}
    for query in ("", "?preview=true"):
        (taken,) = inputs(http, client, f"/stylize/video{query}", data=video)
        assert (taken["field"], taken["sha256"]) == ("video", video["video_id"])
    with_sound = inputs(http, client, "/stylize/video", data=video | {"audio_id": SOUND_ID})
    assert [one["field"] for one in with_sound] == ["video", "audio"]


def test_a_mix_names_its_sounds_in_the_order_of_its_weights(http: TestClient, client: Client, clip: bytes) -> None:
    upload(http, SOUND)
    other = upload(http, clip)["id"]  # the sound of a video
    for ids in ([SOUND_ID, other], f"{SOUND_ID},{other}", json.dumps([SOUND_ID, other])):
        stored = inputs(http, client, files=[IMAGE], data={"audio_id": ids, "weights": "3,1"})
        assert [one["sha256"] for one in stored] == [PHOTO_ID, SOUND_ID, other]


def test_the_same_request_by_file_and_by_id_is_the_same_request(http: TestClient) -> None:
    upload(http, PHOTO)
    key = {"Idempotency-Key": "k"}
    first = http.post("/stylize", files=[IMAGE, AUDIO], headers=key).json()
    again = http.post("/stylize", files=[AUDIO], data={"image_id": PHOTO_ID}, headers=key)
    assert (again.json()["id"], again.headers["Idempotency-Replayed"]) == (first["id"], "true")


def test_both_or_neither_is_refused(http: TestClient, data_dir: Path) -> None:
    upload(http, PHOTO)
    both = refusal(http, files=[IMAGE, AUDIO], data={"image_id": PHOTO_ID})
    assert both == (422, "invalid-value", "image_id", "send the part 'image' or image_id, not both")
    neither = refusal(http, files=[AUDIO])
    assert neither[:3] == (422, "missing-field", "image")
    assert "image_id" in neither[3]
    assert refusal(http, "/stylize/video", files=[AUDIO])[:3] == (422, "missing-field", "video")
    many = refusal(http, files=[IMAGE], data={"audio_id": ",".join([SOUND_ID] * 5)})
    assert many[:3] == (422, "invalid-value", "audio_id")
    assert stored_files(data_dir) == {PHOTO_ID}


@pytest.mark.parametrize("unknown", ["0" * 64, PHOTO_ID])
def test_an_unknown_id_is_said_to_be_one(unknown: str, http: TestClient, data_dir: Path) -> None:
    refused = refusal(http, files=[AUDIO], data={"image_id": unknown})
    assert refused[:3] == (404, "upload-not-found", "image_id")
    assert "expired" in refused[3]
    assert http.get(f"/uploads/{unknown}").status_code == http.delete(f"/uploads/{unknown}").status_code == 404
    assert stored_files(data_dir) == set()


@pytest.mark.parametrize("bad", ["", "x", "../../etc/passwd", PHOTO_ID.upper(), PHOTO_ID + "\n0"])
def test_what_cannot_be_an_id_is_refused(bad: str, http: TestClient) -> None:
    assert refusal(http, files=[AUDIO], data={"image_id": bad})[:3] == (422, "invalid-value", "image_id")


def test_an_upload_in_the_wrong_field_is_told_where_it_belongs(http: TestClient, clip: bytes) -> None:
    upload(http, SOUND)
    status, _, field, detail = refusal(http, files=[AUDIO], data={"image_id": SOUND_ID})
    assert (status, field) == (415, "image_id")
    assert "is an audio clip, not an image; name it by audio_id" in detail
    assert "video_id or audio_id" in refusal(http, files=[AUDIO], data={"image_id": upload(http, clip)["id"]})[3]


def make_keys(redis_url: str) -> list[dict[str, str]]:
    async def create(client: Any) -> list[dict[str, str]]:
        made = [await ApiKeyRepository(client).create(name) for name in ("a", "b")]
        return [{"Authorization": f"Bearer {secret}"} for _, secret in made]

    return with_client(redis_url, create)


def test_an_upload_belongs_to_its_key(http: TestClient, redis_url: str, client: Client) -> None:
    upload(http, PHOTO)  # while no key was needed
    mine, others = make_keys(redis_url)
    sent = {"files": [AUDIO], "data": {"image_id": PHOTO_ID}}
    assert http.get(f"/uploads/{PHOTO_ID}").status_code == 401
    assert http.get(f"/uploads/{PHOTO_ID}", headers=mine).status_code == 404
    upload(http, PHOTO, headers=mine)
    assert inputs(http, client, headers=mine, **sent)
    assert http.post("/stylize", headers=others, **sent).status_code == 404
    assert http.delete(f"/uploads/{PHOTO_ID}", headers=others).status_code == 404
    upload(http, PHOTO, headers=others)  # a copy of one's own
    assert http.delete(f"/uploads/{PHOTO_ID}", headers=others).status_code == 204
    assert inputs(http, client, headers=mine, **sent)


def test_another_process_takes_it_as_well(http: TestClient, redis_url: str, data_dir: Path, client: Client) -> None:
    upload(http, PHOTO)
    with api(redis_url, data_dir) as other:
        assert inputs(other, client, files=[AUDIO], data={"image_id": PHOTO_ID})


def test_uploads_have_a_budget(redis_url: str, data_dir: Path, client: Client) -> None:
    most = len(SOUND) + len(PHOTO) - 1
    with somebody_at_work(redis_url), api(redis_url, data_dir, max_kept_upload_bytes=most) as http:
        upload(http, SOUND)
        refused = http.post("/uploads", files={"file": ("x", PHOTO)})
        assert (refused.status_code, refused.json()["type"]) == (503, "/problems/queue-full")
        assert 80_000 < int(refused.headers["Retry-After"]) <= 86_400
        assert stored_files(data_dir) == {SOUND_ID}
        http.delete(f"/uploads/{SOUND_ID}")
        upload(http, PHOTO)
        (folder,) = client.zrange("adis:uploads", 0, -1)
        client.zadd("adis:uploads", {folder: 1})  # it has expired
        upload(http, SOUND)
        assert client.hget("adis:upload-bytes", "all") == str(len(SOUND))


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ("image_id=" + PHOTO_ID + "&audio_id=" + SOUND_ID + "&gain_db=-3", 202, None),
        ("", 422, "image"),
        ("image=x", 422, "image"),
        ("colour=red", 422, "colour"),
        ("image_id=%ff", 422, None),
        ("gains_db=1&" * 65, 422, None),
        ("image_id=" + "x" * 300_000, 413, None),
    ],
)
def test_a_form_without_files_may_come_as_html_sends_it(
    body: str, status: int, field: str | None, http: TestClient
) -> None:
    upload(http, PHOTO)
    upload(http, SOUND)
    answer = http.post("/stylize", content=body, headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert (answer.status_code, answer.json().get("field")) == (status, field)


def test_the_description_shows_uploads(http: TestClient) -> None:
    description = http.get("/openapi.json").json()
    form = description["paths"]["/stylize"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert {"image", "image_id", "audio", "audio_id"} <= form["properties"].keys()
    assert description["paths"]["/uploads"]["post"]["responses"].keys() >= {"200", "201", "413", "415"}

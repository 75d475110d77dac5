"""POST /stylize takes good requests in, durably, and refuses every bad one with a problem of its own."""

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from kombu.exceptions import OperationalError
from redis.exceptions import TimeoutError as RedisTimeoutError

from service.api import submission
from service.jobs import reaper
from service.jobs.queue import make_queue, messages
from service.jobs.submission_repository import SubmissionRepository
from service.redis.connection import Client
from service.storage.folder import sync
from tests.service.api.harness import GOOD, PHOTO, SOUND, api, somebody_at_work, sound_bytes, stored_files
from tests.service.jobs.harness import TERMS
from tests.support.hostile import png_bomb

IMAGE = ("image", ("p.png", PHOTO))
AUDIO = ("audio", ("s.wav", SOUND))


def parameters(http: TestClient, client: Client, **sent: Any) -> dict[str, Any]:
    """What became of the form's values."""
    answer = http.post("/stylize", files=sent.pop("files", GOOD), **sent)
    assert answer.status_code == 202, answer.text
    values: dict[str, Any] = json.loads(client.hget(f"adis:job:{answer.json()['id']}", "parameters"))
    return values


def test_a_good_request_is_stored_recorded_and_queued_before_it_is_answered(
    http: TestClient, client: Client, data_dir: Path
) -> None:
    answer = http.post("/stylize", files=GOOD, data={"gain_db": "-3"})
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["Location"] == job["url"] == f"/jobs/{job['id']}"
    assert int(answer.headers["Retry-After"]) > 0
    assert (job["state"], job["progress"]) == ("queued", {"done": 0, "total": 1, "unit": "results"})
    assert stored_files(data_dir) == {hashlib.sha256(content).hexdigest() for content in (PHOTO, SOUND)}
    (message,) = client.lrange(messages("images"), 0, -1)
    assert json.loads(message)["headers"]["argsrepr"] == f"['{job['id']}']"


def test_values_have_the_defaults_of_the_contract(http: TestClient, client: Client) -> None:
    assert parameters(http, client) == {
        "gain_db": 0.0,
        "gains_db": None,
        "strength": 1.0,
        "start_seconds": None,
        "weights": None,
        "max_side": None,
        "format": None,
        "metadata": "no-location",
        "color_profile": "srgb",
        "model": None,
    }


@pytest.mark.parametrize("sent", ["-30,-20, 0", ["-30", "-20", "0"], "[-30, -20, 0]", ["-30,-20", "0"]])
def test_a_list_may_be_sent_in_three_ways(http: TestClient, client: Client, sent: Any) -> None:
    assert parameters(http, client, data={"gains_db": sent})["gains_db"] == [-30, -20, 0]


def test_sounds_are_mixed_by_weights(http: TestClient, client: Client) -> None:
    files = [IMAGE, AUDIO, ("audio", ("t.wav", sound_bytes(2.0)))]
    assert parameters(http, client, files=files, data={"weights": "0.7,0.3"})["weights"] == [0.7, 0.3]


@pytest.mark.parametrize(
    ("accept", "form", "format"),
    [
        ("image/webp", {}, "webp"),
        ("image/jpeg;q=0.5, image/webp;q=0.9", {}, "webp"),
        ("image/*", {}, None),
        ("image/png", {"format": "jpeg"}, "jpeg"),
    ],
)
def test_accept_names_the_format_if_the_form_does_not(
    http: TestClient, client: Client, accept: str, form: dict[str, str], format: str
) -> None:
    headers = {"Accept": accept, "Prefer": "wait=0"}
    assert parameters(http, client, data=form, headers=headers)["format"] == format


@pytest.mark.parametrize("name", ["../../../etc/passwd", "a\\b.m3u8", "x" * 3000, "nul\0.png", "ünï.png"])
def test_a_clients_file_name_is_never_used(http: TestClient, data_dir: Path, name: str) -> None:
    files = [("image", (name, PHOTO)), ("audio", (name, SOUND))]
    assert http.post("/stylize", files=files).status_code == 202
    assert all(len(stored) == 64 for stored in stored_files(data_dir))


BAD_REQUESTS: dict[str, tuple[list[Any], dict[str, Any], int, str, str | None]] = {
    "no image": ([AUDIO], {}, 422, "missing-field", "image"),
    "no sound": ([IMAGE], {}, 422, "missing-field", "audio"),
    "two images": ([IMAGE, IMAGE, AUDIO], {}, 422, "invalid-value", "image"),
    "five sounds": ([IMAGE] + 5 * [AUDIO], {}, 422, "invalid-value", "audio"),
    "text as image": ([("image", ("p.png", b"not an image")), AUDIO], {}, 415, "unsupported-media", "image"),
    "empty image": ([("image", ("p.png", b"")), AUDIO], {}, 422, "damaged-media", "image"),
    "image as sound": ([IMAGE, ("audio", ("s.wav", PHOTO))], {}, 415, "unsupported-media", "audio"),
    "short sound": ([IMAGE, ("audio", ("s.wav", sound_bytes(0.1)))], {}, 422, "damaged-media", "audio"),
    "huge image": ([("image", ("p.png", png_bomb())), AUDIO], {}, 413, "too-large", "image"),
    "heavy image": ([("image", ("p.png", bytes(100_001))), AUDIO], {}, 413, "too-large", "image"),
    "loud gain": (GOOD, {"gain_db": "999"}, 422, "invalid-value", "gain_db"),
    "gain in words": (GOOD, {"gain_db": "loud"}, 422, "invalid-value", "gain_db"),
    "gain not a number": (GOOD, {"gain_db": "nan"}, 422, "invalid-value", "gain_db"),
    "gain left empty": (GOOD, {"gain_db": ""}, 422, "invalid-value", "gain_db"),
    "two gains": (GOOD, {"gain_db": ["1", "2"]}, 422, "invalid-value", "gain_db"),
    "one gain and many": (GOOD, {"gain_db": "1", "gains_db": "1,2"}, 422, "invalid-value", None),
    "too many gains": (GOOD, {"gains_db": "1,2,3,4,5"}, 422, "invalid-value", "gains_db"),
    "one bad gain of many": (GOOD, {"gains_db": "1,99"}, 422, "invalid-value", "gains_db"),
    "broken list": (GOOD, {"gains_db": "[1,"}, 422, "invalid-value", "gains_db"),
    "bottomless list": (GOOD, {"gains_db": "[" * 16_000}, 422, "invalid-value", "gains_db"),
    "weights for nobody": (GOOD, {"weights": "1,2"}, 422, "invalid-value", "weights"),
    "weights of nothing": (GOOD, {"weights": "0"}, 422, "invalid-value", "weights"),
    "strong strength": (GOOD, {"strength": "1.5"}, 422, "invalid-value", "strength"),
    "early start": (GOOD, {"start_seconds": "-1"}, 422, "invalid-value", "start_seconds"),
    "small side": (GOOD, {"max_side": "63"}, 422, "invalid-value", "max_side"),
    "half a pixel": (GOOD, {"max_side": "64.5"}, 422, "invalid-value", "max_side"),
    "foreign format": (GOOD, {"format": "tiff"}, 422, "invalid-value", "format"),
    "unknown model": (GOOD, {"model": "other"}, 422, "model-not-found", "model"),
    "path as model": (GOOD, {"model": "../demo"}, 422, "invalid-value", "model"),
    "unknown field": (GOOD, {"volume": "3"}, 422, "invalid-value", "volume"),
    "unknown file": ([*GOOD, ("video", ("v.mp4", b"0"))], {}, 422, "invalid-value", "video"),
    "value as file": ([*GOOD, ("gain_db", ("g.txt", b"0"))], {}, 422, "invalid-value", "gain_db"),
    "long value": (GOOD, {"model": "m" * 20_000}, 422, "invalid-value", "model"),
    "many values": (GOOD, {"gains_db": ["1"] * 70}, 422, "invalid-value", "gains_db"),
}


@pytest.mark.parametrize("case", BAD_REQUESTS)
def test_a_bad_request_gets_its_problem_and_leaves_nothing(
    http: TestClient, client: Client, data_dir: Path, case: str
) -> None:
    files, form, status, slug, field = BAD_REQUESTS[case]
    answer = http.post("/stylize", files=files, data=form)
    problem = answer.json()
    assert (answer.status_code, problem["type"], problem.get("field")) == (status, f"/problems/{slug}", field), problem
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert problem["status"] == status
    assert problem["detail"]
    assert stored_files(data_dir) == set()
    assert client.keys("adis:job:*") == []


BODIES: dict[str, tuple[str | None, bytes, int]] = {
    "JSON": ("application/json", b"{}", 415),
    "no type": (None, b"", 415),
    "no boundary": ("multipart/form-data", b"", 415),
    "endless boundary": (f"multipart/form-data; boundary={'b' * 5000}", b"", 422),
    "nothing": ("multipart/form-data; boundary=b", b"", 422),
    "only an end": ("multipart/form-data; boundary=b", b"--b--\r\n", 422),
    "noise": ("multipart/form-data; boundary=b", bytes(range(256)), 422),
    "cut off": (
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\nabc',
        422,
    ),
    "nameless": (
        "multipart/form-data; boundary=b",
        b"--b\r\nContent-Disposition: form-data\r\n\r\nabc\r\n--b--\r\n",
        422,
    ),
    "long header": ("multipart/form-data; boundary=b", b"--b\r\nX: " + b"y" * 100_000, 422),
    "no text": (
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="gain_db"\r\n\r\n\xff\xfe\r\n--b--\r\n',
        422,
    ),
}


@pytest.mark.parametrize("case", BODIES)
def test_what_is_no_form_gets_a_problem(http: TestClient, data_dir: Path, case: str) -> None:
    content_type, body, status = BODIES[case]
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = http.post("/stylize", content=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert stored_files(data_dir) == set()


def test_without_a_worker_jobs_are_refused_for_now(redis_url: str, data_dir: Path) -> None:
    with api(redis_url, data_dir) as http:
        answer = http.post("/stylize", files=GOOD)
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/unavailable")
        assert int(answer.headers["Retry-After"]) > 0
        with somebody_at_work(redis_url):  # who is there from now on counts from now on
            assert http.post("/stylize", files=GOOD).status_code == 202


def test_a_full_queue_refuses_for_now(redis_url: str, data_dir: Path) -> None:
    with somebody_at_work(redis_url), api(redis_url, data_dir, max_queue_length=1) as http:
        assert http.post("/stylize", files=GOOD).status_code == 202
        answer = http.post("/stylize", files=GOOD)
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/queue-full")
    assert int(answer.headers["Retry-After"]) > 0
    assert len(list((data_dir / "jobs").iterdir())) == 1


def test_a_queue_full_of_bytes_refuses_for_as_long_as_its_work_takes(
    redis_url: str, data_dir: Path, client: Client
) -> None:
    with somebody_at_work(redis_url), api(redis_url, data_dir, max_queue_bytes=len(PHOTO) + len(SOUND)) as http:
        first = http.post("/stylize", files=GOOD)
        client.hset("adis:pace", "image", 77)
        answer = http.post("/stylize", files=GOOD)
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/queue-full")
        assert answer.headers["Retry-After"] == "77"
        assert http.delete(first.json()["url"]).status_code == 204
        assert http.post("/stylize", files=GOOD).status_code == 202


def test_without_redis_every_request_is_refused_for_now(tmp_path: Path) -> None:
    with api(f"unix://{tmp_path}/nobody.sock", tmp_path / "data") as http:
        answers = [http.post("/stylize", files=GOOD), http.get(f"/jobs/{'0' * 32}"), http.get("/readyz")]
        assert http.get("/healthz").status_code == 200
    for answer in answers:
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/unavailable")


def test_an_idempotency_key_makes_a_repetition_safe(http: TestClient, client: Client, data_dir: Path) -> None:
    headers = {"Idempotency-Key": "once"}
    first = http.post("/stylize", files=GOOD, headers=headers)
    again = http.post("/stylize", files=list(reversed(GOOD)), headers=headers)
    assert first.json()["id"] == again.json()["id"]
    assert ("Idempotency-Replayed" in first.headers, again.headers["Idempotency-Replayed"]) == (False, "true")
    assert len(list((data_dir / "jobs").iterdir())) == 1
    assert client.llen(messages("images")) == 1
    other = http.post("/stylize", files=GOOD, data={"gain_db": "1"}, headers=headers)
    assert (other.status_code, other.json()["type"]) == (422, "/problems/idempotency-mismatch")
    assert http.post("/stylize", files=GOOD, headers={"Idempotency-Key": "k" * 300}).status_code == 422


def test_a_job_is_accepted_though_its_message_cannot_be_sent_now(
    http: TestClient, client: Client, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broker_away(*_: object) -> None:
        raise OperationalError

    with monkeypatch.context() as patch:
        patch.setattr(submission, "send", broker_away)
        job_id = http.post("/stylize", files=GOOD).json()["id"]
    assert client.llen(messages("images")) == 0
    monkeypatch.setattr(reaper, "GRACE_SECONDS", 0.0)
    with make_queue(redis_url, 600) as app:
        assert reaper.requeue_overdue(client, app, TERMS) == 1
    (message,) = client.lrange(messages("images"), 0, -1)
    assert job_id in str(message)


def test_the_same_request_without_a_key_is_a_job_of_its_own(http: TestClient) -> None:
    assert len({http.post("/stylize", files=GOOD).json()["id"] for _ in range(2)}) == 2


def test_files_stay_if_redis_may_have_the_record(
    http: TestClient, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answer_lost(*_: object) -> None:
        raise RedisTimeoutError

    monkeypatch.setattr(SubmissionRepository, "submit", answer_lost)
    assert http.post("/stylize", files=GOOD).status_code == 503
    assert len(stored_files(data_dir)) == 2


def test_uploads_and_their_names_are_on_the_disk_before_the_record_is_written(
    http: TestClient, client: Client, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[Path, list[str]]] = []

    def sync_slowly(path: Path) -> None:
        time.sleep(0.1)
        sync(path)
        synced.append((path, client.keys("adis:job:*")))

    monkeypatch.setattr("service.storage.folder.sync", sync_slowly)
    job_id = http.post("/stylize", files=GOOD).json()["id"]
    jobs = data_dir / "jobs"
    inputs = jobs / job_id / "inputs"
    assert {path for path, _ in synced} == {*inputs.iterdir(), inputs, jobs / job_id, jobs}
    assert [records for _, records in synced] == [[]] * 5


def test_a_full_disk_is_not_the_clients_fault(
    http: TestClient, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(_: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("service.storage.folder.sync", no_space)
    answer = http.post("/stylize", files=GOOD)
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert stored_files(data_dir) == set()

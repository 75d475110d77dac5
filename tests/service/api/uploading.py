"""Hand in files once, and jobs that name them."""

import hashlib
import json
from typing import Any

from fastapi.testclient import TestClient

from service.redis.connection import Client
from tests.service.api.harness import PHOTO, SOUND

PHOTO_ID, SOUND_ID = (hashlib.sha256(content).hexdigest() for content in (PHOTO, SOUND))
IMAGE, AUDIO = ("image", ("photo.png", PHOTO)), ("audio", ("rain.wav", SOUND))


def upload(http: TestClient, content: bytes, name: str = "x", **more: Any) -> dict[str, Any]:
    answer = http.post("/uploads", files={"file": (name, content)}, **more)
    assert answer.status_code in (200, 201), answer.text
    document: dict[str, Any] = answer.json()
    return document


def inputs(http: TestClient, client: Client, address: str = "/stylize", **sent: Any) -> list[dict[str, Any]]:
    """The files of the job that is handed in."""
    answer = http.post(address, **sent)
    assert answer.status_code == 202, answer.text
    stored: list[dict[str, Any]] = json.loads(client.hget(f"adis:job:{answer.json()['id']}", "inputs"))
    return stored


def refusal(http: TestClient, address: str = "/stylize", **sent: Any) -> tuple[int, str, str, str]:
    """(status, type, field, detail)."""
    problem = http.post(address, **sent).json()
    return problem["status"], problem["type"].removeprefix("/problems/"), problem["field"], problem["detail"]

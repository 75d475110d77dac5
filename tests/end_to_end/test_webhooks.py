"""A webhook that was not taken at first is delivered by the service that was started anew."""

from pathlib import Path

import httpx2 as httpx

from tests.end_to_end.test_durability import serving, submit
from tests.support.processes import until
from tests.support.receiver import SECRET, running_receiver

SETTINGS = {
    "webhook_secret": SECRET,
    "webhook_allow_http": "true",
    "webhook_private_networks": "127.0.0.0/8,::1/128",
}


def test_a_delivery_survives_a_restart(tmp_path: Path, models_dir: Path, photo: bytes, rain: bytes) -> None:
    data_dir = tmp_path / "data"
    with running_receiver(503) as receiver:
        with serving(data_dir, models_dir, **SETTINGS) as (_, http):
            url = submit(http, photo, rain, webhook_url=f"http://localhost:{receiver.port}/hook")
            wait_until_webhook_is(http, url, "pending", 503)
        with serving(data_dir, models_dir, **SETTINGS) as (_, http):
            wait_until_webhook_is(http, url, "delivered", 204)
            job = http.get(url).json()
    first, second = receiver.posts
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    message = second.verified()
    assert message["type"] == "job.succeeded"
    assert message["data"] == {name: value for name, value in job.items() if name != "webhook"}


def wait_until_webhook_is(http: httpx.Client, url: str, state: str, status: int) -> None:
    def look() -> bool | None:
        webhook = http.get(url).json()["webhook"]
        return True if (webhook["state"], webhook["last_status"]) == (state, status) else None

    until(look)

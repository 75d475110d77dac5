"""One address serves redis-py and Celery, and no password is printed."""

import pytest

from service.jobs.connection import broker_url, without_password


@pytest.mark.parametrize(
    ("url", "broker"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("rediss://:secret@host:6380/2", "rediss://:secret@host:6380/2"),
        ("unix:///run/valkey.sock?db=0", "redis+socket:///run/valkey.sock?virtual_host=0"),
        ("unix:///run/valkey.sock", "redis+socket:///run/valkey.sock?virtual_host=0"),
    ],
)
def test_celery_gets_its_own_form_of_the_address(url: str, broker: str) -> None:
    assert broker_url(url) == broker


@pytest.mark.parametrize("url", ["redis://:secret@host:6379/0", "redis://user:secret@host:6379/0"])
def test_a_password_is_not_shown(url: str) -> None:
    assert "secret" not in without_password(url)
    assert "host:6379/0" in without_password(url)


def test_an_address_without_a_password_is_shown_as_it_is() -> None:
    assert without_password("unix:///run/valkey.sock?db=0") == "unix:///run/valkey.sock?db=0"

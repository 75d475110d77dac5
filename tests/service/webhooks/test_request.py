"""What a form may ask of a webhook."""

import pytest
from pydantic import SecretStr

from service.errors import InvalidValue
from service.settings import Settings
from service.webhooks.request import EVENTS, read_webhook
from tests.support.receiver import SECRET

URL = ("webhook_url", "https://example.com/")
SETTINGS = Settings(webhook_secret=SecretStr(SECRET), _env_file=None)  # type: ignore[call-arg]


def test_all_ends_are_told_unless_some_are_named() -> None:
    everything = read_webhook([("gain_db", "1"), URL], SETTINGS)
    assert everything is not None
    assert (everything.url, everything.events) == ("https://example.com/", EVENTS)
    some = read_webhook([URL, ("webhook_events", "job.failed , job.cancelled")], SETTINGS)
    assert some is not None
    assert some.events == ("job.failed", "job.cancelled")
    assert read_webhook([("gain_db", "1")], SETTINGS) is None


@pytest.mark.parametrize(
    ("texts", "field", "reason"),
    [
        ([("webhook_url", "https://10.0.0.1/")], "webhook_url", "not a public address"),
        ([("webhook_url", "ftp://example.com/")], "webhook_url", "https"),
        ([("webhook_url", "")], "webhook_url", "https"),
        ([URL, URL], "webhook_url", "once"),
        ([("webhook_url", "https://example.com/" + "a" * 3000)], "webhook_url", "at most"),
        ([URL, ("webhook_events", "job.started")], "webhook_events", "job.cancelled"),
        ([URL, ("webhook_events", "")], "webhook_events", "there are"),
        ([URL, ("webhook_events", "a," * 1000)], "webhook_events", "longer than"),
        ([("webhook_events", "job.failed")], "webhook_events", "webhook_url"),
    ],
)
def test_what_cannot_be_is_refused_with_its_reason(texts: list[tuple[str, str]], field: str, reason: str) -> None:
    with pytest.raises(InvalidValue, match=reason) as caught:
        read_webhook(texts, SETTINGS)
    assert caught.value.field == field

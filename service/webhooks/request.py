"""What a client may ask of a webhook: fields of the same form that hands the job in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from service.errors import InvalidValue
from service.settings import Settings
from service.webhooks.address import MAX_URL_LENGTH, AddressRefused, AddressRules

EVENTS: Final = ("job.succeeded", "job.failed", "job.cancelled")
_MAX_EVENTS_LENGTH: Final = 1024
FIELDS: Final[dict[str, Any]] = {
    "webhook_url": {
        "type": "string",
        "format": "uri",
        "maxLength": MAX_URL_LENGTH,
        "description": "where the job's end is posted to, signed (Standard Webhooks)",
    },
    "webhook_events": {
        "type": "string",
        "default": ",".join(EVENTS),
        "description": "which ends are told, separated by commas",
    },
}


@dataclass(frozen=True)
class WebhookRequest:
    """url: checked as far as it can be before it is dialled. events: at least one of EVENTS."""

    url: str
    events: tuple[str, ...]

    def record_fields(self) -> dict[str, str]:
        """As the job's record has them."""
        return {"webhook_url": self.url, "webhook_events": ",".join(self.events)}


def read_webhook(texts: Sequence[tuple[str, str]], settings: Settings) -> WebhookRequest | None:
    """The webhook that the form asks for, or None. texts: (field, value) pairs. Raises InvalidValue."""
    urls = [text.strip() for name, text in texts if name == "webhook_url"]
    lists = [text for name, text in texts if name == "webhook_events"]
    if not urls:
        if lists:
            raise InvalidValue("webhook_events is of no use without webhook_url; send both", field="webhook_events")
        return None
    if len(urls) > 1:
        raise InvalidValue(f"webhook_url is there {len(urls)} times; send it once", field="webhook_url")
    if settings.webhook_secret is None:
        raise InvalidValue(
            "this service sends no webhooks: whoever runs it must set ADIS_WEBHOOK_SECRET, which signs them",
            field="webhook_url",
        )
    try:
        address_rules(settings).check_url(urls[0])
    except AddressRefused as exc:
        raise InvalidValue(f"webhook_url cannot be used: {exc}", field="webhook_url") from exc
    return WebhookRequest(urls[0], _events(lists))


def address_rules(settings: Settings) -> AddressRules:
    """Where webhooks may go."""
    return AddressRules(settings.webhook_allow_http, tuple(settings.webhook_private_networks))


def _events(lists: Sequence[str]) -> tuple[str, ...]:
    if not lists:
        return EVENTS
    if sum(map(len, lists)) > _MAX_EVENTS_LENGTH:
        raise InvalidValue(f"webhook_events is longer than {_MAX_EVENTS_LENGTH} characters", field="webhook_events")
    names = {name.strip() for text in lists for name in text.split(",")}
    if unknown := sorted(names - set(EVENTS)):
        raise InvalidValue(
            f"webhook_events knows no {unknown[0][:64]!r}; there are {', '.join(EVENTS)}", field="webhook_events"
        )
    return tuple(event for event in EVENTS if event in names)

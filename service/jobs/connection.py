"""Connections to Redis (or Valkey), and the same address in the form that Celery's broker wants."""

import itertools
import logging
import time
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl, urlencode, urlsplit

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

logger = logging.getLogger(__name__)

# Text in, text out: redis-py's own annotations leave open which of text and bytes a client returns.
Client: TypeAlias = Any
AsyncClient: TypeAlias = Any

_TIMEOUT_SECONDS: Final = 5.0
_HEALTH_CHECK_SECONDS: Final = 15
_RETRIES: Final = 3
_RETRY_SECONDS: Final = 1.0
_TELL_EVERY: Final = 30  # attempts


def connect(url: str) -> Client:
    """A client for workers; connects on first use, retries a broken connection, gives up after some seconds."""
    retry = Retry(ExponentialBackoff(cap=0.5, base=0.05), _RETRIES)
    return redis.Redis.from_url(url, retry=retry, **_options(url))


def connect_async(url: str) -> AsyncClient:
    """The same for the API's event loop."""
    retry = AsyncRetry(ExponentialBackoff(cap=0.5, base=0.05), _RETRIES)
    return redis.asyncio.Redis.from_url(url, retry=retry, **_options(url))


def wait_until_reachable(client: Client, url: str) -> None:
    """Return as soon as Redis answers; says at once and every half minute what it waits for, and why."""
    for attempt in itertools.count():
        try:
            client.ping()
        except RedisError as exc:
            if attempt % _TELL_EVERY == 0:
                logger.warning("waiting for Redis at %s: %s", without_password(url), exc)
            time.sleep(_RETRY_SECONDS)
        else:
            if attempt:
                logger.info("Redis answers")
            return


def broker_url(url: str) -> str:
    """`redis://`, `rediss://` as they are; `unix:///path?db=N` becomes Celery's `redis+socket:///path`."""
    parts = urlsplit(url)
    if parts.scheme != "unix":
        return url
    query = dict(parse_qsl(parts.query))
    options = {"virtual_host": query.get("db", "0")}
    password = f":{parts.password}@" if parts.password else ""
    return f"redis+socket://{password}{parts.path}?{urlencode(options)}"


def without_password(url: str) -> str:
    """The address as it may be printed."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return parts._replace(netloc=f"{parts.username or ''}:***@{parts.hostname or ''}:{parts.port or ''}").geturl()


def _options(url: str) -> dict[str, Any]:
    options: dict[str, Any] = {
        "decode_responses": True,
        "socket_timeout": _TIMEOUT_SECONDS,
        "health_check_interval": _HEALTH_CHECK_SECONDS,
        "retry_on_error": [RedisConnectionError, RedisTimeoutError],
    }
    if not url.startswith("unix:"):
        options |= {"socket_connect_timeout": _TIMEOUT_SECONDS, "socket_keepalive": True}
    return options

"""Connections to Redis (or Valkey), and the same address in the form that Celery's broker wants."""

import itertools
import logging
import time
from collections.abc import Callable
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl, urlencode, urlsplit

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

logger = logging.getLogger(__name__)

# Text in, text out: redis-py's own annotations leave open which of text and bytes a client returns.
Client: TypeAlias = Any
AsyncClient: TypeAlias = Any

_TIMEOUT_SECONDS: Final = 5.0
_HEALTH_CHECK_SECONDS: Final = 15
_MOST_CONNECTIONS: Final = 1000  # of one event loop; beyond redis-py refuses the command, by default from 100 on
_RETRIES: Final = 3
_RETRY_SECONDS: Final = 1.0
_TELL_EVERY: Final = 30  # attempts
_LEAST_VERSION: Final = 7  # whose scripts can be flagged
# a script that is not flagged `allow-oom` is refused by a Redis that has reached `maxmemory`, and this one does nothing
_PROBE: Final = "#!lua\nreturn 1"

IS_FULL: Final = "Redis is full (it has reached its maxmemory)"


def connect(url: str) -> Client:
    """A client for workers; connects on first use, retries a broken connection, gives up after some seconds."""
    return redis.Redis.from_url(url, retry=Retry(_backoff(), _RETRIES), **_options(url))


def connect_async(url: str) -> AsyncClient:
    """The same for the API's event loop."""
    retry = AsyncRetry(_backoff(), _RETRIES)
    return redis.asyncio.Redis.from_url(url, retry=retry, max_connections=_MOST_CONNECTIONS, **_options(url))


def connect_patiently(url: str) -> Client:
    """The same for those who work on jobs: where Redis has no room for what they write, they wait until it has."""
    return redis.Redis.from_url(url, retry=_PatientRetry(_backoff(), _RETRIES), **_options(url))


class _PatientRetry(Retry):
    """Also repeats, for as long as it takes, what a full Redis refused; says so at once and every half minute."""

    def call_with_retry(self, do: Callable[[], Any], *more: Any, **options: Any) -> Any:
        for attempt in itertools.count():
            try:
                found = super().call_with_retry(do, *more, **options)
            except OutOfMemoryError:
                if attempt % _TELL_EVERY == 0:
                    logger.warning("%s; the job waits until there is room", IS_FULL)
                time.sleep(_RETRY_SECONDS)
            else:
                if attempt:
                    logger.info("Redis has room again; the job goes on")
                return found


def version_problem(client: Client) -> str | None:
    """What is wrong with the server's version, if anything; Valkey gives the version of Redis that it stands for."""
    version = str(client.info("server")["redis_version"])
    if int(version.partition(".")[0]) >= _LEAST_VERSION:
        return None
    return f"Redis {version} is too old; Redis {_LEAST_VERSION} or newer, or Valkey, is needed"


def takes_writes(client: Client) -> bool:
    """Whether Redis has room for new jobs: False if it has reached `maxmemory`."""
    try:
        client.eval(_PROBE, 0)
    except OutOfMemoryError:
        return False
    return True


async def describe_redis(client: AsyncClient) -> str:
    """`ok`, or that Redis is full, in which case it answers questions, ends jobs and deletes them, but takes none."""
    try:
        await client.eval(_PROBE, 0)
    except OutOfMemoryError:
        return f"{IS_FULL}: no new jobs are taken until there is room"
    return "ok"


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
    """`redis://` as it is; `unix:///path?db=N` becomes Celery's `redis+socket:///path`.

    `rediss://` is told to check the server's certificate and its name, which Celery does not by itself.
    """
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    if parts.scheme == "rediss":
        checked = query | {"ssl_cert_reqs": "required", "ssl_check_hostname": "true"}
        return parts._replace(query=urlencode(checked)).geturl()
    if parts.scheme != "unix":
        return url
    options = {"virtual_host": query.get("db", "0")}
    password = f":{parts.password}@" if parts.password else ""
    return f"redis+socket://{password}{parts.path}?{urlencode(options)}"


def without_password(url: str) -> str:
    """The address as it may be printed."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return parts._replace(netloc=f"{parts.username or ''}:***@{parts.hostname or ''}:{parts.port or ''}").geturl()


def wait_until_it_takes_writes(client: Client, wait: Callable[[], None]) -> None:
    """Return as soon as Redis has room; says so if it has not. wait: called again and again meanwhile, for a while."""
    if takes_writes(client):
        return
    logger.warning("%s; this worker waits until there is room", IS_FULL)
    while not takes_writes(client):
        wait()
    logger.info("Redis has room again; this worker goes on")


def _backoff() -> ExponentialBackoff:
    return ExponentialBackoff(cap=0.5, base=0.05)


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

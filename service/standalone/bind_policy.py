"""Refuse to listen where other machines reach the service while nothing asks who they are."""

import logging

from redis.exceptions import RedisError

from service.auth.keys import ApiKeyRepository
from service.redis.connection import connect_async
from service.settings import Settings
from service.standalone.redis_access import open_redis

logger = logging.getLogger(__name__)


class UnsafeBindAddress(Exception):
    """Anybody could use the service; says what to do."""


async def check_bind_address(settings: Settings) -> None:
    """Raises UnsafeBindAddress if the address wants keys and there are none; StartFailed, OSError."""
    if not settings.is_reached_from_outside or settings.allow_anonymous or settings.require_keys:
        return
    async with open_redis(settings) as url:
        client = connect_async(url)
        try:
            finding = await ApiKeyRepository(client).look_up(None)
        except RedisError as exc:
            logger.warning("whether there are API keys is not known yet, so that all requests need one: %s", exc)
            return
        finally:
            await client.aclose()
    if not finding.any_exist:
        raise UnsafeBindAddress(
            f"others can reach {settings.host}, and there is no API key: make one by `python -m service keys "
            "create NAME`, or leave ADIS_HOST at 127.0.0.1, or let anybody in by ADIS_ALLOW_ANONYMOUS=true"
        )

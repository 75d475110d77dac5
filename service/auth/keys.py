"""API keys: made, looked up and revoked in Redis, which holds the hash of a key's secret and never the secret.

A key is `adis_ID_SECRET`. The secret has 256 random bits, so a plain hash of it is as good as a slow one.
  access:key:ID   hash     name, sha256 of the secret, times, limits of its own
  access:keys     sorted   ids of all keys, by the time at which they were made
  access:valid    set      ids that are not revoked; while there is one, requests need a key

Nothing here expires by itself: the service must not open to everybody because the last key has run out.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from service.redis.connection import AsyncClient
from service.redis.scripts import arguments, load_script

MAX_NAME_LENGTH: Final = 64

_ID_BYTES: Final = 6
_SECRET_BYTES: Final = 32
_TOKEN: Final = re.compile(rf"adis_([0-9a-f]{{{2 * _ID_BYTES}}})_([0-9a-f]{{{2 * _SECRET_BYTES}}})")
_INDEX: Final = "adis:access:keys"
_VALID: Final = "adis:access:valid"
_REVOKE: Final = load_script(Path(__file__).parent / "lua" / "revoke.lua")


class Key(BaseModel):
    """What is kept of a key. Times are seconds of the Unix epoch by the Redis server's clock.

    requests_per_minute, active_jobs: its own limits in place of the settings'; 0 means none.
    webhook_generation, webhook_renewed: how often its webhook secret was renewed (service.webhooks.signing), and when.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    sha256: str
    created: float
    expires: float | None = None
    revoked: float | None = None
    requests_per_minute: int | None = None
    active_jobs: int | None = None
    webhook_generation: int = 0
    webhook_renewed: float | None = None

    def state(self, now: float) -> Literal["valid", "expired", "revoked"]:
        """Whether it opens anything at that time."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "valid"


@dataclass(frozen=True)
class KeyLookup:
    """What a look at the keys said. key: the valid one that was shown. any_exist: whether one is not revoked."""

    key: Key | None
    any_exist: bool


class ApiKeyRepository:
    """All keys of one service."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._revoke = client.register_script(_REVOKE)

    async def create(
        self,
        name: str,
        *,
        lifetime_seconds: float | None = None,
        requests_per_minute: int | None = None,
        active_jobs: int | None = None,
    ) -> tuple[Key, str]:
        """Make a key: what is kept of it, and the key itself, which nobody can ask for again."""
        key_id, secret, now = secrets.token_hex(_ID_BYTES), secrets.token_hex(_SECRET_BYTES), await self.now()
        key = Key(
            id=key_id,
            name=name,
            sha256=_hash(secret),
            created=now,
            expires=None if lifetime_seconds is None else now + lifetime_seconds,
            requests_per_minute=requests_per_minute,
            active_jobs=active_jobs,
        )
        async with self._client.pipeline(transaction=True) as pipe:
            pipe.hset(_place(key_id), mapping=key.model_dump(exclude={"id"}, exclude_none=True))
            pipe.zadd(_INDEX, {key_id: now})
            pipe.sadd(_VALID, key_id)
            await pipe.execute()
        return key, f"adis_{key_id}_{secret}"

    async def every(self) -> list[Key]:
        """All keys, oldest first, revoked and expired ones too."""
        ids = await self._client.zrange(_INDEX, 0, -1)
        async with self._client.pipeline(transaction=False) as pipe:
            for key_id in ids:
                pipe.hgetall(_place(key_id))
            found = await pipe.execute()
        return [Key(id=key_id, **fields) for key_id, fields in zip(ids, found, strict=True)]

    async def revoke(self, key_id: str) -> bool:
        """Take a key back for ever; False if there is none of that id."""
        return bool(await self._revoke(args=arguments(id=key_id)))

    async def find(self, key_id: str) -> Key | None:
        """The key of that id, valid or not."""
        fields = await self._client.hgetall(_place(key_id))
        return Key(id=key_id, **fields) if fields else None

    async def renew_webhook(self, key_id: str) -> int | None:
        """Give the key another webhook secret; how often that was done, or None if there is no key of that id."""
        if not await self._client.exists(_place(key_id)):
            return None
        async with self._client.pipeline(transaction=True) as pipe:  # a key's entry is never removed
            pipe.hset(_place(key_id), "webhook_renewed", await self.now())
            pipe.hincrby(_place(key_id), "webhook_generation", 1)
            _, generation = await pipe.execute()
        return int(generation)

    async def look_up(self, token: str | None) -> KeyLookup:
        """Find the key that a client shows, if it is valid, and whether one is needed at all."""
        match = _TOKEN.fullmatch(token or "")
        async with self._client.pipeline(transaction=False) as pipe:
            pipe.scard(_VALID)
            pipe.time()
            if match:
                pipe.hgetall(_place(match[1]))
            count, (seconds, microseconds), *found = await pipe.execute()
        if not match or not found[0]:
            return KeyLookup(None, count > 0)
        key = Key(id=match[1], **found[0])
        is_it = hmac.compare_digest(key.sha256, _hash(match[2]))
        return KeyLookup(key if is_it and key.state(seconds + microseconds / 1e6) == "valid" else None, count > 0)

    async def now(self) -> float:
        """The Redis server's time."""
        seconds, microseconds = await self._client.time()
        return float(seconds + microseconds / 1e6)


def _place(key_id: str) -> str:
    return f"adis:access:key:{key_id}"


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()

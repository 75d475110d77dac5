"""How often a key may ask: a bucket of tokens in Redis, one for all API processes.

rate:ID   string   when the key's bucket will be full again; it expires then
"""

from pathlib import Path
from typing import Final

from service.redis.connection import AsyncClient
from service.redis.scripts import arguments, load_script

_TAKE: Final = load_script(Path(__file__).parent / "lua" / "take_token.lua", when_full=False)


async def take_token(client: AsyncClient, key_id: str, requests_per_minute: int) -> float:
    """Take a token from the key's bucket: 0, or the seconds until there is one."""
    return float(
        await client.register_script(_TAKE)(args=arguments(id=key_id, requests_per_minute=requests_per_minute))
    )

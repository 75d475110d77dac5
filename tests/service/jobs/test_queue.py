"""Messages to a broker that takes none."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from kombu.exceptions import OperationalError
from redis.exceptions import OutOfMemoryError

from service.jobs.queue import QUEUES, make_queue, messages, send
from service.redis.connection import Client

THREADS, MESSAGES = 6, 90
ROOM_BYTES, FILLER_BYTES = 200_000, 50_000


def test_a_redis_that_is_nearly_full_takes_messages_of_several_threads_or_refuses_them(
    redis_url: str, client: Client
) -> None:
    """Kombu closes a channel that was refused, also beneath a thread that is about to use it."""
    with make_queue(redis_url, 600) as app, ThreadPoolExecutor(THREADS) as pool:

        def is_taken(number: int) -> bool:
            try:
                send(app, f"job-{number}", "image")
            except OperationalError:
                return False
            return True

        assert is_taken(0)
        try:
            client.config_set("maxmemory", client.info("memory")["used_memory"] + ROOM_BYTES)
            with suppress(OutOfMemoryError):
                while True:
                    client.append("filler", bytes(FILLER_BYTES))
            taken = list(pool.map(is_taken, range(MESSAGES)))
            assert not all(taken)
        finally:
            client.config_set("maxmemory", "0")
        assert all(pool.map(is_taken, range(MESSAGES)))
        assert client.llen(messages(QUEUES["image"])) == 1 + MESSAGES + sum(taken)

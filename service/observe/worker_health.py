"""The containers' health check of a worker: `python -m service.observe.worker_health` ends with 0 if it beats.

A worker listens to nobody, so its sign of life in Redis is looked for, under the name of the host that this runs on.
"""

import socket
import sys

from redis.exceptions import RedisError

from service.redis.connection import Client, connect
from service.settings import get_settings


def beats(client: Client, host: str) -> bool:
    """Whether a worker of that host was heard of lately."""
    return any(
        client.exists(f"adis:heartbeat:{worker}") and client.hget(f"adis:worker:{worker}", "host") == host
        for worker in client.smembers("adis:workers")
    )


def main() -> int:
    """Returns the exit code, 1 with a reason if no worker beats here."""
    redis_url = get_settings().redis_url
    if redis_url is None:
        print("ADIS_REDIS_URL is not set", file=sys.stderr)
        return 1
    try:
        with connect(redis_url) as client:
            if beats(client, socket.gethostname()):
                return 0
    except RedisError as exc:
        print(f"Redis does not answer: {exc}", file=sys.stderr)
        return 1
    print("no worker of this host was heard of lately", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())

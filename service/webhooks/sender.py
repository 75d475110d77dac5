"""Post one signed message to one address: checked when it is dialled, no redirect, no proxy, no answer read."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any, Final

import httpcore2 as httpcore
import httpx2 as httpx
from standardwebhooks import Webhook

from service import __version__
from service.webhooks.address import Address, AddressRefused, AddressRules

TIMEOUT_SECONDS: Final = 15.0

Resolver = Callable[[str, int], Awaitable[Sequence[Address]]]


class NotDelivered(Exception):
    """There was no answer: the address is refused or unknown, nobody listens, or it took too long."""


async def resolve(host: str, port: int) -> Sequence[Address]:
    """Every address of the name, in the system's order; raises OSError if it has none."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [ip_address(str(address[0]).partition("%")[0]) for *_, address in found]


class Sender:
    """tls: whom to trust; None for whom the system trusts."""

    def __init__(
        self,
        rules: AddressRules,
        resolver: Resolver = resolve,
        tls: ssl.SSLContext | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._rules = rules
        self._network = _CheckedNetwork(rules, resolver)
        self._tls = tls or httpx.create_ssl_context(trust_env=False)
        self._timeout_seconds = timeout_seconds

    async def post(self, url: str, message_id: str, body: str, secrets: Sequence[str]) -> int:
        """The status of the answer; its body is not read.

        secrets: each signs the message (`whsec_…`); a receiver needs to know one of them.

        Raises NotDelivered if there is none in time.
        """
        try:
            self._rules.check_url(url)  # the settings may have changed since the job came in
            async with asyncio.timeout(self._timeout_seconds):
                return await self._post(httpx.URL(url), _headers(message_id, body, secrets), body)
        except TimeoutError as exc:
            raise NotDelivered(f"no answer within {self._timeout_seconds:g} s") from exc
        except (AddressRefused, OSError, UnicodeError) as exc:
            raise NotDelivered(str(exc)) from exc
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as exc:
            raise NotDelivered(f"{type(exc).__name__}: {exc}") from exc

    async def _post(self, url: httpx.URL, headers: Mapping[str | bytes, str | bytes], body: str) -> int:
        address = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        async with (
            httpcore.AsyncConnectionPool(ssl_context=self._tls, network_backend=self._network) as pool,
            pool.stream("POST", address, headers=headers, content=body.encode()) as answer,
        ):
            return int(answer.status)


def _headers(message_id: str, body: str, secrets: Sequence[str]) -> dict[str | bytes, str | bytes]:
    now = datetime.now(UTC)
    return {
        "content-type": "application/json",
        "user-agent": f"audio-driven-image-stylization/{__version__}",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(message_id, now, body) for secret in secrets),
    }


class _CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to the very address that was checked; TLS and the Host header go by the name all the same."""

    def __init__(self, rules: AddressRules, resolver: Resolver) -> None:
        self._rules = rules
        self._resolver = resolver
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 (httpcore's own signature)
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Resolve once, check all of it, then try one after the other; raises AddressRefused."""
        addresses = await self._resolver(host.strip("[]"), port)
        for address in addresses:
            self._rules.check_address(address)  # one bad address refuses the name: it is not honest
        failed: httpcore.NetworkError | httpcore.TimeoutException | None = None
        for address in addresses:
            try:
                return await self._inner.connect_tcp(str(address), port, timeout, local_address, socket_options)
            except (httpcore.NetworkError, httpcore.TimeoutException) as exc:
                failed = exc
        raise failed or httpcore.ConnectError(f"{host} has no address")

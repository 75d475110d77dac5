"""Where a webhook may go: the client names the address, so nothing of the service's own networks may be reached by it.

The name is checked at submission as far as it is a literal address, and every time that a connection is made: what a
name resolves to is the client's to change.
"""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

import httpx2 as httpx

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_URL_LENGTH: Final = 2048

_UNICAST: Final = IPv6Network("2000::/3")
_NAT64: Final = IPv6Network("64:ff9b::/96")  # holds an IPv4 address: all that a host without IPv4 is told of one


class AddressRefused(ValueError):
    """No webhook goes there; says why."""


@dataclass(frozen=True)
class AddressRules:
    """allow_http: take plain HTTP too. private_networks: taken although they are not public."""

    allow_http: bool = False
    private_networks: Sequence[Network] = ()

    def check_url(self, url: str) -> None:
        """Raises AddressRefused for what no webhook is sent to, whatever its name resolves to."""
        if len(url) > MAX_URL_LENGTH:
            raise AddressRefused(f"it has {len(url)} characters; at most {MAX_URL_LENGTH}")
        try:
            parts = httpx.URL(url)
            host = parts.raw_host.decode("ascii")
        except (httpx.InvalidURL, UnicodeError) as exc:
            raise AddressRefused(f"it is no URL: {exc}") from exc
        if parts.scheme not in (("https", "http") if self.allow_http else ("https",)):
            raise AddressRefused("it must begin with https://")
        if parts.userinfo:
            raise AddressRefused("it must hold no user name or password")
        if not host:
            raise AddressRefused("it names no host")
        if parts.port is not None and not 1 <= parts.port <= 65535:
            raise AddressRefused("its port must be 1 to 65535")
        if (literal := _literal(host)) is not None:
            self.check_address(literal)

    def check_address(self, address: Address) -> None:
        """Raises AddressRefused unless the address is public, or of a network that is allowed."""
        reached = _reached(address)
        if any(reached in network for network in self.private_networks if network.version == reached.version):
            return
        if not _is_public(reached):
            raise AddressRefused(f"{address} is not a public address")


def _literal(host: str) -> Address | None:
    """The address that the host is, if it is one; `127.1` and `0x7f000001` are, for a resolver."""
    try:
        return ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None


def _reached(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one, where that is who answers in the end."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address) and (address not in _UNICAST or address.teredo is not None):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved

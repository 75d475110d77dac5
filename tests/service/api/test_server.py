"""The API listens where it is told."""

import socket

import pytest

from service.standalone.listener import address_of, bind


def test_every_address_of_ipv6_is_every_address_of_ipv4_too() -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    with bind("::", 0) as listener:
        port = listener.getsockname()[1]
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, port), timeout=10).close()
        assert address_of(listener) == f"http://[::1]:{port}"

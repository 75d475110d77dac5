"""The socket that the API listens on: bound before anything else starts, and kept while the API is restarted."""

import socket
from typing import Final

_BACKLOG: Final = 1024


class PortTaken(Exception):
    """The address cannot be listened on; says why and what to do."""


def bind(host: str, port: int) -> socket.socket:
    """Listen on host and port (0: any free one); raises PortTaken."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        both = address[0] == "::" and socket.has_dualstack_ipv6()  # every address, those of IPv4 among them
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG, dualstack_ipv6=both)
    except OSError as exc:
        raise PortTaken(
            f"cannot listen on {host} port {port}: {exc.strerror or exc}. "
            "Stop the program that uses it, or choose another with ADIS_PORT (and ADIS_HOST)"
        ) from exc


def address_of(listener: socket.socket) -> str:
    """The address for a browser on this machine."""
    host, port = listener.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (shown, not bound)
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"

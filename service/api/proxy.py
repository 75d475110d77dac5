"""Know the address that clients use where a proxy stands in front: its path, host and scheme."""

import re
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from service.api.cross_site import RECEIVED_HOSTS
from service.settings import ROOT_PATH

_ROOT_PATH: Final = re.compile(ROOT_PATH)
_HOST: Final = re.compile(r"[A-Za-z0-9.:\[\]-]{1,255}")


class ForwardedMiddleware:
    """Sets `root_path`, host, scheme and client of a request as the proxy in front was asked.

    root_path: of every request, unless a trusted proxy names another by X-Forwarded-Prefix. trusted: whose headers
    are believed; from anybody else they are ignored, and so are values that cannot be addresses.
    """

    def __init__(self, app: ASGIApp, root_path: str, trusted: Sequence[IPv4Network | IPv6Network]) -> None:
        # uvicorn's own reads X-Forwarded-For and X-Forwarded-Proto
        self._app = ProxyHeadersMiddleware(app, [str(network) for network in trusted])  # type: ignore[arg-type]
        self._root_path = root_path
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers, trusted = Headers(scope=scope), self._trusts(scope)
            scope.setdefault("state", {})[RECEIVED_HOSTS] = headers.getlist("Host")
            prefix = headers.get("X-Forwarded-Prefix", "").rstrip("/") if trusted else ""
            if prefix and _ROOT_PATH.fullmatch(prefix):
                _set_root_path(scope, prefix)
            elif self._root_path and not f"{scope['path']}/".startswith(f"{self._root_path}/"):
                _set_root_path(scope, self._root_path)
            elif self._root_path:
                scope["root_path"] = self._root_path  # a proxy that passes the whole path on
            host = headers.get("X-Forwarded-Host", "").partition(",")[0].strip() if trusted else ""
            if _HOST.fullmatch(host):
                MutableHeaders(scope=scope)["Host"] = host
        await self._app(scope, receive, send)  # type: ignore[arg-type]

    def _trusts(self, scope: Scope) -> bool:
        try:
            address = ip_address(scope["client"][0])
        except (KeyError, TypeError, ValueError):  # a socket that has no address
            return False
        return any(address in network for network in self._trusted)


def _set_root_path(scope: Scope, prefix: str) -> None:
    """The proxy took the prefix off; as ASGI has it, the path begins with it."""
    scope["root_path"] = prefix
    scope["path"] = prefix + scope["path"]
    if scope.get("raw_path") is not None:
        scope["raw_path"] = prefix.encode() + scope["raw_path"]

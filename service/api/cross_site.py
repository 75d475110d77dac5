"""Refuse what a page of another origin asks in a visitor's browser, and hosts that are not this service's names.

A service without keys trusts whoever reaches it, and a browser carries the requests of any page to loopback and to
networks behind a firewall. Origin and Sec-Fetch-Site tell whose page asks. DNS rebinding makes the service look like
the page's own origin; then the Host header still has the page's name.
"""

from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.problems import problem_response
from service.errors import ForeignOrigin, StylizationError, UntrustedHost

RECEIVED_HOSTS: Final = "received_hosts"  # in the request's state: its Host headers as they came in

_OWN_SITE: Final = ("same-origin", "none")  # none: the visitor's own doing, such as a bookmark
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class CrossSiteMiddleware:
    """The middleware that answers 421 to hosts that are not trusted, and 403 to pages of other origins.

    trusted_hosts: names beside localhost, `*.example.org` for those below it, or `*`. An address is no name
    that could be pointed elsewhere, so that every address is trusted.
    origins: whose pages may ask, or `*`.
    """

    def __init__(self, app: ASGIApp, trusted_hosts: Sequence[str], origins: Sequence[str]) -> None:
        self._app = app
        self._trusted_hosts = trusted_hosts
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = self._refusal(scope) if scope["type"] == "http" else None
        answer = self._app if error is None else problem_response(error)
        await answer(scope, receive, send)

    def _refusal(self, scope: Scope) -> StylizationError | None:
        headers = Headers(scope=scope)
        received: list[str] = scope.get("state", {}).get(RECEIVED_HOSTS, headers.getlist("Host"))
        if len(received) > 1:
            return UntrustedHost("the request has several Host headers; send one", field="Host")
        for host in received:
            if not _is_trusted(_name_of(host), self._trusted_hosts):
                return UntrustedHost(
                    f"{host[:64]!r} is not a name of this service; whoever runs it can add the name to "
                    "ADIS_TRUSTED_HOSTS",
                    field="Host",
                )
        if (
            scope["method"] == "OPTIONS"
            or "*" in self._origins
            or self._is_own_page(scope["method"], headers, received)
        ):
            return None
        return ForeignOrigin(
            "a page of another origin may not use this service; whoever runs it can add the page's origin to "
            "ADIS_CORS_ORIGINS",
            field="Origin",
        )

    def _is_own_page(self, method: str, headers: Headers, received: Iterable[str]) -> bool:
        """Whether the request comes from this service's pages, those of named origins, or no page at all."""
        origin = headers.get("Origin")
        if origin in self._origins:
            return True
        site = headers.get("Sec-Fetch-Site")
        if site is None:  # not a browser, an old one, or plain HTTP beyond loopback
            hosts = {*received, headers.get("Host", "")}  # the latter: as a trusted proxy was asked
            return origin is None or any(_is_same(origin, host) for host in hosts)
        return site in _OWN_SITE or (method in ("GET", "HEAD") and _is_visit(headers))


def _is_visit(headers: Headers) -> bool:
    """Whether the answer fills a window of its own, where the page that led there cannot read it."""
    return headers.get("Sec-Fetch-Mode") == "navigate" and headers.get("Sec-Fetch-Dest") == "document"


def _is_trusted(name: str, trusted: Sequence[str]) -> bool:
    if name == "localhost" or "*" in trusted:
        return True
    try:
        ip_address(name)
    except ValueError:
        return any(name == one or (one.startswith("*.") and name.endswith(one[1:])) for one in trusted)
    return True


def _name_of(host: str) -> str:
    """A Host header without its port; what is none of HTTP's forms is no name."""
    try:
        parts = urlsplit(f"//{host}")
        name, _ = parts.hostname, parts.port
    except ValueError:
        return ""
    return (name or "").removesuffix(".") if parts.netloc == host and parts.username is None else ""


def _is_same(origin: str, host: str) -> bool:
    """Whether the origin has that host and port, whatever the scheme: TLS may end at a proxy."""
    try:
        parts, asked = urlsplit(origin), urlsplit(f"//{host}")
        default = _DEFAULT_PORTS.get(parts.scheme)
        return default is not None and (parts.hostname, parts.port or default) == (
            asked.hostname,
            asked.port or default,
        )
    except ValueError:  # what is no address is nobody's
        return False

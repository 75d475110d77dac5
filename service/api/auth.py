"""Who asks: the API key of a request, and whether it may hand in another job now."""

import math
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from service.api.context import Using
from service.auth.keys import Key
from service.auth.rate_limit import take_token
from service.errors import TooManyRequests, Unauthorized

_BEARER = HTTPBearer(auto_error=False, description="an API key, if the service has any: `adis_…`")
_HEADER = APIKeyHeader(name="X-API-Key", auto_error=False, description="the same in a header of its own")


@dataclass(frozen=True)
class Caller:
    """Who sent a request. key: none while the service asks for none."""

    key: Key | None = None
    max_active_jobs: int = 0

    @property
    def key_id(self) -> str:
        """The id of the key, by which its jobs are known; empty for those who need none."""
        return "" if self.key is None else self.key.id


def name_caller(request: Request, caller: Caller) -> str:
    """By which the shares of callers are told apart: the API key, else the address."""
    return name_address(request) if caller.key is None else f"key {caller.key_id}"


def name_address(request: Request) -> str:
    """The address that a request comes from; of IPv6 the network of 64 bits, which one client has for itself."""
    host = request.client.host if request.client else ""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    return str(IPv6Address(int(address) >> 64 << 64)) if isinstance(address, IPv6Address) else host


async def identify(
    context: Using,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)],
    header: Annotated[str | None, Security(_HEADER)],
) -> Caller:
    """The dependency of every route that needs a key, if any does. Raises Unauthorized."""
    settings = context.settings
    token = bearer.credentials if bearer else header
    finding = await context.keys.look_up(token)
    if finding.key is not None:
        own = finding.key.active_jobs
        return Caller(finding.key, settings.key_active_jobs if own is None else own)
    if not finding.any_exist and not settings.always_wants_keys:
        return Caller()
    if token is None:
        raise Unauthorized("send an API key as `Authorization: Bearer KEY`; `python -m service keys create` makes one")
    raise Unauthorized("this API key is not valid: it is mistyped, or has expired or been revoked")


Known = Annotated[Caller, Depends(identify)]


async def admit(context: Using, caller: Known) -> Caller:
    """The dependency of routes that take jobs in. Raises Unauthorized, or TooManyRequests if the key asks too often."""
    if caller.key is not None:
        own = caller.key.requests_per_minute
        limit = context.settings.key_requests_per_minute if own is None else own
        wait_seconds = await take_token(context.client, caller.key_id, limit) if limit else 0.0
        if wait_seconds > 0:
            raise TooManyRequests(
                f"this key may hand in {limit} jobs a minute; try again soon", retry_after=math.ceil(wait_seconds)
            )
    return caller


Admitted = Annotated[Caller, Depends(admit)]

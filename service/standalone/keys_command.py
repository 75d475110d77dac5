"""`python -m service keys`: make, list and revoke API keys, whether the service runs or not."""

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from redis.exceptions import RedisError

from service.auth.keys import MAX_NAME_LENGTH, ApiKeyRepository, Key
from service.build import command_name
from service.redis.connection import connect_async
from service.settings import Settings
from service.standalone.redis_access import open_redis
from service.standalone.supervisor import StartFailed
from service.webhooks.signing import derive_secret

_DAY_SECONDS = 86_400
_MOST_DAYS = 36_500
_MOST = 1_000_000


def main(settings: Settings, arguments: Sequence[str]) -> int:
    """Run the command: 0, 1 if it failed, 2 for bad arguments."""
    options = _parser().parse_args(arguments)
    try:
        return asyncio.run(_run(settings, options))
    except StartFailed as exc:
        print(f"service keys: {exc}", file=sys.stderr)
        return exc.exit_code
    except (RedisError, OSError) as exc:
        print(f"service keys: the keys cannot be reached: {exc}", file=sys.stderr)
        return 1


async def _run(settings: Settings, options: argparse.Namespace) -> int:
    async with open_redis(settings) as url:
        client = connect_async(url)
        try:
            return await _do(ApiKeyRepository(client), settings, options)
        finally:
            await client.aclose()


async def _do(keys: ApiKeyRepository, settings: Settings, options: argparse.Namespace) -> int:
    if options.action == "create":
        days = options.expires_days
        key, token = await keys.create(
            options.name,
            lifetime_seconds=None if days is None else days * _DAY_SECONDS,
            requests_per_minute=options.rate,
            active_jobs=options.jobs,
        )
        print(
            f"This is the only time that the key of {key.name} is shown; requests need one from now on.",
            file=sys.stderr,
        )
        print(token)
        if settings.webhook_secret is not None:
            secret = derive_secret(settings.webhook_secret.get_secret_value(), key.id, 0)
            print(f"Webhooks of its jobs are signed with {secret}, which is shown only now, too.", file=sys.stderr)
    elif options.action == "renew-webhook":
        return await _renew_webhook(keys, settings, options.id)
    elif options.action == "list":
        _print_keys(await keys.every(), await keys.now(), settings)
    elif not await keys.revoke(options.id):
        return _no_key(options.id)
    elif not (await keys.look_up(None)).any_exist and not settings.always_wants_keys:
        print(
            "This was the last key: requests need none any more. ADIS_REQUIRE_KEYS=true keeps them out.",
            file=sys.stderr,
        )
    return 0


async def _renew_webhook(keys: ApiKeyRepository, settings: Settings, key_id: str) -> int:
    if settings.webhook_secret is None:
        print("service keys: set ADIS_WEBHOOK_SECRET, from which the keys' secrets are derived", file=sys.stderr)
        return 2
    generation = await keys.renew_webhook(key_id)
    if generation is None:
        return _no_key(key_id)
    print("This is the only time that it is shown. The old one signs for another day, too.", file=sys.stderr)
    print(derive_secret(settings.webhook_secret.get_secret_value(), key_id, generation))
    return 0


def _no_key(key_id: str) -> int:
    print(f"service keys: there is no key {key_id!r}; `keys list` shows all", file=sys.stderr)
    return 1


def _print_keys(keys: Sequence[Key], now: float, settings: Settings) -> None:
    rows: list[tuple[str, ...]] = [("ID", "STATE", "CREATED", "EXPIRES", "A MINUTE", "JOBS", "NAME")]
    for key in keys:
        limits = (
            (key.requests_per_minute, settings.key_requests_per_minute),
            (key.active_jobs, settings.key_active_jobs),
        )
        shown = [str((common if own is None else own) or "any") for own, common in limits]
        rows.append((key.id, key.state(now), _day(key.created), _day(key.expires), *shown, key.name))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _day(seconds: float | None) -> str:
    return "never" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"{command_name()} keys",
        description="API keys of this service. As soon as there is one, every job and the list of models need a key.",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="create | list | revoke | renew-webhook")
    create = actions.add_parser("create", help="make a key and print it, once")
    create.add_argument("name", type=_name, help="who it is for")
    create.add_argument(
        "--expires-days", type=_number(float, 1 / _DAY_SECONDS, _MOST_DAYS), metavar="N", help="default: never"
    )
    create.add_argument(
        "--rate", type=_number(int, 0, _MOST), metavar="N", help="jobs a minute (ADIS_KEY_REQUESTS_PER_MINUTE; 0: any)"
    )
    create.add_argument(
        "--jobs", type=_number(int, 0, _MOST), metavar="N", help="jobs that wait or run (ADIS_KEY_ACTIVE_JOBS; 0: any)"
    )
    actions.add_parser("list", help="all keys, without their secrets")
    revoke = actions.add_parser("revoke", help="take a key back, for ever")
    revoke.add_argument("id", help="as `list` shows it")
    renew = actions.add_parser("renew-webhook", help="make another secret for a key's webhooks and print it, once")
    renew.add_argument("id", help="as `list` shows it")
    return parser


def _name(text: str) -> str:
    if not (1 <= len(text) <= MAX_NAME_LENGTH and text.isprintable() and text.strip()):
        raise argparse.ArgumentTypeError(f"a name has 1 to {MAX_NAME_LENGTH} printable characters")
    return text


def _number(kind: type[int] | type[float], least: float, most: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = kind(text)
        except ValueError as exc:
            raise argparse.ArgumentTypeError(f"{text!r} is no {'whole ' if kind is int else ''}number") from exc
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text} is not between {least:g} and {most:g}")
        return value

    return read

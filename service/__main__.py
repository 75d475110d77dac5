"""The command `adis`, or `python -m service`: everything at once, one part alone, or the settings."""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import socket
import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import ValidationError

from service.build import build_version, command_name, shipped_versions

if TYPE_CHECKING:
    from service.settings import Settings  # a machine that only sends files has no settings library

_DESCRIPTION = "Serve audio-driven image stylization: a photograph and a driving sound in, the restyled photograph out."
_EPILOG = "Settings are environment variables (ADIS_PORT=8001) or lines of a .env file; `settings` lists them."
_CLIENTS = {
    "stylize": "send photographs and sounds to a running service, and save the results",
    "stylize-video": "send a video whose soundtrack's volume is to be edited",
}
_KEYS = {"keys": "make, list and revoke API keys: keys create NAME"}
_PARTS = {
    "all": "the queue's server, a worker and the API, started and stopped together (the default)",
    "api": "the API alone; needs ADIS_REDIS_URL",
    "worker": "one worker alone; needs ADIS_REDIS_URL",
    "settings": "print every setting with its meaning and value",
    "doctor": "say what this machine has: providers, codecs, instruction sets, sandbox",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code, which is 2 if arguments or settings are bad."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] and given[0] in _CLIENTS:
        return _run_client(given[0], given[1:])
    if given[:1] == ["keys"]:
        return _run_keys(given[1:])
    parts = [f"  {name:13} {text}" for name, text in (_PARTS | _KEYS | _CLIENTS).items()]
    parser = argparse.ArgumentParser(
        prog=command_name(),
        usage="%(prog)s [PART] [options]",
        description=_DESCRIPTION,
        epilog="\n".join([*parts, "", "Each of the last three has a --help of its own.", "", _EPILOG]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("part", nargs="?", default="all", choices=_PARTS, help="what to run, see below")
    parser.add_argument("--version", action="version", version=_describe_version())
    parser.add_argument("--queues", help="what a worker takes: images,videos (ADIS_WORKER_QUEUES)")
    parser.add_argument("--json", action="store_true", help="doctor: as JSON")
    parser.add_argument("--markdown", action="store_true", help="settings: as the page docs/settings.md")
    parser.add_argument("--fd", type=int, help=argparse.SUPPRESS)  # a listening socket, from the supervisor
    if given[:1] and not given[0].startswith("-") and given[0] not in _PARTS:
        parser.error(f"there is no {given[0]!r}; there are {', '.join(_PARTS | _KEYS | _CLIENTS)}")
    options = parser.parse_args(given)
    if options.queues:
        os.environ["ADIS_WORKER_QUEUES"] = options.queues
    settings = _read_settings()
    if settings is None:
        return 2
    if options.part == "settings":
        _print_settings(settings, options.markdown)
        return 0
    if options.part == "doctor":
        from service.standalone.doctor import run_doctor

        return run_doctor(settings, options.json)
    return _check_and_run(options.part, settings, options.fd)


def _check_and_run(part: str, settings: Settings, fd: int | None) -> int:
    """Refuse what needs a package that is missing before anything starts."""
    from service.observe.logs import set_up_logging
    from service.observe.tracing import TracingNotInstalled, check_installed
    from service.storage.open_storage import StoreNotInstalled, check_store

    set_up_logging(settings.log_level, settings.log_format)
    if settings.otlp_endpoint is not None:
        try:
            check_installed()
        except TracingNotInstalled as exc:
            return _refuse(str(exc), 2)
    try:
        check_store(settings)
    except StoreNotInstalled as exc:
        return _refuse(str(exc), 2)
    return _run(part, settings, fd)


def _describe_version() -> str:
    models = ", ".join(shipped_versions()) or "no model"
    return f"adis {build_version()} with {models}"


def _read_settings() -> Settings | None:
    """None if one is bad, which is said then."""
    from service.settings import get_settings

    try:
        return get_settings()
    except ValidationError as exc:
        for error in exc.errors():
            name = "_".join(str(part) for part in error["loc"][:1]).upper()
            print(f"ADIS_{name.removeprefix('ADIS_')}: {error['msg']}", file=sys.stderr)
        return None


def _run_keys(arguments: Sequence[str]) -> int:
    from service.standalone.keys_command import main as run

    settings = _read_settings()
    return 2 if settings is None else run(settings, arguments)


def _run_client(command: str, arguments: Sequence[str]) -> int:
    try:
        from service.client.commands import main as run
    except ModuleNotFoundError as exc:
        return _refuse(f"{command} needs the package {exc.name}: pip install '.[client]'", 2)
    return run(command, arguments)


def _run(part: str, settings: Settings, fd: int | None) -> int:
    """Each part imports what it runs alone: without the API's libraries a worker starts sooner."""
    from service.standalone.bind_policy import UnsafeBindAddress, check_bind_address
    from service.standalone.listener import PortTaken, bind
    from service.standalone.supervisor import StartFailed, run_service

    if part != "all" and settings.redis_url is None:
        return _refuse(f"{part} alone needs the queue's address: set ADIS_REDIS_URL (redis://host:6379/0)", 2)
    try:
        if part != "worker":
            asyncio.run(check_bind_address(settings))
        if part == "all":
            return asyncio.run(run_service(settings))
        assert settings.redis_url is not None
        if part == "worker":
            from service.work.worker import run_worker

            return run_worker(settings, settings.redis_url)
        from service.api.server import serve

        with socket.socket(fileno=fd) if fd is not None else bind(settings.host, settings.port) as listener:
            serve(settings, settings.redis_url, listener)
        return 0
    except (PortTaken, UnsafeBindAddress) as exc:
        return _refuse(str(exc), 2)
    except StartFailed as exc:
        return _refuse(str(exc), exc.exit_code)
    except OSError as exc:
        return _refuse(f"{exc.filename or 'the system'}: {exc.strerror or exc}", 1)


def _refuse(reason: str, exit_code: int) -> int:
    print(f"service: {reason}", file=sys.stderr)
    return exit_code


def _print_settings(settings: Settings, markdown: bool) -> None:
    """One paragraph for each: variable, value, meaning. markdown: the page of all with their defaults instead."""
    from service.redis.connection import without_password
    from service.settings_reference import show_value, write_reference

    if markdown:
        print(write_reference(), end="")
        return
    width = min(shutil.get_terminal_size((100, 24)).columns, 120)
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if name == "redis_url" and value is not None:
            value = without_password(value)
        print(f"ADIS_{name.upper()}={show_value(value)}")
        print(textwrap.fill(field.description or "", width, initial_indent="    ", subsequent_indent="    "))


if __name__ == "__main__":
    sys.exit(main())

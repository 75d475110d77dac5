"""Images and sounds inside tar shards, named as if a shard were a folder (`shards/walk-000.tar/walk-000001.0.jpg`).

An index may lie elsewhere (https or s3): its shards are then fetched, whole, when they are
first needed, and kept beside the copy of the index. (`training.data.stream` reads shards that are not kept.)
"""

from __future__ import annotations

import os
import re
import socket
import tarfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import lru_cache
from http.client import HTTPException
from pathlib import Path
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import urlopen

_SOURCE = "source.txt"  # beside a fetched index: where it and its shards come from
FILE = "file"
SCHEMES = ("http", "https", "s3")
TRIES, TIMEOUT_SECONDS = 3, 30.0
URL_SAFE = ":/?&=%@+,;~!$*()[]#-._"


class ShardError(OSError):
    """A shard, or an index of shards, that cannot be had; the message says what to do."""


def shard_of(path: Path) -> Path | None:
    """The tar that the path leads into, if it does."""
    return next((parent for parent in path.parents if parent.suffix == ".tar"), None)


def read_member(path: Path, shard: Path) -> bytes:
    """The bytes of one file in a shard, which is fetched if need be. Raises ShardError."""
    try:
        offset, size = _members(shard)[path.relative_to(shard).as_posix()]
        with shard.open("rb") as file:
            file.seek(offset)
            return file.read(size)
    except KeyError as exc:
        raise ShardError(f"{shard} holds no {path.name}") from exc


def member_names(shard: Path) -> list[str]:
    """The files in a shard, in its order. Raises ShardError."""
    return list(_members(shard))


def local_index(where: str, cache: Path) -> Path:
    """A path as it is; the index at `https://…/index.jsonl` or `s3://…/index.jsonl` copied to `cache`.

    Raises ShardError.
    """
    if scheme_of(where) == FILE:
        return Path(where)
    base, index = where.rsplit("/", 1)
    cache.mkdir(parents=True, exist_ok=True)
    _fetch(base, index, cache / index)
    (cache / _SOURCE).write_text(base)
    return cache / index


def scheme_of(address: str) -> str:
    """`file` for a path, or http, https and s3. Raises ShardError for every other: no address is ever a command."""
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):", address)  # one letter is a drive of Windows
    if found is None:
        return FILE
    scheme = found[1].lower()
    if scheme not in SCHEMES or not address[len(scheme) :].startswith("://"):
        raise ShardError(f"{address[:80]!r} is not read: only files, http://, https:// and s3:// are")
    return scheme


@lru_cache(maxsize=4096)
def _members(shard: Path) -> dict[str, tuple[int, int]]:
    """Where the files of a shard lie in it: offset and size in bytes."""
    if not shard.exists():
        _fetch_from_source(shard)
    try:
        with tarfile.open(shard, "r:") as tar:
            return {entry.name: (entry.offset_data, entry.size) for entry in tar if entry.isfile()}
    except (tarfile.TarError, OSError) as exc:
        raise ShardError(f"{shard} is not a readable shard: {exc}") from exc


def _fetch_from_source(shard: Path) -> None:
    whole = Path(os.path.normpath(shard))  # an index from elsewhere must not lead out of its folder
    for folder in whole.parents:
        if (folder / _SOURCE).exists():
            _fetch((folder / _SOURCE).read_text(), whole.relative_to(folder).as_posix(), whole)
            return
    raise ShardError(f"{shard} is missing: copy the shards beside their index, or name the index by its address")


def _fetch(base: str, name: str, target: Path) -> None:
    try:
        copy_from(f"{base}/{name}", target)
    except ShardError as exc:
        raise ShardError(f"{name} could not be fetched from {base}: {exc}") from exc


def copy_from(address: str, target: Path) -> None:
    """Atomically. Raises ShardError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    try:
        with opened(address) as source, partial.open("wb") as file:
            while block := source.read(1 << 20):
                file.write(block)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def opened(address: str) -> Iterator[IO[bytes]]:
    """The bytes at a path, `http://…`, `https://…` or `s3://…`, as they come. What goes wrong is a ShardError."""
    scheme = scheme_of(address)
    try:
        if scheme == "s3":
            with _opened_object(address) as body:
                yield body
        elif scheme == FILE:
            with Path(address).open("rb") as file:
                yield file
        else:
            with _opened_url(address) as response:
                yield response
    except (OSError, ValueError, tarfile.TarError, HTTPException) as exc:
        raise ShardError(f"{address} cannot be read: {_reason(exc)}") from exc


def _opened_url(address: str) -> IO[bytes]:
    """Tried again where nobody answers in time. Raises OSError."""
    for left in reversed(range(TRIES)):
        try:
            url = quote(address, safe=URL_SAFE)
            response: IO[bytes] = urlopen(url, timeout=TIMEOUT_SECONDS)  # noqa: S310  # `scheme_of` has seen it
            return response
        except HTTPError:
            raise
        except OSError:
            if not left:
                raise
    raise AssertionError("the last try returns or raises")


def _reason(exc: Exception) -> str:
    if isinstance(exc, HTTPError):
        return f"the server refuses it ({exc.code} {exc.reason})"
    cause = exc.reason if isinstance(exc, URLError) else exc
    if isinstance(cause, ConnectionRefusedError):
        return "nobody answers there"
    if isinstance(cause, socket.gaierror):
        return "no such host"
    return "no answer in time" if isinstance(cause, TimeoutError) else str(cause)


@contextmanager
def _opened_object(address: str) -> Iterator[IO[bytes]]:
    """By boto3, which finds keys, region and endpoint as every AWS tool does (AWS_ENDPOINT_URL for other makes)."""
    try:
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError as exc:
        raise ShardError("boto3 is not installed: pip install '.[training,s3]'") from exc
    bucket, _, key = address.removeprefix("s3://").partition("/")
    try:
        with closing(boto3.Session().client("s3").get_object(Bucket=bucket, Key=key)["Body"]) as body:
            yield body
    except (BotoCoreError, ClientError) as exc:
        raise OSError(str(exc)) from exc

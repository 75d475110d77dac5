"""Pictures and sounds inside tar shards, named as if a shard were a folder (`shards/walk-000.tar/walk-000001.0.jpg`).

An index may lie elsewhere (https, or a command of one's own): its shards are then fetched, whole, when they are first
needed, by the webdataset library, and kept beside the copy of the index.
"""

from __future__ import annotations

import os
import shlex
import tarfile
from functools import lru_cache
from pathlib import Path

_SOURCE = "source.txt"  # beside a fetched index: where it and its shards come from
_PLACE = "{}"  # in a command: the name of the file that is wanted


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


def local_index(where: str, cache: Path) -> Path:
    """A path as it is; the index at `https://…/index.jsonl`, or `pipe:COMMAND` with {} for the name, copied to `cache`.

    Raises ShardError.
    """
    if not where.startswith("pipe:") and "://" not in where:
        return Path(where)
    base, index = (where, "index.jsonl") if where.startswith("pipe:") else where.rsplit("/", 1)
    if where.startswith("pipe:") and _PLACE not in where:
        raise ShardError(f"{where} has no {_PLACE} in the place of the file's name, such as `pipe:cat /data/{_PLACE}`")
    cache.mkdir(parents=True, exist_ok=True)
    _fetch(base, index, cache / index)
    (cache / _SOURCE).write_text(base)
    return cache / index


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
    from webdataset.gopen import gopen  # imported for those who fetch: it takes its time

    url = base.replace(_PLACE, shlex.quote(name)) if base.startswith("pipe:") else f"{base}/{name}"
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    try:
        with gopen(url) as source, partial.open("wb") as file:
            while block := source.read(1 << 20):
                file.write(block)
        partial.replace(target)
    except (OSError, ValueError) as exc:
        raise ShardError(f"{name} could not be fetched from {base}: {exc}") from exc
    finally:
        partial.unlink(missing_ok=True)

"""An excerpt of streamed shards, kept on disk with an index: what must be drawn at random, or looked at, comes from it.

The correspondence net and the warm-up draw pairs at random; sample sheets show held-out images. Neither can wait
for a stream.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

from training.data.index import Pair, write_index
from training.data.media import read_sound
from training.data.shards import FILE, ShardError, copy_from, member_names, opened, read_member, scheme_of
from training.data.stream import AUDIO_ENDINGS, IMAGE_ENDINGS


def is_streamed(where: str) -> bool:
    """An index that ends in `.txt` is a list of shards, one that ends in `.tar` is shards, and both are streamed."""
    return where.endswith((".txt", ".tar"))


def shard_addresses(where: str) -> list[str]:
    """The shards that `…/train.txt` lists (they lie beside it), or `…/{000..099}.tar` spells out. Raises ShardError."""
    scheme_of(where)
    if where.endswith(".tar"):
        from webdataset.shardlists import expand_urls  # it takes its time

        return [str(address) for address in expand_urls(where)]
    with opened(where) as file:
        names = file.read().decode("utf-8-sig", errors="replace").splitlines()
    names = [name.strip() for name in names if name.strip()]
    if not names or not all(name.endswith(".tar") for name in names):
        raise ShardError(f"{where} is no list of shards: a name that ends in .tar on every line")
    folder = where.rpartition("/")[0]
    return [name if scheme_of(name) != FILE or not folder else f"{folder}/{name}" for name in names]


def held_out_addresses(where: str) -> list[str]:
    """The shards of `test.txt` beside `train.txt`; none for other indexes."""
    folder, slash, name = where.rpartition("/")
    return shard_addresses(f"{folder}{slash}test.txt") if name == "train.txt" else []


def keep_excerpt(train: Sequence[str], test: Sequence[str], shards: int, seed: int, folder: Path) -> Path:
    """Copy that many shards of each split, drawn by the seed, into `folder`; returns their index. Raises ShardError.

    Copies that are there already stay.
    """
    pairs: list[Pair] = []
    for split, addresses in (("train", train), ("test", test)):
        for address in random.Random(seed).sample(addresses, min(shards, len(addresses))):
            copy = folder / "shards" / address.rpartition("/")[2]
            if not copy.exists():
                copy_from(address, copy)
            found = _pairs(copy, split)
            if not found:
                raise ShardError(f"{address} holds no clip: KEY.0.jpg, KEY.1.jpg and so on beside KEY.wav")
            pairs.extend(found)
    write_index(pairs, folder / "index.jsonl")
    return folder / "index.jsonl"


def _pairs(shard: Path, split: str) -> list[Pair]:
    clips: dict[str, list[str]] = {}
    for name in member_names(shard):
        clips.setdefault(name.split(".", 1)[0], []).append(name)
    pairs = []
    for key, names in clips.items():
        sound = next((shard / name for name in names if name.endswith(AUDIO_ENDINGS)), None)
        if sound is None:
            continue
        seconds = len(read_sound(sound, 16_000)) / 16_000
        about = json.loads(read_member(shard / f"{key}.json", shard)) if f"{key}.json" in names else {}
        for name in sorted(names):
            if name.endswith(IMAGE_ENDINGS):
                scene = str(about.get("scene", ""))
                pairs.append(Pair(shard / name, sound, 0.0, seconds, split, shard.stem, 1.0, scene))
    return pairs

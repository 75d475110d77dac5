"""Images and sounds in shards, here and elsewhere."""

from __future__ import annotations

import functools
import shutil
import tarfile
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from tests.support.media import make_noise, make_photo, write_png, write_wav
from training.data import media
from training.data.index import Pair, read_index, write_index
from training.data.shards import ShardError, local_index


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """A folder with an index and the one shard that it points into."""
    folder = tmp_path / "remote"
    (folder / "shards").mkdir(parents=True)
    write_png(folder / "a.0.png", make_photo(40, 30))
    write_wav(folder / "a.wav", make_noise(1.0))
    with tarfile.open(folder / "shards" / "a.tar", "w") as tar:
        for name in ("a.0.png", "a.wav"):
            tar.add(folder / name, name)
            (folder / name).unlink()
    shard = folder / "shards" / "a.tar"
    pair = Pair(shard / "a.0.png", shard / "a.wav", 0.0, 1.0, "train", "a", 1.0, "rain")
    write_index([pair], folder / "index.jsonl")
    return folder


@pytest.fixture
def address(remote: Path) -> Iterator[str]:
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(remote))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_local_index_leads_into_its_shards(remote: Path) -> None:
    assert local_index(str(remote / "index.jsonl"), remote / "unused") == remote / "index.jsonl"
    pair = read_index(remote / "index.jsonl", "train")[0]
    assert np.array_equal(media.read_image(pair.image), make_photo(40, 30))
    assert pair.sound is not None
    assert len(media.read_sound(pair.sound, 16_000)) == 16_000


def test_an_index_that_is_served_is_copied_and_its_shards_when_they_are_needed(address: str, tmp_path: Path) -> None:
    index = local_index(f"{address}/index.jsonl", tmp_path / "here")
    pair = read_index(index, "train")[0]
    assert not (tmp_path / "here" / "shards").exists()
    assert np.array_equal(media.read_image(pair.image), make_photo(40, 30))
    assert sorted(p.name for p in (tmp_path / "here").rglob("*") if p.is_file()) == [
        "a.tar", "index.jsonl", "source.txt"
    ]  # fmt: skip


def test_an_index_from_elsewhere_leads_nowhere_but_into_its_folder(address: str, tmp_path: Path) -> None:
    index = local_index(f"{address}/index.jsonl", tmp_path / "here")
    index.write_text(index.read_text().replace("shards/a.tar", "../outside.tar"))
    with pytest.raises(media.MediaError, match="is missing"):
        media.read_image(read_index(index, "train")[0].image)
    assert not (tmp_path / "outside.tar").exists()


def test_what_cannot_be_fetched_is_told(address: str, tmp_path: Path) -> None:
    with pytest.raises(ShardError, match=r"could not be fetched .*the server refuses it \(404"):
        local_index(f"{address}/gone/index.jsonl", tmp_path / "here")
    with pytest.raises(ShardError, match="only files, http://, https:// and s3:// are"):
        local_index(f"pipe:touch {tmp_path}/broken; cat {{}}", tmp_path / "here")
    assert not (tmp_path / "broken").exists()
    assert not list(tmp_path.glob("here/*"))


def test_a_missing_or_broken_shard_is_told(remote: Path) -> None:
    pair = read_index(remote / "index.jsonl", "train")[0]
    with pytest.raises(media.MediaError, match=r"holds no b\.png"):
        media.read_image(pair.image.with_name("b.png"))
    shutil.copy(remote / "index.jsonl", remote / "shards" / "broken.tar")
    with pytest.raises(media.MediaError, match="not a readable shard"):
        media.read_image(remote / "shards" / "broken.tar" / "a.0.png")
    with pytest.raises(media.MediaError, match="is missing"):
        media.read_image(remote / "shards" / "gone.tar" / "a.0.png")

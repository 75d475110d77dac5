"""Shards are streamed from a real HTTP server and a real S3 server, shared out, shuffled, and not kept."""

from __future__ import annotations

import dataclasses
import functools
import json
import tarfile
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.media import make_noise, make_photo, write_jpeg, write_wav
from tests.support.object_store import ACCESS_KEY, SECRET_KEY, running_store
from training import checkpoint
from training.__main__ import main
from training.data.excerpt import is_streamed, shard_addresses
from training.data.index import read_index
from training.data.media import MediaError
from training.data.shards import ShardError
from training.data.stream import Stream, read_moments, streamed_batches
from training.presets import PRESETS

SHARDS = {"train": ["a.tar", "b.tar", "c.tar", "d.tar"], "test": ["t.tar"]}


def write_shards(folder: Path) -> None:
    """Five shards as `prepare --shards` writes them, of two clips of two images each, and their lists."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(SHARDS["train"] + SHARDS["test"]):
        with tarfile.open(folder / name, "w", format=tarfile.USTAR_FORMAT) as tar:
            for clip in range(2):
                key = f"{name[0]}-{clip:06}"
                for image in range(2):
                    write_jpeg(folder / f"{key}.{image}.jpg", make_photo(80, 64, 10 * number + 2 * clip + image))
                write_wav(folder / f"{key}.wav", make_noise(1.5, 0.1, seed=number))
                (folder / f"{key}.json").write_text(json.dumps({"scene": "rain"}))
                for file in sorted(folder.glob(f"{key}.*")):
                    tar.add(file, file.name)
                    file.unlink()
    for split, names in SHARDS.items():
        (folder / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    write_shards(tmp_path / "shards")
    return tmp_path / "shards"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def address(shards: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(shards))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def train(index: str, run: Path, *more: str) -> int:
    return main(["train", "--preset", "smoke", "--index", index, "--run", str(run), *more])


def stream_of(addresses: list[str], first: int = 0, total: int = 8, workers: int = 0, **place: int) -> Stream:
    smoke = PRESETS["smoke"]
    data = dataclasses.replace(smoke.data, workers=workers)
    return Stream(addresses, data, smoke.audio, 0, 2, first, total, **place)


def test_a_run_learns_from_a_list_of_shards_that_is_served(address: str, tmp_path: Path) -> None:
    assert train(f"{address}/train.txt", tmp_path / "run", "--images", "4") == 0
    assert checkpoint.load(tmp_path / "run" / "checkpoint.pt")["images_seen"] == 4
    kept = sorted(path.name for path in (tmp_path / "run" / "data").rglob("*") if path.is_file())
    assert len(kept) == 3  # one shard of each split, and the index
    assert {"t.tar", "index.jsonl"} < set(kept)
    assert {pair.scene for pair in read_index(tmp_path / "run" / "data" / "index.jsonl", "test")} == {"rain"}
    assert list((tmp_path / "run" / "samples").iterdir())  # of held-out images


def test_a_run_learns_from_a_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_store(tmp_path / "store") as store:
        for name, value in (
            ("AWS_ENDPOINT_URL", store.endpoint),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ):
            monkeypatch.setenv(name, value)
        write_shards(store.folder / "shards")
        assert train(f"{store.url}/shards/{{a,b,c}}.tar", tmp_path / "run", "--images", "2") == 0
        with pytest.raises(ShardError, match=r"gone\.tar cannot be read: .*NoSuchKey"):
            list(read_moments(f"{store.url}/shards/gone.tar"))
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        with pytest.raises(ShardError, match=r"cannot be read: .*SignatureDoesNotMatch"):
            list(read_moments(f"{store.url}/shards/a.tar"))


def test_a_resumed_run_goes_on_with_its_state_and_another_order(address: str, tmp_path: Path) -> None:
    where = f"{address}/train.txt"
    assert train(where, tmp_path / "run", "--images", "2") == 0
    before = checkpoint.load(tmp_path / "run" / "checkpoint.pt")
    assert train(where, tmp_path / "run", "--images", "4", "--force") == 0
    after = checkpoint.load(tmp_path / "run" / "checkpoint.pt")
    states = [c["stage"]["optimizers"]["generator"]["state"] for c in (before, after)]
    steps = [next(iter(state.values()))["step"].item() for state in states]
    assert (before["images_seen"], after["images_seen"], steps) == (2, 4, [1, 2])
    orders = [
        list(islice(stream_of(SHARDS["train"] * 5, first, total=64).shard_order(0, 1), 20)) for first in (0, 0, 32)
    ]
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.parametrize("readers", [1, 2, 4])
def test_a_pass_gives_every_shard_to_one_reader(readers: int) -> None:
    stream = stream_of(SHARDS["train"])
    passes = 3
    found = Counter(
        shard
        for reader in range(readers)
        for shard in islice(stream.shard_order(reader, readers), passes * len(SHARDS["train"]) // readers)
    )
    assert found == dict.fromkeys(SHARDS["train"], passes)


def test_processes_and_workers_read_their_own_shards(shards: Path) -> None:
    addresses = [str(shards / name) for name in SHARDS["train"]]
    seen = []
    for rank in range(2):
        loader = streamed_batches(stream_of(addresses, workers=2, rank=rank, ranks=2))
        batches = list(loader)
        assert len(batches) == 4
        assert [b["source"].shape[-1] for b in batches] == [32, 32, 64, 64]  # crops grow with the run, in every worker
        assert all(len(b["target"]) == 1 for b in batches)  # half of a batch of two
        seen += [b["waveform"] for b in batches[:2]]
    assert not any(torch.equal(a, b) for i, a in enumerate(seen) for b in seen[:i])


def test_source_and_target_are_other_images(shards: Path) -> None:
    addresses = [str(shards / name) for name in SHARDS["train"]]
    for batch in stream_of(addresses, total=16):
        assert set(batch) == {"source", "target", "waveform", "skipped"}
        assert batch["waveform"].shape == (2, PRESETS["smoke"].audio.clip_samples)
        assert not torch.equal(batch["source"], batch["target"])


def test_more_readers_than_shards_are_refused() -> None:
    with pytest.raises(ValueError, match=r"4 shards cannot be shared by 6 readers \(3 processes of 2\)"):
        stream_of(SHARDS["train"], workers=2, rank=0, ranks=3)


def test_a_bad_shard_is_passed_over_and_three_in_a_row_are_not(
    shards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = (shards / "b.tar").read_bytes()
    (shards / "b.tar").write_bytes(whole[: len(whole) // 2])
    addresses = [str(shards / name) for name in SHARDS["train"]]
    assert len(list(stream_of(addresses, total=40))) == 20
    assert "passed over: " in capsys.readouterr().err
    with pytest.raises(ShardError, match=r"3 shards in a row cannot be read; the last: .*gone"):
        list(stream_of([str(shards / "gone.tar")]))


@pytest.mark.parametrize("where", ["ADDRESS/gone/train.txt", "http://127.0.0.1:9/train.txt", "ADDRESS/gone.tar"])
def test_what_cannot_be_reached_is_told(
    where: str, address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(where.replace("ADDRESS", address), tmp_path / "run", "--images", "2") == 2
    said = capsys.readouterr().err
    assert ("nobody answers there" if ":9/" in where else "cannot be read: the server refuses it") in said


def test_a_stream_needs_the_runs_length(shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(str(shards / "train.txt"), tmp_path / "run", "--set", "images=0") == 2
    assert "give the run's length by --images or --time-budget" in capsys.readouterr().err


@pytest.mark.parametrize("preset", ["keyword", "class-pred", "adain"])
def test_presets_that_are_told_the_look_are_refused_before_anything_is_fetched(
    preset: str, shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert train(str(shards / "train.txt"), run, "--preset", preset, "--images", "2") == 2
    assert f"the preset '{preset}' is conditioned on a" in capsys.readouterr().err
    assert not run.exists()


def test_what_is_no_list_of_shards_is_told(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("buy milk\n")
    with pytest.raises(ShardError, match="is no list of shards"):
        shard_addresses(str(tmp_path / "notes.txt"))


@pytest.mark.parametrize(
    "line",
    [
        "pipe:touch BROKEN; echo .tar",
        "pipe:touch BROKEN #.tar",
        "file:///etc/passwd.tar",
        "gs://bucket/a.tar",
        "ssh:host:a.tar",
        "data:application/x-tar,a.tar",
    ],
)
def test_a_line_of_a_list_is_never_a_command_and_only_known_schemes_are_read(line: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    (tmp_path / "train.txt").write_text(f"a.tar\r\n{line.replace('BROKEN', str(broken))}\n")
    with pytest.raises(ShardError, match="only files, http://, https:// and s3:// are"):
        shard_addresses(str(tmp_path / "train.txt"))
    with pytest.raises(ShardError, match="only files"):
        list(read_moments(line.replace("BROKEN", str(broken))))
    assert not broken.exists()


def test_an_address_is_quoted_and_no_shell_sees_it(address: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    with pytest.raises(ShardError, match="the server refuses it"):
        list(read_moments(f"{address}/a';touch {broken};'.tar"))
    assert not broken.exists()


def test_a_list_of_another_system_names_the_same_shards(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_bytes(b"\xef\xbb\xbfa.tar\r\n\r\nhttps://host/b.tar\r\n")
    assert shard_addresses(str(tmp_path / "train.txt")) == [f"{tmp_path}/a.tar", "https://host/b.tar"]


def test_what_cannot_be_read_within_a_shard_is_skipped_and_told(shards: Path) -> None:
    with tarfile.open(shards / "b.tar", "a") as tar:
        (shards / "x.0.jpg").write_bytes(b"no image")
        tar.add(shards / "x.0.jpg", "z-000009.0.jpg")
        write_wav(shards / "x.wav", make_noise(1.5))
        tar.add(shards / "x.wav", "z-000009.wav")
    batches = list(stream_of([str(shards / name) for name in SHARDS["train"]], total=40))
    assert len(batches) == 20
    skipped = {reason for batch in batches for reason in batch["skipped"]}
    assert any("z-000009.0.jpg" in reason for reason in skipped)
    data = dataclasses.replace(PRESETS["smoke"].data, strict=True)
    with pytest.raises(MediaError, match=r"z-000009\.0\.jpg"):
        list(Stream([str(shards / "b.tar")], data, PRESETS["smoke"].audio, 0, 2, 0, 40))


def test_the_index_says_by_its_ending_that_it_is_streamed() -> None:
    assert is_streamed("s3://bucket/shards/{000..003}.tar")
    assert is_streamed("https://example.org/shards/train.txt")
    assert not is_streamed("https://example.org/index.jsonl")
    assert shard_addresses("s3://b/{00..02}.tar") == ["s3://b/00.tar", "s3://b/01.tar", "s3://b/02.tar"]

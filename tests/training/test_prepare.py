"""`python -m training prepare`: a tree of videos of every kind becomes clips, the same whichever way it is done."""

from __future__ import annotations

import fcntl
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import webdataset
from PIL import Image

from tests.support.flashes import RATE_HZ, flash_and_click, write_light
from tests.support.media import make_photo, make_tone, make_voice, write_silent_video
from tests.support.video import Clip, noise_track, write_video
from training.__main__ import main
from training.data import media
from training.data.dataset import CoOccurrences
from training.data.index import read_index
from training.prepare.clips import FRAMES_PER_CLIP, frame_times
from training.prepare.videos import CLIP_SECONDS
from training.presets import PRESETS

MOMENTS = (1.1, 3.9, 7.4, 10.0)
LIT_SECONDS = 0.5  # more than the distance of two images of a clip: one at least is lit
TAGGER = "tests.support.taggers:tone_is_music"
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "variable": {"steps_ms": (20, 60, 33)},
    "late-sound": {"audio_from": 0.7},
    "late-sound-variable": {"steps_ms": (20, 60, 33), "audio_from": 0.7},
    "late-images": {"video_from": 0.5},
}


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clicks and flashes in `rain`, and everything that can be wrong with a file in `odd`."""
    folder = tmp_path_factory.mktemp("videos")
    rain, odd = folder / "rain", folder / "odd"
    rain.mkdir()
    odd.mkdir()
    for kind, options in KINDS.items():
        flash_and_click(rain / f"{kind}.mkv", MOMENTS, 12.1, LIT_SECONDS, noise=0.01, **options)
    times = [i / 25 for i in range(7 * 25)]
    dark = [False] * len(times)
    write_light(odd / "music.mkv", times, dark, make_tone(7.0, 440.0, sample_rate_hz=RATE_HZ).astype(np.float64))
    write_light(odd / "silence.mkv", times, dark, np.zeros(7 * RATE_HZ))
    write_light(odd / "voice.mkv", times, dark, make_voice(7.0, sample_rate_hz=RATE_HZ).astype(np.float64))
    write_silent_video(odd / "mute.mp4", seconds=4.0)
    (odd / "text.mp4").write_text("no video")
    whole = (rain / "plain.mkv").read_bytes()
    (odd / "cut.mkv").write_bytes(whole[: len(whole) // 2])
    (rain / "zz-copy.mkv").write_bytes((rain / "variable.mkv").read_bytes())
    flash_and_click(odd / "short.mkv", [1.0], 2.0)
    (odd / "notes.txt").write_text("passed over")
    return folder


@pytest.fixture(scope="session")
def walks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three short videos that there is something to be seen in."""
    folder = tmp_path_factory.mktemp("walks")
    for number in range(3):
        image = make_photo(256, 192, seed=number)
        write_video(folder / f"{number}.mp4", Clip(frames=32), noise_track(3.2, seed=number), image)
    return folder


def prepare(tree: Path, output: Path, *options: str) -> Path:
    assert main(["prepare", str(tree), str(output), "--tagger", TAGGER, "--jobs", "2", *options]) == 0
    return output


@pytest.fixture(scope="session")
def prepared(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(tree, tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="session")
def sharded(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(tree, tmp_path_factory.mktemp("sharded"), "--shards")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def pairs_of(prepared: Path) -> list[Any]:
    return [*read_index(prepared / "index.jsonl", "train"), *read_index(prepared / "index.jsonl", "test")]


@pytest.mark.parametrize("kind", KINDS)
def test_flashes_and_clicks_fall_together_in_the_clips(prepared: Path, kind: str) -> None:
    frame_seconds = max(KINDS[kind].get("steps_ms", (40,))) / 1000
    by_sound: dict[Path, list[Path]] = {}
    for pair in pairs_of(prepared):
        if pair.source.startswith(f"{kind}-") and len(pair.source) == len(kind) + 9:
            by_sound.setdefault(pair.sound, []).append(pair.image)
    clicks = 0
    for sound, images in by_sound.items():
        assert len(images) == FRAMES_PER_CLIP
        waveform = media.read_sound(sound, 16_000).numpy()
        loud = np.flatnonzero(np.abs(waveform) > 0.3)
        if not len(loud):
            continue
        clicks += 1
        since = np.array(frame_times(0.0)) - loud[0] / 16_000  # of each image, since the click
        lit = np.array([media.read_image(image).mean() > 128 for image in sorted(images)])
        assert lit[(since > frame_seconds) & (since < LIT_SECONDS)].all()
        assert not lit[(since < 0) & (since > -1)].any()
        assert not lit[since > LIT_SECONDS + frame_seconds].any()
    assert clicks >= 3


def test_clips_have_the_size_and_the_length_that_were_asked_for(prepared: Path) -> None:
    pair = pairs_of(prepared)[0]
    with Image.open(pair.image) as image:
        assert (image.format, image.size) == ("JPEG", (160, 96))  # never enlarged
    waveform = media.read_sound(pair.sound, 16_000)
    assert (waveform.dtype, len(waveform)) == (torch.float32, round(CLIP_SECONDS * 16_000))


def test_clips_without_a_sound_and_with_music_are_dropped(prepared: Path) -> None:
    why = {(clip["video"], clip["dropped"]) for clip in lines(prepared / "clips.jsonl")}
    assert {("odd/music.mkv", "music"), ("odd/silence.mkv", "no sound"), ("odd/voice.mkv", None)} <= why
    assert ("rain/late-images.mkv", "images missing") in why
    kept = {clip["video"] for clip in lines(prepared / "clips.jsonl") if clip["dropped"] is None}
    assert not kept & {"odd/music.mkv", "odd/silence.mkv"}
    assert not any(pair.source.startswith(("music", "silence")) for pair in pairs_of(prepared))


def test_each_clip_tells_its_loudness_its_speech_and_what_is_heard(prepared: Path) -> None:
    clips = lines(prepared / "clips.jsonl")
    voice = [clip for clip in clips if clip["video"] == "odd/voice.mkv"]
    rain = [clip for clip in clips if clip["video"] == "rain/plain.mkv"]
    assert all(clip["speech"] > 0.5 for clip in voice)
    assert all(clip["speech"] < 0.2 for clip in rain)
    assert all(abs(clip["loudness_dbfs"] - 20 * np.log10(0.08)) < 3 for clip in voice)
    assert all(next(iter(clip["tags"])) == "Rain" for clip in rain)
    assert {clip["scene"] for clip in rain} == {"rain"}


def test_what_cannot_be_used_is_named_with_its_reason(prepared: Path) -> None:
    reasons = {line["video"]: line["reason"] for line in lines(prepared / "skipped.jsonl")}
    assert "no sound" in reasons["odd/mute.mp4"]
    assert "not a readable video" in reasons["odd/text.mp4"]
    assert "same file as rain/variable.mkv" in reasons["rain/zz-copy.mkv"]
    assert "less than a clip" in reasons["odd/short.mkv"]
    assert "odd/notes.txt" not in reasons


def test_a_file_that_breaks_off_gives_what_it_has(prepared: Path) -> None:
    why = [clip["dropped"] for clip in lines(prepared / "clips.jsonl") if clip["video"] == "odd/cut.mkv"]
    assert why[0] is None
    assert why[-1] is not None


def test_a_video_is_in_one_split_only(prepared: Path) -> None:
    splits: dict[str, set[str]] = {}
    for clip in lines(prepared / "clips.jsonl"):
        splits.setdefault(clip["video"], set()).add(clip["split"])
    assert all(len(names) == 1 for names in splits.values())
    assert {"train", "test"} == set.union(*splits.values())


def test_the_same_command_again_changes_nothing(prepared: Path, tree: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in prepared.rglob("*") if path.is_file()}
    prepare(tree, prepared)
    assert {path: path.stat().st_mtime_ns for path in prepared.rglob("*") if path.is_file()} == before


def test_a_run_that_was_killed_and_another_number_of_processes_give_the_same_bytes(
    prepared: Path, tree: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    command = [sys.executable, "-m", "training", "prepare", str(tree), str(output), "--tagger", TAGGER, "--jobs", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        while not list(output.glob("manifests/*.json")):
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    assert 0 < len(list(output.glob("manifests/*.json"))) < len(list(prepared.glob("manifests/*.json")))
    assert not (output / "index.jsonl").exists()
    prepare(tree, output)
    assert contents(output) == contents(prepared)


def test_other_settings_are_refused_in_the_same_folder(
    prepared: Path, tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["prepare", str(tree), str(prepared), "--tagger", TAGGER, "--max-music", "0.3"]
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert "max_music was 0.5, is 0.3" in said
    assert "another folder" in said


def test_two_runs_do_not_share_a_folder(prepared: Path, tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    handle = os.open(prepared, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert main(["prepare", str(tree), str(prepared), "--tagger", TAGGER]) == 2
    finally:
        os.close(handle)
    assert "another process is preparing" in capsys.readouterr().err


def test_shards_hold_what_loose_files_do(prepared: Path, sharded: Path) -> None:
    loose = {path.name: path.read_bytes() for path in (prepared / "clips").rglob("*") if path.is_file()}
    packed: dict[str, bytes] = {}
    for shard in sorted((sharded / "shards").glob("*.tar")):
        with tarfile.open(shard) as tar:
            packed |= {entry.name: tar.extractfile(entry).read() for entry in tar}  # type: ignore[union-attr]
    assert packed == loose


def test_webdataset_reads_the_shards_of_a_split(sharded: Path) -> None:
    names = (sharded / "shards" / "train.txt").read_text().split()
    urls = [str(sharded / "shards" / name) for name in names]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        samples = list(webdataset.WebDataset(urls, shardshuffle=False))
    kept = [c for c in lines(sharded / "clips.jsonl") if c["split"] == "train" and c["dropped"] is None]
    assert len(samples) == len(kept)
    assert all({"wav", "json", *(f"{i}.jpg" for i in range(FRAMES_PER_CLIP))} <= set(sample) for sample in samples)
    assert Image.open(io.BytesIO(samples[0]["3.jpg"])).size == (160, 96)


def test_a_draw_from_shards_is_the_draw_from_loose_files(prepared: Path, sharded: Path) -> None:
    config = PRESETS["smoke"]
    draws = [
        CoOccurrences(folder / "index.jsonl", "train", config.data, config.audio, seed=3)[(5, 32)]
        for folder in (prepared, sharded)
    ]
    assert all(torch.equal(draws[0][name], draws[1][name]) for name in ("source", "target", "waveform"))


def test_a_model_learns_from_clips_and_from_their_shards(walks: Path, tmp_path: Path) -> None:
    loose, sharded = prepare(walks, tmp_path / "loose"), prepare(walks, tmp_path / "sharded", "--shards")
    for name, folder in (("one", loose), ("other", sharded)):
        run = tmp_path / name
        assert main(["train", "--preset", "smoke", "--index", str(folder / "index.jsonl"), "--run", str(run)]) == 0
        assert (run / "checkpoint.pt").exists()


def test_a_tree_without_videos_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    assert main(["prepare", str(tmp_path / "in"), str(tmp_path / "out"), "--tagger", "none"]) == 2
    assert "no video below" in capsys.readouterr().err
    assert main(["prepare", str(tmp_path / "gone"), str(tmp_path / "out")]) == 2
    assert "not a folder" in capsys.readouterr().err


def test_a_video_that_was_replaced_is_prepared_anew(walks: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(walks, tmp_path / "in"))
    output = prepare(folder, tmp_path / "out")
    before = contents(output / "manifests")
    shutil.copy(folder / "2.mp4", folder / "0.mp4")
    (folder / "2.mp4").unlink()
    prepare(folder, output)
    after = contents(output / "manifests")
    assert [name for name in before if before[name] != after[name]] == [
        name for name in before if name.startswith("0-")
    ]
    assert {clip["video"] for clip in lines(output / "clips.jsonl")} == {"0.mp4", "1.mp4"}

"""A file that crashes, bloats or stalls a decoder harms a helper process only."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.errors import MediaError, TooLarge, Unavailable, UnsupportedMedia
from service.media import decoder_pool as decoder_pool_module
from service.media.audio import decode_audio, probe_audio, read_window
from service.media.decoder_pool import DecoderPool
from service.media.frames import read_frames
from service.media.image import probe_image
from service.media.image_reader import ReadPlan
from service.media.limits import MediaLimits
from service.media.soundtrack_reader import SoundtrackReader
from service.media.times import read_times
from service.media.video_file import probe_video
from service.media.video_manifest import read_manifest
from tests.support.hostile import png_bomb
from tests.support.images import decode_image, read
from tests.support.media import make_noise, make_photo, tiled_photo, write_jpeg, write_png, write_wav
from tests.support.misbehaviour import bloat, crash, crash_later, sleep, spin
from tests.support.processes import is_running, until
from tests.support.video import Clip, noise_track, write_video

LIMITS = MediaLimits()
RATE_HZ = 16_000


@pytest.fixture(scope="module")
def decoder_pool() -> Iterator[DecoderPool]:
    with DecoderPool(LIMITS) as opened:
        yield opened


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("clip") / "a.mp4", Clip(frames=30), noise_track(3.0))


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and Path(f"/proc/{pid}").exists():
        time.sleep(0.05)
    return not Path(f"/proc/{pid}").exists()


def test_images_and_sounds_are_the_same_behind_the_wall(decoder_pool: DecoderPool, tmp_path: Path) -> None:
    photo = write_png(tmp_path / "photo", make_photo(40, 30))
    sound = write_wav(tmp_path / "sound", make_noise(1))
    decoder_pool.warm_up()
    assert decoder_pool.probe_image(photo) == probe_image(photo, LIMITS)
    assert decoder_pool.probe_audio(sound) == probe_audio(sound, LIMITS)
    for plan in ({}, {"max_side": 20}, {"held_pixels": 0, "model_side": 16}):
        header, pixels = decoder_pool.read_image(photo, ReadPlan(**plan))
        expected_header, expected_pixels = read(photo, **plan)
        assert header == expected_header
        np.testing.assert_array_equal(pixels, expected_pixels)
    strips = list(decoder_pool.read_strips(photo, ReadPlan()))
    np.testing.assert_array_equal(np.concatenate(strips), decode_image(photo))
    with decoder_pool.read_audio(sound, 8000) as blocks:
        np.testing.assert_array_equal(np.concatenate(list(blocks)), decode_audio(sound, LIMITS, 8000))
    report, waveform = decoder_pool.read_window(sound, RATE_HZ, 8000, 0.25)
    here = list(read_window(sound, LIMITS, RATE_HZ, 8000, 0.25))
    assert report == here[0]
    np.testing.assert_array_equal(waveform, here[1])


def test_videos_are_the_same_behind_the_wall(decoder_pool: DecoderPool, clip: Path, tmp_path: Path) -> None:
    manifest = read_manifest(clip, LIMITS)
    assert decoder_pool.probe_video(clip) == probe_video(clip, LIMITS)
    assert decoder_pool.read_manifest(clip) == manifest
    assert decoder_pool.read_times(clip) == read_times(clip, LIMITS)
    size = (manifest.format.width, manifest.format.height)
    there = list(decoder_pool.read_frames(clip, manifest, 5, 20, size))
    here = list(read_frames(clip, LIMITS, manifest, 5, 20, size))
    assert [number for number, _ in there] == [number for number, _ in here]
    assert all(np.array_equal(one, other) for (_, one), (_, other) in zip(there, here, strict=True))
    with decoder_pool.read_soundtrack(clip) as (form, blocks), SoundtrackReader(clip, LIMITS) as reader:
        assert form == reader.form
        np.testing.assert_array_equal(
            np.concatenate(list(blocks), axis=1), np.concatenate(list(reader.blocks()), axis=1)
        )


def test_errors_keep_their_kind_words_and_field(decoder_pool: DecoderPool, clip: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no image")
    (tmp_path / "bomb").write_bytes(png_bomb())
    with pytest.raises(UnsupportedMedia, match="send a JPEG") as caught:
        decoder_pool.probe_image(tmp_path / "text")
    assert caught.value.field == "image"
    with pytest.raises(TooLarge, match="30000 x 30000"):
        decoder_pool.read_image(tmp_path / "bomb", ReadPlan())
    with pytest.raises(UnsupportedMedia, match="send WAV"):
        decoder_pool.read_window(tmp_path / "text", RATE_HZ, RATE_HZ)
    with pytest.raises(FileNotFoundError):
        decoder_pool.read_image(tmp_path / "nothing", ReadPlan())
    with pytest.raises(UnsupportedMedia) as caught, decoder_pool.read_soundtrack(tmp_path / "text"):
        pass
    assert caught.value.field == "video"
    manifest = read_manifest(clip, LIMITS)
    size = (manifest.format.width, manifest.format.height)
    with pytest.raises(MediaError, match="breaks at"):
        list(decoder_pool.read_frames(clip, manifest, 0, len(manifest.timeline.pts) + 1, size))


def test_a_fault_of_our_own_is_told_with_its_place(
    decoder_pool: DecoderPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoder_pool_module, "probe_image", divide)
    with pytest.raises(RuntimeError, match=r"in divide(?s:.)*ZeroDivisionError"):
        decoder_pool.probe_image(tmp_path / "any")


def divide(*_: Any) -> float:
    return 1 / 0


def test_a_stream_that_is_left_early_leaves_a_helper_that_works(clip: Path) -> None:
    with DecoderPool(LIMITS, kept=1) as opened:
        with opened.read_soundtrack(clip) as (_, blocks):
            next(blocks)
        (helper,) = opened._idle
        opened_files = Path(f"/proc/{helper.pid}/fd").iterdir()
        assert clip not in [file.readlink() for file in opened_files]
        manifest = opened.read_manifest(clip)
        frames = opened.read_frames(clip, manifest, 0, 30, (manifest.format.width, manifest.format.height))
        next(frames)
        frames.close()
        assert opened.probe_video(clip).frames == 30
        assert helper.tasks == 3


def read_all(box: DecoderPool, path: Path) -> None:
    with box.read_audio(path, RATE_HZ) as blocks:
        list(blocks)


DOORS: dict[str, tuple[str, Callable[[DecoderPool, Path], object]]] = {
    "probe_image": ("image", lambda box, path: box.probe_image(path)),
    "read_image": ("image", lambda box, path: box.read_image(path, ReadPlan())),
    "read_strips": ("image", lambda box, path: list(box.read_strips(path, ReadPlan()))),
    "read_window": ("audio", lambda box, path: box.read_window(path, RATE_HZ, RATE_HZ)),
    "read_audio": ("audio", read_all),
    "survey_video": ("video", lambda box, path: box.read_manifest(path)),
    "read_pixels": ("video", lambda box, path: list(box.read_frames(path, None, 0, 1, (1, 1)))),  # type: ignore[arg-type]
    "read_soundtrack": ("video", lambda box, path: box.read_soundtrack(path).__enter__()),
    "mux": ("video", lambda box, path: box.mux(path, path, None, [], [])),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("door", DOORS)
def test_a_crash_is_a_damaged_file_and_the_next_file_is_served(
    door: str, decoder_pool: DecoderPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    field, knock = DOORS[door]
    photo = write_png(tmp_path / "photo", make_photo(40, 30))
    with monkeypatch.context() as patch:
        patch.setattr(decoder_pool_module, door, crash)
        with pytest.raises(MediaError, match="crashes the decoder") as caught:
            knock(decoder_pool, photo)
    assert caught.value.field == field
    assert decoder_pool.probe_image(photo).width == 40


@pytest.mark.parametrize("door", ["probe_image", "read_window", "read_pixels", "read_soundtrack"])
def test_memory_is_bounded(
    door: str, decoder_pool: DecoderPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    field, knock = DOORS[door]
    monkeypatch.setattr(decoder_pool_module, door, bloat)
    with pytest.raises(TooLarge, match="does not fit in memory") as caught:
        knock(decoder_pool, tmp_path / "any")
    assert caught.value.field == field


@pytest.mark.parametrize("stalling", [spin, sleep])
def test_time_is_bounded(stalling: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder_pool_module, "read_image", stalling)
    seconds = {spin: (1, 300.0), sleep: (300, 1.0)}[stalling]
    with DecoderPool(LIMITS, 1, *seconds) as hasty, pytest.raises(MediaError, match="takes it too long"):
        hasty.read_image(tmp_path / "any", ReadPlan())


def test_a_stream_that_crashes_on_the_way_gives_what_came_before(
    decoder_pool: DecoderPool, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoder_pool_module, "read_soundtrack", crash_later)
    taken = []
    with pytest.raises(MediaError, match="crashes"), decoder_pool.read_soundtrack(clip) as (_, blocks):
        taken.extend(blocks)
    assert len(taken) == 2


def test_a_helper_that_is_idle_holds_no_image(tmp_path: Path) -> None:
    photo = write_jpeg(tmp_path / "photo", tiled_photo(6000, 4000))
    with DecoderPool(LIMITS, kept=1) as opened:
        opened.probe_image(photo)
        before = resident_mb(opened)
        assert opened.read_image(photo, ReadPlan())[1].nbytes == 72_000_000
        until = time.monotonic() + 10  # it lets go after it has answered
        while resident_mb(opened) >= before + 36 and time.monotonic() < until:
            time.sleep(0.05)
        assert resident_mb(opened) < before + 36


def resident_mb(opened: DecoderPool) -> float:
    (helper,) = opened._idle
    status = Path(f"/proc/{helper.pid}/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("VmRSS:")).split()[1]) / 1000


def test_a_helper_that_died_while_it_was_idle_is_replaced(tmp_path: Path) -> None:
    photo = write_png(tmp_path / "photo", make_photo(40, 30))
    with DecoderPool(LIMITS, kept=1) as opened:
        assert opened.probe_image(photo).width == 40
        helper = opened._idle[0].pid
        os.kill(helper, signal.SIGKILL)
        assert gone(helper)
        assert opened.probe_image(photo).width == 40


def test_a_file_whose_helper_was_killed_from_outside_gets_another(tmp_path: Path) -> None:
    photo = write_png(tmp_path / "photo", make_photo(40, 30))
    with DecoderPool(LIMITS, kept=1) as opened, ThreadPoolExecutor(1) as threads:
        opened.warm_up()
        helper = opened._idle[0].pid
        os.kill(helper, signal.SIGSTOP)
        asked = threads.submit(opened.probe_image, photo)
        until(lambda: not opened._idle or None)
        os.kill(helper, signal.SIGKILL)
        assert asked.result().width == 40
        assert opened._idle[0].pid != helper


def test_threads_share_it_and_two_helpers_stay(tmp_path: Path) -> None:
    photo = write_png(tmp_path / "photo", make_photo(40, 30))
    with DecoderPool(LIMITS) as opened:
        with ThreadPoolExecutor(4) as threads:
            assert list(threads.map(lambda _: opened.probe_image(photo).width, range(40))) == [40] * 40
        assert len(opened._idle) == 2


def test_closed_it_says_so_and_leaves_no_process(tmp_path: Path) -> None:
    closing = DecoderPool(LIMITS)
    closing.warm_up()
    helpers = [helper.pid for helper in closing._idle]
    assert len(helpers) == 2
    closing.close()
    with pytest.raises(Unavailable):
        closing.probe_image(tmp_path / "any")
    assert all(gone(pid) for pid in helpers)


def test_helpers_end_with_the_process_that_started_them_and_not_by_a_stop() -> None:
    code = (
        "import sys, time; from service.media.limits import MediaLimits;"
        "from service.media.decoder_pool import DecoderPool;"
        "box = DecoderPool(MediaLimits(), kept=1); box._call('image', int, len, 'abc');"
        "print(box._idle[0].pid, flush=True);"
        "time.sleep(300)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        helper = int(owner.stdout.readline())
        os.kill(helper, signal.SIGTERM)
        os.kill(helper, signal.SIGINT)
        time.sleep(0.5)  # to end, if it did
        assert is_running(helper)
        owner.kill()
        owner.wait()
        assert gone(helper)

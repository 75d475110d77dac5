"""A file that crashes, bloats or stalls a decoder harms a helper process only."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.errors import MediaError, TooLarge, Unavailable, UnsupportedMedia
from service.media import sandbox as sandbox_module
from service.media.audio import probe_audio
from service.media.image import ImageInfo, probe_image
from service.media.limits import MediaLimits
from service.media.sandbox import Sandbox
from tests.support.hostile import png_bomb
from tests.support.media import make_noise, make_photo, write_png, write_wav

LIMITS = MediaLimits()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(LIMITS) as opened:
        yield opened


def crash(path: Path, limits: MediaLimits) -> ImageInfo:
    """What a decoder does on the worst of files."""
    os.kill(os.getpid(), signal.SIGSEGV)
    return ImageInfo(1, 1, "png")


def bloat(path: Path, limits: MediaLimits) -> ImageInfo:
    return ImageInfo(len(bytearray(8 * 1024**3)), 1, "png")


def spin(path: Path, limits: MediaLimits) -> ImageInfo:
    while True:
        pass


def test_probes_say_the_same_behind_the_wall(sandbox: Sandbox, tmp_path: Path) -> None:
    photo = write_png(tmp_path / "photo", make_photo(40, 30))
    sound = write_wav(tmp_path / "sound", make_noise(1))
    sandbox.warm_up()
    assert sandbox.probe_image(photo) == probe_image(photo, LIMITS)
    assert sandbox.probe_audio(sound) == probe_audio(sound, LIMITS)


def test_errors_keep_their_kind_words_and_field(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no picture")
    (tmp_path / "bomb").write_bytes(png_bomb())
    with pytest.raises(UnsupportedMedia, match="send a JPEG") as caught:
        sandbox.probe_image(tmp_path / "text")
    assert caught.value.field == "image"
    with pytest.raises(TooLarge, match="30000 x 30000"):
        sandbox.probe_image(tmp_path / "bomb")
    with pytest.raises(UnsupportedMedia, match="send WAV"):
        sandbox.probe_audio(tmp_path / "text")


def test_a_crash_is_a_damaged_file_and_the_next_file_is_served(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = write_png(tmp_path / "photo", make_photo(40, 30))
    monkeypatch.setattr(sandbox_module, "probe_image", crash)
    with pytest.raises(MediaError, match="crashes the decoder") as caught:
        sandbox.probe_image(photo)
    monkeypatch.undo()
    assert caught.value.field == "image"
    assert sandbox.probe_image(photo).width == 40


def test_helpers_that_end_while_a_file_is_handed_over_are_replaced(tmp_path: Path) -> None:
    photo = write_png(tmp_path / "photo", make_photo(40, 30))
    with Sandbox(LIMITS) as opened:
        assert opened._pool is not None
        opened._pool._call_queue._reader.close()  # as a pool does whose helper has just died
        assert opened.probe_image(photo).width == 40


def test_memory_is_bounded(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox_module, "probe_image", bloat)
    with pytest.raises(TooLarge, match="does not fit in memory"):
        sandbox.probe_image(tmp_path / "any")


def test_time_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox_module, "probe_image", spin)
    with Sandbox(LIMITS, cpu_seconds=1) as hasty, pytest.raises(MediaError, match="takes it too long"):
        hasty.probe_image(tmp_path / "any")


def test_threads_share_it(sandbox: Sandbox, tmp_path: Path) -> None:
    photo = write_png(tmp_path / "photo", make_photo(40, 30))
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda _: sandbox.probe_image(photo).width, range(40))) == [40] * 40


def test_closed_it_says_so_and_leaves_no_process(tmp_path: Path) -> None:
    closing = Sandbox(LIMITS)
    closing.warm_up()
    pool = closing._pool
    assert pool is not None
    helper = next(iter(pool._processes))
    closing.close()
    with pytest.raises(Unavailable):
        closing.probe_image(tmp_path / "any")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and Path(f"/proc/{helper}").exists():
        time.sleep(0.05)
    assert not Path(f"/proc/{helper}").exists()

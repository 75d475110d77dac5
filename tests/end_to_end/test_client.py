"""`python -m service stylize` and `stylize-video`, run as people run them."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import httpx2 as httpx
import pytest
from PIL import Image

from service.client.local import reasons
from service.media.limits import MediaLimits
from service.media.video_file import probe_video
from tests.end_to_end.conftest import SIZE
from tests.support.processes import until
from tests.support.running_service import ROOT, RunningService
from tests.support.video import Clip, noise_track, write_video

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def desk(tmp_path: Path, photo: bytes, rain: bytes, birds: bytes) -> Path:
    """A folder with the files that a user has."""
    for name, content in (("photo.jpg", photo), ("rain.ogg", rain), ("birds.ogg", birds)):
        (tmp_path / name).write_bytes(content)
    write_video(tmp_path / "clip.mp4", Clip(), noise_track(2.0))
    return tmp_path


def run(desk: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), **settings}
    command = [sys.executable, "-m", "service", *arguments]
    return subprocess.run(command, cwd=desk, env=environment, capture_output=True, text=True, timeout=300)


def test_an_image_is_saved_beside_its_photograph(service: RunningService, desk: Path) -> None:
    ran = run(desk, "stylize", "photo.jpg", "rain.ogg", "--server", service.address)
    assert (ran.returncode, ran.stdout) == (0, "photo-stylized.jpg\n"), ran.stderr
    with Image.open(desk / "photo-stylized.jpg") as image:
        assert (image.format, image.size) == ("JPEG", SIZE)
    assert not list(desk.glob(".*partial"))


def test_options_reach_the_service(service: RunningService, desk: Path) -> None:
    ran = run(
        desk, "stylize", "photo.jpg", "rain.ogg", "birds.ogg", "--weights", "0.7,0.3", "--gains-db=-20,0",
        "--strength", "0.5", "-o", "out.webp", "--json", "--server", service.address,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert {path.name for path in desk.glob("out*")} == {"out-20dB.webp", "out+0dB.webp"}
    parameters = json.loads(ran.stdout)["results"][0]["receipt"]["parameters"]
    assert (parameters["weights"], parameters["gains_db"]) == ([0.7, 0.3], [-20, 0])
    assert (parameters["strength"], parameters["format"]) == (0.5, "webp")


def test_a_video_is_saved(service: RunningService, desk: Path) -> None:
    ran = run(desk, "stylize-video", "clip.mp4", "--automation", "0:-20,2:6", "--server", service.address)
    assert (ran.returncode, ran.stdout) == (0, "clip-stylized.mp4\n"), ran.stderr
    assert probe_video(desk / "clip-stylized.mp4", MediaLimits()).frames == 20


def test_the_services_own_words_are_shown(service: RunningService, desk: Path) -> None:
    ran = run(desk, "stylize", "rain.ogg", "rain.ogg", "--server", service.address)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ": rain.ogg: " in ran.stderr  # by the file's name, not the form's
    assert "Traceback" not in ran.stderr
    ran = run(desk, "stylize-video", "clip.mp4", "--gain-db", "99", "--server", service.address)
    assert (ran.returncode, "--gain-db: Input should be less than or equal to 24" in ran.stderr) == (1, True)


def test_bad_arguments_are_told_before_anything_is_sent(desk: Path) -> None:
    (desk / "photo-stylized.jpg").write_text("mine")
    for arguments, words in (
        (("stylize", "nobody.jpg", "rain.ogg"), "there is no file nobody.jpg"),
        (("stylize", "photo.jpg", "rain.ogg"), "--force overwrites it"),
        (("stylize", "photo.jpg", "rain.ogg", "--gain-db", "1", "--gains-db", "1,2"), "exclude each other"),
        (("stylize-video", "clip.mp4", "--automation", "quiet"), "automation"),
        (("stylize", "photo.jpg"), "audio"),
        (("stylize", "photo.jpg", "rain.ogg", "--server", "ftp://x"), "write http://HOST:PORT"),
        (("stylise", "photo.jpg", "rain.ogg"), "stylize, stylize-video"),
    ):
        ran = run(desk, *arguments)
        assert (ran.returncode, words in ran.stderr) == (2, True), ran.stderr
    assert (desk / "photo-stylized.jpg").read_text() == "mine"


def test_without_a_service_it_says_how_to_start_one(desk: Path) -> None:
    ran = run(desk, "stylize", "photo.jpg", "rain.ogg", "--server", "http://127.0.0.1:9")
    assert ran.returncode == 1
    assert "make serve" in ran.stderr


def test_local_needs_no_service(desk: Path, models_dir: Path) -> None:
    settings = {"ADIS_MODELS_DIR": str(models_dir), "ADIS_DEFAULT_MODEL": "tiny"}
    ran = run(desk, "stylize", "photo.jpg", "rain.ogg", "--local", **settings)
    assert ran.returncode == 0, ran.stderr
    assert (desk / "photo-stylized.jpg").exists()
    ran = run(desk, "stylize", "photo.jpg", "rain.ogg", "--local", "-f", **settings | {"ADIS_DEFAULT_MODEL": "nobody"})
    assert (ran.returncode, "nobody" in ran.stderr) == (1, True)


def test_the_reason_stays_in_sight_however_much_the_others_say() -> None:
    reason = "the model 'nobody' is refused: no model is called 'nobody'"
    chatter = "2026-01-01 10:00:00,000 INFO    service.standalone: stopping"
    json_chatter = '{"level": "info", "message": "stopping"}'
    assert reasons("\n".join([chatter, reason, *[chatter] * 30, *[json_chatter] * 30])) == [reason]
    assert reasons(f"{chatter}\n") == [chatter]


def test_ctrl_c_cancels_the_job(service: RunningService, http: httpx.Client, tmp_path: Path) -> None:
    clip = Clip(width=640, height=360, fps=30, frames=300)
    write_video(tmp_path / "long.mp4", clip, noise_track(10.0))
    jobs = service.log.with_suffix("") / "jobs"
    before = set(jobs.iterdir())
    command = [sys.executable, "-m", "service", "stylize-video", "long.mp4", "--server", service.address]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 a shell's background jobs ignore it
    ) as process:
        (folder,) = until(lambda: set(jobs.iterdir()) - before or None)
        until(lambda: True if http.get(f"/jobs/{folder.name}").json().get("state") == "running" else None)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert http.get(f"/jobs/{folder.name}").json()["state"] == "cancelled"
    assert not (tmp_path / "long-stylized.mp4").exists()


def test_help_names_both_commands(tmp_path: Path) -> None:
    for arguments, words in ((("--help",), "stylize-video"), (("stylize-video", "--help"), "--automation")):
        ran = run(tmp_path, *arguments)
        assert (ran.returncode, words in ran.stdout) == (0, True)

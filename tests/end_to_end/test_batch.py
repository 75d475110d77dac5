"""`stylize` over many photographs, sweeps and previews, run as people run it, and the Python client."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import av
import httpx2 as httpx
import pytest
from PIL import Image

from service.client import AsyncClient, Client, JobFailed, NoService, Refused
from tests.end_to_end.test_client import run
from tests.support.media import make_photo, write_jpeg
from tests.support.processes import child_named, until
from tests.support.running_service import ROOT, RunningService
from tests.support.video import Clip, noise_track, write_video

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def desk(tmp_path: Path, rain: bytes, birds: bytes) -> Path:
    """A folder with the files that a user has."""
    (tmp_path / "photos").mkdir()
    for number in range(30):
        write_jpeg(tmp_path / "photos" / f"{number:02d}.jpg", make_photo(64 + number, 48))
    for name, content in (("rain.ogg", rain), ("birds.ogg", birds)):
        (tmp_path / name).write_bytes(content)
    return tmp_path


@pytest.fixture
def client(service: RunningService) -> Iterator[Client]:
    with Client(service.address) as opened:
        yield opened


def jobs_with_results(service: RunningService) -> set[str]:
    """The folders of jobs that have a result."""
    return {path.parent.parent.name for path in (service.log.with_suffix("") / "jobs").glob("*/results/*")}


def test_a_batch_that_was_killed_goes_on_and_makes_nothing_twice(service: RunningService, desk: Path) -> None:
    before = jobs_with_results(service)
    arguments = ["stylize", "photos", "--sound", "rain.ogg", "--sound", "birds.ogg", "-o", "out/"]
    command = [sys.executable, "-m", "service", *arguments, "--server", service.address]
    with subprocess.Popen(
        command, cwd=desk, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL
    ) as ran:
        until(lambda: True if len(list(desk.glob("out/*.jpg"))) >= 12 else None)
        ran.send_signal(signal.SIGKILL)
    saved = {path.name: path.stat().st_mtime_ns for path in desk.glob("out/*.jpg")}
    assert 12 <= len(saved) < 60
    again = run(desk, *arguments, "--server", service.address)
    assert again.returncode == 0, again.stderr
    assert set(again.stdout.split()) == {f"out/{n:02d}-{sound}.jpg" for n in range(30) for sound in ("rain", "birds")}
    assert all((desk / "out" / name).stat().st_mtime_ns == time for name, time in saved.items())
    assert len(jobs_with_results(service) - before) == 60
    third = run(desk, *arguments, "--server", "http://127.0.0.1:9")  # there is nothing left to ask a service for
    assert third.returncode == 0, third.stderr
    other = run(desk, *arguments, "--strength", "0.5", "--server", service.address)
    assert (other.returncode, "--force overwrites" in other.stderr) == (2, True)


def test_one_bad_file_does_not_stop_the_others(service: RunningService, desk: Path) -> None:
    (desk / "photos" / "bad.jpg").write_bytes(b"no photograph")
    patterns = ["photos/0[01].jpg", "photos/b*"]
    ran = run(desk, "stylize", *patterns, "--sound", "rain.ogg", "-o", "new/folder", "--server", service.address)
    assert ran.returncode == 1
    assert "photos/bad.jpg with rain.ogg" in ran.stderr
    assert {path.name for path in (desk / "new/folder").glob("*.jpg")} == {"00-rain.jpg", "01-rain.jpg"}


@pytest.mark.parametrize("suffix", ["gif", "webp", "mp4"])
def test_a_sweep_is_an_animation(suffix: str, service: RunningService, desk: Path) -> None:
    steps = "-24:12:4"
    ran = run(
        desk, "stylize", "photos/00.jpg", "rain.ogg", "--sweep", steps, "-o", f"a.{suffix}", "--server", service.address
    )
    assert (ran.returncode, ran.stdout) == (0, f"a.{suffix}\n"), ran.stderr
    if suffix == "mp4":
        with av.open(str(desk / "a.mp4")) as video:
            assert sum(1 for _ in video.decode(video=0)) == 10
        return
    with Image.open(desk / f"a.{suffix}") as image:
        assert image.size == (64, 48)
        assert 10 <= getattr(image, "n_frames", 1) <= 18  # those that are alike are one


def test_a_preview_is_a_contact_sheet(service: RunningService, desk: Path) -> None:
    write_video(desk / "clip.mp4", Clip(), noise_track(2.0))
    ran = run(desk, "stylize-video", "clip.mp4", "--preview", "0.5", "--server", service.address)
    assert (ran.returncode, ran.stdout) == (0, "clip-preview.jpg\n"), ran.stderr
    with Image.open(desk / "clip-preview.jpg") as image:
        assert image.width > Clip().width


def test_a_photograph_follows_a_sound(service: RunningService, desk: Path) -> None:
    ran = run(desk, "stylize-video", "photos/00.jpg", "--audio", "rain.ogg", "-o", "r.mp4", "--server", service.address)
    assert (ran.returncode, ran.stdout) == (0, "r.mp4\n"), ran.stderr
    with av.open(str(desk / "r.mp4")) as video:
        assert (video.streams.video[0].width, len(video.streams.audio)) == (64, 1)


def test_values_may_begin_with_a_minus(service: RunningService, desk: Path) -> None:
    ran = run(
        desk,
        "stylize",
        "photos/00.jpg",
        "rain.ogg",
        "--gains-db",
        "-30,-20",
        "-o",
        "x.png",
        "--server",
        service.address,
    )
    assert ran.stdout.split() == ["x-30dB.png", "x-20dB.png"], ran.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["stylize", "photos/00.jpg", "rain.ogg", "-o", "x.tiff"], "results are .jpg, .png or .webp"),
        (["stylize", "photos/00.jpg", "rain.ogg", "-o", "x.png", "--format", "jpeg"], "does not go with"),
        (["stylize", "photos", "rain.ogg"], "name the sounds for all of its photographs by --sound"),
        (["stylize", "photos", "--sound", "nobody.ogg", "-o", "out/"], "there is no file nobody.ogg"),
        (["stylize", "photos", "--sound", "rain.ogg"], "-o FOLDER"),
        (["stylize", "photos", "--sound", "rain.ogg", "-o", "x.png"], "is no folder"),
        (["stylize", "none*.jpg", "--sound", "rain.ogg", "-o", "out/"], "no file fits none*.jpg"),
        (["stylize", "none*.jpg", "rain.ogg"], "no file fits none*.jpg"),
        (["stylize-video", "photos"], "photos is a folder, not a file"),
        (["stylize", "photos/00.jpg", "rain.ogg", "--gains-db", "-3,loud"], "'loud' is no number"),
        (["stylize", "photos/00.jpg", "rain.ogg", "--sweep", "-30:24", "-o", "x.gif"], "FROM:TO:STEP"),
        (["stylize", "photos/00.jpg", "rain.ogg", "--sweep", "-30:90:3", "-o", "x.gif"], "-60 to 24"),
        (["stylize", "photos/00.jpg", "rain.ogg", "--sweep", "-30:24:3", "-o", "x.png"], "NAME.gif"),
        (["stylize", "photos/00.jpg", "rain.ogg", "--sweep", "0:9:3", "--gain-db", "1", "-o", "x.gif"], "exclude"),
        (["stylize", "photos/00.jpg", "rain.ogg", "-o", "rain.ogg/x.png"], "cannot be made"),
        (["stylize", "photos", "twin", "--sound", "rain.ogg", "-o", "out/"], "rename one of them"),
        (["stylize-video", "clip.mp4", "-o", "x.webm"], "is MP4; name it NAME.mp4"),
        (["stylize-video", "photos/00.jpg"], "--audio"),
        (["stylize-video", "clip.mp4", "--automation", "1:2,quiet"], "SECONDS:DB"),
    ],
)
def test_what_cannot_be_done_is_told_before_the_work(arguments: list[str], words: str, desk: Path) -> None:
    (desk / "twin").mkdir()
    (desk / "twin" / "00.jpg").write_bytes((desk / "photos" / "01.jpg").read_bytes())
    (desk / "clip.mp4").write_bytes(b"never sent")
    ran = run(desk, *arguments, "--server", "http://127.0.0.1:9")
    assert (ran.returncode, words in ran.stderr) == (2, True), ran.stderr
    assert "Traceback" not in ran.stderr
    assert len(ran.stderr.splitlines()) <= 3, "the message is buried"


def test_a_batch_that_is_interrupted_says_how_to_go_on(service: RunningService, desk: Path) -> None:
    arguments = ["stylize", "photos", "--sound", "rain.ogg", "-o", "soon/", "--server", service.address]
    arguments += ["--strength", "0.77"]  # jobs that no other test has had made
    worker = child_named(service.pid, "images")
    os.kill(worker, signal.SIGSTOP)  # so that the batch cannot end before it is interrupted
    try:
        with subprocess.Popen(
            [sys.executable, "-m", "service", *arguments],
            cwd=desk,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 a shell ignores it in background jobs
        ) as ran:
            try:
                until(lambda: True if jobs_that_wait(service) else None)
                ran.send_signal(signal.SIGINT)
                _, said = ran.communicate(timeout=60)
            finally:
                ran.kill()
    finally:
        os.kill(worker, signal.SIGCONT)
    assert (ran.returncode, "the same command goes on" in said) == (130, True), said
    assert "Traceback" not in said


def jobs_that_wait(service: RunningService) -> float:
    metrics = httpx.get(f"{service.address}/metrics").raise_for_status().text
    return float(metrics.partition('adis_queue_jobs{queue="images"} ')[2].partition("\n")[0])


def test_a_result_that_cannot_be_written_is_named(service: RunningService, desk: Path) -> None:
    ran = run(desk, "stylize", "photos/00.jpg", "rain.ogg", "-o", "/proc/x.jpg", "--server", service.address)
    assert (ran.returncode, "/proc/x.jpg cannot be written" in ran.stderr) == (1, True), ran.stderr


def test_warnings_of_a_batch_name_the_files(service: RunningService, desk: Path) -> None:
    patterns = ["photos/0[01].jpg", "--sound", "birds.ogg"]
    ran = run(desk, "stylize", *patterns, "--gain-db", "-60", "-o", "quiet/", "--server", service.address)
    assert "warning: photos/00.jpg with birds.ogg and 1 more: " in ran.stderr


def test_a_program_restyles_and_saves(client: Client, desk: Path) -> None:
    photo, rain = client.upload(desk / "photos/00.jpg"), client.upload(desk / "rain.ogg")
    assert client.upload(desk / "rain.ogg").id == rain.id
    job = client.stylize(photo, rain, gains_db=[-12, 0], format="png")
    assert [result.gain_db for result in job.results] == [-12, 0]
    assert job.results[0].heard.loudness_dbfs < job.results[1].heard.loudness_dbfs
    client.save(job.results[1], desk / "loud.png")
    assert (desk / "loud.png").read_bytes() == client.read(job.results[1])
    assert client.models()[0].name == "tiny"


def test_a_program_is_told_what_went_wrong(client: Client, desk: Path) -> None:
    with pytest.raises(Refused) as refused:
        client.stylize(desk / "rain.ogg", desk / "rain.ogg")
    assert (refused.value.status, refused.value.field) == (415, "image")
    broken = write_video(desk / "broken.mp4", Clip(frames=60), noise_track(2.0))
    broken.write_bytes(broken.read_bytes()[:-2_000])
    with pytest.raises((JobFailed, Refused)):
        client.stylize_video(broken)
    with Client("http://127.0.0.1:9") as nobody, pytest.raises(NoService):
        nobody.models()


def test_asynchronous_programs_do_the_same(service: RunningService, desk: Path) -> None:
    async def restyle() -> list[int]:
        async with AsyncClient(service.address) as client:
            photo = await client.upload(desk / "photos/00.jpg")
            jobs = await asyncio.gather(*(client.stylize(photo, desk / "rain.ogg", gain_db=gain) for gain in (-6, 0)))
            await client.save(jobs[0].results[0], desk / "quiet.jpg")
            return [len(await client.read(job.results[0])) for job in jobs]

    assert all(asyncio.run(restyle()))
    assert (desk / "quiet.jpg").exists()

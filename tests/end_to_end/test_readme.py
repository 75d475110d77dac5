"""The README keeps its word: its commands and code run against the real service, and what it names exists."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from service.media.limits import MediaLimits
from service.media.video_file import probe_video
from service.settings import Settings
from tests.support.media import make_noise, make_photo, make_tone, write_jpeg, write_ogg
from tests.support.running_service import ROOT, RunningService
from tests.support.tiny_service import tiny_service
from tests.support.video import Clip, noise_track, write_video

README = re.sub(r"<!--.*?-->", "", (ROOT / "README.md").read_text(), flags=re.DOTALL)
WRITTEN_ADDRESS = "http://127.0.0.1:8000"
SIZE = (120, 80)


def blocks(language: str) -> list[str]:
    """The fenced code blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


CURL_LINES = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("curl ")]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with tiny_service(tmp_path_factory.mktemp("readme")) as running:
        yield running


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with the files that the README speaks of."""
    write_jpeg(tmp_path / "photo.jpg", make_photo(*SIZE))
    write_ogg(tmp_path / "rain.ogg", make_noise(5.0))
    write_ogg(tmp_path / "birds.ogg", make_tone(4.0, hertz=3000))
    write_video(tmp_path / "clip.mp4", Clip(), noise_track(2.0))
    return tmp_path


def test_there_are_six_lines_of_curl_for_images_and_one_for_videos() -> None:
    assert len(CURL_LINES) == 7


@pytest.mark.parametrize("line", CURL_LINES, ids=range(1, len(CURL_LINES) + 1))
def test_a_line_of_curl_does_what_it_says(service: RunningService, desk: Path, line: str) -> None:
    command = shlex.split(line.replace(WRITTEN_ADDRESS, service.address))
    ran = subprocess.run([*command, "--fail-with-body"], cwd=desk, capture_output=True, timeout=120)
    assert ran.returncode == 0, ran.stdout.decode(errors="replace") + ran.stderr.decode(errors="replace")
    if "-o" not in command:
        assert json.loads(ran.stdout)
        return
    written = desk / command[command.index("-o") + 1]
    if written.suffix == ".json":
        job = json.loads(written.read_text())
        assert job["state"] == "succeeded"
        assert len(job["results"]) == 4
    elif written.suffix == ".mp4":
        assert probe_video(written, MediaLimits()).frames == Clip().frames
    else:
        with Image.open(written) as image:
            assert image.format == written.suffix[1:].upper()
            assert image.size == ((1200, 800) if "example:" in line else SIZE)


def test_the_python_example_writes_a_sweep(service: RunningService, desk: Path) -> None:
    (example,) = blocks("python")
    code = example.replace(WRITTEN_ADDRESS, service.address)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=desk, env=environment, capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("dBFS") == 4
    for number, gain in enumerate(("-30", "-20", "-10", "+0"), start=1):
        with Image.open(desk / f"photo-rain-{number:02d}_{gain}dB.jpg") as image:
            assert image.size == SIZE


def test_every_make_target_that_it_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)(?= |`|$)", README, re.MULTILINE)) & targets >= {"serve", "test", "bench"}


def test_every_setting_that_it_names_exists_with_the_default_that_it_says() -> None:
    rows = re.findall(r"^\| (`ADIS_[^|]+) \| ([^|]+) \|", README, re.MULTILINE)
    assert len(rows) > 5
    for names, defaults in rows:
        fields = [name.removeprefix("ADIS_").lower() for name in re.findall(r"`(\w+)`", names)]
        values = re.findall(r"`([^`]+)`", defaults)
        for field in fields:
            assert field in Settings.model_fields, field
        for field, value in zip(fields, values, strict=False):
            default = Settings.model_fields[field].default
            shown = ",".join(default) if isinstance(default, list) else str(default)
            assert shown.lower() == value, field


def test_every_link_and_folder_that_it_names_exists() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    layout = blocks("text")[-1]
    parent = Path()
    for line in layout.splitlines():
        name = line.split()[0]
        path = Path(name) if line[0] != " " else parent / name
        parent = path if line[0] != " " else parent
        links.append(str(path))
    assert len(links) > 10
    for link in links:
        assert (ROOT / link).exists(), link

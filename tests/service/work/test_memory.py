"""A 12-megapixel photograph goes through a model of realistic shape in bounded memory."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.media import make_tone, tiled_photo, write_jpeg, write_wav
from tests.support.realistic_decoder import realistic_decoder
from tests.support.tiny_bundle import write_tiny_bundle

ROOT = Path(__file__).parents[3]
BOUND_KIB = 1_500_000

PROGRAM = """
import sys
from pathlib import Path
from service.media.audio import read_window
from service.media.image_reader import ReadPlan, read_image
from service.media.image_writer import encode_image
from service.media.limits import MediaLimits
from service.model.bundle import load_bundle
from service.model.engine import Engine
from service.work.audio_input import window_of
from service.work.image_source import HeldSource
from service.work.image_stylization import encode_content, stylize_image
from service.schemas.requests import ImageRequest

folder = Path(sys.argv[1])
engine = Engine(load_bundle(folder / "realistic"))
limits = MediaLimits()
_, pixels = read_image(folder / "photo", limits, ReadPlan())
manifest = engine.manifest
*_, report, waveform = read_window(folder / "sound", limits, manifest.sample_rate_hz, manifest.clip_samples)
windows = [window_of(report, waveform)]
request = ImageRequest(gains_db=(-10, -5, 0))
seen = encode_content(engine, HeldSource(pixels), 1.0)
for result in stylize_image(engine, seen, windows, request, lambda done, total: None):
    assert result.pixels.shape == pixels.shape == (3000, 4000, 3)
    assert (result.pixels != pixels).any()
    encode_image(result.pixels, "png")
print(next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the high-water mark from /proc")
@pytest.mark.timeout(600)
def test_twelve_megapixels_stay_under_one_and_a_half_gigabytes(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path / "realistic", decoder=realistic_decoder())
    write_jpeg(tmp_path / "photo", tiled_photo(4000, 3000))
    write_wav(tmp_path / "sound", make_tone(30))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    high_water_kib = int(done.stdout.split()[1])
    assert high_water_kib < BOUND_KIB

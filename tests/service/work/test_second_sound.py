"""A sound mixed into a video's soundtrack turns the look evenly, and a preview shows what the video will have."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from service.examples.sounds import SAMPLE_RATE_HZ, SOUNDS
from service.media.decoder_pool import DecoderPool
from service.media.limits import MediaLimits
from service.media.soundtrack import GainCurve
from service.media.video_manifest import read_manifest
from service.model.bundle import load_bundle
from service.model.engine import Engine
from service.redis.connection import Client
from service.settings import Settings
from service.storage.folder import Storage
from service.work.audio_track import AudioTrack
from service.work.engines import Engines
from service.work.job_runner import JobRunner
from service.work.soundtrack import edit_soundtrack
from tests.service.jobs.harness import read
from tests.service.work.conftest import Queue
from tests.support.media import write_wav
from tests.support.video import Clip, write_video

DEMO = Path(__file__).parents[3] / "models" / "demo"
LEVEL = 0.05
GAINS_DB = (-60.0, -6.0, 0.0, 6.0, 24.0)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(load_bundle(DEMO), ["cpu"], allow_fallback=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video with birdsong, and rain to mix in; equally loud."""
    folder = tmp_path_factory.mktemp("second")
    birds, rain = (_at_level(SOUNDS[name].waveform()) for name in ("birdsong", "rain"))
    clip = Clip(frames=40, width=32, height=32, sample_rate_hz=SAMPLE_RATE_HZ)
    write_video(folder / "birds.mkv", clip, np.stack([birds, birds]))
    write_wav(folder / "rain.wav", rain, SAMPLE_RATE_HZ)
    return folder


def _at_level(waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    return waveform * np.float32(LEVEL / np.sqrt(np.mean(waveform**2)))


def mixed_track(engine: Engine, decoder_pool: DecoderPool, folder: Path, gain_db: float) -> AudioTrack:
    source = folder / "birds.mkv"
    manifest = read_manifest(source, MediaLimits())
    edited = edit_soundtrack(
        engine, decoder_pool, source, manifest, folder / "rain.wav", GainCurve(((0.0, 0.0),)), gain_db, folder / "s.mp4"
    )
    return edited.track


def test_its_gain_turns_the_look_evenly(engine: Engine, decoder_pool: DecoderPool, folder: Path) -> None:
    tracks = [mixed_track(engine, decoder_pool, folder, gain_db) for gain_db in GAINS_DB]
    directions = np.stack([_direction(track.embeddings.mean(axis=0)) for track in tracks])
    way = directions[-1] - directions[0]
    places = (directions - directions[0]) @ way / (way @ way)
    assert (np.diff(places) > 0).all()
    assert 0.3 < places[GAINS_DB.index(0.0)] < 0.7
    near = {near.name for near in tracks[GAINS_DB.index(0.0)].heard.nearest[:2]}
    assert near == {"rain", "summer"}


def test_it_stays_as_strong_as_the_whole_is_loud(engine: Engine, decoder_pool: DecoderPool, folder: Path) -> None:
    quiet, loud = (mixed_track(engine, decoder_pool, folder, gain_db) for gain_db in (-60.0, 12.0))
    lengths = [np.linalg.norm(track.embeddings, axis=1).mean() for track in (quiet, loud)]
    assert lengths[1] > lengths[0] > 0.3


def test_a_preview_hears_what_the_video_will(
    client: Client,
    redis_url: str,
    storage: Storage,
    settings: Settings,
    decoder_pool: DecoderPool,
    queued: Queue,
    folder: Path,
) -> None:
    shipped = settings.model_copy(update={"models_dir": DEMO.parent, "default_model": "demo"})
    workshop = JobRunner(client, storage, Engines(shipped), decoder_pool, shipped, worker="w")
    job_id = queued(folder / "birds.mkv", folder / "rain.wav", kind="preview", at_seconds=3.0, model="demo")
    workshop.run(job_id)
    record = read(redis_url, job_id)
    nearest = [[near["name"] for near in result.heard["nearest"][:2]] for result in record.results]
    assert set(nearest[3]) == {"rain", "summer"}  # at equal loudness
    assert (nearest[1][0], nearest[5][0]) == ("rain", "summer")  # the soundtrack 12 dB lower, and higher


def _direction(embedding: NDArray[np.float32]) -> NDArray[np.float32]:
    return embedding / np.float32(np.linalg.norm(embedding))

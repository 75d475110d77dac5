"""The example sounds are heard by the shipped model as what they are meant to be; the files are what is drawn."""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.build import SHIPPED_MODELS
from service.examples.catalogue import EXAMPLES, FOLDER, make_file
from service.examples.sounds import SOUNDS
from service.heard import Heard
from service.media.decoder_pool import DecoderPool
from service.media.limits import MediaLimits
from service.model.audio import heard
from service.model.bundle import find_bundle
from service.model.engine import Engine
from service.work.audio_input import choose_window

NAMES = list(SOUNDS)


def samples_of(path: Path) -> NDArray[np.float32]:
    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)


@pytest.fixture(scope="module")
def pool() -> Iterator[DecoderPool]:
    with DecoderPool(MediaLimits()) as opened:
        yield opened


@pytest.fixture(scope="module")
def reports(pool: DecoderPool) -> dict[str, Heard]:
    """What the service reports of each sound, from its file on."""
    engine, found = Engine(find_bundle(SHIPPED_MODELS, "demo")), {}
    for name in NAMES:
        window = choose_window(pool, EXAMPLES[name].path, engine.manifest, None)
        embedding = engine.embed(window.waveform[None])[0]
        found[name] = heard([window], window.waveform, embedding, engine.manifest.sounds, None)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_the_shipped_model_hears_each_sound_as_its_scene(name: str, reports: dict[str, Heard]) -> None:
    report = reports[name]
    assert report.nearest[0].name == SOUNDS[name].scene
    assert report.nearest[0].known
    assert not report.warnings
    assert report.effect > 0.3


def test_stronger_rain_has_more_effect(reports: dict[str, Heard]) -> None:
    light, rain, heavy = (reports[name] for name in ("rain-light", "rain", "rain-heavy"))
    assert light.loudness_dbfs + 5 < rain.loudness_dbfs < heavy.loudness_dbfs - 5
    assert light.effect < rain.effect < heavy.effect


@pytest.mark.parametrize("name", NAMES)
def test_a_sound_is_the_same_at_every_call_and_not_clipped(name: str) -> None:
    first, second = (SOUNDS[name].waveform() for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert 0.1 < np.abs(first).max() < 0.95


def test_the_images_are_small_and_varied() -> None:
    for example in EXAMPLES.values():
        if example.field == "image":
            assert example.path.stat().st_size < 500_000
            with Image.open(example.path) as image:
                assert (image.format, image.size) == ("JPEG", (1200, 800))
                assert np.asarray(image.convert("L")).std() > 30


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_files_are_what_the_programs_make(name: str, tmp_path: Path) -> None:
    """As pixels and samples: another build of an encoder may choose other bytes."""
    example = EXAMPLES[name]
    make_file(example, tmp_path / example.file_name)
    if example.field == "image":
        made, shipped = (np.asarray(Image.open(path), float) for path in (tmp_path / example.file_name, example.path))
        assert np.abs(made - shipped).mean() < 1
        return
    made, shipped = (samples_of(path) for path in (tmp_path / example.file_name, example.path))
    assert np.abs(made - shipped).mean() < 0.05 * np.abs(shipped).mean()


def test_no_other_file_lies_beside_them() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {example.file_name for example in EXAMPLES.values()}

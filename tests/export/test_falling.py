"""An exported model's streaks fall through a video, and through nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from service.model.bundle import load_bundle
from service.model.engine import Engine
from service.work.falling import Falling
from training.networks.streaks import SLANT_DEGREES, streak_field


@pytest.fixture(scope="module")
def engine(bundle: Path) -> Engine:
    return Engine(load_bundle(bundle))


def test_the_manifest_says_where_the_field_is(engine: Engine) -> None:
    assert engine.manifest.falling is not None
    assert (engine.manifest.falling.channels, engine.manifest.falling.slant_degrees) == (16, SLANT_DEGREES)


def test_the_field_is_the_generators_own(engine: Engine) -> None:
    assert np.allclose(Falling(engine).at(0.0, 256, 256)[:, :, 0], streak_field().numpy(), atol=1e-6)


def test_it_moves_down_its_slant_and_covers_any_size(engine: Engine) -> None:
    falling = Falling(engine)
    before, after = falling.at(1.0, 300, 500)[:, :, 0], falling.at(1.0 + 10 / 900, 300, 500)[:, :, 0]
    assert before.shape == (300, 500)
    assert np.array_equal(after[10:, :498], before[:-10, 2:500])  # ten rows down, two columns to the left


def test_without_streaks_a_picture_has_none_and_the_reach_is_what_they_add(engine: Engine) -> None:
    falling = Falling(engine)
    rng = np.random.default_rng(0)
    image = rng.random((1, 3, 64, 64), np.float32)
    sound = rng.normal(0, 0.3, (1, engine.manifest.clip_samples)).astype(np.float32)
    embedding, content = engine.embed(sound), engine.encode(image)
    still = falling.without(content)
    assert not still[:, -16:].any()
    assert np.array_equal(still[:, :-16], content[:, :-16])
    dry = engine.decode(still, embedding)[0]
    wet_content = still.copy()
    wet_content[:, -16:] = 1
    again, reach = engine.decode_with_reach(still, embedding)
    assert np.array_equal(again[0], dry)
    added = engine.decode(wet_content, embedding)[0] - dry
    inside = (dry > 0.001) & (dry + reach[0] < 0.999)  # where neither end is cut off
    assert np.abs(reach[0] - np.maximum(added, 0))[inside].max() < 1e-5
    assert reach.max() > 0.01

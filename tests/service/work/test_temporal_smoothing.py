"""Flicker is measured along the motion, and taken out of what the sound changes."""

import numpy as np
from numpy.typing import NDArray

from service.work.temporal_smoothing import FlickerMeter, Flow, TemporalSmoother, grey, warp
from tests.support.media import make_photo

Frame = NDArray[np.float32]
IMAGE = make_photo(400, 200)


def frames(count: int, step: int = 2) -> list[Frame]:
    """A camera that pans over a photograph: [96, 160, 3] each."""
    return [np.ascontiguousarray(IMAGE[40:136, step * n : step * n + 160], np.float32) / 255 for n in range(count)]


def flickering(count: int, level: float = 0.1) -> list[Frame]:
    """Changes of the whole frame that jump about their mean of `level`."""
    rng = np.random.default_rng(0)
    return [np.full((96, 160, 3), level * (1 + rng.uniform(-0.8, 0.8)), np.float32) for _ in range(count)]


def errors(given: list[Frame], shown: list[Frame]) -> tuple[float, float]:
    meter = FlickerMeter()
    for small, result in zip(given, shown, strict=True):
        meter.push(small, result)
    before, after = np.mean(meter.errors, axis=0)
    return float(before), float(after)


def test_the_flow_tells_where_each_pixel_was() -> None:
    first, second = frames(2, step=3)
    flow = Flow().between(grey(second), grey(first))
    assert abs(np.median(flow[20:-20, 20:-20, 0]) - 3) < 0.2
    assert abs(np.median(flow[20:-20, 20:-20, 1])) < 0.2
    inside = np.abs(warp(first, flow) - second)[10:-10, 10:-10]
    assert inside.mean() < 0.02


def test_a_still_effect_on_a_moving_image_counts_as_no_flicker() -> None:
    given = frames(17)
    before, after = errors(given, [0.5 * frame + 0.2 for frame in given])
    assert after < before


def test_an_effect_that_jumps_counts_as_flicker() -> None:
    given = frames(17)
    before, after = errors(given, [frame + change for frame, change in zip(given, flickering(17), strict=True)])
    assert after > 2 * before


def test_steadying_takes_most_of_the_flicker_away_and_keeps_the_effect() -> None:
    given, raw = frames(33), flickering(33)
    smoother = TemporalSmoother()
    steady = [smoother.smooth(n / 30, frame, change) for n, (frame, change) in enumerate(zip(given, raw, strict=True))]
    before, naive = errors(given, [frame + change for frame, change in zip(given, raw, strict=True)])
    _, after = errors(given, [frame + change for frame, change in zip(given, steady, strict=True)])
    assert after - before < 0.35 * (naive - before)
    assert abs(np.mean(steady[10:]) - 0.1) < 0.02


def test_a_cut_begins_anew() -> None:
    smoother, dark, light = TemporalSmoother(), np.zeros((96, 160, 3), np.float32), frames(1)[0]
    smoother.smooth(0.0, dark, np.full_like(dark, 0.3))
    after = smoother.smooth(1 / 30, light, np.zeros_like(light))
    assert np.median(np.abs(after)) < 0.01


def test_what_was_long_ago_is_forgotten() -> None:
    frame = frames(1)[0]
    soon, late = TemporalSmoother(), TemporalSmoother()
    for smoother, seconds in ((soon, 0.03), (late, 2.0)):
        smoother.smooth(0.0, frame, np.full_like(frame, 0.3))
        changed = smoother.smooth(seconds, frame, np.zeros_like(frame))
        assert (changed.mean() > 0.2) == (seconds < 1)

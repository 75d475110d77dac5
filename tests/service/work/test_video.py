"""The frames of a video are restyled in step with its sound, in segments that show no seam."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from service.media.decoder_pool import DecoderPool
from service.media.frames import read_frames
from service.media.limits import MediaLimits
from service.media.mux import Segment, mux
from service.media.soundtrack import GainCurve
from service.media.timeline import Timeline
from service.media.video_manifest import read_manifest
from service.model.bound_graph import DeviceTensor
from service.model.bundle import load_bundle
from service.model.engine import Engine
from service.work.soundtrack import edit_soundtrack
from service.work.video import VideoPlan, correlation, plan_segments, render, result_size
from tests.support.media import make_photo
from tests.support.tiny_bundle import write_tiny_bundle
from tests.support.video import Clip, noise_track, write_video

LIMITS = MediaLimits()

PlanOf = Callable[..., VideoPlan]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine(load_bundle(write_tiny_bundle(tmp_path_factory.mktemp("models") / "tiny")))


@pytest.fixture
def plan_of(engine: Engine, decoder_pool: DecoderPool) -> PlanOf:
    def plan_of(source: Path, points: tuple[tuple[float, float], ...] = ((0.0, 0.0),)) -> VideoPlan:
        manifest = read_manifest(source, LIMITS)
        sound = edit_soundtrack(
            engine, decoder_pool, source, manifest, None, GainCurve(points), 0.0, source.with_name("sound.mp4")
        )
        return VideoPlan(
            decoder_pool=decoder_pool, source=source, manifest=manifest, size=result_size(manifest.format, None),
            track=sound.track, strength=1.0, smoothing_seconds=0.5, max_inference_side=384,
        )  # fmt: skip

    return plan_of


def rendered(engine: Engine, plan: VideoPlan, cuts: tuple[int, ...] = (0,)) -> list[NDArray[np.uint8]]:
    """The frames of the joined result."""
    count = len(plan.timeline.pts)
    segments = [
        Segment(plan.source.with_name(f"segment{first}.mp4"), first, stop)
        for first, stop in zip(cuts, [*cuts[1:], count], strict=True)
    ]
    for segment in segments:
        render(engine, plan, segment, lambda _: None)
    target = plan.source.with_name("result.mp4")
    mux(target, plan.source, plan.manifest, segments, [])
    made = read_manifest(target, LIMITS)
    assert made.timeline.pts == plan.timeline.pts
    return [pixels for _, pixels in read_frames(target, LIMITS, made, 0, count, plan.size)]


def originals(plan: VideoPlan) -> list[NDArray[np.uint8]]:
    frames = read_frames(plan.source, LIMITS, plan.manifest, 0, len(plan.timeline.pts), plan.size)
    return [pixels for _, pixels in frames]


def blue_gain(plan: VideoPlan, frames: list[NDArray[np.uint8]]) -> NDArray[np.float64]:
    """How much bluer each frame has become: what noise does to the tiny model's images."""
    return np.array(
        [
            float(made[..., 2].mean()) - float(given[..., 2].mean())
            for made, given in zip(frames, originals(plan), strict=True)
        ]
    )


def test_louder_means_more_in_step(engine: Engine, plan_of: PlanOf, tmp_path: Path) -> None:
    source = write_video(tmp_path / "a.mp4", Clip(frames=80, brightness=0.5), noise_track(8.0, rms=0.05))
    plan = plan_of(source, ((2.0, -40.0), (6.0, 6.0)))
    gained = blue_gain(plan, rendered(engine, plan))
    assert gained[-1] > gained[0] + 10
    seconds = np.array([plan.timeline.seconds(index) for index in range(80)])
    follows = correlation(plan.track.loudness_at(seconds).tolist(), gained.tolist())
    assert follows is not None
    assert follows > 0.8


def test_parts_join_to_the_same_video_without_a_seam(engine: Engine, plan_of: PlanOf, tmp_path: Path) -> None:
    source = write_video(tmp_path / "a.mp4", Clip(frames=60, brightness=0.5), noise_track(6.0))
    plan = plan_of(source, ((0.0, -20.0), (6.0, 6.0)))
    whole, segments = rendered(engine, plan), rendered(engine, plan, cuts=(0, 20, 37))
    assert len(whole) == len(segments) == 60
    differences = [np.abs(a.astype(int) - b).mean() for a, b in zip(whole, segments, strict=True)]
    assert max(differences) < 3  # the encoders', which begin anew
    steps = [np.abs(a.astype(int) - b).mean() for a, b in pairwise(segments)]
    for seam in (19, 36):
        assert steps[seam] < 1.5 * np.median(steps)


def test_a_narrow_strip_is_made_too(engine: Engine, plan_of: PlanOf, tmp_path: Path) -> None:
    source = write_video(tmp_path / "a.mp4", Clip(frames=4, width=640, height=16, brightness=0.5), noise_track(1.0))
    plan = replace(plan_of(source), max_inference_side=64)
    assert blue_gain(plan, rendered(engine, plan)).min() > 5


def edges_alike(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Correlation of the horizontal steps in green, which the tiny model hardly touches."""
    return float(
        np.corrcoef(*(np.diff(frame[..., 1].astype(float), axis=1).ravel() for frame in (first, second)))[0, 1]
    )


@pytest.mark.parametrize("rotation", [0, 90, -90, 180])
def test_the_model_sees_turned_frames_upright(engine: Engine, plan_of: PlanOf, tmp_path: Path, rotation: int) -> None:
    seen = []

    class Looking(Engine):
        def encode(self, images: NDArray[np.float32] | NDArray[np.uint8]) -> DeviceTensor:
            seen.append(images)
            return super().encode(images)

    image = np.zeros((384, 512, 3), np.uint8)
    image[:192] = 255  # light above, as stored
    source = write_video(tmp_path / "a.mp4", Clip(frames=3, rotation=rotation), noise_track(1.0), image=image)
    plan = plan_of(source)
    render(Looking(engine.bundle, threads=1), plan, Segment(tmp_path / "segment.mp4", 0, 3), lambda _: None)
    image = seen[0][0].mean(axis=2) / 255
    sides = {
        0: image[: len(image) // 3], 180: image[-(len(image) // 3) :],
        90: image[:, : image.shape[1] // 3], -90: image[:, -(image.shape[1] // 3) :],
    }  # fmt: skip
    assert sides[rotation].mean() > 0.8
    assert image.mean() < 0.8


def test_a_part_begins_early_so_that_its_first_frame_is_steady(
    engine: Engine, plan_of: PlanOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(write_video(tmp_path / "a.mp4", Clip(frames=40), noise_track(4.0)))
    read: list[int] = []

    read_frames = plan.decoder_pool.read_frames

    def noted(*arguments: Any) -> Any:
        read.append(arguments[2])
        return read_frames(*arguments)

    monkeypatch.setattr(plan.decoder_pool, "read_frames", noted)
    report = render(engine, plan, Segment(tmp_path / "segment.mp4", 20, 30), lambda _: None)
    assert read == [14]
    assert len(report.effect) == 10
    assert report.effect[0] > 1
    still = render(engine, replace(plan, strength=0.0), Segment(tmp_path / "segment.mp4", 0, 10), lambda _: None)
    assert max(still.effect) < 1e-3


def test_strength_0_leaves_the_images_alone(engine: Engine, plan_of: PlanOf, tmp_path: Path) -> None:
    source = write_video(tmp_path / "a.mp4", Clip(frames=6, brightness=0.5), noise_track(1.0))
    plan = replace(plan_of(source), strength=0.0)
    assert np.abs(blue_gain(plan, rendered(engine, plan))).max() < 1.5


def test_a_large_frame_keeps_its_detail(engine: Engine, plan_of: PlanOf, tmp_path: Path) -> None:
    clip = Clip(frames=4, width=320, height=240, brightness=0.7)
    source = write_video(tmp_path / "a.mp4", clip, noise_track(1.0), image=make_photo(640, 480))
    plan = replace(plan_of(source), max_inference_side=64)
    made, given = rendered(engine, plan), originals(plan)
    for result, source_frame in zip(made, given, strict=True):
        blurred = cv2.resize(cv2.resize(source_frame, (64, 48), interpolation=cv2.INTER_AREA), (320, 240))
        kept, lost = (edges_alike(frame, source_frame) for frame in (result, blurred))
        assert kept > 0.75
        assert lost < kept - 0.1
    assert blue_gain(plan, made).min() > 5


def test_what_progress_raises_stops_the_work_and_leaves_no_half_file(
    engine: Engine, plan_of: PlanOf, tmp_path: Path
) -> None:
    plan = plan_of(write_video(tmp_path / "a.mp4", Clip(frames=40), noise_track(4.0)))

    class Stop(Exception):
        pass

    def stop(_: int) -> None:
        raise Stop

    with pytest.raises(Stop):
        render(engine, plan, Segment(tmp_path / "x.mp4", 0, 40), stop)
    assert not [path for path in tmp_path.iterdir() if "x.mp4" in path.name]


def timeline(frames: int, key_every: int, fps: int = 10) -> Timeline:
    return Timeline(Fraction(1, fps), tuple(range(frames)), tuple(range(frames)), tuple(range(0, frames, key_every)), 1)


@pytest.mark.parametrize(("frames", "key_every"), [(20, 5), (300, 7), (1000, 10_000), (95, 1), (119, 7), (1, 1)])
def test_parts_cover_every_frame_once_and_none_is_long(frames: int, key_every: int, tmp_path: Path) -> None:
    segments = plan_segments(timeline(frames, key_every), tmp_path, "", "mp4")
    assert segments[0].first == 0
    assert segments[-1].stop == frames
    assert all(one.stop == other.first for one, other in pairwise(segments))
    assert all(0 < segment.stop - segment.first <= 120 for segment in segments)


@pytest.mark.parametrize("seconds", [13, 21, 60, 90, 100])
def test_two_workers_have_the_same_number_of_equal_parts(seconds: int, tmp_path: Path) -> None:
    lengths = [
        segment.stop - segment.first for segment in plan_segments(timeline(seconds * 10, 50), tmp_path, "", "mp4")
    ]
    assert len(lengths) % 2 == 0
    assert max(lengths) - min(lengths) <= 1

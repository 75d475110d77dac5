"""Decoded frames become a timeline in which every frame has its own time."""

from collections.abc import Sequence
from fractions import Fraction

import pytest

from service.media.timeline import DecodedFrame, Timeline, build_timeline

MILLISECONDS = Fraction(1, 1000)


def timeline(ticks: Sequence[int | None], time_base: Fraction = MILLISECONDS, start: int = 0) -> Timeline:
    frames = [DecodedFrame(tick, is_key=index % 4 == 0, duration=40) for index, tick in enumerate(ticks)]
    return build_timeline(frames, time_base, start)


@pytest.mark.parametrize(
    ("ticks", "shown"),
    [
        ([0, 40, 80, 120], [0, 40, 80, 120]),
        ([0, 40, 40, 120], [0, 40, 41, 120]),
        ([0, 40, 40, 40, 41, 42], [0, 40, 41, 42, 43, 44]),
        ([2, 6, 8, 4, 10], [2, 4, 6, 8, 10]),  # AVI times frames by the order in which they are stored
        ([0, None, None, 120], [0, 40, 80, 120]),
        ([None, None], [0, 40]),
        ([5000, 5040, 0, 40], [5000, 5040, 5080, 5120]),  # two recordings, joined
        ([-80, -40, 0], [-80, -40, 0]),
    ],
)
def test_every_frame_has_a_time_of_its_own(ticks: list[int | None], shown: list[int]) -> None:
    assert list(timeline(ticks).pts) == shown


def test_coarse_clocks_are_refined_before_frames_are_set_apart() -> None:
    made = timeline([0, 1, 1, 2], Fraction(1, 25))
    assert [float(tick * made.time_base) for tick in made.pts] == pytest.approx([0, 0.04, 0.041, 0.08])
    assert made.decoded == (0, 1, 1, 2)
    assert timeline([0, 1, 2], Fraction(1, 25)).time_base == Fraction(1, 25)


def test_jumps_back_are_noted_for_the_sound() -> None:
    assert timeline([5000, 5040, 0, 40, 80, 120, 2000, 40]).offsets == (Fraction("5.08"), Fraction("8.92"))
    assert timeline([0, 40, 20]).offsets == ()


def test_a_clock_that_begins_anywhere_is_moved() -> None:
    made = timeline([1400, 1440], start=1400)
    assert (made.pts, made.decoded) == ((0, 40), (1400, 1440))


def test_decoding_begins_at_key_frames_whose_time_is_theirs_alone() -> None:
    made = timeline([0, 40, 80, 120, 120, 200, 240, 280, 320])
    assert made.key_frames == (0, 8)  # the fifth frame shares its time
    assert list(made.key_frames_before(8)) == [8, 0]
    assert list(made.key_frames_before(7)) == [0]


def test_earlier_key_frames_come_in_ever_larger_steps() -> None:
    frames = [DecodedFrame(index, True, 1) for index in range(20)]
    assert list(build_timeline(frames, MILLISECONDS, 0).key_frames_before(15)) == [15, 14, 12, 8, 0]

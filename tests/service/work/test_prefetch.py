"""Stages beside each other: the order stays, and an error comes in its turn."""

import threading
import time
from collections.abc import Iterator
from itertools import count

import pytest

from service.work.prefetch import ahead, in_lanes


def numbers(drawn: list[int]) -> Iterator[int]:
    """0, 1, 2 and so on, without end; `drawn` gets each as it is asked for."""
    for number in count():
        drawn.append(number)
        yield number


def test_what_is_made_in_lanes_keeps_its_order() -> None:
    def slower_at_first(number: int) -> int:
        time.sleep(0.02 if number % 2 == 0 else 0)
        return number * number

    assert list(in_lanes(slower_at_first, iter(range(12)), lanes=3, most=2)) == [number**2 for number in range(12)]


def test_lanes_work_beside_each_other() -> None:
    both = threading.Barrier(2, timeout=20)
    assert sorted(in_lanes(lambda _: both.wait(), iter(range(2)), lanes=2, most=1)) == [0, 1]


def test_lanes_take_no_more_than_they_may() -> None:
    taken: list[int] = []
    made = in_lanes(lambda number: number, numbers(taken), lanes=2, most=3)
    assert next(made) == 0
    assert len(taken) == 5
    made.close()
    assert len(taken) == 5


def test_an_error_in_a_lane_comes_in_its_turn() -> None:
    def fail_at_two(number: int) -> int:
        if number == 2:
            raise ValueError("two")
        return number

    made = in_lanes(fail_at_two, iter(range(9)), lanes=2, most=1)
    assert [next(made), next(made)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(made)


def test_closing_waits_for_what_is_in_the_making() -> None:
    ended = []

    def slow(number: int) -> int:
        time.sleep(0.05)
        ended.append(number)
        return number

    made = in_lanes(slow, iter(range(50)), lanes=2, most=2)
    next(made)
    made.close()
    count = len(ended)
    time.sleep(0.15)
    assert len(ended) == count < 10


def test_a_stage_that_runs_ahead_hands_over_items_and_errors_in_turn() -> None:
    def items() -> Iterator[int]:
        yield from range(3)
        raise ValueError("broken")

    with ahead(items(), 2) as made:
        assert [next(made) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(ValueError, match="broken"):
            next(made)


def test_a_stage_that_runs_ahead_ends_with_its_block() -> None:
    made_so_far: list[int] = []
    with ahead(numbers(made_so_far), 2) as made:
        assert next(made) == 0
    assert len(made_so_far) < 10

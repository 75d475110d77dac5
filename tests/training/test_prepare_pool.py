"""A task that takes its process with it costs no other task its result."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time

import pytest

from training.prepare.pool import Crashed, Pool


def double_or_die(number: int) -> int:
    if number in (3, 4):
        os.kill(os.getpid(), signal.SIGSEGV)
    return 2 * number


def test_only_what_crashes_is_lost() -> None:
    with Pool(2) as pool:
        results = dict(pool.run(double_or_die, range(8)))
        again = dict(pool.run(double_or_die, [8, 9]))
    lost = {number for number, result in results.items() if isinstance(result, Crashed)}
    assert lost == {3, 4}
    assert {number: result for number, result in results.items() if number not in lost} == {
        number: 2 * number for number in (0, 1, 2, 5, 6, 7)
    }
    assert again == {8: 16, 9: 18}


def sleep_long(seconds: float) -> None:
    time.sleep(seconds)


def interrupted_run() -> None:
    with Pool(2) as pool:
        next(pool.run(sleep_long, [0.0, 600.0, 600.0]))
        raise KeyboardInterrupt


def test_a_run_that_is_interrupted_leaves_no_process_behind() -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupted_run()
    assert not multiprocessing.active_children()

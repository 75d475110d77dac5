"""Processes that come and go while they are counted."""

import subprocess

from tests.bench.processes import memory_bytes, processor_seconds

_RESTLESS = "while :; do (sh -c '/bin/true') & wait; done"


def test_a_family_whose_members_end_meanwhile_is_counted() -> None:
    with subprocess.Popen(["sh", "-c", _RESTLESS]) as parent:
        try:
            used = [processor_seconds(parent.pid) for _ in range(200)]
            held = [memory_bytes(parent.pid) for _ in range(200)]
        finally:
            parent.kill()
    assert used[-1] > used[0]
    assert min(held) > 0

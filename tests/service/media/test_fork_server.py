"""What helpers are forked from: it is shared, leaves nothing of one to another, and may be killed."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from service.media.decoder_pool import DecoderPool
from service.media.fork_server import start_helper
from service.media.limits import MediaLimits
from service.media.wire import Call
from tests.support.media import make_photo, write_png
from tests.support.processes import is_running, until

LIMITS = MediaLimits()
MEMORY_BYTES = 4 * 1024**3


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return write_png(tmp_path / "photo", make_photo(40, 30))


def test_pools_share_a_fork_server_which_has_one_thread_and_no_file_open(photo: Path) -> None:
    with DecoderPool(LIMITS, kept=1) as first, DecoderPool(LIMITS, kept=1) as second:
        assert first.probe_image(photo).width == second.probe_image(photo).width == 40
        (server,) = {psutil.Process(pool._idle[0].pid).parent() for pool in (first, second)}
        assert server is not None
        assert server.parent() == psutil.Process()
        assert server.num_threads() == 1
        assert server.open_files() == []


def test_a_helper_has_descriptors_of_its_own_alone(photo: Path) -> None:
    with DecoderPool(LIMITS, kept=4) as pool:
        pool.warm_up()
        assert pool.probe_image(photo).width == 40
        numbers = {psutil.Process(helper.pid).num_fds() for helper in pool._idle}
    assert numbers == {5}  # the three of every program, and its two pipes


def test_a_helper_says_how_it_ended() -> None:
    helper = start_helper(MEMORY_BYTES, None)
    assert helper.wait(0.01) is None
    os.kill(helper.pid, signal.SIGSEGV)
    assert helper.wait(30) == -signal.SIGSEGV
    assert not helper.is_alive
    helper.end()


def test_a_helper_that_nobody_wants_any_more_is_killed_before_it_has_begun() -> None:
    helper = start_helper(MEMORY_BYTES, None)
    helper.end()
    assert helper.wait(0) is not None
    assert not is_running(helper.pid)


def test_a_killed_fork_server_takes_its_helpers_along_and_costs_no_file(photo: Path) -> None:
    with DecoderPool(LIMITS, kept=2) as pool, ThreadPoolExecutor(1) as threads:
        pool.warm_up()
        assert [helper.ask(Call(len, ("abc",), 10), int, 60) for helper in pool._idle] == [3, 3]
        server, busy = psutil.Process(pool._idle[-1].pid).parent(), psutil.Process(pool._idle[-1].pid)
        assert server is not None
        busy.suspend()
        asked = threads.submit(pool.probe_image, photo)
        until(lambda: len(pool._idle) < 2 or None)
        server.kill()
        assert asked.result().width == 40
        assert pool.probe_image(photo).width == 40
        assert not is_running(busy.pid)
        assert psutil.Process(pool._idle[0].pid).parent() not in (None, server)


def test_a_process_that_is_forked_has_a_fork_server_of_its_own(photo: Path) -> None:
    code = f"""
import os
from pathlib import Path
from service.media.decoder_pool import DecoderPool
from service.media.limits import MediaLimits
from service.media.wire import Call

def width():
    with DecoderPool(MediaLimits(), kept=1) as pool:
        return pool.probe_image(Path({str(photo)!r})).width

assert width() == 40
child = os.fork()
if child == 0:
    os._exit(width())
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 40
assert width() == 40
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_it_starts_where_more_files_are_open_than_select_can_take(photo: Path) -> None:
    code = f"""
import resource
from pathlib import Path
from service.media.decoder_pool import DecoderPool
from service.media.limits import MediaLimits

resource.setrlimit(resource.RLIMIT_NOFILE, (2048, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
files = [open("/dev/null") for _ in range(1100)]
with DecoderPool(MediaLimits(), kept=1) as pool:
    assert pool.probe_image(Path({str(photo)!r})).width == 40
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_nothing_is_left_of_a_process_that_was_killed_while_a_helper_worked(photo: Path) -> None:
    code = (
        "import time; from service.media.limits import MediaLimits; from service.media.decoder_pool import DecoderPool;"
        "box = DecoderPool(MediaLimits(), kept=1); box._call('image', int, len, 'abc');"
        "print(box._idle[0].pid, flush=True); box._call('image', int, time.sleep, 300)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        helper = psutil.Process(int(owner.stdout.readline()))
        server = helper.parent()
        assert server is not None
        owner.kill()
        owner.wait()
        for process in (helper, server):
            until(lambda process=process: not is_running(process.pid) or None)

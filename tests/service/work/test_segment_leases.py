"""Several workers on one video."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.jobs.owner import Owner, this_process
from service.jobs.record import JobState
from service.media.decoder_pool import DecoderPool
from service.redis.connection import Client, connect
from service.settings import Settings
from service.storage.folder import Storage
from service.work import segment_maker
from service.work.engines import Engines
from service.work.job_runner import JobRunner
from service.work.segment_leases import SegmentLeases
from tests.service.jobs.harness import read
from tests.service.work.conftest import Queue
from tests.service.work.video_harness import succeeded
from tests.support.video import Clip, noise_track, write_video


@pytest.fixture
def start_helper(
    redis_url: str, storage: Storage, settings: Settings, decoder_pool: DecoderPool
) -> Callable[[str], threading.Thread]:
    """Has another worker help with a job, on a thread that is called "helper"."""

    def start(job_id: str) -> threading.Thread:
        other = JobRunner(connect(redis_url), storage, Engines(settings), decoder_pool, settings, worker="other")
        helper = threading.Thread(target=other.help, args=[job_id], name="helper")
        helper.start()
        return helper

    return start


def test_a_helper_makes_parts_and_the_result_is_the_same_to_the_byte(
    workshop: JobRunner,
    client: Client,
    storage: Storage,
    settings: Settings,
    decoder_pool: DecoderPool,
    redis_url: str,
    queued: Queue,
    start_helper: Callable[[str], threading.Thread],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.work.video._PART_SECONDS", 1.0)
    source = write_video(tmp_path / "a.mp4", Clip(frames=60), noise_track(6.0))
    alone = queued(source, gain_db=6.0)
    workshop.run(alone)
    rendered: dict[str, list[int]] = {}
    render, both = segment_maker.render, threading.Barrier(2)

    def counted(engine: Any, plan: Any, segment: Any, progress: Any) -> Any:
        name = threading.current_thread().name
        if name not in rendered:
            both.wait(60)  # else the first might make all before the other has begun
        rendered.setdefault(name, []).append(segment.first)
        return render(engine, plan, segment, progress)

    monkeypatch.setattr(segment_maker, "render", counted)
    helpers: list[threading.Thread] = []

    def call(job_id: str, count: int) -> None:
        assert count == 5
        helpers.append(start_helper(job_id))

    together = queued(source, gain_db=6.0)
    JobRunner(client, storage, Engines(settings), decoder_pool, settings, "w", call).run(together)
    helpers[0].join()
    made = [first for segments in rendered.values() for first in segments]
    assert sorted(made) == [0, 10, 20, 30, 40, 50]  # none twice
    assert len(rendered) == 2
    results = [succeeded(redis_url, storage, job_id)[1].read_bytes() for job_id in (alone, together)]
    assert results[0] == results[1]
    assert not list(client.scan_iter("adis:segment:*"))
    assert not list(client.scan_iter("adis:frames:*"))


def test_a_helper_that_comes_late_begins_no_part_that_is_joined_already(
    client: Client,
    storage: Storage,
    settings: Settings,
    decoder_pool: DecoderPool,
    redis_url: str,
    queued: Queue,
    start_helper: Callable[[str], threading.Thread],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.work.video._PART_SECONDS", 1.0)
    cleared, helpers, rendered_by = threading.Event(), [], []
    make_plan, render, clear = segment_maker.plan_segments, segment_maker.render, Storage.clear_work

    def plan_slowly(*arguments: Any) -> Any:
        found = make_plan(*arguments)
        if threading.current_thread().name == "helper":
            assert cleared.wait(60)
        return found

    def watched(*arguments: Any) -> Any:
        rendered_by.append(threading.current_thread().name)
        return render(*arguments)

    def clear_and_let_it_go_on(self: Storage, job_id: str) -> None:
        clear(self, job_id)
        cleared.set()
        helpers[0].join()

    def call(job_id: str, count: int) -> None:
        helpers.append(start_helper(job_id))

    monkeypatch.setattr(segment_maker, "plan_segments", plan_slowly)
    monkeypatch.setattr(segment_maker, "render", watched)
    monkeypatch.setattr(Storage, "clear_work", clear_and_let_it_go_on)
    job_id = queued(write_video(tmp_path / "a.mp4", Clip(frames=20), noise_track(2.0)), gain_db=6.0)
    JobRunner(client, storage, Engines(settings), decoder_pool, settings, "w", call).run(job_id)
    assert read(redis_url, job_id).state is JobState.SUCCEEDED
    assert len(rendered_by) == 2
    assert "helper" not in rendered_by


def test_a_helper_leaves_jobs_alone_that_need_none(
    workshop: JobRunner, redis_url: str, queued: Queue, tmp_path: Path
) -> None:
    job_id = queued(write_video(tmp_path / "a.mp4", Clip(), noise_track(2.0)))
    workshop.help("0" * 32)  # unknown
    workshop.help(job_id)  # not begun
    assert read(redis_url, job_id).state is JobState.QUEUED
    workshop.run(job_id)
    workshop.help(job_id)  # ended
    assert read(redis_url, job_id).state is JobState.SUCCEEDED


def test_a_part_is_one_workers_at_a_time_and_a_dead_ones_is_free(client: Client) -> None:
    here, there = this_process("a"), Owner("another-machine", 1, "1", "b")
    dead = Owner(here.scope, here.pid, "1", "c")  # the same number, born at another time
    mine, others, ghosts = (SegmentLeases(client, "j", one, 30) for one in (here, there, dead))
    assert mine.take(0)
    assert not others.take(0)
    with mine.held(0):
        assert not others.take(0)
    assert others.take(0)
    assert not mine.take(0)
    assert ghosts.take(7)
    assert mine.take(7)
    with ghosts.held(7):
        pass
    assert not others.take(7)  # what a ghost gives back was no longer its own


def test_a_part_that_was_taken_by_a_clock_an_hour_ahead_is_free_when_its_holder_renews_it_no_more(
    client: Client,
) -> None:
    gone, mine = (SegmentLeases(client, "j", Owner("another-machine", 1, "1", name), 30) for name in "ab")
    assert gone.take(0)
    client.pexpire("adis:segment:j:0", 3_630_000)
    assert not mine.take(0)
    assert 0 < client.pttl("adis:segment:j:0") <= 30_000


def test_progress_counts_the_frames_of_all_parts(client: Client) -> None:
    leases = SegmentLeases(client, "j", this_process("a"), 30)
    leases.begin("a" * 64)
    leases.note(0, 10)
    leases.note(100, 3)
    leases.note(100, 5)
    assert leases.frames() == 15
    leases.begin("b" * 64)
    assert leases.frames() == 0
    leases.note(0, 7)
    leases.forget()
    assert leases.frames() == 0
    assert leases.model() is None

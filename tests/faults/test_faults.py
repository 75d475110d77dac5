"""No accepted job is lost, done twice or answered wrongly when workers, the API and the queue's server are killed."""

from pathlib import Path

from tests.faults.__main__ import FAULTS, storm
from tests.faults.scenario import Plan

JOBS = 60


def test_killed_processes_lose_no_accepted_job(tmp_path: Path) -> None:
    plan = Plan(jobs=JOBS, rate=8.0, kill_every=0, clients=6, full_seconds=2.0)
    report = storm(tmp_path, plan, workers=2)
    assert {fault["fault"] for fault in report["faults"]} == {
        "valkey SIGKILL", "valkey SIGTERM", "api SIGKILL", "worker SIGKILL", "full", "model",
    }  # fmt: skip
    assert report["accepted"] == JOBS
    assert set(report["models"]) == {"1.0.0", "2.0.0"}
    assert {name: report[name] for name in FAULTS} == dict.fromkeys(FAULTS, 0), report
    assert all(fault["flows_again_after_seconds"] is not None for fault in report["faults"])

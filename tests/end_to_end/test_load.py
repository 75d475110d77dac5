"""Asked for several times what it can do, the service refuses in time, and finishes all that it has taken."""

import asyncio
from pathlib import Path

from tests.bench.load import measure
from tests.support.running_service import running_service


def test_too_much_is_shed_and_what_was_accepted_is_done(tmp_path: Path, models_dir: Path) -> None:
    settings = {"default_model": "tiny", "max_queue_length": "10"}
    with running_service(tmp_path / "data", models_dir, **settings) as service:
        # raises if an accepted job does not succeed
        report = asyncio.run(measure(service.address, service.pid, tmp_path, times=4.0, seconds=4.0))
    assert report["answers"]["503"] > 0
    assert set(report["answers"]) <= {"200", "202", "503", "not sent: too many open"}
    assert report["accepted_per_second"] > 0
    assert report["refused_without_retry_after"] == 0

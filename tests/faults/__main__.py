"""`python -m tests.faults`: kill the service's processes under load; a table on the screen, JSON beside it."""

import argparse
import json
import random
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from tests.faults.cluster import Cluster
from tests.faults.scenario import Plan, Scenario
from tests.support.object_store import running_store
from tests.support.running_service import ROOT, free_port
from tests.support.tiny_bundle import write_tiny_bundle

SETTINGS = {"default_model": "tiny", "lease_seconds": "5", "threads": "1"}
FAULTS = ("never_accepted", "lost", "wrong_bytes", "changed_between_reads", "delivered_twice", "without_success_event",
          "records_beyond_keys", "keys_with_two_jobs", "faults_that_never_came")  # fmt: skip


def storm(folder: Path, plan: Plan, workers: int) -> dict[str, Any]:
    """Run the plan on a fresh cluster below `folder`; the report, with the settings that differ from the defaults."""
    bundle = write_tiny_bundle(folder / "models" / "tiny")
    with (
        running_store(folder / "store") if plan.store else nullcontext() as store,
        Cluster(folder, bundle.parent, free_port(), workers, store=store, **SETTINGS) as cluster,
    ):
        return Scenario(cluster, plan, folder, bundle).run() | {"workers": workers, "settings": SETTINGS}


def main() -> int:
    """1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1000, help="jobs in all (default: 1000)")
    parser.add_argument("--rate", type=float, default=8.0, help="jobs a second (default: 8)")
    parser.add_argument("--kill-every", type=float, default=4.0, help="seconds between workers' deaths (default: 4)")
    parser.add_argument("--workers", type=int, default=3, help="workers (default: 3)")
    parser.add_argument("--clients", type=int, default=8, help="client threads (default: 8)")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of workers (default: 0)")
    parser.add_argument("--bucket", action="store_true", help="keep files in a bucket, without a common disk")
    parser.add_argument("--work", type=Path, help="folder for data and log, kept (default: a temporary one)")
    parser.add_argument("--output", type=Path, default=ROOT / "soak.json", help="JSON (default: soak.json)")
    options = parser.parse_args()
    random.seed(options.seed)
    plan = Plan(options.jobs, options.rate, options.kill_every, options.clients, options.bucket)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.work or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        report = storm(folder, plan, options.workers)
    for name, value in report.items():
        if name not in ("faults", "faults_by_kind"):
            print(f"{name:26} {value}")
    print(f"\n{'fault':26} {'count':>5}  jobs flow again after (median, longest)")
    for kind, found in report["faults_by_kind"].items():
        print(f"{kind:26} {found['count']:5}  {found['median_seconds']} s, {found['longest_seconds']} s")
    options.output.write_text(json.dumps(report, indent=2) + "\n")
    return 1 if any(report[name] for name in FAULTS) else 0


if __name__ == "__main__":
    sys.exit(main())

"""Tracing costs nothing where it is off, and says what it lacks where it is on."""

import os
import subprocess
import sys

import pytest

from tests.support.running_service import ROOT

FORBID = """
import sys
class Forbid:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "opentelemetry":
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Forbid())
from service.__main__ import main
sys.exit(main({arguments!r}))
"""


def run_without_opentelemetry(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ADIS_")} | settings
    program = FORBID.format(arguments=list(arguments))
    return subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )


def test_an_endpoint_without_the_packages_is_refused_with_what_to_install() -> None:
    done = run_without_opentelemetry(
        "api", ADIS_OTLP_ENDPOINT="http://127.0.0.1:4318", ADIS_REDIS_URL="redis://127.0.0.1:9/0"
    )
    assert done.returncode == 2
    assert "pip install '.[tracing]'" in done.stderr


def test_without_an_endpoint_the_packages_are_not_needed() -> None:
    program = "import service.api.app, service.observe.tracing as t, sys; t.start_tracing(None, 'api', '1')\n"
    program += "with t.span('x') as span: assert span is None and t.traceparent() is None and t.trace_id() is None\n"
    program += "sys.exit('opentelemetry.exporter' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=120).returncode == 0


@pytest.mark.parametrize("endpoint", ["collector:4318", "ftp://collector", "http://"])
def test_an_endpoint_that_is_no_address_is_refused(endpoint: str) -> None:
    done = run_without_opentelemetry("settings", ADIS_OTLP_ENDPOINT=endpoint)
    assert done.returncode == 2
    assert done.stderr.startswith("ADIS_OTLP_ENDPOINT: ")

"""The command says what is wrong, prints its settings, and imports no more than each part needs."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from service.settings import Settings
from tests.support.running_service import ROOT, RunningService


def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """`python -m service` with these arguments and ADIS_ variables."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ADIS_")}
    environment |= {f"ADIS_{name.upper()}": value for name, value in settings.items()}
    command = [sys.executable, "-m", "service", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280)


def test_help_names_every_part() -> None:
    done = run("--help")
    assert done.returncode == 0
    for part in ("all", "api", "worker", "settings"):
        assert f"\n  {part} " in done.stdout


def test_bad_arguments_end_with_2() -> None:
    done = run("everything")
    assert done.returncode == 2
    assert "everything" in done.stderr


def test_a_bad_setting_is_named_and_ends_with_2() -> None:
    done = run(port="many")
    assert done.returncode == 2
    assert done.stderr.startswith("ADIS_PORT: ")
    assert "Traceback" not in done.stderr


def test_settings_are_printed_with_value_and_meaning_and_without_passwords() -> None:
    done = run("settings", port="9000", providers="cuda,cpu", redis_url="redis://:secret@host:6379/0")
    assert done.returncode == 0
    for name, field in Settings.model_fields.items():
        assert f"ADIS_{name.upper()}=" in done.stdout
        assert (field.description or "")[:20] in done.stdout
    assert "ADIS_PORT=9000\n" in done.stdout
    assert "ADIS_PROVIDERS=cuda,cpu\n" in done.stdout
    assert "secret" not in done.stdout


@pytest.mark.parametrize("part", ["api", "worker"])
def test_a_part_alone_wants_the_address_of_the_queue(part: str) -> None:
    done = run(part)
    assert done.returncode == 2
    assert "ADIS_REDIS_URL" in done.stderr


@pytest.mark.parametrize("part", ["all", "api"])
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_an_address_that_others_reach_wants_a_key_or_a_word_of_consent(
    tmp_path: Path, redis_url: str, part: str, host: str
) -> None:
    done = run(part, host=host, data_dir=str(tmp_path), redis_url=redis_url)
    assert done.returncode == 2
    assert "keys create" in done.stderr
    assert "ADIS_ALLOW_ANONYMOUS" in done.stderr


@pytest.mark.parametrize("part", ["all", "api"])
def test_a_taken_port_is_said_clearly(tmp_path: Path, part: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = run(part, port=str(port), data_dir=str(tmp_path), redis_url=f"unix://{tmp_path}/none.sock")
    assert done.returncode == 2
    assert f"port {port}" in done.stderr
    assert "ADIS_PORT" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_second_service_does_not_touch_the_first_ones_data(service: RunningService) -> None:
    data_dir = service.log.with_suffix("")
    done = run(port="0", data_dir=str(data_dir))
    assert done.returncode == 2
    assert "ADIS_DATA_DIR" in done.stderr


def test_a_refused_model_stops_the_start_with_the_reason(tmp_path: Path) -> None:
    done = run(port="0", data_dir=str(tmp_path / "data"), models_dir=str(tmp_path), default_model="absent")
    assert done.returncode == 2
    assert "'absent' is refused" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_log_of_a_service_is_quiet_and_names_address_and_provider(service: RunningService) -> None:
    log = service.log.read_text()
    assert f"ready: {service.address}" in log
    assert "runs on cpu" in log
    assert "Traceback" not in log
    assert "Warning" not in log

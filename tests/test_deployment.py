"""The containers get no more rights than they need, and the compose file names what there is."""

import re
from typing import Any

import pytest
import yaml

from service.settings import Settings
from tests.support.running_service import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
DOCKERFILE = (ROOT / "docker/Dockerfile").read_text()
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_read_only_and_cannot_gain_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "cap_add" not in service or name == "redis"


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_on_the_loopback_address_alone(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


def test_every_image_runs_as_nobody_in_particular_and_is_checked() -> None:
    images = dict(re.findall(r"^FROM \S+ AS (\S+)\n(.*?)(?=^FROM |\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL))
    for target in ("api", "worker-cpu", "worker-gpu", "training", "store"):
        assert "USER 10001:10001" in images[target]
        assert "HEALTHCHECK" in images[target] or target == "training"
    built = {service["build"]["target"] for service in SERVICES.values() if "build" in service}
    assert built <= set(images)


def test_images_from_elsewhere_are_pinned() -> None:
    foreign = [service["image"] for service in SERVICES.values() if "image" in service]
    foreign += [name for name in re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE) if ":" in name]
    assert len(foreign) == 4
    assert all(re.fullmatch(r"[\w./-]+:v?\d+[\w.-]*", image) for image in foreign)


def test_the_settings_that_compose_sets_exist() -> None:
    known = {f"ADIS_{name.upper()}" for name in Settings.model_fields}
    for service in SERVICES.values():
        assert {name for name in service.get("environment", {}) if name.startswith("ADIS_")} <= known


def test_every_process_of_the_service_knows_the_bucket_and_the_store_only_its_keys() -> None:
    keys = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    assert set(SERVICES["store"]["environment"]) == keys
    for name, service in SERVICES.items():
        if name == "api" or name.startswith("worker"):
            given = service["environment"]
            assert {"ADIS_STORAGE", "ADIS_S3_ENDPOINT", "ADIS_S3_PUBLIC_ENDPOINT", *keys} <= set(given)
            assert {given[key] for key in keys} == {None}, "secrets come from the shell"


def test_a_worker_is_given_longer_to_stop_than_it_takes() -> None:
    workers = [service for name, service in SERVICES.items() if name.startswith("worker")]
    assert {worker["environment"]["ADIS_WORKER_QUEUES"] for worker in workers} == {"images", "videos"}
    for worker in workers:
        minutes = int(worker["stop_grace_period"].removesuffix("m"))
        assert 60 * minutes > Settings(_env_file=None).stop_seconds  # type: ignore[call-arg]

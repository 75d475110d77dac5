"""The tier of each test, and what several suites share: a real Valkey, started once, and real object stores."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.redis.connection import Client, connect
from tests.support.object_store import ENVIRONMENT, ObjectStore, running_store
from tests.support.valkey import running_valkey

TESTS = Path(__file__).parent
# The first prefix that fits decides. unit: no process of the service, no training loop; system: faults and fuzzing.
TIERS = {
    "faults/": "system",
    "fuzz/": "system",
    "browser/": "integration",
    "end_to_end/": "integration",
    "export/": "integration",
    "service/api/test_multipart": "unit",
    "service/api/test_preferences": "unit",
    "service/api/": "integration",
    "service/storage/test_bucket": "integration",
    "service/storage/test_object_store": "integration",
    "service/storage/test_open_storage": "integration",
    "service/examples/": "integration",
    "service/media/test_decoder_pool": "integration",
    "service/media/test_video": "integration",
    "service/model/test_shipped": "integration",
    "service/observe/": "integration",
    "service/work/": "integration",
    "training/test_audio_augmentation": "unit",
    "training/test_audio_recognition": "unit",
    "training/test_conditions": "unit",
    "training/test_index": "unit",
    "training/test_losses": "unit",
    "training/test_scene_audio_encoder": "unit",
    "training/test_scene_losses": "unit",
    "training/test_stylizer": "unit",
    "training/test_media": "unit",
    "training/test_paper": "unit",
    "training/test_precision": "unit",
    "training/test_presets": "unit",
    "training/": "integration",
    "": "unit",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with the tier of its file."""
    for item in items:
        place = item.path.relative_to(TESTS).as_posix()
        item.add_marker(next(tier for prefix, tier in TIERS.items() if place.startswith(prefix)))


def pytest_collection_finish() -> None:
    """What the tests' modules have imported stays: the collector of garbage need not look through it, for a second."""
    gc.collect()
    gc.freeze()


def pytest_report_header(config: pytest.Config) -> str | None:
    """In which precision training tests compute, where such are run: it decides how long they take."""
    training = TESTS / "training"
    given = [Path(config.invocation_params.dir, argument.split("::")[0]).resolve() for argument in config.args]
    if not any(training == path or training in path.parents or path in training.parents for path in given):
        return None
    import torch

    from training.stages.precision import choose_precision

    return f"training: precision auto is {choose_precision('auto', torch.device('cpu'))}"


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_valkey(tmp_path_factory.mktemp("valkey")) as url:
        yield url


@pytest.fixture
def redis_url(valkey_url: str) -> str:
    """The address of an empty database."""
    with connect(valkey_url) as client:
        client.flushall()
    return valkey_url


@pytest.fixture
def client(redis_url: str) -> Iterator[Client]:
    with connect(redis_url) as connected:
        yield connected


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    """An S3 server with an empty bucket, and its keys in the environment."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with running_store(tmp_path / "store") as running:
        yield running

"""Receipts and `--version` tell builds apart."""

import subprocess
from collections.abc import Iterator

import pytest

from service import __version__
from service.build import SHIPPED_MODELS, build_version, shipped_versions
from tests.support.running_service import ROOT

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    build_version.cache_clear()
    yield
    build_version.cache_clear()


@pytest.mark.parametrize(("given", "shown"), [(COMMIT, "+g0123456789ab"), (f"{COMMIT}-dirty", "+g0123456789ab.dirty")])
def test_the_commit_follows_the_version(given: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADIS_COMMIT", given)
    assert build_version() == __version__ + shown


def test_a_checkout_asks_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ADIS_COMMIT", raising=False)
    if not (ROOT / ".git").exists():
        pytest.skip("these sources are no checkout")
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert build_version().removesuffix(".dirty") == f"{__version__}+g{head[:12]}"


def test_without_git_the_version_stands_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ADIS_COMMIT", raising=False)
    monkeypatch.setenv("PATH", "")
    assert build_version() == __version__


def test_the_shipped_models_are_found() -> None:
    assert SHIPPED_MODELS.is_absolute()
    assert any(name.startswith("demo ") for name in shipped_versions())

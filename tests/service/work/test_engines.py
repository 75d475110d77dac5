"""Engines follow the bundles on disk: a new one is opened beside the old, a broken one changes nothing."""

import logging
import shutil
from pathlib import Path

import pytest

from service.errors import BundleError, ModelNotFound
from service.settings import Settings
from service.work.engines import Engines
from tests.support.tiny_bundle import make_decoder, make_model, replace_tiny_bundle


@pytest.fixture
def tiny(settings: Settings) -> Path:
    return settings.models_dir / "tiny"


def test_a_bundle_that_is_replaced_is_opened_beside_the_one_before(settings: Settings, tiny: Path) -> None:
    engines = Engines(settings)
    before = engines.get()
    sha256 = replace_tiny_bundle(tiny, "2.0.0", make_decoder(-1.0))
    after = engines.get()
    assert (after.manifest.version, after.bundle.sha256) == ("2.0.0", sha256)
    assert engines.get() is after
    assert engines.find(None, before.bundle.sha256) is before


def test_the_same_bundle_copied_anew_is_not_opened_anew(settings: Settings, tiny: Path) -> None:
    engines = Engines(settings)
    before = engines.get()
    replace_tiny_bundle(tiny, "1.0.0")
    assert engines.get() is before


def test_one_engine_alone_is_kept_where_no_more_may_be(settings: Settings, tiny: Path) -> None:
    engines = Engines(settings.model_copy(update={"max_models": 1}))
    before = engines.get()
    replace_tiny_bundle(tiny, "2.0.0")
    assert engines.get().manifest.version == "2.0.0"
    assert engines.find(None, before.bundle.sha256) is None


@pytest.mark.parametrize("damage", ["half copied", "removed", "no graph"])
def test_what_cannot_be_opened_changes_nothing_until_it_can(
    settings: Settings, tiny: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    refused: list[str] = []
    engines = Engines(settings, refused.append)
    before = engines.get()
    if damage == "half copied":
        (tiny / "decoder.onnx").write_bytes(make_decoder(-1.0).SerializeToString())
    elif damage == "removed":
        shutil.rmtree(tiny)
    else:  # whole, but not of the contract's form
        odd = make_model([], {"content": ["B"]}, {"content": ["B"]}, {})
        broken = replace_tiny_bundle(tiny, "1.5.0", odd)
    with caplog.at_level(logging.ERROR):
        assert [engines.get() is before for _ in range(3)] == [True] * 3
    assert [record.getMessage() for record in caplog.records if "is refused, and 1.0.0 goes on" in record.getMessage()]
    assert len(caplog.records) == 1  # said once
    assert refused == ([broken] if damage == "no graph" else [])
    if damage == "removed":
        tiny.mkdir()
    replace_tiny_bundle(tiny, "2.0.0")
    assert engines.get().manifest.version == "2.0.0"


def test_a_bundle_that_was_never_open_is_refused_with_the_reason(settings: Settings, tiny: Path) -> None:
    (tiny / "decoder.onnx").write_bytes(b"")
    engines = Engines(settings)
    with pytest.raises(BundleError, match="SHA-256"):
        engines.get()
    for name in ("absent", "../tiny", "tiny\0"):
        with pytest.raises(ModelNotFound):
            engines.get(name)
    replace_tiny_bundle(tiny, "2.0.0")
    assert engines.get().manifest.version == "2.0.0"

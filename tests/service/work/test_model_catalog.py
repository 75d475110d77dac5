"""A worker offers what lies in its folder, and what that replaced as long as jobs run on it."""

import logging
import shutil
from pathlib import Path

import pytest

from service.work.model_catalog import ModelCatalog
from tests.support.tiny_bundle import replace_tiny_bundle, write_tiny_bundle


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny_bundle(tmp_path / "models" / "tiny")


@pytest.fixture
def catalog(tiny: Path) -> ModelCatalog:
    return ModelCatalog(tiny.parent, "tiny")


def versions(catalog: ModelCatalog, running: tuple[str, ...] = (), refused: tuple[str, ...] = ()) -> list[str]:
    """As `NAME VERSION`, with a ~ if another has taken its place."""
    return [f"{one.name} {one.version}{'~' * one.replaced}" for one in catalog.look(running, refused)]


def test_a_replaced_version_is_shown_as_long_as_jobs_run_on_it(catalog: ModelCatalog, tiny: Path) -> None:
    assert versions(catalog) == ["tiny 1.0.0"]
    replace_tiny_bundle(tiny, "2.0.0")
    assert versions(catalog, ("a", "b")) == ["tiny 2.0.0", "tiny 1.0.0~"]
    replace_tiny_bundle(tiny, "3.0.0")
    assert versions(catalog, ("b", "c")) == ["tiny 3.0.0", "tiny 2.0.0~", "tiny 1.0.0~"]
    assert versions(catalog, ("c", "d")) == ["tiny 3.0.0", "tiny 2.0.0~"]
    assert versions(catalog, ("d",)) == ["tiny 3.0.0"]


def test_without_jobs_the_new_version_is_alone(catalog: ModelCatalog, tiny: Path) -> None:
    versions(catalog)
    replace_tiny_bundle(tiny, "2.0.0")
    assert versions(catalog) == ["tiny 2.0.0"]
    replace_tiny_bundle(tiny, "1.0.0")
    assert versions(catalog) == ["tiny 1.0.0"]


def test_a_version_that_comes_back_is_there_once(catalog: ModelCatalog, tiny: Path) -> None:
    versions(catalog)
    replace_tiny_bundle(tiny, "2.0.0")
    versions(catalog, ("a",))
    replace_tiny_bundle(tiny, "1.0.0")
    assert versions(catalog, ("a",)) == ["tiny 1.0.0", "tiny 2.0.0~"]


def test_a_version_that_turns_out_not_to_open_gives_way_to_the_one_before(catalog: ModelCatalog, tiny: Path) -> None:
    versions(catalog)
    broken = replace_tiny_bundle(tiny, "2.0.0")
    assert versions(catalog, ("a",)) == ["tiny 2.0.0", "tiny 1.0.0~"]
    assert versions(catalog) == ["tiny 2.0.0"]
    assert versions(catalog, ("b",), refused=(broken,)) == ["tiny 1.0.0"]
    assert versions(catalog, refused=(broken,)) == ["tiny 1.0.0"]
    replace_tiny_bundle(tiny, "3.0.0")
    assert versions(catalog, refused=(broken,)) == ["tiny 3.0.0"]


def test_what_is_damaged_or_half_copied_leaves_the_one_before_and_is_said_once(
    catalog: ModelCatalog, tiny: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damaged = Path(shutil.copytree(tiny, tiny.parent / "damaged"))
    (damaged / "decoder.onnx").write_bytes(b"")
    with caplog.at_level(logging.ERROR):
        assert versions(catalog) == ["tiny 1.0.0"]
        (tiny / "decoder.onnx").write_bytes(b"")
        assert [versions(catalog) for _ in range(2)] == [["tiny 1.0.0"]] * 2
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        "bundle damaged is refused",
        "bundle tiny is refused",
    ]


def test_models_come_and_go_and_the_default_stays(catalog: ModelCatalog, tiny: Path) -> None:
    other = write_tiny_bundle(tiny.parent / "other")
    assert versions(catalog) == ["other 1.0.0", "tiny 1.0.0"]
    shutil.rmtree(other)
    shutil.rmtree(tiny)  # open in every process; somebody may be about to put another in its place
    assert versions(catalog) == ["tiny 1.0.0"]

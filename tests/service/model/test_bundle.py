"""A bundle is opened only if it is whole and of the format that the service reads."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.errors import BundleError, ModelNotFound
from service.model.bundle import GRAPHS, Manifest, bundle_directories, find_bundle, load_bundle, read_graphs
from tests.support.tiny_bundle import EMBEDDING_DIM, add_fp16_graphs, make_decoder, write_tiny_bundle


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def bundle_dir(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "tiny"))


def edit(bundle_dir: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Apply `change` to the manifest's JSON."""
    path = bundle_dir / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))
    return bundle_dir


def test_a_whole_bundle_loads(bundle_dir: Path) -> None:
    bundle = load_bundle(bundle_dir)
    assert bundle.manifest.name == "tiny"
    assert bundle.manifest.clip_samples == 48_000
    assert bundle.manifest.embedding_dim == EMBEDDING_DIM
    assert [sound.name for sound in bundle.manifest.sounds] == ["tone", "noise"]


def test_the_bundle_hash_pins_every_graph(bundle_dir: Path) -> None:
    before = load_bundle(bundle_dir).sha256
    assert load_bundle(edit(bundle_dir, lambda manifest: manifest.update(version="2"))).sha256 != before


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_that_was_changed_is_refused(bundle_dir: Path, name: str) -> None:
    content = bytearray((bundle_dir / name).read_bytes())
    content[-1] ^= 1
    (bundle_dir / name).write_bytes(content)
    with pytest.raises(BundleError, match=rf"{name} has SHA-256 \w+, but manifest.json says \w+"):
        load_bundle(bundle_dir)


@pytest.mark.parametrize("name", GRAPHS)
def test_a_missing_graph_is_refused(bundle_dir: Path, name: str) -> None:
    (bundle_dir / name).unlink()
    with pytest.raises(BundleError, match=f"{name} cannot be read"):
        load_bundle(bundle_dir)


def test_a_folder_without_manifest_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no readable manifest\.json"):
        load_bundle(tmp_path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: m.update(format_version=2), "format_version"),
        (lambda m: m.pop("clip_seconds"), "clip_seconds: Field required"),
        (lambda m: m.update(clip_seconds=-1), "clip_seconds"),
        (lambda m: m.update(size_multiple=0), "size_multiple"),
        (lambda m: m["sha256"].update({"../../etc/passwd": "0" * 64}), "sha256 must name exactly"),
        (lambda m: m["sha256"].pop("decoder.onnx"), "sha256 must name exactly"),
        (lambda m: m["sha256"].update({"decoder.onnx": "beef"}), "sha256"),
        (lambda m: m["sounds"][0].update(embedding=[1.0]), "embedding of 'tone' has 1 numbers"),
    ],
)
def test_a_manifest_of_another_form_is_refused_with_the_reason(
    bundle_dir: Path, change: Callable[[dict[str, Any]], object], reason: str
) -> None:
    with pytest.raises(BundleError, match=reason):
        load_bundle(edit(bundle_dir, change))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"'])
def test_what_is_no_json_object_is_refused(bundle_dir: Path, text: str) -> None:
    (bundle_dir / "manifest.json").write_text(text)
    with pytest.raises(BundleError, match="not a manifest of format 1"):
        load_bundle(bundle_dir)


def test_a_huge_manifest_is_refused_unread(bundle_dir: Path) -> None:
    (bundle_dir / "manifest.json").write_bytes(b" " * 5_000_000)
    with pytest.raises(BundleError, match="larger than"):
        load_bundle(bundle_dir)


def test_unknown_additions_to_a_manifest_are_read_over(bundle_dir: Path) -> None:
    assert load_bundle(edit(bundle_dir, lambda manifest: manifest.update(precision="fp16"))).manifest.name == "tiny"


def test_a_bundle_is_found_by_its_folder(bundle_dir: Path) -> None:
    assert find_bundle(bundle_dir.parent, "tiny").directory == bundle_dir


@pytest.mark.parametrize("name", ["absent", "", ".", "..", "../tiny", "tiny/../tiny", "/etc", "tiny\0", "a" * 65])
def test_a_name_that_is_no_bundle_is_not_found(bundle_dir: Path, name: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        find_bundle(bundle_dir.parent, name)
    assert caught.value.field == "model"


def test_folders_without_a_manifest_or_with_a_name_that_nobody_can_ask_for_hold_no_bundles(bundle_dir: Path) -> None:
    shutil.copytree(bundle_dir, bundle_dir.parent / ".being-copied")
    (bundle_dir.parent / "no-bundle").mkdir()
    assert bundle_directories(bundle_dir.parent) == [bundle_dir]


def test_the_schema_names_exactly_the_contracts_fields() -> None:
    assert set(Manifest.model_fields) == {
        *("format_version", "name", "version", "clip_seconds", "sample_rate_hz", "embedding_dim", "size_multiple"),
        *("native_size", "sha256", "fp16", "opset", "training", "license", "sounds"),
    }


def test_fp16_graphs_are_verified_too(tmp_path: Path) -> None:
    directory = write_tiny_bundle(tmp_path / "both")
    add_fp16_graphs(directory, make_decoder())
    bundle = load_bundle(directory)
    assert set(read_graphs(bundle, fp16=True)) == set(read_graphs(bundle))
    (directory / "decoder.fp16.onnx").write_bytes(b"spoilt")
    with pytest.raises(BundleError, match=r"decoder\.fp16\.onnx has SHA-256"):
        read_graphs(bundle, fp16=True)
    with pytest.raises(BundleError, match=r"decoder\.fp16\.onnx has SHA-256"):
        load_bundle(directory)


def test_a_manifest_names_all_fp16_graphs_or_none(tmp_path: Path) -> None:
    directory = write_tiny_bundle(tmp_path / "both")
    add_fp16_graphs(directory, make_decoder())
    manifest = json.loads((directory / "manifest.json").read_text())
    del manifest["fp16"]["decoder.fp16.onnx"]
    (directory / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=r"fp16 must name exactly audio_encoder\.fp16\.onnx, .*, or nothing"):
        load_bundle(directory)

"""Write a bundle in a folder aside, prove it there, and put it in place by renaming: it never lands half-written."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from onnx import ModelProto

from export.graphs import Graphs
from export.onnx import opset_of
from service.model.bundle import DECODER, FP16_GRAPHS, GRAPHS, MANIFEST, Bundle, KnownSound, Manifest, load_bundle
from training.checkpoint import save

CHECKPOINT = "checkpoint.pt"


class ExportError(Exception):
    """A bundle that cannot be written; the message says why."""


def make_manifest(
    graphs: Graphs,
    models: Mapping[str, ModelProto],
    *,
    name: str,
    version: str,
    license: str,
    training: Mapping[str, Any],
    sounds: Iterable[KnownSound] = (),
) -> Manifest:
    """The manifest of these graphs, those in fp16 included; `training` joins the preset and the images seen."""
    config = graphs.config
    return Manifest(
        name=name,
        version=version,
        clip_seconds=config.audio.clip_seconds,
        sample_rate_hz=config.audio.sample_rate_hz,
        embedding_dim=config.audio.embedding_dim,
        size_multiple=graphs.size_multiple,
        native_size=config.data.crops[-1][1],
        sha256={file: _sha256(models[file]) for file in GRAPHS},
        fp16={file: _sha256(models[file]) for file in FP16_GRAPHS.values() if file in models},
        opset=opset_of(models[DECODER]),
        training={"preset": config.preset, "images_seen": graphs.images_seen, **training},
        license=license,
        sounds=tuple(sounds),
    )


def write_bundle(
    directory: Path,
    manifest: Manifest,
    models: Mapping[str, ModelProto],
    check: Callable[[Bundle], None],
    checkpoint: Mapping[str, Any] | None = None,
) -> None:
    """Write and load the bundle beside `directory`, `check` it, and only then let it take the place of what is there.

    checkpoint: values to write as checkpoint.pt into the same folder. Other files of an older bundle's folder (a
    model card, say) are kept. Raises ExportError for a folder that is no bundle, and whatever `check` raises.
    """
    refuse_foreign(directory)
    target = directory.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    # Two levels down, so that a reader of the models' folder does not take it for a bundle.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as aside:
        staged, replaced = Path(aside, target.name), Path(aside, "replaced")
        staged.mkdir()
        for file, model in models.items():
            _write(staged / file, model.SerializeToString())
        if checkpoint is not None:
            save(staged / CHECKPOINT, dict(checkpoint))
        _write(staged / MANIFEST, json.dumps(manifest.model_dump(mode="json"), indent=1).encode())
        check(load_bundle(staged))
        if target.exists():
            _keep_other_files(target, staged)
            target.rename(replaced)
        try:
            staged.rename(target)
        except OSError:
            if replaced.exists():
                replaced.rename(target)
            raise


def refuse_foreign(directory: Path) -> None:
    """Raise ExportError unless `directory` is absent, empty, or holds a bundle that may be replaced."""
    if directory.is_dir() and (not any(directory.iterdir()) or (directory / MANIFEST).is_file()):
        return
    if directory.exists():
        raise ExportError(f"{directory} exists and is no bundle; choose another folder or remove it first")


def code_commit() -> str | None:
    """The commit of this code, with "-modified" if files differ from it; None outside a git checkout."""
    here = Path(__file__).parent
    try:
        commit = subprocess.run(
            ["git", "-C", str(here), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
        status = ["git", "-C", str(here.parent), "status", "--porcelain", "--", "training", "export"]
        changed = subprocess.run(status, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{commit}-modified" if changed.strip() else commit


def _sha256(model: ModelProto) -> str:
    return hashlib.sha256(model.SerializeToString()).hexdigest()


def _keep_other_files(old: Path, new: Path) -> None:
    for path in old.iterdir():
        if path.name in (*GRAPHS, *FP16_GRAPHS.values(), MANIFEST, CHECKPOINT):
            continue
        if path.is_dir():
            shutil.copytree(path, new / path.name)
        else:
            shutil.copy2(path, new / path.name)


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())

"""The bundles that are measured: those that ship and the full-size paper's, each with its graphs in fp16 as well."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn

from export.bundle import make_manifest
from export.bundle import write_bundle as write
from export.graphs import read_graphs
from export.half import to_half
from export.onnx import to_onnx
from service.model.bundle import FP16_GRAPHS, GRAPHS, MANIFEST
from tests.gpu.target import Target
from tests.support.running_service import ROOT
from training import checkpoint
from training.config import to_dict
from training.kinds import kind_of
from training.models.average import Average
from training.presets import PRESETS


@dataclass(frozen=True)
class Measured:
    """A bundle's folder, and the checkpoint that it was made from."""

    directory: Path
    checkpoint: Path


def bundles(target: Target, work: Path) -> list[Measured]:
    """Copies of the shipped bundles, and, unless quick, one of the full-size `paper` with random weights."""
    found = []
    for manifest in sorted((ROOT / "models").glob(f"*/{MANIFEST}")):
        directory = work / "models" / manifest.parent.name
        shutil.copytree(manifest.parent, directory)
        add_half(directory)
        found.append(Measured(directory, directory / "checkpoint.pt"))
    if not target.quick:
        weights, directory = random_checkpoint("paper", work / "paper.pt"), work / "models" / "paper"
        write_bundle(weights, directory)
        found.append(Measured(directory, weights))
    return found


def write_bundle(weights: Path, directory: Path) -> None:
    """The checkpoint's bundle; it is compared on the GPU only, since PyTorch's comparison on the CPU takes a minute."""
    graphs = read_graphs(weights)
    models = to_onnx(graphs.folded())
    about: dict[str, Any] = {"name": directory.name, "version": "0.0.0", "license": "none", "training": {}}
    write(directory, make_manifest(graphs, models, **about), models, lambda _bundle: None)
    add_half(directory)


def add_half(directory: Path) -> None:
    """Give a bundle its own graphs in fp16 beside fp32, if it has none."""
    path = directory / MANIFEST
    manifest = json.loads(path.read_text())
    if manifest.get("fp16"):
        return
    manifest["fp16"] = {}
    for name in GRAPHS:
        content = to_half(onnx.load(directory / name)).SerializeToString()
        (directory / FP16_GRAPHS[name]).write_bytes(content)
        manifest["fp16"][FP16_GRAPHS[name]] = hashlib.sha256(content).hexdigest()
    path.write_text(json.dumps(manifest))


def random_checkpoint(preset: str, path: Path) -> Path:
    """Networks that do something to an image: random weights, the last layer's large enough to show."""
    config = PRESETS[preset]
    torch.manual_seed(0)
    networks = kind_of(config).networks(config)
    nn.init.normal_(networks.generator.decoder.head.weight, std=0.02)
    values = {
        "config": to_dict(config),
        "images_seen": 0,
        "networks": networks.state_dict(),
        "ema": Average(networks, 1.0).state_dict(),
    }
    checkpoint.save(path, values)
    return path

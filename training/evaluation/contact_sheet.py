"""`python -m training contact-sheet`: what a bundle makes of held-out photographs for each scene, as one image."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from training.evaluation.onnx_bundle import OnnxBundle

FULL_LENGTH = 0.88  # of the embedding: a sure sound at -23 LUFS


def add_contact_sheet(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command's arguments."""
    parser = commands.add_parser("contact-sheet", help="one image of a bundle's results, a column for each scene")
    parser.add_argument("bundle", type=Path, help="folder of the bundle")
    parser.add_argument("output", type=Path, help="JPEG or PNG to write")
    parser.add_argument("--data", type=Path, required=True, help="folder with photos/")
    parser.add_argument("--recipe", type=Path, default=Path("training/recipes/scenes.toml"), help="of the photographs")
    parser.add_argument("--folders", nargs="*", default=[], help="take photographs of these folders only")
    parser.add_argument("--images", type=int, default=12, help="rows (default: 12)")
    parser.add_argument("--side", type=int, default=256, help="of each result in pixels (default: 256)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw (default: 0)")
    parser.add_argument("--with-input", action="store_true", help="show the photographs in the first column")


def run_contact_sheet(options: argparse.Namespace) -> None:
    """Draw held-out photographs by the seed, restyle them by each scene's own direction, and write the sheet."""
    from training.data.scene_photographs import held_out_files
    from training.evaluation.onnx_bundle import OnnxBundle

    bundle = OnnxBundle(options.bundle)
    files = held_out_files(options.recipe, options.data / "photos", options.folders)
    order = np.random.default_rng(options.seed).permutation(len(files))[: options.images]
    images = [square(files[int(number)], options.side) for number in order]
    pixels = sheet(bundle, images, with_input=options.with_input)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(options.output, quality=88)
    print(f"{options.output}: columns {', '.join(scene_names(bundle))}")


def scene_names(bundle: OnnxBundle) -> list[str]:
    """The scenes of the manifest, in their order."""
    sounds = bundle.manifest["sounds"]
    return [sound["name"] for sound in sounds if sound.get("known", True)]


def sheet(bundle: OnnxBundle, images: Sequence[NDArray[np.float32]], with_input: bool) -> NDArray[np.uint8]:
    """images: [3, S, S] in 0..1 each. Returns [H, W, 3]: a row an image, a column a scene."""
    sounds = [sound for sound in bundle.manifest["sounds"] if sound.get("known", True)]
    directions = np.array([sound["embedding"] for sound in sounds], np.float32)
    embeddings = FULL_LENGTH * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    rows = []
    for image in images:
        results = bundle.decode(bundle.encode(image[None]), embeddings)
        rows.append(np.concatenate([*([image] if with_input else []), *results], axis=2))
    pixels = np.concatenate(rows, axis=1).transpose(1, 2, 0)
    unit: NDArray[np.uint8] = (pixels.clip(0, 1) * 255 + 0.5).astype(np.uint8)
    return unit


def square(path: Path, side: int) -> NDArray[np.float32]:
    """The middle square of a photograph, [3, side, side] in 0..1."""
    from PIL import ImageOps

    with Image.open(path) as opened:
        image = ImageOps.fit(ImageOps.exif_transpose(opened).convert("RGB"), (side, side), Image.Resampling.LANCZOS)
    return np.ascontiguousarray(np.asarray(image, np.float32).transpose(2, 0, 1) / np.float32(255))

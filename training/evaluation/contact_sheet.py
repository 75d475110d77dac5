"""`python -m training contact-sheet`: what a bundle makes of held-out photographs for each scene, as one image."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from training.evaluation.onnx_bundle import OnnxBundle

Pixels = NDArray[np.float32]
Method = Callable[[Pixels], list[Pixels]]  # an image's results for each scene

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
    parser.add_argument("--beside", type=Path, nargs="*", default=[], help="other bundles, a row each below the first")
    parser.add_argument(
        "--color-transfer", action="store_true", help="and a row of the colors of a photograph of each scene"
    )
    parser.add_argument("--with-input", action="store_true", help="show the photographs in the first column")


def run_contact_sheet(options: argparse.Namespace) -> None:
    """Draw held-out photographs by the seed, restyle them by each scene's own direction, and write the sheet."""
    from training.data.scene_photographs import held_out_files
    from training.evaluation.onnx_bundle import OnnxBundle

    bundles = [OnnxBundle(folder) for folder in (options.bundle, *options.beside)]
    scenes = list(scene_directions(bundles[0]))
    files = held_out_files(options.recipe, options.data / "photos", options.folders)
    order = np.random.default_rng(options.seed).permutation(len(files))[: options.images]
    images = [square(files[int(number)], options.side) for number in order]
    methods: list[Method] = [partial(restyled, bundle, scenes) for bundle in bundles]
    if options.color_transfer:
        examples = color_examples(options.recipe, options.data / "photos", scenes)
        methods.append(partial(recolored, examples, np.random.default_rng(options.seed)))
    pixels = sheet(methods, images, with_input=options.with_input)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(options.output, quality=88)
    print(f"{options.output}: columns {', '.join(scenes)}")


def scene_directions(bundle: OnnxBundle) -> dict[str, NDArray[np.float32]]:
    """The scenes of the manifest, in their order, with unit directions [E]."""
    known = [sound for sound in bundle.manifest["sounds"] if sound.get("known", True)]
    directions = {sound["name"]: np.array(sound["embedding"], np.float32) for sound in known}
    return {name: direction / np.linalg.norm(direction) for name, direction in directions.items()}


def restyled(bundle: OnnxBundle, scenes: Sequence[str], image: Pixels) -> list[Pixels]:
    """An image [3, S, S] in 0..1 for each scene; gray where the bundle does not know it."""
    directions = scene_directions(bundle)
    known = [scene for scene in scenes if scene in directions]
    embeddings = FULL_LENGTH * np.stack([directions[scene] for scene in known])
    results = dict(zip(known, bundle.decode(bundle.encode(image[None]), embeddings), strict=True))
    return [results.get(scene, np.full_like(image, 0.5)) for scene in scenes]


def color_examples(recipe: Path, photos: Path, scenes: Sequence[str]) -> list[list[Pixels]]:
    """Training photographs of each scene, [3, S, S] in 0..1."""
    from training.data.scene_photographs import read_photographs

    photographs = [p for p in read_photographs(recipe, photos) if not p.held_out]
    return [[unit(p.pixels) for p in photographs if p.scene == scene] for scene in scenes]


def recolored(examples: Sequence[Sequence[Pixels]], rng: np.random.Generator, image: Pixels) -> list[Pixels]:
    """The image with the colors of a photograph of each scene (Reinhard et al. 2001), drawn anew for each image.

    examples: photographs of each scene; gray where there are none.
    """
    import torch

    from training.evaluation.metrics.controls import colour_transfer

    source = torch.from_numpy(image) * 2 - 1
    results = []
    for of_scene in examples:
        if of_scene:
            example = torch.from_numpy(of_scene[int(rng.integers(len(of_scene)))]) * 2 - 1
            results.append(colour_transfer(source, example).add(1).div(2).numpy())
        else:
            results.append(np.full_like(image, 0.5))
    return results


def sheet(methods: Sequence[Method], images: Sequence[Pixels], with_input: bool) -> NDArray[np.uint8]:
    """images: [3, S, S] in 0..1 each. Returns [H, W, 3]: a row for each method an image, a column a scene."""
    rows = [
        np.concatenate([*([image] if with_input else []), *method(image)], axis=2)
        for image in images
        for method in methods
    ]
    pixels = np.concatenate(rows, axis=1).transpose(1, 2, 0)
    whole: NDArray[np.uint8] = (pixels.clip(0, 1) * 255 + 0.5).astype(np.uint8)
    return whole


def unit(pixels: NDArray[np.uint8]) -> Pixels:
    """[H, W, 3] -> [3, H, W] in 0..1."""
    return np.ascontiguousarray(pixels.transpose(2, 0, 1).astype(np.float32)) / np.float32(255)


def square(path: Path, side: int) -> Pixels:
    """The middle square of a photograph, [3, side, side] in 0..1."""
    from PIL import ImageOps

    with Image.open(path) as opened:
        image = ImageOps.fit(ImageOps.exif_transpose(opened).convert("RGB"), (side, side), Image.Resampling.LANCZOS)
    return unit(np.asarray(image))

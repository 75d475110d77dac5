"""`python -m training evaluate-bundle`: bundles and controls on held-out photographs and recordings, in one table."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_evaluate_bundle(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command's arguments."""
    parser = commands.add_parser("evaluate-bundle", help="measure bundles on held-out photographs and recordings")
    parser.add_argument("bundles", type=Path, nargs="+", metavar="BUNDLE", help="folders of bundles")
    parser.add_argument("--data", type=Path, required=True, help="folder with photos/ and sounds/")
    parser.add_argument("--recipe", type=Path, default=Path("training/recipes/scenes.toml"), help="of the photographs")
    parser.add_argument("--sounds-recipe", type=Path, default=Path("training/recipes/scene-audio.toml"))
    parser.add_argument("--fold", type=int, default=0, help="of the recordings, that is held out (default: 0)")
    parser.add_argument("--images", type=int, default=24, help="held-out photographs (default: 24)")
    parser.add_argument("--sounds", type=int, default=3, help="held-out recordings of each kind (default: 3)")
    parser.add_argument("--output", type=Path, required=True, help="folder for table.md, figures.json and sheets")


def run_evaluate_bundle(options: argparse.Namespace) -> None:
    """Measure, and write table.md, figures.json and a contact sheet for each bundle. Raises ValueError, OSError."""
    from training.evaluation.bundle_evaluation import evaluate_bundles

    evaluate_bundles(
        options.bundles,
        options.data,
        options.recipe,
        options.sounds_recipe,
        options.output,
        fold=options.fold,
        image_count=options.images,
        sound_count=options.sounds,
    )

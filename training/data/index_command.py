"""`python -m training index`: pair photographs and recordings by scene."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_index(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser's."""
    index = commands.add_parser("index", help="pair folders of photographs and sounds by scene")
    index.add_argument("recipe", type=Path, help="TOML file that says which sounds go with which photographs")
    index.add_argument("output", type=Path, help="the index to write (JSON lines)")
    index.add_argument("--data", type=Path, required=True, help="folder that holds the photographs and the sounds")


def run_index(options: argparse.Namespace) -> None:
    """Write the index that the recipe describes. Raises PairingError."""
    from training.data.index import build_scene_index as build_paired_index
    from training.data.scene_index import build_scene_index, is_scene_recipe

    build = build_scene_index if is_scene_recipe(options.recipe) else build_paired_index
    for name, count in build(options.recipe, options.data, options.output).items():
        print(f"{name:>20}: {count} photographs")

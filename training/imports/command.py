"""`python -m training import-avstyle`: take over the authors' released weights."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_import_avstyle(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser's."""
    avstyle = commands.add_parser("import-avstyle", help="turn the authors' released weights into a checkpoint")
    avstyle.add_argument("generator", type=Path, help="their latest_net_G.pth")
    avstyle.add_argument("audio", type=Path, help="their latest_net_Audio.pth")
    avstyle.add_argument("output", type=Path, help="the checkpoint to write, of the preset `paper`")


def run_import_avstyle(options: argparse.Namespace) -> None:
    """Write the checkpoint. Raises CheckpointError and ValueError."""
    from training.imports.avstyle import import_avstyle

    print(f"checkpoint: {import_avstyle(options.generator, options.audio, options.output)}")

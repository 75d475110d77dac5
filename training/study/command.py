"""`python -m training study` and `study-report`: the page on which people rank results, and what they ranked."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_study(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add both commands to the parser's."""
    study = commands.add_parser("study", help="make a page on which people rank the results of several methods")
    study.add_argument("output", type=Path, help="folder for study.html, its key.json and samples.jsonl")
    study.add_argument("--index", type=Path, required=True, help="index whose held-out pairs are judged (JSON lines)")
    study.add_argument(
        "--method", action="append", required=True, metavar="NAME=PATH", help="a checkpoint, or a folder of images"
    )
    study.add_argument("--samples", type=int, default=20, help="sounds that every rater judges (default: 20)")
    study.add_argument("--size", type=int, default=320, help="side of the images in pixels (default: 320)")
    study.add_argument("--seed", type=int, default=0, help="seed of the choice (default: 0)")

    study_report = commands.add_parser("study-report", help="means, intervals and agreement of the raters' rankings")
    study_report.add_argument("key", type=Path, help="the study's key.json")
    study_report.add_argument("rankings", type=Path, nargs="+", help="the files that the raters saved")
    study_report.add_argument("--output", type=Path, required=True, help="report to write (JSON; Markdown beside it)")


def run_study(options: argparse.Namespace) -> None:
    """Write the page and its key. Raises ValueError for methods that cannot be read."""
    from training.study.page import read_methods, write_study

    methods = read_methods(options.method)
    page = write_study(options.output, options.index, methods, options.samples, options.size, options.seed)
    print(f"send {page} to the raters; keep {page.with_name('key.json')} to yourself")


def run_study_report(options: argparse.Namespace) -> None:
    """Write the report, and print its table."""
    from training.study.report import report_study

    print(report_study(options.key, options.rankings, options.output).table())

"""`python -m training`: cut videos, build an index, train, evaluate, reproduce, take over released weights."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from training.audio_encoder_command import add_audio_encoder, run_audio_encoder
from training.data.pack_command import add_pack, run_pack
from training.evaluation.bundle_command import add_evaluate_bundle, run_evaluate_bundle
from training.evaluation.contact_sheet import add_contact_sheet, run_contact_sheet
from training.prepare.command import add_prepare, run_prepare
from training.reproduce.command import add_reproduce, run_reproduce
from training.train_command import add_train, run_train

_RUNNERS = {
    "prepare": run_prepare,
    "pack": run_pack,
    "train": run_train,
    "audio-encoder": run_audio_encoder,
    "evaluate-bundle": run_evaluate_bundle,
    "contact-sheet": run_contact_sheet,
    "reproduce": run_reproduce,
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 2 for bad arguments or inputs, 1 for a run that diverged."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    index = commands.add_parser("index", help="pair folders of photographs and sounds by scene")
    index.add_argument("recipe", type=Path, help="TOML file that says which sounds go with which photographs")
    index.add_argument("output", type=Path, help="the index to write (JSON lines)")
    index.add_argument("--data", type=Path, required=True, help="folder that holds the photographs and the sounds")

    add_prepare(commands)

    add_pack(commands)

    add_audio_encoder(commands)

    add_train(commands)

    add_evaluate_bundle(commands)

    add_contact_sheet(commands)

    evaluate = commands.add_parser("evaluate", help="measure checkpoints on the held-out split")
    evaluate.add_argument("checkpoints", type=Path, nargs="+", help="the model, then controls trained as long")
    evaluate.add_argument("--index", type=Path, required=True, help="index of what occurs together (JSON lines)")
    evaluate.add_argument("--output", type=Path, required=True, help="folder for the table and the sheets")
    evaluate.add_argument("--pictures", type=int, default=64, help="held-out photographs (default: 64)")
    evaluate.add_argument("--size", type=int, default=256, help="side in pixels (default: 256)")
    evaluate.add_argument("--openl3-audio", type=Path, metavar="PATH", help="openl3_audio_linear_env.h5, for AVC")
    evaluate.add_argument("--openl3-image", type=Path, metavar="PATH", help="openl3_image_linear_env.h5, for AVC")
    evaluate.add_argument("--inception", type=Path, metavar="PATH", help="inception-2015-12-05.pt, for FID")
    evaluate.add_argument("--clip", type=Path, metavar="PATH", help="OpenAI's ViT-B-32.pt, for CLIP (extra `metrics`)")
    evaluate.add_argument(
        "--correspondence", type=Path, metavar="PATH", help="checkpoint whose net measures avc_own (default: the first)"
    )

    add_reproduce(commands)

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

    avstyle = commands.add_parser("import-avstyle", help="turn the authors' released weights into a checkpoint")
    avstyle.add_argument("generator", type=Path, help="their latest_net_G.pth")
    avstyle.add_argument("audio", type=Path, help="their latest_net_Audio.pth")
    avstyle.add_argument("output", type=Path, help="the checkpoint to write, of the preset `paper`")

    options = parser.parse_args(arguments)
    # Imported here, so that --help answers at once.
    from training.checkpoint import CheckpointError
    from training.data.index import PairingError
    from training.data.media import MediaError
    from training.stages.stage import DivergedError

    try:
        if options.command == "index":
            run_index(options)
        elif options.command in _RUNNERS:
            _RUNNERS[options.command](options)
        elif options.command == "evaluate":
            from training.evaluation.evaluate import evaluate as run_evaluation
            from training.evaluation.metrics.judges import JudgeWeights

            weights = JudgeWeights(
                options.openl3_audio, options.openl3_image, options.inception, options.clip, options.correspondence
            )
            run_evaluation(
                options.checkpoints, options.index, options.output, options.pictures, options.size, weights=weights
            )
        elif options.command == "study":
            from training.study.page import read_methods, write_study

            methods = read_methods(options.method)
            page = write_study(options.output, options.index, methods, options.samples, options.size, options.seed)
            print(f"send {page} to the raters; keep {page.with_name('key.json')} to yourself")
        elif options.command == "study-report":
            from training.study.report import report_study

            print(report_study(options.key, options.rankings, options.output).table())
        elif options.command == "import-avstyle":
            from training.imports.avstyle import import_avstyle

            print(f"checkpoint: {import_avstyle(options.generator, options.audio, options.output)}")
    except DivergedError as exc:
        print(f"diverged: {exc}", file=sys.stderr)
        return 1
    except (CheckpointError, PairingError, MediaError, ValueError, OSError) as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 2
    return 0


def run_index(options: argparse.Namespace) -> None:
    """Write the index that the recipe describes. Raises PairingError."""
    from training.data.index import build_scene_index as build_paired_index
    from training.data.scene_index import build_scene_index, is_scene_recipe

    build = build_scene_index if is_scene_recipe(options.recipe) else build_paired_index
    for name, count in build(options.recipe, options.data, options.output).items():
        print(f"{name:>20}: {count} photographs")


if __name__ == "__main__":
    sys.exit(main())

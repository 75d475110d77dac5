"""`python -m training`: cut videos, build an index, train, evaluate, reproduce, take over released weights."""

from __future__ import annotations

import argparse
import sys

from training.audio_encoder_command import add_audio_encoder, run_audio_encoder
from training.data.index_command import add_index, run_index
from training.data.pack_command import add_pack, run_pack
from training.evaluation.bundle_command import add_evaluate_bundle, run_evaluate_bundle
from training.evaluation.command import add_evaluate, run_evaluate
from training.evaluation.contact_sheet import add_contact_sheet, run_contact_sheet
from training.imports.command import add_import_avstyle, run_import_avstyle
from training.prepare.command import add_prepare, run_prepare
from training.reproduce.command import add_reproduce, run_reproduce
from training.study.command import add_study, run_study, run_study_report
from training.train_command import add_train, run_train

_ADDERS = (
    add_index,
    add_prepare,
    add_pack,
    add_audio_encoder,
    add_train,
    add_evaluate_bundle,
    add_contact_sheet,
    add_evaluate,
    add_reproduce,
    add_study,
    add_import_avstyle,
)
_RUNNERS = {
    "index": run_index,
    "prepare": run_prepare,
    "pack": run_pack,
    "train": run_train,
    "audio-encoder": run_audio_encoder,
    "evaluate-bundle": run_evaluate_bundle,
    "contact-sheet": run_contact_sheet,
    "evaluate": run_evaluate,
    "reproduce": run_reproduce,
    "study": run_study,
    "study-report": run_study_report,
    "import-avstyle": run_import_avstyle,
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 2 for bad arguments or inputs, 1 for a run that diverged."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in _ADDERS:
        add(commands)
    options = parser.parse_args(arguments)
    # Imported here, so that --help answers at once.
    from training.checkpoint import CheckpointError
    from training.data.index import PairingError
    from training.data.media import MediaError
    from training.stages.stage import DivergedError

    try:
        _RUNNERS[options.command](options)
    except DivergedError as exc:
        print(f"diverged: {exc}", file=sys.stderr)
        return 1
    except (CheckpointError, PairingError, MediaError, ValueError, OSError) as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

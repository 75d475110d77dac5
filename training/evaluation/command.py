"""`python -m training evaluate`: measure checkpoints on the held-out split."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_evaluate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser's."""
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


def run_evaluate(options: argparse.Namespace) -> None:
    """Write the table and the sheets. Raises CheckpointError and ValueError."""
    from training.evaluation.evaluate import evaluate
    from training.evaluation.metrics.judges import JudgeWeights

    weights = JudgeWeights(
        options.openl3_audio, options.openl3_image, options.inception, options.clip, options.correspondence
    )
    evaluate(options.checkpoints, options.index, options.output, options.pictures, options.size, weights=weights)

"""`python -m export CHECKPOINT BUNDLE_DIR`: write a checkpoint's averaged weights as a bundle that the service runs."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Literal


class ParityError(Exception):
    """The graphs do not compute what the networks compute."""


def main(arguments: list[str] | None = None) -> int:
    """0 when the bundle is in place; 2 for bad arguments or inputs, 1 for graphs that differ from the networks."""
    options = _parser().parse_args(arguments)
    # Imported here, so that --help answers at once.
    from export.bundle import ExportError
    from service.errors import BundleError
    from training.checkpoint import CheckpointError
    from training.data.index import PairingError
    from training.data.media import MediaError

    try:
        export(options)
    except (ParityError, BundleError) as exc:
        print(f"not exported: {exc}", file=sys.stderr)
        return 1
    except (ExportError, CheckpointError, PairingError, MediaError, ValueError, OSError) as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 2
    return 0


def export(options: argparse.Namespace) -> None:
    """Read, convert, compare, write; nothing is written unless everything holds."""
    from export.bundle import code_commit, make_manifest, refuse_foreign, write_bundle
    from export.graphs import graphs_of, with_audio_encoder
    from export.half import to_half
    from export.onnx import to_onnx
    from export.sounds import data_summary, sounds_in
    from export.verify import TOLERANCE_FP16, TOLERANCE_FP32, compare
    from service.model.bundle import FP16_GRAPHS, Bundle
    from service.model.engine import Engine
    from training import checkpoint

    refuse_foreign(options.bundle)
    values = checkpoint.load(options.checkpoint)
    if options.audio_encoder is not None:
        values = with_audio_encoder(values, options.audio_encoder)
    graphs = graphs_of(values, options.checkpoint)
    training: dict[str, Any] = {"commit": code_commit(), "precision": options.precision}
    if options.metrics is not None:
        training["metrics"] = read_metrics(options.metrics)
    if options.index is not None:
        training["data"] = data_summary(options.index)
    sounds = sounds_in(graphs, options.index)
    _tell(f"{graphs.config.preset}, {graphs.images_seen} images seen: writing the graphs")
    models = to_onnx(graphs.folded())
    if options.precision == "fp16":
        models = {name: to_half(model) for name, model in models.items()}
    elif options.precision == "both":
        models |= {FP16_GRAPHS[name]: to_half(model) for name, model in models.items()}

    def check(bundle: Bundle) -> None:
        for precision in ("fp32", "fp16") if options.precision == "both" else (options.precision,):
            # in which of the graphs' files
            stored: Literal["fp16", "fp32"] = "fp16" if bundle.manifest.fp16 and precision == "fp16" else "fp32"
            differences = compare(graphs, Engine(bundle, ["cpu"], allow_fallback=False, precision=stored))
            for difference in differences:
                _tell(f"  {precision}: largest difference at {difference}")
            if precision == "fp32":
                worst, most = max(d.largest for d in differences), TOLERANCE_FP32
            else:
                worst, most = max(d.largest_of_results for d in differences), TOLERANCE_FP16
            if not worst < most:
                raise ParityError(f"the {precision} graphs differ from the networks by {worst:.2g}")

    name = options.name or options.bundle.resolve().name
    manifest = make_manifest(
        graphs, models, name=name, version=options.version, license=options.license, training=training, sounds=sounds
    )
    slim = checkpoint.slim(values) if options.with_checkpoint else None
    write_bundle(options.bundle, manifest, models, check, slim)
    size = sum((options.bundle / file).stat().st_size for file in models)
    print(f"bundle: {options.bundle} ({manifest.name} {manifest.version}, graphs of {size / 1e6:.1f} MB)")


def read_metrics(path: Path) -> dict[str, Any]:
    """The first row (the model's) of an evaluation's figures.json. Raises ValueError."""
    try:
        figures = json.loads(path.read_text())
        measures = next(iter((figures["rows"] if "rows" in figures else figures["figures"]).values()))
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration) as exc:
        raise ValueError(f"{path} is not the figures.json of an evaluation") from exc
    return {"probe_accuracy": figures.get("probe_accuracy"), **measures}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m export", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="checkpoint of a run, or a slim one that ships with a bundle")
    parser.add_argument("bundle", type=Path, metavar="BUNDLE_DIR", help="folder to write; a bundle in it is replaced")
    parser.add_argument("--name", help="the model's name (default: the folder's)")
    parser.add_argument("--version", default="0.1.0", help="the model's version (default: 0.1.0)")
    parser.add_argument("--license", default="MIT", help="licence of the weights (default: MIT)")
    parser.add_argument(
        "--precision",
        choices=("fp32", "fp16", "both"),
        default="fp32",
        help="of weights and arithmetic; both: fp32, and beside it fp16, which GPUs take (default: fp32)",
    )
    parser.add_argument(
        "--audio-encoder", type=Path, metavar="FILE", help="take this audio encoder, not the one of the checkpoint"
    )
    parser.add_argument("--index", type=Path, help="index of the run, for the scenes that the model knows by ear")
    parser.add_argument("--metrics", type=Path, help="figures.json of an evaluation, for the manifest")
    parser.add_argument(
        "--with-checkpoint", action="store_true", help="add every network's weights in fp16, to fine-tune from"
    )
    return parser


def _tell(message: str) -> None:
    print(message, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())

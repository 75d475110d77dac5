"""`python -m training train`: its options, and how they become a configuration."""

from __future__ import annotations

import argparse
from pathlib import Path

from training.config import TrainingConfig
from training.presets import preset_names, read_preset, with_settings

SETTINGS = {  # options that stand for a setting
    "images": "images",
    "batch": "batch",
    "accumulate": "accumulate",
    "compile": "compile",
    "precision": "precision",
    "workers": "data.workers",
    "on_device": "data.on_device",
    "strict": "data.strict",
    "keep": "keep",
    "time_budget": "time_budget_minutes",
    "seed": "seed",
}


def at_least_one(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{value} is less than 1")
    return value


def add_sources(parser: argparse.ArgumentParser) -> None:
    """What the baselines are conditioned on."""
    parser.add_argument(
        "--word-vectors", metavar="FILE", help="word2vec file for the presets keyword and class-pred (default: MiniLM)"
    )
    parser.add_argument(
        "--tagger", metavar="NAME", help="labels audio for the preset class-pred: yamnet (default) or MODULE:FUNCTION"
    )


def add_train(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    train = commands.add_parser("train", help="train, or go on with, a run")
    train.add_argument(
        "--preset", default="paper", help=f"its name ({', '.join(preset_names())}), or a TOML file of your own"
    )
    train.add_argument(
        "--index",
        required=True,
        help="index of what occurs together (JSON lines), here or at https://… or s3://…; or shards to stream from "
        "there: a list of them (shards/train.txt) or their names ('{000..099}.tar'); or a pack (`training pack`)",
    )
    train.add_argument("--run", type=Path, required=True, help="folder of the run; the same command resumes it")
    train.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", dest="settings",
        help="any setting of the preset, such as losses.nce=0.2; may be repeated",
    )  # fmt: skip
    train.add_argument("--from", dest="start_from", type=Path, help="checkpoint whose weights to begin with")
    train.add_argument("--resume-from", type=Path, help="numbered checkpoint to go on from (default: the newest)")
    train.add_argument(
        "--force", action="store_true", help="go on with another index, batch or schedule than the run was begun with"
    )
    train.add_argument(
        "--audio-weights",
        type=Path,
        help="audio encoder that the presets demo (from `audio-encoder`), selavi and wav2clip (published) begin with",
    )
    add_sources(train)
    train.add_argument("--images", type=at_least_one, help="length of the run in images (default: the preset's)")
    train.add_argument("--time-budget", type=float, metavar="MINUTES", help="lay the whole schedule out over this time")
    train.add_argument("--batch", type=at_least_one, help="images a step, over all processes (default: the preset's)")
    train.add_argument(
        "--accumulate",
        type=at_least_one,
        metavar="N",
        help="work every process's share of a batch through in N slices, for less memory (default: 1)",
    )
    train.add_argument(
        "--precision", choices=("auto", "fp32", "bf16", "fp16"), help="auto (default): what the processor is fast at"
    )
    train.add_argument("--workers", type=int, help="processes that load ahead, for each process that trains")
    train.add_argument(
        "--on-device",
        action="store_true",
        default=None,
        help="keep the decoded dataset in the GPU's memory, and crop, scale and mirror there (no --workers needed)",
    )
    train.add_argument("--keep", type=at_least_one, metavar="N", help="numbered checkpoints that are kept (default: 1)")
    train.add_argument(
        "--strict", action="store_true", default=None, help="end the run at a file that cannot be read (else: skip it)"
    )
    train.add_argument(
        "--compile",
        action="store_true",
        default=None,
        help="compile generator and discriminators by torch.compile (needs a C++ compiler; see docs/training.md)",
    )
    train.add_argument("--seed", type=int, help="seed (default: 0)")


def configured(options: argparse.Namespace) -> TrainingConfig:
    """The preset with what the options change. Raises PresetError."""
    given = {setting: getattr(options, option) for option, setting in SETTINGS.items()}
    settings = [f"{name}={_text(value)}" for name, value in given.items() if value is not None]
    return with_settings(read_preset(options.preset), [*settings, *options.settings])


def run_train(options: argparse.Namespace) -> None:
    """Raises PresetError, CheckpointError, PairingError, ShardError, MediaError, ValueError and DivergedError."""
    config = configured(options)  # before PyTorch is loaded
    from training.allocator import keep_freed_memory
    from training.data.conditions import with_sources
    from training.data.excerpt import held_out_addresses, is_streamed, keep_excerpt, shard_addresses
    from training.data.shards import local_index
    from training.data.stream import require_streamable
    from training.start import Start
    from training.trainer import train

    kept, stream = options.run / "data", list[str]()
    if is_streamed(options.index):
        require_streamable(config)  # before anything is fetched
        stream, held_out = shard_addresses(options.index), held_out_addresses(options.index)
        index = keep_excerpt(stream, held_out, config.data.stream_excerpt, config.seed, kept)
    else:
        index = local_index(options.index, kept)
    config = with_sources(config, options.word_vectors, options.tagger)
    keep_freed_memory()
    start = Start(options.start_from, options.audio_weights, options.resume_from, options.force)
    print(f"checkpoint: {train(config, index, options.run, start, stream)}")


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

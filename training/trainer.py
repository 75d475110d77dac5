"""The training loop: start or resume, learn, average, log, show samples, save."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import default_collate
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from training import checkpoint
from training.config import TrainingConfig
from training.data.conditions import load_conditions
from training.data.dataset import Batch, CoOccurrences, batches, crop_at
from training.data.stream import Stream, require_streamable, streamed_batches
from training.evaluation.samples import has_held_out, sample_sheet
from training.imports.published_audio import load_published
from training.models.average import Average
from training.models.compiled import compile_networks
from training.models.own.networks import Networks
from training.models.own.running_norm import running_norms, settle
from training.stages.audio_visual_pretraining import even_out_mixes, train_correspondence
from training.stages.discriminator_warmup import warm_up_discriminators
from training.stages.own.step import Optimizers, make_optimizers, train_step

LOG_STEPS = 20
SETTLING_PICTURES = 8


def train(
    config: TrainingConfig,
    index: Path,
    run: Path,
    start_from: Path | None = None,
    audio_weights: Path | None = None,
    stream: Sequence[str] = (),
) -> Path:
    """Train into the folder `run`, going on where its checkpoint stopped. Returns the checkpoint's path.

    `start_from`: a checkpoint whose weights the run begins with (fine-tuning). `audio_weights`: the published file that
    the preset's audio encoder begins with; a run that is resumed needs it no more. `stream`: addresses of shards to
    learn from instead, of which `index` leads into an excerpt. The number of processes is torchrun's; each takes its
    share of every batch. Raises CheckpointError, PairingError, ShardError, DivergedError.
    """
    rank, ranks, device = _join_processes()
    run.mkdir(parents=True, exist_ok=True)
    path = run / "checkpoint.pt"
    if stream:
        require_streamable(config)
    conditions = load_conditions(config, index)
    dataset = CoOccurrences(index, "train", config.data, config.audio, config.seed, conditions)
    if audio_weights is not None and config.audio_start == "own":
        raise ValueError(f"the preset {config.preset!r} takes no --audio-weights; `selavi` and `wav2clip` do")
    total = config.images or round(config.epochs * len(dataset))
    if config.batch % (ranks * config.accumulate):
        raise ValueError(
            f"a batch of {config.batch} cannot be shared by {ranks} processes in {config.accumulate} equal slices"
        )

    # Networks, their average, their optimizers: the same in every process
    torch.manual_seed(config.seed)
    torch.set_flush_denormal(True)
    networks = Networks(config).to(device)
    if device.type == "cuda":  # on a CPU the instance norms would copy every map back: 1.5 times as slow
        networks = networks.to(memory_format=torch.channels_last)
    average = Average(networks, config.ema_images)
    optimizers = make_optimizers(networks, config)
    networks._backbone = [b.to(device) for b in networks._backbone]
    resumed = path.exists()
    images_seen = _resume(path, config, networks, average, optimizers) if resumed else 0
    _begin_alike(images_seen if resumed else None, run)
    if not resumed:
        if start_from is not None:
            values = checkpoint.load(start_from)
            checkpoint.restore(networks, {**values["networks"], **values["ema"]}, start_from)
        elif config.audio_start != "own":
            if audio_weights is None:
                raise ValueError(
                    f"the preset {config.preset!r} begins with a published file: name it by --audio-weights"
                )
            load_published(networks.audio_encoder.network, config.audio_start, audio_weights)
        elif config.correspondence.steps:
            train_correspondence(networks, dataset, config, device)
            if config.correspondence.mix_steps:
                even_out_mixes(networks.audio_encoder, dataset, config, device)
            networks.audio_encoder.requires_grad_(not networks.audio_frozen)
        if config.warmup_steps:
            warm_up_discriminators(networks, dataset, config, device)
        _settle_norms(networks, dataset, config, device)
        _take_those_of_the_first(networks)
        average.generator.load_state_dict(networks.generator.state_dict())
        average.audio_encoder.load_state_dict(networks.audio_encoder.state_dict())
        average.conditioner.load_state_dict(networks.conditioner.state_dict())
        if rank == 0:
            _save(path, config, networks, average, optimizers, 0)
    networks.train()
    if config.compile:
        compile_networks(networks)

    # Learn
    finish = ExitStack()
    writer = SummaryWriter(str(run / "tensorboard")) if rank == 0 else None
    if writer is not None:
        finish.callback(writer.close)
    log = finish.enter_context((run / "log.jsonl").open("a")) if rank == 0 else None
    progress = tqdm(total=total, initial=images_seen, unit="image", disable=rank != 0, smoothing=0.05)
    span = (config.batch, images_seen, total, rank, ranks)
    loader = (
        streamed_batches(Stream(stream, config.data, config.audio, config.seed, *span))
        if stream
        else batches(dataset, *span)
    )
    shows = has_held_out(index)
    saved = logged = time.monotonic()
    waited = 0.0
    iterator = iter(loader)
    with finish:
        while images_seen < total:
            begun = time.monotonic()
            batch = {k: v.to(device) for k, v in next(iterator).items()}
            waited += time.monotonic() - begun
            step = images_seen // config.batch
            _set_rate(optimizers, config, images_seen / total)
            rng = torch.Generator().manual_seed(config.seed * 1_000_003 + step * ranks + rank)
            said = train_step(networks, optimizers, batch, config, step, rng)
            images_seen += config.batch
            average.update(networks, config.batch, images_seen)
            progress.update(config.batch)

            # Tell and keep
            if writer is None or log is None:
                continue
            if step % LOG_STEPS == LOG_STEPS - 1:
                now = time.monotonic()
                said["images_per_second"] = LOG_STEPS * config.batch / (now - logged)
                said["waiting_share"] = waited / (now - logged)
                logged, waited = now, 0.0
                for name, value in said.items():
                    writer.add_scalar(name, value, images_seen)
                log.write(json.dumps({"images": images_seen, **said}) + "\n")
                log.flush()
            if shows and images_seen // config.sample_images > (images_seen - config.batch) // config.sample_images:
                sheet = sample_sheet(average, index, config, device, conditions)
                writer.add_image("samples", sheet, images_seen, dataformats="HWC")
                from PIL import Image

                (run / "samples").mkdir(exist_ok=True)
                Image.fromarray(sheet).save(run / "samples" / f"{images_seen:07d}.png")
            if time.monotonic() - saved > config.checkpoint_seconds:
                _save(path, config, networks, average, optimizers, images_seen)
                saved = time.monotonic()
    progress.close()
    if rank == 0:
        _save(path, config, networks, average, optimizers, images_seen)
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
    return path


def _join_processes() -> tuple[int, int, torch.device]:
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    rank = int(os.environ.get("RANK", "0"))
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    if ranks > 1:
        torch.distributed.init_process_group("nccl" if cuda else "gloo")
    return rank, ranks, device


@torch.no_grad()
def _settle_norms(networks: Networks, dataset: CoOccurrences, config: TrainingConfig, device: torch.device) -> None:
    """Let the generators' norms begin with the statistics of the run's first pictures, if they have none yet."""
    norms = [norm for norm in running_norms(networks) if not norm.steps]
    if not norms:
        return
    crop = crop_at(config.data, 0.0)
    drawn: Batch = default_collate([dataset[draw, crop] for draw in range(SETTLING_PICTURES)])
    batch = {name: values.to(device) for name, values in drawn.items()}
    networks.eval()
    embedding = networks.conditioner(networks.audio_encoder(batch["waveform"]), batch.get("condition"))
    generators = [made for made in (networks.generator, networks.back_generator) if made is not None]
    settle(norms, lambda: [generator(batch["source"], embedding) for generator in generators])


def _begin_alike(images_seen: int | None, run: Path) -> None:
    """Raises CheckpointError if the processes, perhaps on several hosts, have found other checkpoints."""
    if torch.distributed.is_initialized():
        found: list[int | None] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(found, images_seen)
        if len(set(found)) > 1:
            raise checkpoint.CheckpointError(
                f"the processes find checkpoints of {found} pictures in {run}: all hosts must see one --run folder"
            )


def _take_those_of_the_first(networks: Networks) -> None:
    """What each process warmed up by itself differs by rounding on GPUs: the first one's weights become everybody's."""
    if torch.distributed.is_initialized():
        for tensor in networks.state_dict().values():
            torch.distributed.broadcast(tensor, 0)


def _set_rate(optimizers: Optimizers, config: TrainingConfig, share: float) -> None:
    """Constant, then linear to zero (30 + 20 epochs in the paper)."""
    falling = (share - config.constant_share) / max(1e-9, 1 - config.constant_share)
    for optimizer, rate in (
        (optimizers.generator, config.learning_rate),
        (optimizers.discriminator, config.discriminator_learning_rate),
    ):
        for group in optimizer.param_groups:
            group["lr"] = rate * group.get("scale", 1.0) * (1 - max(0.0, falling))


def _save(
    path: Path,
    config: TrainingConfig,
    networks: Networks,
    average: Average,
    optimizers: Optimizers,
    images_seen: int,
) -> None:
    checkpoint.save(
        path,
        {
            "config": checkpoint.config_to_dict(config),
            "images_seen": images_seen,
            "networks": networks.state_dict(),
            "ema": average.state_dict(),
            "optimizers": {
                "generator": optimizers.generator.state_dict(),
                "discriminator": optimizers.discriminator.state_dict(),
            },
        },
    )


def _resume(path: Path, config: TrainingConfig, networks: Networks, average: Average, optimizers: Optimizers) -> int:
    """Take over the state of an earlier part of the same run; its length, rate and loss weights may be changed."""
    values = checkpoint.load(path)
    before = checkpoint.config_of(values)
    for part in ("audio", "condition", "generator", "discriminator"):
        if getattr(before, part) != getattr(config, part):
            raise checkpoint.CheckpointError(
                f"the run was begun with another {part} configuration; choose another --run folder or the old preset"
            )
    checkpoint.restore(networks, values["networks"], path)
    checkpoint.restore(average, values["ema"], path)
    if "optimizers" in values:
        optimizers.generator.load_state_dict(values["optimizers"]["generator"])
        optimizers.discriminator.load_state_dict(values["optimizers"]["discriminator"])
    return int(values["images_seen"])


def changed(config: TrainingConfig, **values: Any) -> TrainingConfig:
    """The configuration with the given top-level settings that are not None."""
    return dataclasses.replace(config, **{k: v for k, v in values.items() if v is not None})

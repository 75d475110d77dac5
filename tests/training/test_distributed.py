"""Two processes learn the same weights, and about those of one process with the same batch, sliced or not."""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed.run import parse_args

from training import checkpoint
from training.config import TrainingConfig
from training.models.own.generator import Generator
from training.models.own.networks import Networks
from training.presets import PRESETS
from training.trainer import train

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 280


def comparable() -> TrainingConfig:
    """Losses that are means over pictures and draw nothing at random, so that the sum of two halves is the whole."""
    smoke = PRESETS["smoke"]
    return dataclasses.replace(
        smoke,
        generator=dataclasses.replace(smoke.generator, output="direct"),
        discriminator=dataclasses.replace(smoke.discriminator, mismatched_pairs=False, feature_width=0),
        losses=dataclasses.replace(smoke.losses, correspondence=0.0, mix=0.0, feature_gan=0.0, nce_patches=1024),
        correspondence=dataclasses.replace(smoke.correspondence, steps=1),
        data=dataclasses.replace(smoke.data, crops=((0.0, 32),)),
        batch=4,
        images=8,
        bf16=False,
        sample_images=10**6,
    )


def run_rank(index: Path, run: Path) -> None:
    """What torchrun starts twice: a run that also keeps each process's own networks."""
    from training import trainer as loop

    built: list[torch.nn.Module] = []
    make, warm_up = loop.Networks, loop.train_correspondence

    def remembered(config: TrainingConfig) -> torch.nn.Module:
        built.append(make(config))
        return built[-1]

    def rounded_apart(networks: Networks, *rest: Any) -> dict[str, float]:
        """On GPUs two processes that warm up alike differ by rounding; here by more."""
        losses = warm_up(networks, *rest)
        with torch.no_grad():
            next(networks.audio_encoder.parameters()).add_(1e-3 * int(os.environ["RANK"]))
        return losses

    loop.Networks = remembered  # type: ignore[assignment, misc]
    loop.train_correspondence = rounded_apart
    torch.set_num_threads(1)
    train(dataclasses.replace(comparable(), accumulate=2), index, run)
    torch.save(built[0].state_dict(), run / f"rank{os.environ['RANK']}.pt")


def painted(weights: dict[str, torch.Tensor]) -> torch.Tensor:
    """What a generator makes of one picture and one sound."""
    config = comparable()
    generator = Generator(config.generator, config.audio.embedding_dim)
    part = {k.removeprefix("generator."): v for k, v in weights.items() if k.startswith("generator.")}
    generator.load_state_dict(part)
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        return generator(torch.rand(1, 3, 32, 32, generator=rng), torch.ones(1, config.audio.embedding_dim) / 4)


def test_two_processes_learn_what_one_does(index: Path, tmp_path: Path) -> None:
    both = tmp_path / "both"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    subprocess.run(
        [*torchrun, "-m", "tests.training.test_distributed", str(index), str(both)],
        cwd=ROOT, env=environment, check=True, timeout=PATIENCE_SECONDS, capture_output=True,
    )  # fmt: skip
    first, second = (torch.load(both / f"rank{rank}.pt", weights_only=True) for rank in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    saved = checkpoint.load(both / "checkpoint.pt")["networks"]
    assert all(torch.equal(first[name], saved[name]) for name in first)

    alone = checkpoint.load(train(comparable(), index, tmp_path / "alone"))["networks"]
    torch.manual_seed(comparable().seed)
    learned = (painted(alone) - painted(Networks(comparable()).state_dict())).abs().mean().item()
    # with as many threads: Adam's first steps make of sums in another order another sign, and 0.06 in all
    assert (painted(first) - painted(alone)).abs().mean().item() < 1e-3 * learned


def test_processes_that_find_other_checkpoints_do_not_begin(index: Path, finished_run: Path, tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    shutil.copy(finished_run, tmp_path / "0")  # what only the first host has kept
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    program = f"""
import dataclasses, os
from pathlib import Path
from training.presets import PRESETS
from training.trainer import train
config = dataclasses.replace(PRESETS["smoke"], bf16=False)
train(config, Path({str(index)!r}), Path({str(tmp_path)!r}) / os.environ["RANK"])
"""
    (tmp_path / "program.py").write_text(program)
    ended = subprocess.run(
        [*torchrun, str(tmp_path / "program.py")],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}, timeout=PATIENCE_SECONDS,
        capture_output=True, text=True,
    )  # fmt: skip
    assert ended.returncode != 0
    assert "the processes find checkpoints of [8, None] pictures" in ended.stderr
    assert not (tmp_path / "1" / "checkpoint.pt").exists()


@pytest.mark.parametrize("page", ["README.md", "docs/training.md", "docs/prepare.md"])
def test_the_torchrun_commands_of_the_pages_reach_training(page: str) -> None:
    commands = re.findall(r"torchrun [^`\n]*(?:\\\\\n[^`\n]*)*", (ROOT / page).read_text())
    for command in (c.replace("\\\n", " ") for c in commands if " -m " in c):
        options = parse_args(shlex.split(command.replace("per-node N", "per-node 2"))[1:])
        assert options.training_script == "training", command
        assert options.training_script_args[0] == "train", command


if __name__ == "__main__":
    run_rank(Path(sys.argv[1]), Path(sys.argv[2]))

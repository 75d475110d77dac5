"""Two processes learn the same weights, and about those of one process with the same batch, sliced or not."""

from __future__ import annotations

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

from tests.training.steps import shrunken
from training import checkpoint
from training.config import TrainingConfig
from training.kinds import kind_of
from training.stages.stage import Run
from training.trainer import train

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 280


def comparable(*settings: str) -> TrainingConfig:
    """Every patch is compared, so that nothing is drawn at random and the sum of two halves is the whole."""
    return shrunken(  # type: ignore[no-any-return]
        "paper", "batch=4", "images=8", "losses.nce_patches=1024", "pretraining.steps=1", "pretraining.batch=4",
        "sample_images=1000000", *settings,
    )  # fmt: skip


def run_rank(index: Path, run: Path) -> None:
    """What torchrun starts twice: a run that also keeps each process's own networks."""
    from training.stages.audio_visual_pretraining import AudioVisualPretraining

    built: list[torch.nn.Module] = []
    begin, end = AudioVisualPretraining.__init__, AudioVisualPretraining.end

    def remembering(self: AudioVisualPretraining, run: Run) -> None:
        built.append(run.networks)
        begin(self, run)

    def rounded_apart(self: AudioVisualPretraining) -> None:
        """On GPUs two processes that pre-train alike differ by rounding; here by more."""
        end(self)
        with torch.no_grad():
            next(self.encoder.parameters()).add_(1e-3 * int(os.environ["RANK"]))

    AudioVisualPretraining.__init__ = remembering  # type: ignore[method-assign]
    AudioVisualPretraining.end = rounded_apart  # type: ignore[method-assign]
    torch.set_num_threads(1)
    train(comparable("accumulate=2"), index, run)
    torch.save(built[0].state_dict(), run / f"rank{os.environ['RANK']}.pt")


def made(weights: dict[str, torch.Tensor]) -> torch.Tensor:
    """What the networks make of one image and one clip."""
    networks: Any = kind_of(comparable()).networks(comparable())
    networks.load_state_dict(weights)
    networks.eval()
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        embedding = networks.audio_encoder(torch.randn(1, 16_000, generator=rng) * 0.1)
        image: torch.Tensor = networks.generator(torch.rand(1, 3, 32, 32, generator=rng), embedding)[0]
    return image


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
    untrained = kind_of(comparable()).networks(comparable()).state_dict()
    learned = (made(alone) - made(untrained)).abs().mean().item()
    # Adam's first steps make of sums in another order another sign where a gradient is nearly none
    assert (made(first) - made(alone)).abs().mean().item() < 0.02 * learned


def test_processes_that_find_other_checkpoints_do_not_begin(index: Path, finished_run: Path, tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    shutil.copy(finished_run, tmp_path / "0")  # what only the first host has kept
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    program = f"""
import os
from pathlib import Path
from training.presets import PRESETS
from training.trainer import train
train(PRESETS["smoke"], Path({str(index)!r}), Path({str(tmp_path)!r}) / os.environ["RANK"])
"""
    (tmp_path / "program.py").write_text(program)
    ended = subprocess.run(
        [*torchrun, str(tmp_path / "program.py")],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}, timeout=PATIENCE_SECONDS,
        capture_output=True, text=True,
    )  # fmt: skip
    assert ended.returncode != 0
    assert "the processes find checkpoints of [7, None] steps" in ended.stderr
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

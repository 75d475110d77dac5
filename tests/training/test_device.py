"""A step on a GPU mixes no devices: fake tensors that claim to lie on one find every operand that does not.

Nothing is computed; the backward pass and autocast need a real device and are left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.training.steps import random_batch, shrunken
from training.data.resident import ResidentImages
from training.data.views import ViewBox
from training.kinds import kind_of
from training.models.average import Average
from training.stages import scene_batches, style_training
from training.stages.precision import Precision
from training.stages.stage import Run

GPU = torch.device("cuda", 0)
SIDE = 64

pytestmark = pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")


@pytest.fixture(autouse=True)
def without_backward(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.Tensor, "backward", lambda *_, **__: None)
    monkeypatch.setattr(torch.autograd, "backward", lambda *_, **__: None)


def on_gpu(*modules: nn.Module) -> None:
    """Give every parameter and buffer a fake one on the GPU; to be called within the fake mode."""
    for module in (inner for outer in modules for inner in outer.modules()):
        for kept in (module._parameters, module._buffers):
            for name, tensor in kept.items():
                if tensor is not None:
                    moved: Any = torch.empty(tensor.shape, dtype=tensor.dtype, device=GPU)
                    is_parameter = isinstance(tensor, nn.Parameter)
                    kept[name] = nn.Parameter(moved, tensor.requires_grad) if is_parameter else moved


def fake_run(config: Any, networks: Any, average: Average) -> Run:
    on_gpu(networks, average, *networks._backbone)
    return Run(config, networks, average, NoData(), GPU, Precision("fp32", "", GPU))  # type: ignore[arg-type]


class NoData:
    pairs: tuple[()] = ()
    images: tuple[()] = ()
    of_no_scene: frozenset[Path] = frozenset()


@pytest.mark.parametrize("preset", ["paper", "cycle", "adain", "late-fusion"])
def test_a_step_of_the_papers_model_stays_on_the_gpu(preset: str) -> None:
    config = shrunken(preset)
    networks = kind_of(config).networks(config)
    average = Average(networks, config.ema_images)  # a copy, which fake tensors cannot be asked for
    with FakeTensorMode(allow_non_fake_inputs=True):
        stage = kind_of(config).stages(config)[-1](fake_run(config, networks, average))
        batch = {name: torch.empty(each.shape, device=GPU) for name, each in random_batch(config).items()}
        said = stage.step(0, batch, 0.0)
    assert {value.device for name, value in said.items() if name.startswith("generator/")} == {GPU}


def test_one_operand_on_the_cpu_is_found() -> None:
    config = shrunken("paper")
    networks = kind_of(config).networks(config)
    average = Average(networks, config.ema_images)  # a copy, which fake tensors cannot be asked for
    with FakeTensorMode(allow_non_fake_inputs=True):
        stage = kind_of(config).stages(config)[-1](fake_run(config, networks, average))
        batch = {name: torch.empty(each.shape, device=GPU) for name, each in random_batch(config).items()}
        batch["target"] = batch["target"].to("cpu")
        with pytest.raises(RuntimeError, match="device"):
            stage.step(0, batch, 0.0)


def test_a_step_of_our_model_stays_on_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    config = shrunken("demo")
    networks = kind_of(config).networks(config)
    average = Average(networks, config.ema_images)
    dim = config.audio.embedding_dim

    class Draws:
        scenes = ("rain", "snow")

        def __init__(self, *_: Any) -> None: ...

        def prepare(self, *_: Any) -> None: ...

        def draw(self, *_: Any) -> dict[str, torch.Tensor]:
            return {"real": torch.empty(4, 3, SIDE, SIDE), "real_heights": torch.empty(4, 2)}

        def hear(self, scene: int, count: int, rng: np.random.Generator) -> torch.Tensor:
            return torch.empty(count, dim)

    monkeypatch.setattr(style_training, "SceneBatches", Draws)
    with FakeTensorMode(allow_non_fake_inputs=True):
        stage = kind_of(config).stages(config)[-1](fake_run(config, networks, average))
        images = {name: torch.empty(4, 3, SIDE, SIDE, device=GPU) for name in ("source", "real")}
        images |= {name: torch.empty(4, 2, device=GPU) for name in ("source_heights", "real_heights")}
        for number in range(3):  # each with losses of its own
            said = stage.step(number, {**images, "scene": 0, "embedding": torch.empty(4, dim, device=GPU)}, 0.0)
            assert {value.device for name, value in said.items() if name.startswith("generator/")} == {GPU}


def test_what_is_measured_of_the_dataset_is_measured_on_the_gpu_and_kept_off_it() -> None:
    config = shrunken("demo")
    networks = kind_of(config).networks(config)
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        on_gpu(networks, *networks._backbone)
        embeddings = scene_batches._embedded(
            networks.audio_encoder, torch.empty(3, networks.audio_encoder.config.clip_samples)
        )
        resident = ResidentImages([np.zeros((80, 100, 3), np.uint8)], GPU)
        view = resident.view(0, ViewBox((3, 5, 67, 69), True), 32, "bilinear", 0.5)
    assert embeddings.device.type == "cpu"
    assert (view.device, tuple(view.shape)) == (GPU, (3, 32, 32))

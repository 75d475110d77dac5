"""A compiled step computes what an eager one does, and leaves the same checkpoint."""

from __future__ import annotations

import os
import shutil
from functools import partial

import pytest
import torch
from torch._dynamo.utils import counters as dynamo_counters

from tests.training.steps import adversarial_stage, built, random_batch, shrunken
from training.models.compiled import compile_networks

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:The .grad attribute")  # of torch.compile
has_compiler = pytest.mark.skipif(shutil.which(os.environ.get("CXX", "g++")) is None, reason="no C++ compiler")


@has_compiler
def test_a_compiled_step_says_what_an_eager_one_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Traced and differentiated as before compiling; machine code of every network would take two minutes.

    Every other term of the loss would trace a network once more.
    """
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    dynamo_counters.clear()
    config = shrunken("paper", "losses.identity_nce=0.0")
    said, keys = [], []
    for compiled in (False, True):
        networks = built(config)
        if compiled:
            compile_networks(networks)
        stage = adversarial_stage(config, networks)
        said.append({k: v.item() for k, v in stage.step(1, random_batch(config), 0.0).items()})
        keys.append(networks.state_dict().keys())
    assert said[1] == pytest.approx(said[0], rel=2e-3)
    assert keys[0] == keys[1]
    assert dynamo_counters["frames"]["ok"] > 0


@has_compiler
def test_a_network_compiled_to_machine_code_computes_the_same() -> None:
    networks = built(shrunken("paper")).requires_grad_(False)
    image, spectrogram = torch.rand(2, 2, 3, 32, 32)
    eager = networks.discriminator(image, spectrogram)
    dynamo_counters.clear()
    compile_networks(networks)
    torch.testing.assert_close(networks.discriminator(image, spectrogram), eager, rtol=1e-3, atol=1e-4)
    assert dynamo_counters["frames"]["ok"] > 0


def test_a_missing_compiler_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ValueError, match=r"needs a C\+\+ compiler, and there is no no-such-compiler"):
        compile_networks(built(shrunken("smoke")))
    assert torch.is_grad_enabled()

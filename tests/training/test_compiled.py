"""A compiled step computes what an eager one does, and leaves the same checkpoint."""

from __future__ import annotations

import os
import shutil

import pytest
import torch

from tests.training.steps import adversarial_stage, built, random_batch, shrunken
from training.models.compiled import compile_networks

has_compiler = pytest.mark.skipif(shutil.which(os.environ.get("CXX", "g++")) is None, reason="no C++ compiler")


@has_compiler
@pytest.mark.timeout(900)  # a minute on two idle cores
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:The .grad attribute")  # torch.compile's own
def test_a_compiled_step_says_what_an_eager_one_says() -> None:
    config = shrunken("paper", "losses.identity_nce=0.0")  # every other term would compile a network once more
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


def test_a_missing_compiler_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ValueError, match=r"needs a C\+\+ compiler, and there is no no-such-compiler"):
        compile_networks(built(shrunken("smoke")))
    assert torch.is_grad_enabled()

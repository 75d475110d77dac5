"""A compiled step computes what an eager one does, and leaves the same checkpoint."""

from __future__ import annotations

import dataclasses
import os
import shutil

import pytest
import torch

from tests.training.test_step import random_batch, shrunken
from training.models.compiled import compile_networks
from training.models.own.networks import Networks
from training.models.own.running_norm import running_norms
from training.presets import PRESETS
from training.stages.own.step import make_optimizers, train_step

has_compiler = pytest.mark.skipif(shutil.which(os.environ.get("CXX", "g++")) is None, reason="no C++ compiler")


@has_compiler
@pytest.mark.timeout(600)  # a minute on two idle cores
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:The .grad attribute")  # torch.compile's own
def test_a_compiled_step_says_what_an_eager_one_says() -> None:
    smoke = PRESETS["smoke"]
    few = dataclasses.replace(  # terms: every other one would compile a network once more
        smoke,
        bf16=False,
        discriminator=dataclasses.replace(smoke.discriminator, feature_width=0),
        losses=dataclasses.replace(smoke.losses, nce=0.0, identity_nce=0.0, mix=0.0, feature_gan=0.0),
    )
    config = shrunken(few)
    said, statistics, keys = [], [], []
    for compiled in (False, True):
        torch.manual_seed(0)
        networks = Networks(config).train()
        optimizers = make_optimizers(networks, config)
        if compiled:
            compile_networks(networks)
        rng = torch.Generator().manual_seed(0)
        said.append(train_step(networks, optimizers, random_batch(config), config, 1, rng))
        norms = running_norms(networks)
        statistics.append(torch.cat([torch.cat([norm.mean, norm.variance]) for norm in norms]))
        assert all(norm.steps == 1 for norm in norms)
        keys.append(networks.state_dict().keys())
    assert said[1] == pytest.approx(said[0], rel=1e-3)
    assert torch.allclose(*statistics, rtol=1e-3, atol=1e-5)
    assert keys[0] == keys[1]


def test_a_missing_compiler_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ValueError, match="needs a C\\+\\+ compiler, and there is no no-such-compiler"):
        compile_networks(Networks(shrunken(PRESETS["smoke"])))

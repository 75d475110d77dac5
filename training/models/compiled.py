"""The networks through torch.compile: both halves of the generators, and the discriminators."""

from __future__ import annotations

import os
import shutil

import torch

from training.models.networks import Networks


def compile_networks(networks: Networks) -> None:
    """Compile in place what a step spends its time in; the weights, and so checkpoints, keep their names.

    Every size of an image is compiled for itself: by shapes left open a run that is resumed in the middle would
    compute by other code, and round otherwise, than one that met the sizes in turn. To be called after the networks
    were copied (the copies stay as they are). Raises ValueError without a C++ compiler.
    """
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        raise ValueError(f"--compile needs a C++ compiler, and there is no {compiler}: install one, or name it by CXX")
    for name, module in networks.named_children():
        if "generator" in name:
            encoder = module.get_submodule("encoder")
            encoder.features = torch.compile(encoder.features, dynamic=False)  # type: ignore[arg-type, assignment]
            module.get_submodule("decoder").compile(dynamic=False)
        elif "discriminator" in name:
            module.compile(dynamic=False)

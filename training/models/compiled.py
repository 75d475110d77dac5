"""The networks through torch.compile: both halves of the generator, and the discriminators."""

from __future__ import annotations

import os
import shutil

import torch

from training.models.own.networks import Networks


def compile_networks(networks: Networks) -> None:
    """Compile in place what a step spends its time in; the weights, and so checkpoints, keep their names.

    Every size of a picture is compiled for itself: by shapes left open a run that is resumed in the middle would
    compute by other code, and round otherwise, than one that met the sizes in turn. To be called after the networks
    were copied (the copies stay as they are). Raises ValueError without a C++ compiler.
    """
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        raise ValueError(f"--compile needs a C++ compiler, and there is no {compiler}: install one, or name it by CXX")
    for generator in (networks.generator, networks.back_generator):
        if generator is not None:
            encoder, decoder = generator.encoder, generator.decoder
            encoder.features = torch.compile(encoder.features, dynamic=False)  # type: ignore[method-assign]
            decoder.outputs = torch.compile(decoder.outputs, dynamic=False)  # type: ignore[method-assign]
    for discriminator in (networks.discriminator, networks.feature_discriminator):
        if discriminator is not None:
            discriminator.compile(dynamic=False)

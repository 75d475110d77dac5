"""The proof: the networks in PyTorch beside the bundle's graphs, run by the engine that serves them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from export.graphs import Graphs
from service.model.engine import Engine

TOLERANCE_FP32 = 1e-3
TOLERANCE_FP16 = 5e-2  # of embeddings, and of images in 0..1: 13 of 255 at a single pixel
SIZES = ((1, 256, 256), (4, 64, 64), (2, 200, 328), (3, 8, 48), (1, 768, 512))  # batch, height, width in pixels

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Difference:
    """Largest absolute difference between PyTorch and the engine for inputs of one shape.

    embedding, content, stylized: of each graph on the same input. image: from image and sound to the end.
    """

    batch: int
    height: int
    width: int
    embedding: float
    content: float
    stylized: float
    image: float

    @property
    def largest_of_results(self) -> float:
        """Without the content, whose range is any network's own: what its rounding does shows in the image."""
        return max(self.embedding, self.stylized, self.image)

    @property
    def largest(self) -> float:
        return max(self.embedding, self.content, self.stylized, self.image)

    def __str__(self) -> str:
        return (
            f"{self.batch} x {self.width}x{self.height}: embedding {self.embedding:.1e}, content {self.content:.1e}, "
            f"stylized {self.stylized:.1e}, whole way {self.image:.1e}"
        )


def compare(graphs: Graphs, engine: Engine, sizes: Sequence[tuple[int, int, int]] | None = None) -> list[Difference]:
    """Run both on images with smooth parts and noise, and on sounds from digital silence to full scale.

    sizes: rounded up to what the model takes; SIZES if None.
    """
    rng = np.random.default_rng(0)
    found = []
    multiple = graphs.size_multiple
    for batch, *sides in tqdm(SIZES if sizes is None else sizes, desc="comparing", unit="size"):
        height, width = (-(-side // multiple) * multiple for side in sides)
        images = np.stack([_image(rng, height, width) for _ in range(batch)])
        sounds = _sounds(rng, batch, graphs.config.audio.clip_samples)
        with torch.no_grad():
            embedding = graphs.audio_encoder(torch.from_numpy(sounds))
            content = graphs.content_encoder(torch.from_numpy(images))
            stylized = graphs.decoder(content, embedding).numpy()
        served_embedding, served_content = engine.embed(sounds), engine.encode(images)
        found.append(
            Difference(
                batch,
                height,
                width,
                embedding=_largest(served_embedding, embedding.numpy()),
                content=_largest(np.asarray(served_content), content.numpy()),
                stylized=_largest(engine.decode(content.numpy(), embedding.numpy()), stylized),
                image=_largest(engine.decode(served_content, served_embedding), stylized),
            )
        )
    return found


def _largest(first: FloatArray, second: FloatArray) -> float:
    """inf where the shapes differ or a value is not finite."""
    if first.shape != second.shape or not (np.isfinite(first).all() and np.isfinite(second).all()):
        return float("inf")
    return float(np.abs(first - second).max())


def _image(rng: np.random.Generator, height: int, width: int) -> FloatArray:
    """[3, H, W] in 0..1: soft blotches under noise, black and white among them."""
    coarse = Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)).resize((width, height))
    pixels = np.asarray(coarse, np.float32) / 127.5 - 0.5 + rng.normal(0, 0.05, (height, width, 3))
    return np.ascontiguousarray(pixels.clip(0, 1).transpose(2, 0, 1), np.float32)


def _sounds(rng: np.random.Generator, batch: int, samples: int) -> FloatArray:
    """[B, N]: noise from full scale down to -50 dBFS; the second of a batch is digital silence."""
    levels = 10 ** (-np.linspace(0, 50, batch) / 20)
    sounds = (rng.uniform(-1, 1, (batch, samples)) * levels[:, None]).astype(np.float32)
    sounds[1:2] = 0
    return sounds

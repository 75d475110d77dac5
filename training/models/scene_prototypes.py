"""The fixed directions of scenes and strangers in the embedding: scenes lie as near as their photographs look alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

LIKENESS = 0.5  # share of the photographs' correlation that is kept: scenes must stay apart to be told apart
LEAST_COSINE, MOST_COSINE = -0.15, 0.3


def scene_directions(photographs: Mapping[str, Tensor], strangers: int, embedding_dim: int, seed: int) -> Tensor:
    """[scenes + strangers, E] unit directions, the scenes in the mapping's order.

    photographs: scene -> pooled backbone features [n, D]. Two scenes have half the correlation of their mean features
    (standardised over all photographs) as cosine, within [-0.15, 0.3]; a stranger is orthogonal to everything. They
    are fixed before anything is trained, so a generator that was trained on one encoder works with its successor.
    """
    kinds = len(photographs) + strangers
    if kinds > embedding_dim:
        raise ValueError(f"{kinds} directions do not fit into {embedding_dim} dimensions")
    cosines = torch.eye(kinds, dtype=torch.float64)
    cosines[: len(photographs), : len(photographs)] = scene_cosines(photographs)
    values, vectors = torch.linalg.eigh(cosines)
    coordinates = vectors * values.clamp(min=0).sqrt()  # [kinds, kinds], rows with these cosines
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(embedding_dim, kinds, generator=generator, dtype=torch.float64)
    basis, _ = torch.linalg.qr(noise)
    return F.normalize(coordinates @ basis.T, dim=1).float()


def scene_cosines(photographs: Mapping[str, Tensor]) -> Tensor:
    """[scenes, scenes] cosines that the directions are to have."""
    features = torch.cat(list(photographs.values()))
    mean, spread = features.mean(dim=0), features.std(dim=0).clamp(min=1e-6)
    means = torch.stack([((of_scene - mean) / spread).mean(dim=0) for of_scene in photographs.values()])
    unit = F.normalize(means - means.mean(dim=0), dim=1)
    cosines = (LIKENESS * (unit @ unit.T).double()).clamp(LEAST_COSINE, MOST_COSINE)
    return cosines.fill_diagonal_(1)


class PhotographProjector:
    """Photographs' features -> directions [n, E] by ridge regression onto their scenes' directions."""

    def __init__(self, photographs: Mapping[str, Tensor], directions: Tensor, ridge: float = 300.0) -> None:
        features = torch.cat(list(photographs.values()))
        self.mean, self.spread = features.mean(dim=0), features.std(dim=0).clamp(min=1e-6)
        standard = (features - self.mean) / self.spread
        counts = [len(of_scene) for of_scene in photographs.values()]
        targets = torch.repeat_interleave(directions[: len(counts)], torch.tensor(counts), dim=0)
        penalty = ridge * torch.eye(standard.shape[1])
        self.weight = torch.linalg.solve(standard.T @ standard + penalty, standard.T @ targets)

    def __call__(self, features: Tensor) -> Tensor:
        return F.normalize((features - self.mean) / self.spread @ self.weight, dim=1)


def photograph_retrieval(projected: Sequence[Tensor], directions: Tensor) -> list[float]:
    """For each scene the share of its photographs that lie nearest to its own direction."""
    scenes = directions[: len(projected)]
    return [float(((own @ scenes.T).argmax(dim=1) == i).float().mean()) for i, own in enumerate(projected)]

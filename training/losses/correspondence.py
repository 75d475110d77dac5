"""Which cell of a photograph shows the same kind of thing as which cell of an image: sky and sky, leaves and leaves."""

from __future__ import annotations

import torch
from torch import Tensor

NEIGHBORS = 3  # cells that are most alike: one of them is drawn


def corresponding_cells(image: Tensor, photographs: Tensor, generator: torch.Generator) -> Tensor:
    """For each cell of `image` [M, K, h, w] one of the cells of `photographs` [N, K, h, w] that are most like it.

    Returns indices [M h w] into the N h w cells.
    """
    ours = image.permute(0, 2, 3, 1).flatten(0, 2)
    theirs = photographs.permute(0, 2, 3, 1).flatten(0, 2)
    nearest = torch.cdist(ours, theirs).topk(min(NEIGHBORS, len(theirs)), dim=1, largest=False).indices
    chosen = torch.randint(nearest.shape[1], (len(ours), 1), generator=generator).to(nearest.device)
    return nearest.gather(1, chosen)[:, 0]


def cell_samples(maps: Tensor, cells: Tensor, rows: int, columns: int, each: int, generator: torch.Generator) -> Tensor:
    """`each` random positions of every one of `cells` [n], cells of maps [B, C, H, W] that are parted into rows x
    columns. Returns [n * each, C]."""
    tall, wide = maps.shape[2] // rows, maps.shape[3] // columns
    inside = torch.randint(tall * wide, (len(cells), each), generator=generator).to(maps.device)
    place = cells[:, None]
    row = (place // columns) % rows * tall + inside // wide
    column = place % columns * wide + inside % wide
    return maps.permute(0, 2, 3, 1)[place // (rows * columns), row, column].flatten(0, 1)

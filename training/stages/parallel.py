"""Several processes that train one model: torchrun starts them, DistributedDataParallel averages their gradients."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


def join_processes() -> tuple[int, int, torch.device]:
    """This process's rank, their number, and its device, from torchrun's environment."""
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    rank = int(os.environ.get("RANK", "0"))
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    if ranks > 1:
        torch.distributed.init_process_group("nccl" if cuda else "gloo")
    return rank, ranks, device


def leave_processes() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


def parallel(module: nn.Module) -> Any:
    """The module, its gradients averaged over the processes of a distributed run.

    A module without anything that learns, and every module of a run of one process, is returned as it is.
    """
    if not torch.distributed.is_initialized() or not any(p.requires_grad for p in module.parameters()):
        return module
    return DistributedDataParallel(module, broadcast_buffers=False)


def without_sync(modules: Iterable[Any], skip: bool) -> AbstractContextManager[Any]:
    """Within it gradients stay each process's own (for all slices of a batch but the last)."""
    stack = ExitStack()
    if skip:
        for module in modules:
            if isinstance(module, DistributedDataParallel):
                stack.enter_context(module.no_sync())
    return stack


def gathered(rows: Tensor) -> tuple[Tensor, int]:
    """The rows [b, ...] of all processes [B, ...], and the place of this process's first. No gradient flows through."""
    if not torch.distributed.is_initialized():
        return rows, 0
    everyone = [torch.empty_like(rows) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(everyone, rows.contiguous())
    return torch.cat(everyone), torch.distributed.get_rank() * len(rows)


def average_over_processes(tensors: list[Tensor]) -> None:
    """Each becomes its mean over all processes; for statistics that are no gradients."""
    if not torch.distributed.is_initialized() or not tensors:
        return
    for tensor in tensors:
        torch.distributed.all_reduce(tensor)
        tensor /= torch.distributed.get_world_size()


def gradients_of(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """The gradients that it is about to apply."""
    return [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]


def take_those_of_the_first(module: nn.Module) -> None:
    """Weights that each process computed by itself differ by rounding: the first one's become everybody's."""
    if torch.distributed.is_initialized():
        for tensor in module.state_dict().values():
            torch.distributed.broadcast(tensor, 0)


def same_for_all(value: float) -> float:
    """The first process's value, in all."""
    if not torch.distributed.is_initialized():
        return value
    tensor = torch.tensor([value], dtype=torch.float64)
    if torch.cuda.is_available():
        tensor = tensor.cuda()
    torch.distributed.broadcast(tensor, 0)
    return tensor.item()

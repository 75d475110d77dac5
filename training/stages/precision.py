"""In which precision a run computes: chosen from the processor, or as told; and the scaling of fp16's losses."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from training.config import PrecisionName

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Precision:
    """name: fp32, bf16 or fp16; reason: why, in words for the log."""

    name: str
    reason: str
    device: torch.device

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, DTYPES[self.name], enabled=self.name != "fp32")

    def scaler(self) -> torch.amp.GradScaler:
        """fp16 loses small gradients unless the loss is scaled up; in the others it does nothing."""
        return torch.amp.GradScaler(self.device.type, enabled=self.name == "fp16")

    def __str__(self) -> str:
        return f"{self.name} ({self.reason})"


def choose_precision(wanted: PrecisionName, device: torch.device) -> Precision:
    """`auto` is bf16 where the hardware multiplies it, fp16 on older GPUs, and else fp32. Raises ValueError."""
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        has_bf16, unit = major >= 8, f"compute capability {major}.{minor}"
        best = "bf16" if has_bf16 else "fp16"
    else:
        unit = instruction_set()
        has_bf16 = multiplies_bf16()
        best = "bf16" if has_bf16 else "fp32"
    if wanted == "auto":
        return Precision(best, f"chosen for {unit}", device)
    if wanted == "fp16" and device.type != "cuda":
        raise ValueError("precision fp16 needs a GPU: take auto, bf16 or fp32")
    slow = "; slow here: this processor has no bf16 arithmetic" if wanted == "bf16" and not has_bf16 else ""
    return Precision(wanted, f"as told, on {unit}{slow}", device)


def multiplies_bf16() -> bool:
    """Whether PyTorch has bf16 dot products on this processor; without them it is a hundred times slower."""
    found = _extensions()
    return bool({"avx512_bf16", "amx_bf16", "arm_bf16", "bf16"} & found)


def instruction_set() -> str:
    """What the processor's matrix products use, such as `AVX512 with avx512_bf16, amx_bf16`."""
    found = _extensions()
    extras = [name for name in ("avx512_vnni", "avx512_bf16", "amx_bf16", "arm_bf16") if name in found]
    base: str = torch.backends.cpu.get_cpu_capability()
    return f"{base} with {', '.join(extras)}" if extras else base


def _extensions() -> set[str]:
    """The processor's extensions that PyTorch uses: none of AVX-512's where it was told to stay below
    (ATEN_CPU_CAPABILITY=avx2)."""
    found = {name for name, has in torch.cpu.get_capabilities().items() if has}
    if torch.backends.cpu.get_cpu_capability() in ("AVX2", "DEFAULT"):
        found -= {name for name in found if name.startswith(("avx512", "amx"))}
    return found

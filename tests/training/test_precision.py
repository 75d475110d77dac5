"""Precision follows what PyTorch uses of the processor."""

from __future__ import annotations

import pytest
import torch

from training.stages.precision import choose_precision, instruction_set

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("capability", "extensions", "precision"),
    [
        ("AVX512", ("avx512_bf16",), "bf16"),
        ("AVX512", ("amx_bf16", "avx512_vnni"), "bf16"),
        ("AVX512", ("avx512_vnni",), "fp32"),
        ("AVX2", ("avx512_bf16", "amx_bf16"), "fp32"),  # PyTorch was told to stay below AVX-512
        ("DEFAULT", ("arm_bf16",), "bf16"),
        ("DEFAULT", (), "fp32"),
    ],
)
def test_auto_is_bf16_where_the_processor_multiplies_it(
    monkeypatch: pytest.MonkeyPatch, capability: str, extensions: tuple[str, ...], precision: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: dict.fromkeys(extensions, True))
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    chosen = choose_precision("auto", CPU)
    assert chosen.name == precision
    assert instruction_set() in str(chosen)
    assert instruction_set().startswith(capability)
    assert ("slow here" in str(choose_precision("bf16", CPU))) == (precision == "fp32")


def test_fp16_needs_a_gpu() -> None:
    with pytest.raises(ValueError, match="fp16 needs a GPU"):
        choose_precision("fp16", CPU)

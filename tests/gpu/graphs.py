"""Bundles on the provider, beside the CPU and PyTorch: equality, placement, latency, memory, share of the limit."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

from export.graphs import Graphs, read_graphs
from service.model.bundle import load_bundle
from service.model.engine import Engine
from tests.gpu.bundles import Measured
from tests.gpu.target import Target, memory_bytes, timed

FP32_TOLERANCE = 1e-3  # of a GPU's fp32 without TF32, beside the CPU, in 0..1
EQUALITY = ((1, 256, 256), (4, 64, 64), (2, 200, 328), (1, 512, 768))  # batch, height, width
LATENCY = (
    *((batch, side, side) for side in (256, 512, 1024) for batch in (1, 8, 32)),
    (1, 3000, 4000),
)
MOST_PIXELS = 12_000_000  # of a batch
SECONDS_EACH = 0.6


def measure_bundle(target: Target, measured: Measured, peak_tflops: float) -> dict[str, Any]:
    """Every figure of one bundle."""
    bundle = load_bundle(measured.directory)
    on_cpu = Engine(bundle, ["cpu"], allow_fallback=False, precision="fp32")
    forms: dict[str, dict[str, Any]] = {
        "fp32": {"precision": "fp32", "tf32": False},
        "tf32": {"precision": "fp32", "tf32": True},
        "fp16": {"precision": "fp16"},
    }
    if target.provider == "cpu":
        del forms["tf32"]
    found: dict[str, Any] = {"forms": {}}
    graphs = read_graphs(measured.checkpoint)
    found["gflop_256"] = count_gflop(graphs, 256)
    for name, options in forms.items():
        if not target.has_time_for(f"{bundle.manifest.name} {name}", 8):
            continue
        before, began = memory_bytes(target), time.perf_counter()
        engine = Engine(bundle, [target.provider], allow_fallback=False, **options)
        engine.warm_up()
        form: dict[str, Any] = {"load_s": time.perf_counter() - began, "operators": engine.operators_by_provider()}
        form["difference"] = difference(target, on_cpu, engine)
        if name == "fp32":
            form["equal"] = form["difference"] < FP32_TOLERANCE
        form["latency"] = [row for row in latencies(target, engine, name) if row is not None]
        form["memory_mb"] = (memory_bytes(target) - before) / 1e6
        for row in form["latency"]:
            seconds = row["p50_ms"] / 1000
            work = found["gflop_256"] * row["batch"] * row["height"] * row["width"] / 256**2
            row["share_of_limit"] = work / seconds / 1000 / peak_tflops
        found["forms"][name] = form
        del engine
    found["torch"] = measure_torch(target, graphs)
    return found


def difference(target: Target, on_cpu: Engine, engine: Engine) -> float:
    """The largest of the stylized images, in 0..1, the whole way from image and waveform."""
    rng, largest = np.random.default_rng(0), 0.0
    for batch, height, width in EQUALITY[:1] if target.quick else EQUALITY:
        images = rng.integers(0, 256, (batch, height, width, 3), np.uint8)
        waveforms = rng.normal(0, 0.2, (batch, engine.manifest.clip_samples)).astype(np.float32)
        made = [one.decode(one.encode(images), one.embed(waveforms)) for one in (on_cpu, engine)]
        if not np.isfinite(made[1]).all():
            return float("inf")
        largest = max(largest, float(np.abs(made[0] - made[1]).max()))
    return largest


def latencies(target: Target, engine: Engine, form: str) -> list[dict[str, Any] | None]:
    """Encode and decode, from bytes to floats, at every size and batch; None where memory or time did not suffice."""
    rows: list[dict[str, Any] | None] = []
    for batch, height, width in ((1, 64, 64), (2, 128, 128)) if target.quick else LATENCY:
        what = f"{engine.manifest.name} {form} {batch} x {width}x{height}"
        if batch * height * width > MOST_PIXELS or not target.has_time_for(what, 3):
            continue
        images = np.random.default_rng(0).integers(0, 256, (batch, height, width, 3), np.uint8)
        embeddings = np.random.default_rng(1).normal(0, 0.3, (batch, engine.manifest.embedding_dim)).astype(np.float32)
        try:
            row: dict[str, Any] = timed(partial(_stylize, engine, images, embeddings), SECONDS_EACH, least=2)
        except MemoryError:
            target.left_out.append(f"{what}: no memory")
            continue
        rows.append({"batch": batch, "height": height, "width": width, **row})
    return rows


def _stylize(engine: Engine, images: NDArray[np.uint8], embeddings: NDArray[np.float32]) -> None:
    engine.decode(engine.encode(images), embeddings)


def count_gflop(graphs: Graphs, side: int) -> float:
    """Operations (two for a product with its sum) of content encoder and decoder for one image of that side."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        content = graphs.content_encoder(torch.rand(1, 3, side, side))
        graphs.decoder(content, torch.rand(1, graphs.config.audio.embedding_dim))
    return counter.get_total_flops() / 1e9


def measure_torch(target: Target, graphs: Graphs) -> dict[str, Any]:
    """The same networks by PyTorch on the same device: eager and compiled, in fp32 (TF32 allowed) and fp16."""
    found: dict[str, Any] = {}
    batch, side = (1, 64) if target.quick else (8, 256)
    kinds = {"fp32": torch.float32} | ({"fp16": torch.float16} if target.provider == "cuda" else {})
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    for kind, dtype in kinds.items():
        encoder, decoder = (
            each.to(target.device, dtype, memory_format=torch.channels_last)
            for each in (graphs.content_encoder, graphs.decoder)
        )
        image = torch.rand(batch, 3, side, side, device=target.device, dtype=dtype)
        image = image.contiguous(memory_format=torch.channels_last)
        embedding = torch.rand(batch, graphs.config.audio.embedding_dim, device=target.device, dtype=dtype)
        for way in ("eager",) if target.quick else ("eager", "compiled"):
            if not target.has_time_for(f"PyTorch {kind} {way}", 5 if way == "eager" else 40):
                continue
            run = _forward(encoder, decoder, way == "compiled")
            try:
                with torch.inference_mode():
                    found[f"{kind} {way}"] = {
                        "batch": batch,
                        "side": side,
                        **timed(lambda run=run, i=image, e=embedding: run(i, e), SECONDS_EACH, least=2),
                    }
            except RuntimeError as exc:  # the compiler's own errors derive from it
                found[f"{kind} {way}"] = {"error": str(exc).splitlines()[0][:200]}
    return found


def _forward(encoder: Any, decoder: Any, compiled: bool) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    def forward(image: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        stylized: torch.Tensor = decoder(encoder(image), embedding)
        return stylized

    run = torch.compile(forward, dynamic=False) if compiled else forward
    return lambda image, embedding: run(image, embedding).float().cpu()


def peak_tflops(target: Target) -> float:
    """What a large bf16 matrix product reaches here."""
    side = 512 if target.quick else 8192
    first, second = (torch.randn(side, side, device=target.device, dtype=torch.bfloat16) for _ in range(2))

    def multiply() -> None:
        torch.mm(first, second)
        if target.provider == "cuda":
            torch.cuda.synchronize()

    return 2 * side**3 / (timed(multiply, SECONDS_EACH)["p50_ms"] / 1000) / 1e12

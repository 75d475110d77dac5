"""Open a bundle's graphs on the first execution provider that loads, with the options that suit it."""

import ctypes
import logging
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Literal

import onnxruntime as ort

from service.errors import ProviderError
from service.model.cuda_versions import read_cuda_versions

logger = logging.getLogger(__name__)

PROVIDERS: Final = {
    "tensorrt": "TensorrtExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
_TENSORRT: Final = "libnvinfer.so.10"
ON_GPU: Final = ("tensorrt", "cuda")  # these like fp16, and keep tensors in the GPU's memory
_NEXT: Final = {"tensorrt": ("cuda", "cpu"), "cuda": ("cpu",), "openvino": ("cpu",), "cpu": ()}


@dataclass(frozen=True)
class Graphs:
    """A bundle's graphs by file name, and their precision: fp32 or fp16."""

    files: Mapping[str, bytes]
    precision: Literal["fp32", "fp16"]


@dataclass(frozen=True)
class RuntimeOptions:
    """How graphs are run. threads: of one run on the CPU, 0 for all cores. gpu_memory_bytes: CUDA's arena, 0 for any.

    tf32: products of fp32 numbers on a GPU may round their factors to 10 bits. fp16: the graphs are in fp16, which
    TensorRT must be allowed to compute in. engine_cache: folder in which TensorRT
    keeps the engines that it builds for one bundle; None: they are built anew at every start.
    """

    threads: int = 0
    gpu_memory_bytes: int = 0
    tf32: bool = True
    fp16: bool = False
    engine_cache: Path | None = None


class CpuRefused(Exception):
    """The CPU, which runs every valid graph, does not run this one: the fault is the bundle's."""


def open_sessions(
    read: Callable[[str], Graphs], providers: Sequence[str], allow_fallback: bool, options: RuntimeOptions
) -> tuple[str, Graphs, dict[str, ort.InferenceSession]]:
    """The first of `providers` that loads all graphs, these graphs, and their sessions.

    read: gives the graphs for a provider's name. allow_fallback: the CPU may stand in for all of them.
    Raises ProviderError with every provider's reason, CpuRefused if the graphs are none.
    """
    wanted = list(dict.fromkeys(providers))
    if unknown := set(wanted) - set(PROVIDERS):
        raise ProviderError(f"{', '.join(sorted(unknown))}: no such provider; there are {', '.join(PROVIDERS)}")
    if allow_fallback and "cpu" not in wanted:
        wanted.append("cpu")
    reasons: list[str] = []
    for name in wanted:
        try:
            _require(name)
        except ProviderError as exc:
            reasons.append(exc.detail)
            continue
        graphs = read(name)
        try:
            sessions = {
                file: open_session(graph, name, _of_graph(options, file, graphs.precision))
                for file, graph in graphs.files.items()
            }
        except Exception as exc:  # ONNX Runtime's exceptions share no base class
            if name == "cpu":
                raise CpuRefused(str(exc)) from exc
            reasons.append(f"{name} does not load ({exc})")
        else:
            if reasons:
                logger.warning("falling back to %s: %s", name, "; ".join(reasons))
            return name, graphs, sessions
    raise ProviderError(
        f"no execution provider loads: {'; '.join(reasons)}. Install the right build of ONNX Runtime, "
        "change ADIS_PROVIDERS, or allow the CPU with ADIS_PROVIDER_FALLBACK=true"
    )


def open_session(graph: bytes, provider: str, options: RuntimeOptions) -> ort.InferenceSession:
    """One graph on `provider`; raises RuntimeError if ONNX Runtime quietly took another."""
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = options.threads
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 3
    settings.enable_mem_pattern = False  # images come in every size
    # Threads that spin for work after a run would take the cores from the next graph and from the encoder; and work is
    # dealt out in small blocks, so that nobody waits for a thread whose core is busy otherwise (docs/log.md).
    settings.add_session_config_entry("session.force_spinning_stop", "1")
    settings.add_session_config_entry("session.dynamic_block_base", "4")
    # weights beside the graph would be read from files that nobody has verified: there is no such folder
    settings.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
    settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")  # for `operators_by_provider`
    # what a provider leaves out goes to the next: TensorRT's to CUDA, a few operators to the CPU
    names = [name for name in (provider, *_NEXT[provider]) if PROVIDERS[name] in ort.get_available_providers()]
    chosen: list[Any] = [(PROVIDERS[name], _provider_options(name, options)) for name in names]
    session = ort.InferenceSession(graph, settings, providers=chosen)
    if session.get_providers()[0] != PROVIDERS[provider]:
        raise RuntimeError(f"ONNX Runtime took {session.get_providers()[0]} instead")
    return session


def operators_by_provider(session: ort.InferenceSession) -> dict[str, dict[str, int]]:
    """How many nodes of each kind of operator a provider (by its name here) has taken of the graph."""
    names = {theirs: ours for ours, theirs in PROVIDERS.items()}
    found: dict[str, Counter[str]] = {}
    for part in session.get_provider_graph_assignment_info():
        found.setdefault(names[part.ep_name], Counter()).update(node.op_type for node in part.get_nodes())
    return {name: dict(kinds) for name, kinds in found.items()}


def _of_graph(options: RuntimeOptions, file: str, precision: str) -> RuntimeOptions:
    """With a cache for each graph: TensorRT names an engine by the graph's nodes, and not by its weights."""
    cache = options.engine_cache
    return replace(options, fp16=precision == "fp16", engine_cache=cache and cache / precision / Path(file).stem)


def _require(provider: str) -> None:
    """Raises ProviderError where `provider` cannot load, as far as this can be known."""
    if PROVIDERS[provider] not in ort.get_available_providers():
        raise ProviderError(f"{provider} is not in this build of ONNX Runtime")
    if provider in ON_GPU:
        ort.preload_dlls()  # CUDA and cuDNN lie in wheels of their own, where no linker looks
        mismatches = read_cuda_versions().mismatches()
        if provider == "tensorrt" and not _has_tensorrt():
            mismatches.append(f"{_TENSORRT} does not load: pip install 'tensorrt-cu13>=10,<11'")
        if mismatches:
            raise ProviderError(f"{provider} cannot load: {'; '.join(mismatches)}")


def _has_tensorrt() -> bool:
    with suppress(ImportError):
        import_module("tensorrt_libs")  # the wheel's libraries, which it loads from where no linker looks
    try:
        ctypes.CDLL(_TENSORRT)
    except OSError:
        return False
    return True


def _provider_options(provider: str, options: RuntimeOptions) -> dict[str, str]:
    match provider:
        case "cuda":
            chosen = {
                "cudnn_conv_algo_search": "HEURISTIC",
                "arena_extend_strategy": "kSameAsRequested",
                "use_tf32": str(int(options.tf32)),
            }
            return chosen | ({"gpu_mem_limit": str(options.gpu_memory_bytes)} if options.gpu_memory_bytes else {})
        case "tensorrt":
            return _tensorrt_options(options)
        case "cpu":
            return {"arena_extend_strategy": "kSameAsRequested"}
        case _:
            return {}


def _tensorrt_options(options: RuntimeOptions) -> dict[str, str]:
    """An engine is built for the shapes that it has met, and widened when others come: the cache keeps both."""
    chosen = {"trt_fp16_enable": str(int(options.fp16))}
    if options.gpu_memory_bytes:
        chosen["trt_max_workspace_size"] = str(options.gpu_memory_bytes)
    if options.engine_cache is not None:
        options.engine_cache.mkdir(parents=True, exist_ok=True)
        chosen |= {
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": str(options.engine_cache),
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": str(options.engine_cache),
        }
    return chosen

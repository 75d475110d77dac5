"""Run a bundle's three graphs on the first execution provider that loads.

It is given arrays and gives arrays, and knows neither jobs nor HTTP. The three runs are the paper's
y = Gdec(concat(Genc(x), f(a))): `embed` is f, `encode` is Genc, `decode` is Gdec.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Final

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from service.errors import BundleError, ProviderError
from service.model.bundle import AUDIO_ENCODER, CONTENT_ENCODER, DECODER, Bundle, read_graphs
from service.observe.stages import stage

logger = logging.getLogger(__name__)

FloatArray = NDArray[np.float32]

PROVIDERS: Final = {
    "tensorrt": "TensorrtExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
_SIGNATURES: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    AUDIO_ENCODER: (("waveform",), ("embedding",)),
    CONTENT_ENCODER: (("image",), ("content",)),
    DECODER: (("content", "embedding"), ("stylized",)),
}
_CONTENT_CELL: Final = 4 * 4  # pixels of the image for each cell of `content`
_LARGE_IMAGE_PIXELS: Final = 640 * 640


class Engine:
    """The three graphs of one bundle, loaded; safe to call from several threads.

    provider: name (as in `PROVIDERS`) of the execution provider that was loaded. runtime: name and version.
    lanes: how many runs of `by_core` beside each other keep the machine busy.
    """

    def __init__(
        self,
        bundle: Bundle,
        providers: Sequence[str] = ("cpu",),
        allow_fallback: bool = True,
        threads: int = 0,
        gpu_memory_bytes: int = 0,
        graphs: Mapping[str, bytes] | None = None,
    ) -> None:
        """Load on the first of `providers` that works, else (if `allow_fallback`) on the CPU.

        threads: of one run on the CPU, 0 for all cores. gpu_memory_bytes: CUDA's arena, 0 for no bound.
        graphs: as `read_graphs` returned them for this bundle, which is then not read again.
        Raises ProviderError with every provider's reason, BundleError if the graphs are not of the contract's form.
        """
        self.bundle = bundle
        self.manifest = bundle.manifest
        self.runtime = f"onnxruntime {ort.__version__}"
        self._graphs = read_graphs(bundle) if graphs is None else graphs  # the files may be replaced at any time
        self.provider, sessions = _load(bundle, self._graphs, providers, allow_fallback, threads, gpu_memory_bytes)
        self.lanes = (threads or len(os.sched_getaffinity(0))) if self.provider == "cpu" else 1
        for name, session in sessions.items():
            _check_signature(bundle, name, session)
        self._audio_encoder = sessions[AUDIO_ENCODER]
        self._content_encoder = sessions[CONTENT_ENCODER]
        self._decoder = sessions[DECODER]
        self._keep_memory, self._free_memory = ort.RunOptions(), ort.RunOptions()
        device = "gpu:0" if self.provider in ("cuda", "tensorrt") else "cpu:0"
        for options in (self._keep_memory, self._free_memory):
            options.only_execute_path_to_fetches = True  # what is not asked for is not computed
        self._free_memory.add_run_config_entry("memory.enable_memory_arena_shrinkage", device)
        logger.info("%s %s runs on %s (%s)", self.manifest.name, self.manifest.version, self.provider, self.runtime)

    def embed(self, waveforms: FloatArray) -> FloatArray:
        """waveforms: [B, N], N = clip_seconds * sample_rate_hz, full scale = 1 -> [B, E]."""
        if waveforms.ndim != 2 or waveforms.shape[1] != self.manifest.clip_samples:
            raise ValueError(f"waveforms are {waveforms.shape}, not [B, {self.manifest.clip_samples}]")
        with stage("audio", batch=len(waveforms)):
            return self._run(self._audio_encoder, {"waveform": waveforms}, pixels=0, outputs=["embedding"])[0]

    def encode(self, images: FloatArray) -> FloatArray:
        """images: [B, 3, H, W] in 0..1, H and W multiples of `size_multiple` -> content [B, C, H/4, W/4]."""
        multiple = self.manifest.size_multiple
        if images.ndim != 4 or images.shape[1] != 3 or images.shape[2] % multiple or images.shape[3] % multiple:
            raise ValueError(f"images are {images.shape}, not [B, 3, H, W] with H and W multiples of {multiple}")
        pixels = images[:, 0].size
        with stage("content", batch=len(images)):
            return self._run(self._content_encoder, {"image": images}, pixels, outputs=["content"])[0]

    def decode(self, content: FloatArray, embedding: FloatArray) -> FloatArray:
        """content: [B, C, H/4, W/4] from `encode`; embedding: [B, E] -> stylized [B, 3, H, W] in 0..1."""
        if embedding.shape != (content.shape[0], self.manifest.embedding_dim):
            raise ValueError(f"embedding is {embedding.shape}, not [{content.shape[0]}, {self.manifest.embedding_dim}]")
        pixels = content[:, 0].size * _CONTENT_CELL
        with stage("decoder", batch=len(content)):
            feeds = {"content": content, "embedding": embedding}
            return self._run(self._decoder, feeds, pixels, outputs=["stylized"])[0]

    @cached_property
    def by_core(self) -> "Engine":
        """The same graphs with a core for each run: slower for one run alone, faster for `lanes` of them at once.

        Threads that share a run wait for the slowest of them, so that every other work on one core holds up all.
        """
        return self if self.lanes == 1 else Engine(self.bundle, ("cpu",), threads=1, graphs=self._graphs)

    def warm_up(self) -> None:
        """Run everything once at the native size, so that the first job does not pay for it."""
        side = -(-self.manifest.native_size // self.manifest.size_multiple) * self.manifest.size_multiple
        embedding = self.embed(np.zeros((1, self.manifest.clip_samples), np.float32))
        self.decode(self.encode(np.zeros((1, 3, side, side), np.float32)), embedding)

    def _run(
        self, session: ort.InferenceSession, inputs: dict[str, FloatArray], pixels: int, outputs: list[str]
    ) -> list[FloatArray]:
        feeds = {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in inputs.items()}
        # a large image's activations go back to the system at once; a small one's are kept, which is faster
        options = self._free_memory if pixels > _LARGE_IMAGE_PIXELS else self._keep_memory
        results: list[FloatArray] = session.run(outputs, feeds, options)
        return results


def _load(
    bundle: Bundle,
    graphs: Mapping[str, bytes],
    providers: Sequence[str],
    allow_fallback: bool,
    threads: int,
    gpu_memory_bytes: int,
) -> tuple[str, dict[str, ort.InferenceSession]]:
    """The first provider that loads all three graphs, and their sessions."""
    wanted = list(dict.fromkeys(providers))
    if unknown := set(wanted) - set(PROVIDERS):
        raise ProviderError(f"{', '.join(sorted(unknown))}: no such provider; there are {', '.join(PROVIDERS)}")
    if allow_fallback and "cpu" not in wanted:
        wanted.append("cpu")
    reasons: list[str] = []
    for name in wanted:
        if PROVIDERS[name] not in ort.get_available_providers():
            reasons.append(f"{name} is not in this build of ONNX Runtime")
        else:
            if name in ("cuda", "tensorrt"):
                ort.preload_dlls()  # CUDA and cuDNN lie in wheels of their own, where no linker looks
            try:
                sessions = {
                    graph: _open_session(content, name, threads, gpu_memory_bytes) for graph, content in graphs.items()
                }
            except Exception as exc:  # ONNX Runtime's exceptions share no base class
                if name == "cpu":  # the CPU runs every valid graph: the fault is the bundle's
                    raise BundleError(f"{bundle.directory}: ONNX Runtime cannot load the graphs: {exc}") from exc
                reasons.append(f"{name} does not load ({exc})")
            else:
                if reasons:
                    logger.warning("falling back to %s: %s", name, "; ".join(reasons))
                return name, sessions
    raise ProviderError(
        f"no execution provider loads: {'; '.join(reasons)}. Install the right build of ONNX Runtime, "
        "change ADIS_PROVIDERS, or allow the CPU with ADIS_PROVIDER_FALLBACK=true"
    )


def _open_session(graph: bytes, provider: str, threads: int, gpu_memory_bytes: int) -> ort.InferenceSession:
    """One graph on `provider`; raises RuntimeError if ONNX Runtime quietly took another."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_mem_pattern = False  # images come in every size
    # Threads that spin for work after a run would take the cores from the next graph and from the encoder; and work is
    # dealt out in small blocks, so that nobody waits for a thread whose core is busy otherwise (docs/log.md).
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.add_session_config_entry("session.dynamic_block_base", "4")
    # weights beside the graph would be read from files that nobody has verified: there is no such folder
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
    chosen: list[Any] = [(PROVIDERS[provider], _provider_options(provider, gpu_memory_bytes))]
    if provider != "cpu":
        chosen.append(PROVIDERS["cpu"])  # for the few operators that a provider leaves out
    session = ort.InferenceSession(graph, options, providers=chosen)
    if session.get_providers()[0] != PROVIDERS[provider]:
        raise RuntimeError(f"ONNX Runtime took {session.get_providers()[0]} instead")
    return session


def _provider_options(provider: str, gpu_memory_bytes: int) -> dict[str, str]:
    match provider:
        case "cuda":
            options = {"cudnn_conv_algo_search": "HEURISTIC", "arena_extend_strategy": "kSameAsRequested"}
            return options | ({"gpu_mem_limit": str(gpu_memory_bytes)} if gpu_memory_bytes else {})
        case "cpu":
            return {"arena_extend_strategy": "kSameAsRequested"}
        case _:
            return {}


def _check_signature(bundle: Bundle, name: str, session: ort.InferenceSession) -> None:
    """Refuse graphs whose inputs, outputs or embedding size are not the contract's."""
    inputs = {tensor.name: tensor for tensor in session.get_inputs()}
    outputs = {tensor.name: tensor for tensor in session.get_outputs()}
    expected = _SIGNATURES[name]
    # outputs beyond the contract's are neither asked for nor computed
    if set(inputs) != set(expected[0]) or not set(expected[1]) <= set(outputs):
        raise BundleError(
            f"{bundle.directory / name} maps {', '.join(inputs)} to {', '.join(outputs)}; "
            f"a bundle of format 1 maps {', '.join(expected[0])} to {', '.join(expected[1])}"
        )
    tensors = inputs | {output: outputs[output] for output in expected[1]}
    if wrong := [tensor.name for tensor in tensors.values() if tensor.type != "tensor(float)"]:
        raise BundleError(f"{bundle.directory / name}: {', '.join(wrong)} must be float32")
    fixed = {"embedding": bundle.manifest.embedding_dim, "waveform": bundle.manifest.clip_samples}
    for tensor_name, size in fixed.items():
        found = tensors[tensor_name].shape[1] if tensor_name in tensors else size
        if isinstance(found, int) and found != size:
            raise BundleError(
                f"{bundle.directory / name}: {tensor_name} has {found} numbers, but the manifest says {size}"
            )

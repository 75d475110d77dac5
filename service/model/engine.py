"""Run a bundle's three graphs on the first execution provider that loads.

It is given arrays and gives arrays, and knows neither jobs nor HTTP. The three runs are the paper's
y = Gdec(concat(Genc(x), f(a))): `embed` is f, `encode` is Genc, `decode` is Gdec. What `encode` makes stays on the
provider's device until `decode` takes it.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Final, Literal

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from service.errors import BundleError
from service.model.bound_graph import BoundGraph, DeviceTensor
from service.model.bundle import AUDIO_ENCODER, CONTENT_ENCODER, DECODER, GRAPHS, Bundle, read_graphs
from service.model.providers import (
    ON_GPU,
    CpuRefused,
    Graphs,
    RuntimeOptions,
    open_session,
    open_sessions,
    operators_by_provider,
)
from service.observe.stages import stage

logger = logging.getLogger(__name__)

FloatArray = NDArray[np.float32]
Pixels = NDArray[np.uint8]
Precision = Literal["auto", "fp32", "fp16"]

_SIGNATURES: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    AUDIO_ENCODER: (("waveform",), ("embedding",)),
    CONTENT_ENCODER: (("image",), ("content",)),
    DECODER: (("content", "embedding"), ("stylized",)),
}
_ADAPTERS: Final = Path(__file__).with_name("adapters")  # made by `export.adapters`
_CONTENT_CELL: Final = 4  # pixels of the image on a side of each cell of `content`
_LARGE_IMAGE_PIXELS: Final = 640 * 640
_BATCH_PIXELS_CPU: Final = 400 * 400  # at once; more brings nothing
_BATCH_PIXELS_GPU: Final = 1024 * 1024
_BATCH_BYTES_PER_PIXEL: Final = 2048  # of activations, about
_MOST_IMAGES_CPU, _MOST_IMAGES_GPU = 8, 32


class Engine:
    """The three graphs of one bundle, loaded; safe to call from several threads.

    provider: name (as in `PROVIDERS`) of the execution provider that was loaded. runtime: name, version and precision.
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
        *,
        precision: Precision = "auto",
        tf32: bool = True,
        engine_cache: Path | None = None,
    ) -> None:
        """Load on the first of `providers` that works, else (if `allow_fallback`) on the CPU.

        threads: of one run on the CPU, 0 for all cores. gpu_memory_bytes: CUDA's arena, 0 for no bound.
        graphs: as `read_graphs` returned them for this bundle, which is then not read again.
        precision: `auto` takes the bundle's fp16 graphs, if it has some, where the provider is a GPU's.
        tf32, engine_cache: as in `RuntimeOptions`; a folder within `engine_cache` is the bundle's.
        Raises ProviderError with every provider's reason, BundleError if the graphs are not of the contract's form.
        """
        self.bundle = bundle
        self.manifest = bundle.manifest
        cache = None if engine_cache is None else engine_cache / bundle.sha256
        options = RuntimeOptions(threads, gpu_memory_bytes, tf32, engine_cache=cache)

        def read(provider: str) -> Graphs:
            if graphs is not None:
                return Graphs(graphs, "fp16" if precision == "fp16" else "fp32")
            half = precision == "fp16" or (precision == "auto" and provider in ON_GPU and bool(bundle.manifest.fp16))
            return Graphs(read_graphs(bundle, half), "fp16" if half else "fp32")

        try:
            self.provider, self._graphs, sessions = open_sessions(read, providers, allow_fallback, options)
        except CpuRefused as exc:
            raise BundleError(f"{bundle.directory}: ONNX Runtime cannot load the graphs: {exc}") from exc
        self.precision = self._graphs.precision
        self.runtime = f"onnxruntime {ort.__version__}{' fp16' if self.precision == 'fp16' else ''}"
        self.lanes = (threads or len(os.sched_getaffinity(0))) if self.provider == "cpu" else 1
        for name, session in sessions.items():
            _check_signature(bundle, name, session)
        self._gpu_memory_bytes = gpu_memory_bytes
        device = "cuda" if self.provider in ON_GPU else "cpu"
        self._audio_encoder = BoundGraph(sessions[AUDIO_ENCODER], device)
        self._content_encoder = BoundGraph(sessions[CONTENT_ENCODER], device)
        self._decoder = BoundGraph(sessions[DECODER], device)
        beside = replace(options, threads=1)  # a copy at most
        self._from_pixels, self._repeat = (
            BoundGraph(open_session((_ADAPTERS / name).read_bytes(), device, beside), device)
            for name in ("pixels.onnx", "repeat.onnx")
        )
        self._keep_memory, self._free_memory = ort.RunOptions(), ort.RunOptions()
        for run_options in (self._keep_memory, self._free_memory):
            run_options.only_execute_path_to_fetches = True  # what is not asked for is not computed
        arena = "gpu:0" if device == "cuda" else "cpu:0"
        self._free_memory.add_run_config_entry("memory.enable_memory_arena_shrinkage", arena)
        logger.info("%s %s runs on %s (%s)", self.manifest.name, self.manifest.version, self.provider, self.runtime)
        if device == "cuda" and (left := self._left_to_the_cpu()):
            logger.info("%s: operators that %s leaves to the CPU: %s", self.manifest.name, self.provider, left)

    def embed(self, waveforms: FloatArray) -> FloatArray:
        """waveforms: [B, N], N = clip_seconds * sample_rate_hz, full scale = 1 -> [B, E]."""
        if waveforms.ndim != 2 or waveforms.shape[1] != self.manifest.clip_samples:
            raise ValueError(f"waveforms are {waveforms.shape}, not [B, {self.manifest.clip_samples}]")
        embeddings = np.empty((len(waveforms), self.manifest.embedding_dim), np.float32)
        with stage("audio", batch=len(waveforms)):
            feeds = {"waveform": np.asarray(waveforms, np.float32)}
            self._audio_encoder.run(feeds, "embedding", self._keep_memory, into=embeddings)
        return embeddings

    def encode(self, images: FloatArray | Pixels) -> DeviceTensor:
        """Content features [B, C, H/4, W/4] of images, left on the device; H and W multiples of `size_multiple`.

        images: floats [B, 3, H, W] in 0..1, or bytes [B, H, W, 3].
        """
        multiple, bytewise = self.manifest.size_multiple, images.dtype == np.uint8
        sides, channels = (images.shape[1:3], images.shape[3:]) if bytewise else (images.shape[2:], images.shape[1:2])
        if images.ndim != 4 or channels != (3,) or any(side % multiple for side in sides):
            form = "[B, H, W, 3]" if bytewise else "[B, 3, H, W]"
            raise ValueError(f"images are {images.shape}, not {form} with H and W multiples of {multiple}")
        options = self._options(images.size // 3)
        with stage("content", batch=len(images)):
            if bytewise:
                image = self._from_pixels.run({"pixels": images}, "image", options)
                return self._content_encoder.run({"image": image}, "content", options)
            return self._content_encoder.run({"image": np.asarray(images, np.float32)}, "content", options)

    def decode(self, content: DeviceTensor | FloatArray, embedding: FloatArray) -> FloatArray:
        """content: [B, C, H/4, W/4] from `encode`, or one for all; embedding: [B, E] -> [B, 3, H, W] in 0..1."""
        count, (contents, channels, rows, columns) = len(embedding), content.shape
        if embedding.shape != (count, self.manifest.embedding_dim) or contents not in (1, count):
            raise ValueError(f"embedding is {embedding.shape}, not [{contents}, {self.manifest.embedding_dim}]")
        stylized = np.empty((count, 3, _CONTENT_CELL * rows, _CONTENT_CELL * columns), np.float32)
        options = self._options(stylized[:, 0].size)
        if not isinstance(content, DeviceTensor):
            content = np.asarray(content, np.float32)
        with stage("decoder", batch=count):
            if contents != count:
                shape = np.array([count, channels, rows, columns], np.int64)
                content = self._repeat.run({"one": content, "shape": shape}, "many", options)
            feeds = {"content": content, "embedding": np.asarray(embedding, np.float32)}
            self._decoder.run(feeds, "stylized", options, into=stylized)
        return stylized

    def images_at_once(self, height: int, width: int) -> int:
        """How many images of that size a batch should have for speed, and may have for memory; at least one."""
        pixels, most = _BATCH_PIXELS_CPU, _MOST_IMAGES_CPU
        if self.provider in ON_GPU:
            pixels, most = _BATCH_PIXELS_GPU, _MOST_IMAGES_GPU
            if self._gpu_memory_bytes:
                pixels = min(pixels, self._gpu_memory_bytes // _BATCH_BYTES_PER_PIXEL)
        return max(1, min(most, pixels // (height * width)))

    @cached_property
    def by_core(self) -> "Engine":
        """The same graphs with a core for each run: slower for one run alone, faster for `lanes` of them at once.

        Threads that share a run wait for the slowest of them, so that every other work on one core holds up all.
        """
        return (
            self
            if self.lanes == 1
            else Engine(self.bundle, ("cpu",), threads=1, graphs=self._graphs.files, precision=self.precision)
        )

    def operators_by_provider(self) -> dict[str, dict[str, dict[str, int]]]:
        """Of each graph: how many nodes of each kind of operator a provider has taken."""
        graphs = zip(GRAPHS, (self._audio_encoder, self._content_encoder, self._decoder), strict=True)
        return {name: operators_by_provider(graph.session) for name, graph in graphs}

    def warm_up(self) -> None:
        """Run everything once at the native size, so that the first job does not pay for it."""
        side = -(-self.manifest.native_size // self.manifest.size_multiple) * self.manifest.size_multiple
        embedding = self.embed(np.zeros((1, self.manifest.clip_samples), np.float32))
        self.decode(self.encode(np.zeros((1, 3, side, side), np.float32)), embedding)

    def _left_to_the_cpu(self) -> dict[str, dict[str, int]]:
        found = {name: taken.get("cpu", {}) for name, taken in self.operators_by_provider().items()}
        return {name: operators for name, operators in found.items() if operators}

    def _options(self, pixels: int) -> ort.RunOptions:
        """A large image's activations go back to the system at once; a small one's are kept, which is faster."""
        return self._free_memory if pixels > _LARGE_IMAGE_PIXELS else self._keep_memory


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

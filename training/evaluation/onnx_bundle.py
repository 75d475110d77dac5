"""A bundle as its evaluation needs it: three ONNX graphs and a manifest, on the CPU."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


class OnnxBundle:
    """Images are [B, 3, H, W] in 0..1, waveforms [B, N] at `sample_rate_hz` with full scale 1."""

    def __init__(self, folder: Path, threads: int = 0) -> None:
        self.manifest = json.loads((folder / "manifest.json").read_text())
        self.name = f"{self.manifest['name']} {self.manifest['version']}"
        self.sample_rate_hz: int = self.manifest["sample_rate_hz"]
        self.clip_samples: int = round(self.manifest["clip_seconds"] * self.sample_rate_hz)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        self._graphs = {
            name: ort.InferenceSession(folder / f"{name}.onnx", options, providers=["CPUExecutionProvider"])
            for name in ("audio_encoder", "content_encoder", "decoder")
        }

    def embed(self, waveforms: FloatArray) -> FloatArray:
        """[B, N] -> [B, E]."""
        return self._graphs["audio_encoder"].run(["embedding"], {"waveform": waveforms})[0]

    def encode(self, images: FloatArray) -> FloatArray:
        """[B, 3, H, W] -> content [B, C, H / 4, W / 4]."""
        return self._graphs["content_encoder"].run(["content"], {"image": images})[0]

    def decode(self, content: FloatArray, embeddings: FloatArray) -> FloatArray:
        """content [1, C, H / 4, W / 4] and embeddings [B, E] -> [B, 3, H, W]."""
        results = [
            self._graphs["decoder"].run(["stylized"], {"content": content, "embedding": one[None]})[0]
            for one in embeddings
        ]
        return np.concatenate(results)

    def known_sounds(self) -> tuple[Sequence[str], FloatArray]:
        """Names, and their unit directions [K, E]."""
        sounds = self.manifest["sounds"]
        means = np.array([sound["embedding"] for sound in sounds], np.float32)
        return [sound["name"] for sound in sounds], means / np.linalg.norm(means, axis=1, keepdims=True)

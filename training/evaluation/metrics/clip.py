"""CLIP: how well a picture fits the words of the scene whose sound it was given."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from training.checkpoint import CheckpointError
from training.evaluation.metrics.torchscript import torchscript_allowed

MODEL = "ViT-B-32-quickgelu"  # OpenAI's ViT-B/32 was trained with that approximation of GELU
MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class Clip:
    """The cosine of a picture and a text. Needs the extra `metrics`.

    path: OpenAI's ViT-B-32.pt (TorchScript), or a state dictionary of that model (.pt, .safetensors).
    model: open_clip's name of the model that a state dictionary is of.
    """

    name = "CLIP (ViT-B/32)"

    def __init__(self, path: Path, model: str = MODEL) -> None:
        try:
            import open_clip
        except ImportError as exc:
            raise CheckpointError("CLIP needs open_clip: pip install '.[metrics]'") from exc
        if not path.is_file():
            raise CheckpointError(f"there is no CLIP checkpoint {path}")
        try:
            if _is_torchscript(path):
                with torchscript_allowed():
                    self.net = open_clip.load_openai_model(str(path), precision="fp32", device="cpu")
            else:
                self.net = open_clip.create_model(model, load_weights=False)
                open_clip.load_checkpoint(self.net, str(path))
        except Exception as exc:  # torch and safetensors raise many types for a damaged file
            raise CheckpointError(f"{path} is not a CLIP checkpoint of {model}: {exc}") from exc
        self.net.requires_grad_(False).eval()
        self.tokenize = open_clip.get_tokenizer(model)
        size = self.net.visual.image_size
        self.side = size[0] if isinstance(size, tuple) else size
        self._texts: dict[str, Tensor] = {}

    @torch.no_grad()
    def similarity(self, pictures: Tensor, texts: Sequence[str]) -> Tensor:
        """[P, 3, H, W] in [-1, 1] and T texts -> cosines [P, T]."""
        seen = self.net.encode_image(self._prepared(pictures), normalize=True)
        return seen @ torch.stack([self._text(text) for text in texts]).T

    def _text(self, text: str) -> Tensor:
        if text not in self._texts:
            self._texts[text] = self.net.encode_text(self.tokenize([text]), normalize=True)[0]
        return self._texts[text]

    def _prepared(self, pictures: Tensor) -> Tensor:
        """CLIP's own steps for square pictures: bicubic to the net's side, then its mean and deviation."""
        scaled = F.interpolate(
            (pictures + 1) / 2, size=(self.side, self.side), mode="bicubic", antialias=True, align_corners=False
        ).clamp(0, 1)
        return (scaled - scaled.new_tensor(MEAN)[:, None, None]) / scaled.new_tensor(DEVIATION)[:, None, None]


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("constants.pkl") for name in archive.namelist())

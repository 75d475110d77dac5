"""The CLIP metric reads checkpoints of either kind and prepares images as CLIP does."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
import torch
from PIL import Image

from training.checkpoint import CheckpointError
from training.data.media import to_pixels
from training.evaluation.metrics.clip import Clip
from training.evaluation.metrics.torchscript import torchscript_allowed

open_clip = pytest.importorskip("open_clip", reason="needs the extra `metrics`")

NAME = "tiny-for-tests"
TINY = {
    "embed_dim": 16,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1},
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state dictionary of a small CLIP with random weights."""
    folder = tmp_path_factory.mktemp("clip")
    (folder / f"{NAME}.json").write_text(json.dumps(TINY))
    open_clip.add_model_config(folder / f"{NAME}.json")
    torch.manual_seed(0)
    torch.save(open_clip.create_model(NAME, load_weights=False).state_dict(), folder / "tiny.pt")
    return folder / "tiny.pt"


def images(side: int = 32) -> torch.Tensor:
    """[2, 3, side, side] of 8-bit values."""
    levels = torch.randint(0, 256, (2, 3, side, side), generator=torch.Generator().manual_seed(0))
    return levels / 127.5 - 1


def test_similarity_is_the_cosine_that_open_clip_gives(tiny: Path) -> None:
    net, _, prepare = open_clip.create_model_and_transforms(NAME, load_weights=False)
    net.load_state_dict(torch.load(tiny, weights_only=True))
    seen = torch.stack([prepare(Image.fromarray(to_pixels(image))) for image in images()])
    with torch.no_grad():
        texts = net.eval().encode_text(open_clip.get_tokenizer(NAME)(["snow", "rain"]))
        expected = torch.cosine_similarity(net.encode_image(seen)[:, None], texts[None], dim=-1)
    measured = Clip(tiny, NAME).similarity(images(), ["snow", "rain"])
    assert torch.allclose(measured, expected, atol=1e-4)
    assert (measured[:, 0] - measured[:, 1]).abs().min() > 1e-4  # the words matter


def test_the_torchscript_that_openai_published_is_read(tiny: Path, tmp_path: Path) -> None:
    net = open_clip.create_model(NAME, load_weights=False)
    net.load_state_dict(torch.load(tiny, weights_only=True))
    net.attn_mask = net._buffers.pop("attn_mask")  # a constant there, no weight
    example = (torch.zeros(1, 3, 32, 32), open_clip.get_tokenizer(NAME)(["snow"]))
    with torchscript_allowed(), warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        traced = torch.jit.trace(net.eval(), example, check_trace=False)
        torch.jit.save(traced, str(tmp_path / "ViT-B-32.pt"))
    words = ["snow", "rain"]
    expected = Clip(tiny, NAME).similarity(images(), words)
    assert torch.allclose(Clip(tmp_path / "ViT-B-32.pt", NAME).similarity(images(), words), expected, atol=1e-4)


def test_images_of_any_size_are_brought_to_the_nets(tiny: Path) -> None:
    clip = Clip(tiny, NAME)
    flat = torch.tensor([0.2, -0.4, 0.6]).view(1, 3, 1, 1)
    small, large = flat.expand(1, 3, 32, 32), flat.expand(1, 3, 90, 90)
    assert torch.allclose(clip.similarity(small, ["snow"]), clip.similarity(large, ["snow"]), atol=1e-4)


def test_another_nets_weights_are_refused(tmp_path: Path, tiny: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pt")
    for path in (tmp_path / "other.pt", Path(__file__)):
        with pytest.raises(CheckpointError, match="is not a CLIP checkpoint"):
            Clip(path, NAME)
    with pytest.raises(CheckpointError, match="there is no"):
        Clip(tmp_path / "missing.pt", NAME)

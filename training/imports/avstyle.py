"""The authors' released weights (generator and audio network, one file each) as a checkpoint of the `paper` preset.

Their files hold the generator as two sequences, `model_down` (Genc with all blocks) and `model_up` (Gdec), whose layers
are numbered with norms, ReLUs and paddings counted, and a torchvision ResNet18 whose last layer is called `proj`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from training import checkpoint
from training.checkpoint import CheckpointError
from training.config import PaperConfig, to_dict
from training.models.average import Average
from training.models.paper_networks import PaperNetworks
from training.presets import PRESETS

BLOCKS_FROM = 12  # the place of the first residual block in model_down
DOWN_TAPS, UP_TAPS = (1.0, 2.0, 1.0), (1.0, 3.0, 3.0, 1.0)
FILTERS = {  # buffers of their anti-aliased sampling; ours are computed, so theirs must be the same
    "model_down.7.filt": (DOWN_TAPS, 1.0),
    "model_down.11.filt": (DOWN_TAPS, 1.0),
    "model_up.0.filt": (UP_TAPS, 4.0),
    "model_up.4.filt": (UP_TAPS, 4.0),
}
NAMED = 5  # keys that an error names


def import_avstyle(generator_file: Path, audio_file: Path, output: Path) -> Path:
    """Write the checkpoint `output`. Raises CheckpointError, naming what is missing, unexpected or of another shape.

    The files hold no discriminator and no projector: those begin anew, as fine-tuning needs them.
    """
    config = PRESETS["paper"]
    assert isinstance(config, PaperConfig)
    torch.manual_seed(config.seed)
    networks = PaperNetworks(config)
    theirs = _read(generator_file)
    for name, (taps, gain) in FILTERS.items():
        if name in theirs:
            _check_filter(theirs.pop(name), taps, gain, f"{generator_file}: {name}")
    take(networks.generator, theirs, generator_names(config.generator.blocks), generator_file)
    sounds = {name: value for name, value in _read(audio_file).items() if not name.startswith("stft.")}  # computed
    take(networks.audio_encoder.network, sounds, audio_names(networks.audio_encoder.network), audio_file)
    values = {
        "config": to_dict(config),
        "images_seen": 0,
        "networks": networks.state_dict(),
        "ema": Average(networks, config.ema_images).state_dict(),
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.save(output, values)
    return output


def generator_names(blocks: int) -> dict[str, str]:
    """Our generator's entries by their names."""
    layers = {
        "model_down.1": "encoder.stem",
        "model_down.4": "encoder.down1",
        "model_down.8": "encoder.down2",
        "model_up.1": "decoder.up1",
        "model_up.5": "decoder.up2",
        "model_up.9": "decoder.head",
    }
    for block in range(blocks):
        theirs = f"model_down.{BLOCKS_FROM + block}.conv_block"
        layers |= {f"{theirs}.1": f"encoder.blocks.{block}.conv1"}  # each padding is a layer of its own
        layers |= {f"{theirs}.5": f"encoder.blocks.{block}.conv2"}
    return {f"{theirs}.{kind}": f"{ours}.{kind}" for theirs, ours in layers.items() for kind in ("weight", "bias")}


def audio_names(network: nn.Module) -> dict[str, str]:
    """Our ResNet18's entries by their names."""
    return {_their_audio_name(ours): ours for ours in network.state_dict()}


def _their_audio_name(ours: str) -> str:
    part, _, rest = ours.partition(".")
    if part == "stem":
        return f"AudioInconv.{rest}"
    if part == "head":
        return f"proj.{rest}"
    number, _, rest = rest.partition(".")  # two blocks a stage
    return f"AudioLayer{int(number) // 2 + 1}.{int(number) % 2}.{rest.replace('shortcut.', 'downsample.')}"


def read_file(path: Path) -> object:
    """What a foreign file of weights holds; nothing in it is run. Raises CheckpointError."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as exc:
        raise CheckpointError(f"there is no file {path}") from exc
    except Exception as exc:  # torch raises many types for a damaged file
        raise CheckpointError(f"{path} is not a readable file of weights: {exc}") from exc


def _read(path: Path) -> dict[str, Tensor]:
    values = read_file(path)
    if not isinstance(values, Mapping) or not all(isinstance(v, Tensor) for v in values.values()):
        raise CheckpointError(f"{path} is no state dictionary (tensors by name)")
    return {str(name).removeprefix("module."): value for name, value in values.items()}  # DataParallel's prefix


def take(network: nn.Module, theirs: Mapping[str, Tensor], names: Mapping[str, str], path: Path) -> None:
    """Load their weights under our names: every entry of theirs is accounted for; what `names` lacks of ours stays.

    Raises CheckpointError.
    """
    expected = network.state_dict()
    wrong = [
        f"{name} is {list(theirs[name].shape)}, not {list(expected[ours].shape)}"
        for name, ours in names.items()
        if name in theirs and theirs[name].shape != expected[ours].shape
    ]
    for problem, found in (
        ("lacks", sorted(set(names) - set(theirs))),
        ("has unexpected", sorted(set(theirs) - set(names))),
        ("has weights of another shape:", wrong),
    ):
        if found:
            raise CheckpointError(f"{path} {problem} {_some(found)}; is it a file of the released architecture?")
    taken = {ours: theirs[name].to(expected[ours].dtype) for name, ours in names.items()}
    network.load_state_dict({**expected, **taken})


def _check_filter(found: Tensor, taps: Sequence[float], gain: float, what: str) -> None:
    row = torch.tensor(taps)
    kernel = torch.outer(row, row) * gain / row.sum() ** 2
    if found.shape[1:] != (1, *kernel.shape) or not torch.allclose(found.float(), kernel.expand_as(found), atol=1e-4):
        raise CheckpointError(f"{what} is another low-pass than {list(taps)}, which the `paper` preset computes")


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more

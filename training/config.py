"""The settings of a training run as frozen dataclasses, and their strict construction from plain values.

Symbols follow the paper (Li et al., ECCV 2022): lambda and mu weigh the patch NCE of stylization and identity.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

PrecisionName = Literal["auto", "fp32", "bf16", "fp16"]


@dataclass(frozen=True)
class AudioConfig:
    """How a waveform becomes an embedding (Sec. 4.1: 16 kHz, 3 s, 512-point DFT, 25 ms frames every 10 ms)."""

    sample_rate_hz: int = 16_000
    clip_seconds: float = 3.0
    n_fft: int = 512
    window_samples: int = 400  # 25 ms
    hop_samples: int = 160  # 10 ms
    encoder_width: int = 64  # channels of the first stage of the ResNet18
    first_padding: int = 3  # the authors' code has 1
    stage_blocks: int = 2  # residual blocks of each of the four stages: 2 is ResNet18, 1 ResNet9
    embedding_dim: int = 256

    @property
    def clip_samples(self) -> int:
        return round(self.clip_seconds * self.sample_rate_hz)


@dataclass(frozen=True)
class ConditionConfig:
    """What the generator is conditioned on: the driving audio, or what the paper's baselines have in its place."""

    kind: Literal["audio", "keyword", "label", "image"] = "audio"
    word_vectors: str = "minilm"  # of a keyword or a label: MiniLM, or the path of a word2vec file
    word_dim: int = 384  # length of these vectors
    tagger: str = "yamnet"  # whose label it is: `training.data.tagger`


@dataclass(frozen=True)
class PretrainingConfig:
    """Audio-visual pre-training: image tower and audio encoder, contrastive (training/stages)."""

    steps: int = 0  # 0: no such stage, the audio encoder learns with the generator
    mix_steps: int = 0  # then of the audio encoder alone, so that a mix of clips lies between them
    batch: int = 64
    learning_rate: float = 1e-3
    temperature: float = 0.1
    hidden: int = 256


@dataclass(frozen=True)
class DataConfig:
    """What a draw from the index becomes."""

    crops: tuple[tuple[float, int], ...] = ((0.0, 256),)  # (share of the run from which on, crop in pixels)
    zoom: tuple[float, float] = (1.0, 1.25)  # short side of the image over the crop, before cropping
    loudness_dbfs: tuple[float, float] | None = None  # audio is brought to a level drawn from here; none keeps it
    source_sounds: bool = False  # sources are drawn with audio of their own, `source_waveform`
    workers: int = 0
    on_device: bool = False  # decoded files lie in the memory of what trains, which crops, scales and mirrors them
    strict: bool = False  # an image or audio clip that cannot be read ends the run instead of being skipped
    stream_buffer: int = 2_000  # images that each worker shuffles, where shards are streamed
    stream_excerpt: int = 16  # streamed shards of each split that are kept, for what cannot be drawn from a stream


@dataclass(frozen=True)
class TrainingConfig:
    """What the runs of all models share: audio, data, optimization, schedule, checkpoints."""

    preset: str
    kind: str = ""  # which model: an entry of training/kinds.py
    audio: AudioConfig = field(default_factory=AudioConfig)
    condition: ConditionConfig = field(default_factory=ConditionConfig)
    pretraining: PretrainingConfig = field(default_factory=PretrainingConfig)
    data: DataConfig = field(default_factory=DataConfig)
    batch: int = 16  # over all processes
    accumulate: int = 1  # slices that each process works its share through, one at a time in memory
    compile: bool = False  # by torch.compile
    precision: PrecisionName = "auto"  # of convolutions and matrix products; auto: what the processor is fast at
    learning_rate: float = 2e-4
    discriminator_learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    epochs: float = 50.0
    constant_share: float = 0.6  # 30 of 50 epochs; then the rate falls linearly to zero
    images: int = 0  # the run's length in images; 0 takes it from `epochs`
    time_budget_minutes: float = 0.0  # lays the stages out over this time instead; 0: by their steps and `images`
    ema_images: float = 10_000.0  # the weights' average reaches back about as many images
    clip_gradient_norm: float = 100.0
    max_gradient_norm: float = 1e6  # above it a run counts as diverged
    seed: int = 0
    checkpoint_seconds: float = 300.0
    keep: int = 1  # numbered checkpoints that are kept
    sample_images: int = 1_000


# What may differ when a run is resumed: it changes neither the order of the data nor the schedule.
FREE_ON_RESUME = frozenset(
    {"preset", "data.workers", "data.on_device", "data.strict", "checkpoint_seconds", "keep", "sample_images"}
)


@dataclass(frozen=True)
class PaperGeneratorConfig:
    """Sec. 4.1: nine residual blocks between Genc and Gdec."""

    width: int = 64
    blocks: int = 9


@dataclass(frozen=True)
class PaperDiscriminatorConfig:
    """Sec. 3: PatchGAN with early fusion; late fusion is an ablation (Table 3)."""

    width: int = 64
    fusion: Literal["early", "late"] = "early"


@dataclass(frozen=True)
class PaperLossConfig:
    """The weights of Eq. 4. `cycle` and `identity_l1` are of the CycleGAN ablation."""

    gan: float = 1.0
    nce: float = 0.5  # lambda
    identity_nce: float = 0.5  # mu
    nce_patches: int = 256
    nce_temperature: float = 0.07
    projector_width: int = 256
    cycle: float = 0.0  # a second generator finds the source again, by the source's own audio
    identity_l1: float = 0.0  # with `cycle`: the target under its own audio stays as it is


@dataclass(frozen=True)
class PaperConfig(TrainingConfig):
    """A run of the paper's method, or of one of its ablations and baselines."""

    kind: str = "paper"
    audio_start: Literal["scratch", "selavi", "wav2clip"] = "scratch"  # whose weights the audio encoder begins with
    generator: PaperGeneratorConfig = field(default_factory=PaperGeneratorConfig)
    discriminator: PaperDiscriminatorConfig = field(default_factory=PaperDiscriminatorConfig)
    losses: PaperLossConfig = field(default_factory=PaperLossConfig)


def to_dict(config: Any) -> dict[str, Any]:
    return dataclasses.asdict(config)


def build(cls: type, values: Mapping[str, Any], inside: str = "") -> Any:
    """An instance of the dataclass from plain values (lists where tuples were). Raises ValueError, naming a setting."""
    hints = typing.get_type_hints(cls)
    for name in values:
        if name not in hints:
            raise ValueError(f"there is no setting {inside}{name}{_nearest(name, hints)}")
    return cls(**{name: _typed(value, hints[name], f"{inside}{name}") for name, value in values.items()})


def setting_names(cls: type, inside: str = "") -> Iterator[str]:
    """All settings by their dotted names."""
    for name, hint in typing.get_type_hints(cls).items():
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            yield from setting_names(hint, f"{inside}{name}.")
        else:
            yield f"{inside}{name}"


def flat(values: Mapping[str, Any], inside: str = "") -> dict[str, Any]:
    """Nested values by their dotted names."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= flat(value, f"{inside}{name}.") if isinstance(value, Mapping) else {f"{inside}{name}": value}
    return found


def _nearest(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, list(known), 1, 0.5)
    return f"; did you mean {near[0]}?" if near else ""


def _typed(value: Any, hint: Any, name: str) -> Any:
    """The value if it is of the annotated type. Raises ValueError."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value in (None, "none"):
            return None
        return _typed(value, next(a for a in arguments if a is not type(None)), name)
    if origin is Literal:
        if value not in arguments:
            raise ValueError(f"{name} is one of {', '.join(map(str, arguments))}, not {value!r}")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ValueError(f"{name} is a list, not {value!r}")
        inner = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
        if len(inner) != len(value):
            raise ValueError(f"{name} has {len(inner)} entries, not {len(value)}")
        return tuple(_typed(v, h, name) for v, h in zip(value, inner, strict=True))
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise ValueError(f"{name} is a group of settings, such as {name}.{dataclasses.fields(hint)[0].name}")
        return build(hint, value, f"{name}.")
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ValueError(f"{name} is {hint.__name__}, not {value!r}")
    return value

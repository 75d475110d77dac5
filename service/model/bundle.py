"""Read a model bundle: its manifest, and the proof that its graphs are the ones that the manifest describes."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from service.errors import BundleError, ModelNotFound

MANIFEST = "manifest.json"
AUDIO_ENCODER, CONTENT_ENCODER, DECODER = "audio_encoder.onnx", "content_encoder.onnx", "decoder.onnx"
GRAPHS = (AUDIO_ENCODER, CONTENT_ENCODER, DECODER)
FP16_GRAPHS = {name: name.replace(".onnx", ".fp16.onnx") for name in GRAPHS}

FilesState = tuple[tuple[int, int, int] | None, ...]

_BUNDLE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MAX_MANIFEST_BYTES = 4 * 1024 * 1024

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class KnownSound(BaseModel):
    """A kind of sound that the model can name: a scene, or a stranger such as speech, which fits none (not `known`)."""

    model_config = ConfigDict(frozen=True)

    name: str
    embedding: Annotated[tuple[float, ...], Field(min_length=1)]  # [E], its direction
    known: bool = True


class Manifest(BaseModel):
    """`manifest.json`: the whole contract between training and serving, beside the three graphs themselves."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    format_version: Literal[1] = 1
    name: str = Field(min_length=1)
    version: str = Field(min_length=1)
    clip_seconds: float = Field(gt=0, le=60)
    sample_rate_hz: int = Field(ge=1000, le=192_000)
    embedding_dim: int = Field(ge=1)
    size_multiple: int = Field(ge=1, le=256)
    native_size: int = Field(ge=16, le=8192)  # side in pixels of the images that the model was trained on
    sha256: dict[str, Sha256]
    fp16: dict[str, Sha256] = Field(default_factory=dict)  # the same graphs in fp16, for GPUs; if there are any
    opset: int = Field(ge=1)
    training: dict[str, Any] = Field(default_factory=dict)
    license: str = Field(min_length=1)
    sounds: tuple[KnownSound, ...] = ()

    @property
    def clip_samples(self) -> int:
        """N, the samples of one window of sound."""
        return round(self.clip_seconds * self.sample_rate_hz)

    @model_validator(mode="after")
    def _complete(self) -> "Manifest":
        if set(self.sha256) != set(GRAPHS):
            raise ValueError(f"sha256 must name exactly {', '.join(GRAPHS)}")
        if self.fp16 and set(self.fp16) != set(FP16_GRAPHS.values()):
            raise ValueError(f"fp16 must name exactly {', '.join(FP16_GRAPHS.values())}, or nothing")
        for sound in self.sounds:
            if len(sound.embedding) != self.embedding_dim:
                raise ValueError(f"the embedding of {sound.name!r} has {len(sound.embedding)} numbers")
        return self


@dataclass(frozen=True)
class Bundle:
    """A verified bundle. sha256: of manifest.json, which pins the graphs in turn."""

    directory: Path
    manifest: Manifest
    sha256: str


def load_bundle(directory: Path) -> Bundle:
    """Open and verify the bundle in `directory`; raises BundleError with the reason."""
    manifest_path = directory / MANIFEST
    try:
        if manifest_path.stat().st_size > _MAX_MANIFEST_BYTES:
            raise BundleError(f"{manifest_path} is larger than {_MAX_MANIFEST_BYTES} bytes: it is no manifest")
        text = manifest_path.read_bytes()
    except OSError as exc:
        raise BundleError(f"{directory} holds no readable {MANIFEST}: {exc.strerror}") from exc
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as exc:
        reasons = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'manifest'}: {e['msg']}" for e in exc.errors())
        raise BundleError(f"{manifest_path} is not a manifest of format 1: {reasons}") from exc
    for name, expected in (manifest.sha256 | manifest.fp16).items():
        _check_sha256(directory / name, _file_sha256(directory / name), expected)
    return Bundle(directory=directory, manifest=manifest, sha256=hashlib.sha256(text).hexdigest())


def read_graphs(bundle: Bundle, fp16: bool = False) -> dict[str, bytes]:
    """The three graphs' bytes by file name, and the proof that these bytes are the manifest's; raises BundleError.

    The files may have been replaced since the bundle was loaded: whoever runs graphs runs what this returned.
    fp16: the graphs of that precision, by the names of those that they stand for.
    """
    manifest, graphs = bundle.manifest, {}
    if fp16 and not manifest.fp16:
        raise BundleError(f"{bundle.directory} has no fp16 graphs: export it with --precision both")
    for name in manifest.sha256:
        file = FP16_GRAPHS[name] if fp16 else name
        path, expected = bundle.directory / file, (manifest.fp16 if fp16 else manifest.sha256)[file]
        try:
            graphs[name] = path.read_bytes()
        except OSError as exc:
            raise BundleError(f"{path} cannot be read: {exc.strerror}") from exc
        _check_sha256(path, hashlib.sha256(graphs[name]).hexdigest(), expected)
    return graphs


def files_state(directory: Path) -> FilesState:
    """What changes when a file of the bundle is replaced or written to; cheap enough to be asked before every job."""

    def state(path: Path) -> tuple[int, int, int] | None:
        try:
            found = path.stat()
        except (OSError, ValueError):  # no such file, or no name of a file at all
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns

    return tuple(state(directory / name) for name in (MANIFEST, *GRAPHS, *FP16_GRAPHS.values()))


def find_bundle(models_dir: Path, name: str) -> Bundle:
    """Open the bundle in the folder `name` of `models_dir`; raises ModelNotFound, or BundleError if it is damaged."""
    if not _BUNDLE_NAME.fullmatch(name) or not (models_dir / name / MANIFEST).is_file():
        raise ModelNotFound(f"no model is called {name!r}; GET /models lists those that are installed", field="model")
    return load_bundle(models_dir / name)


def bundle_directories(models_dir: Path) -> list[Path]:
    """Every folder under `models_dir` that holds a manifest and has a name that can be asked for, by name."""
    found = (path.parent for path in models_dir.glob(f"*/{MANIFEST}"))
    return sorted(directory for directory in found if _BUNDLE_NAME.fullmatch(directory.name))


def _check_sha256(path: Path, found: str, expected: str) -> None:
    if found != expected:
        raise BundleError(f"{path} has SHA-256 {found}, but {MANIFEST} says {expected}; export or copy it again")


def _file_sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as exc:
        raise BundleError(f"{path} cannot be read: {exc.strerror}") from exc

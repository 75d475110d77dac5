"""Find the videos of a tree, tell whether each can be used, and split them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av

from training.prepare.recipe import Recipe

CLIP_SECONDS = 3.0
# What else lies in the tree is passed over without a word.
ENDINGS = {
    ".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".webm",
    ".wmv",
}  # fmt: skip
_SAMPLE_BYTES = 1 << 20


@dataclass(frozen=True)
class Video:
    """name: its path below the tree. key: the same as one word. digest: of its size, its first and its last bytes.

    begin, seconds: its stretch on its own clock. scene: what its clips are called if their sounds do not tell.
    """

    path: Path
    name: str
    key: str
    digest: str
    begin: float
    seconds: float
    scene: str

    @property
    def clips(self) -> int:
        return int(self.seconds / CLIP_SECONDS + 1e-3)


@dataclass(frozen=True)
class Skipped:
    """A video, or a stretch of one from `start` on, that gives no clips, and why."""

    video: str
    reason: str
    start: float | None = None


def find_videos(folder: Path, recipe: Recipe, output: Path) -> list[Path]:
    """All videos that the recipe names, sorted; not what lies in the output."""
    found = {path for pattern in recipe.files for path in folder.glob(pattern)}
    output = output.resolve()
    return sorted(
        path
        for path in found
        if path.suffix.lower() in ENDINGS and path.is_file() and output not in path.resolve().parents
    )


def examine(path: Path, folder: Path, recipe: Recipe) -> Video | Skipped:
    """Open the file, read no image."""
    name = path.relative_to(folder).as_posix()
    scene = path.parent.name if path.parent != folder else "video"
    if recipe.labels is not None:
        label = recipe.labels.of(path)
        if label is None:
            return Skipped(name, f"no {recipe.labels.ending} beside it says what it shows")
        if label not in recipe.labels.keep:
            return Skipped(name, f"it shows {label}, which the recipe does not keep")
        scene = label
    try:
        digest = _digest(path)
        with av.open(str(path), options={"protocol_whitelist": "file"}) as container:
            if not container.streams.video:
                return Skipped(name, "it has no images")
            if not container.streams.audio:
                return Skipped(name, "it has no sound")
            begin = (container.start_time or 0) / av.time_base
            seconds = container.duration / av.time_base if container.duration else _last_time(container) - begin
    except (av.FFmpegError, OSError, ValueError) as exc:
        return Skipped(name, f"it is not a readable video: {getattr(exc, 'strerror', None) or exc}")
    if seconds < CLIP_SECONDS:
        return Skipped(name, f"it lasts {seconds:.1f} s, less than a clip of {CLIP_SECONDS:g} s")
    return Video(path, name, _key(name), digest, begin, seconds, scene)


def without_copies(videos: Sequence[Video]) -> tuple[list[Video], list[Skipped]]:
    """The same file under two names would be in both splits: only the first stays."""
    first: dict[str, Video] = {}
    skipped = []
    for video in videos:
        if first.setdefault(video.digest, video) is not video:
            skipped.append(Skipped(video.name, f"it is the same file as {first[video.digest].name}"))
    return list(first.values()), skipped


def held_out(videos: Sequence[Video], share: float) -> set[str]:
    """The names of the test videos: that share, at least one of two, in an order that only their names decide."""
    order = sorted(videos, key=lambda video: hashlib.sha256(video.name.encode()).digest())
    count = round(share * len(order))
    return {video.name for video in order[: min(max(1, count), len(order) - 1)]}


def _digest(path: Path) -> str:
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        digest.update(file.read(_SAMPLE_BYTES))
        file.seek(max(0, size - _SAMPLE_BYTES))
        digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()[:32]


def _key(name: str) -> str:
    """One word without dots (WebDataset ends a key at the first), different for different names."""
    readable = re.sub(r"[^A-Za-z0-9]+", "-", Path(name).stem).strip("-")[:40]
    return f"{readable}-{hashlib.sha256(name.encode()).hexdigest()[:8]}".lstrip("-")


def _last_time(container: av.container.InputContainer) -> float:
    """When a file that does not say its length ends: the time of its last packet."""
    last = 0.0
    for packet in container.demux():
        if packet.pts is not None and packet.time_base is not None:
            last = max(last, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    return last

"""One stretch of a video becomes clips: heard first, seen only where the sound is worth it, and told in a manifest.

The manifest is written last and whole: where it stands, the stretch's clips stand too.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.io import wavfile

from training.data.files import written_whole
from training.data.media import MediaError, rms_dbfs
from training.data.tagger import MUSIC, Tagger, load_tagger
from training.prepare.clips import FRAMES_PER_CLIP, frame_times, frames_at, sound_between
from training.prepare.recipe import Recipe
from training.prepare.speech import detector_found, speech_shares
from training.prepare.videos import CLIP_SECONDS, Video

SAMPLE_RATE_HZ = 16_000
STRETCH_CLIPS = 100  # five minutes: what is lost when a run is stopped, and the size of a shard
_JPEG_QUALITY = 92
_TAGS = 3  # told for each clip, best first


@dataclass(frozen=True)
class Stretch:
    """Clips `first` to `first + count - 1` of a video."""

    video: Video
    first: int
    count: int

    @property
    def name(self) -> str:
        return f"{self.video.key}-{self.first // STRETCH_CLIPS:03}"

    @property
    def seconds(self) -> float:
        return self.count * CLIP_SECONDS


@dataclass(frozen=True)
class Clip:
    """dropped: why it was not kept, or None. start: seconds on the video's own clock."""

    number: int
    start: float
    loudness_dbfs: float
    speech: float | None
    tags: Mapping[str, float]
    scene: str
    dropped: str | None


@dataclass(frozen=True)
class Plan:
    """What every stretch of a run is made by."""

    output: Path
    recipe: Recipe
    tagger: str
    shards: bool

    @property
    def settings(self) -> dict[str, Any]:
        """All that shapes a clip: one folder holds clips of one kind."""
        values = {**asdict(self.recipe), "tagger": self.tagger, "shards": self.shards, "speech": detector_found()}
        for name in ("searches", "expected_videos", "test_share"):
            del values[name]
        return values

    def manifest(self, stretch: Stretch) -> Path:
        return self.output / "manifests" / f"{stretch.name}.json"

    def member(self, stretch: Stretch, number: int, ending: str) -> Path:
        """Where a clip's file is, or, in a shard, would be if the shard were a folder."""
        name = f"{stretch.video.key}-{number:06}.{ending}"
        if self.shards:
            return self.output / "shards" / f"{stretch.name}.tar" / name
        return self.output / "clips" / stretch.video.key / name


def stretches(video: Video) -> Iterator[Stretch]:
    """The video in parts that can be worked on at once."""
    for first in range(0, video.clips, STRETCH_CLIPS):
        yield Stretch(video, first, min(STRETCH_CLIPS, video.clips - first))


def read_manifest(plan: Plan, stretch: Stretch) -> dict[str, Any] | None:
    """What was made of the stretch; None if it was not, or of another file."""
    try:
        manifest: dict[str, Any] = json.loads(plan.manifest(stretch).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    same = (manifest["digest"], manifest["count"]) == (stretch.video.digest, stretch.count)
    return manifest if same else None


def prepare_stretch(plan: Plan, stretch: Stretch) -> None:
    """Write the stretch's clips, then its manifest; a stretch that cannot be read has a manifest that says why."""
    torch.set_num_threads(1)  # the cores are shared by processes
    error = None
    clips: list[Clip] = []
    try:
        clips, waveforms = _hear(plan, stretch)
        _write(plan, stretch, _see(plan, stretch, clips, waveforms))
    except MediaError as exc:
        error, clips = str(exc).replace(str(stretch.video.path), "it"), []
    write_manifest(plan, stretch, clips, error)


def write_manifest(plan: Plan, stretch: Stretch, clips: Iterable[Clip], error: str | None) -> None:
    """Atomically; `error`: why there are no clips."""
    manifest = {
        "video": stretch.video.name,
        "digest": stretch.video.digest,
        "first": stretch.first,
        "count": stretch.count,
        "error": error,
        "clips": [asdict(clip) for clip in clips],
    }
    with written_whole(plan.manifest(stretch)) as partial:
        partial.write_text(json.dumps(manifest, indent=1))


def _hear(plan: Plan, stretch: Stretch) -> tuple[list[Clip], torch.Tensor]:
    """What is told of each clip, and their sounds [clips, N]."""
    begin = stretch.video.begin + stretch.first * CLIP_SECONDS
    sound = sound_between(stretch.video.path, begin, begin + stretch.seconds, SAMPLE_RATE_HZ)
    waveforms = sound.reshape(stretch.count, -1)
    clips = [_heard(plan, stretch, i, waveform) for i, waveform in enumerate(waveforms)]
    worth = [i for i, clip in enumerate(clips) if clip.dropped is None]
    for i, share in zip(worth, speech_shares(waveforms[worth].numpy()), strict=True):
        if share is not None:
            too_much = share > plan.recipe.max_speech
            clips[i] = replace(clips[i], speech=round(share, 4), dropped="speech" if too_much else None)
    return clips, waveforms


def _see(plan: Plan, stretch: Stretch, clips: list[Clip], waveforms: torch.Tensor) -> Iterator[tuple[Path, bytes]]:
    """The files of the clips that are worth it. A clip whose images are not all there is marked in `clips`."""
    worth = [clip for clip in clips if clip.dropped is None]
    times = [time for clip in worth for time in frame_times(clip.start)]
    if not worth:
        return
    with closing(frames_at(stretch.video.path, times, plan.recipe.short_side)) as images:
        for clip in worth:
            jpegs = [_jpeg(image) for image in islice(images, FRAMES_PER_CLIP) if image is not None]
            place = clip.number - stretch.first
            if len(jpegs) < FRAMES_PER_CLIP:
                clips[place] = replace(clip, dropped="images missing")
                continue
            for number, jpeg in enumerate(jpegs):
                yield plan.member(stretch, clip.number, f"{number}.jpg"), jpeg
            yield plan.member(stretch, clip.number, "json"), json.dumps(asdict(clip)).encode()
            yield plan.member(stretch, clip.number, "wav"), _wav(waveforms[place])


def _heard(plan: Plan, stretch: Stretch, place: int, waveform: torch.Tensor) -> Clip:
    loudness = rms_dbfs(waveform)
    number = stretch.first + place
    start = stretch.video.begin + number * CLIP_SECONDS
    dropped: str | None = None
    scene, tags = stretch.video.scene, dict[str, float]()
    tagger = _tagger(plan.tagger)
    if loudness < plan.recipe.min_loudness_dbfs:
        dropped = "no sound"
    elif tagger is not None:
        scores = tagger(waveform.numpy())
        if scores.get(MUSIC, 0.0) > plan.recipe.max_music:
            dropped = "music"
        best = sorted(scores, key=lambda name: (-scores[name], name))[:_TAGS]
        tags = {name: round(scores[name], 4) for name in best}
        scene = plan.recipe.scene(stretch.video.name, scores) or scene
    return Clip(number, round(start, 6), round(loudness, 2), None, tags, scene, dropped)


@lru_cache(maxsize=1)
def _tagger(name: str) -> Tagger | None:
    return load_tagger(name)


def _jpeg(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()


def _wav(waveform: torch.Tensor) -> bytes:
    buffer = io.BytesIO()
    wavfile.write(buffer, SAMPLE_RATE_HZ, waveform.numpy())
    return buffer.getvalue()


def _write(plan: Plan, stretch: Stretch, files: Iterable[tuple[Path, bytes]]) -> None:
    """Loose files, or a tar in WebDataset's layout: a clip's files follow each other, their names alike to the dot."""
    if not plan.shards:
        for path, data in files:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return
    shard = plan.member(stretch, 0, "").parent
    with written_whole(shard) as partial, tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as tar:
        for path, data in files:
            entry = tarfile.TarInfo(path.name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))

"""A tree of videos becomes clips and an index: what is done stays done, and the same command does the rest."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from training.data.files import written_whole
from training.data.index import Pair, write_index
from training.prepare.clips import FRAMES_PER_CLIP
from training.prepare.pool import Crashed, Pool
from training.prepare.recipe import Recipe
from training.prepare.stretch import Plan, Stretch, prepare_stretch, read_manifest, stretches, write_manifest
from training.prepare.videos import CLIP_SECONDS, Skipped, Video, examine, find_videos, held_out, without_copies


class PrepareError(ValueError):
    """A tree that cannot be prepared; the message says what to do."""


@dataclass(frozen=True)
class Outcome:
    """clips: kept, by split. dropped: by reason. hours: of video."""

    index: Path
    videos: int
    hours: float
    clips: dict[str, int]
    dropped: dict[str, int]
    skipped: int
    seconds: float


def prepare(folder: Path, output: Path, recipe: Recipe, tagger: str, shards: bool, jobs: int) -> Outcome:
    """Clips, index.jsonl, clips.jsonl and skipped.jsonl in `output`. Raises PrepareError."""
    begun = time.monotonic()
    if not folder.is_dir():
        raise PrepareError(f"{folder} is not a folder")
    folder, output = folder.resolve(), output.resolve()
    plan = Plan(output, recipe, tagger, shards)
    output.mkdir(parents=True, exist_ok=True)
    with _alone(output):
        _keep_settings(plan)
        with Pool(jobs) as pool:
            videos, skipped = _videos(folder, plan, pool)
            every = [stretch for video in videos for stretch in stretches(video)]
            _work(plan, [stretch for stretch in every if read_manifest(plan, stretch) is None], pool)
        return _tell(plan, videos, skipped, begun)


def _videos(folder: Path, plan: Plan, pool: Pool) -> tuple[list[Video], list[Skipped]]:
    paths = find_videos(folder, plan.recipe, plan.output)
    if not paths:
        raise PrepareError(f"no video below {folder} matches {', '.join(plan.recipe.files)}")
    found: list[Video] = []
    skipped: list[Skipped] = []
    look = partial(examine, folder=folder, recipe=plan.recipe)
    for path, result in tqdm(pool.run(look, paths), total=len(paths), desc="looking", unit=" files"):
        if isinstance(result, Video):
            found.append(result)
        elif isinstance(result, Skipped):
            skipped.append(result)
        else:
            skipped.append(Skipped(path.relative_to(folder).as_posix(), "it crashes the decoder"))
    videos, copies = without_copies(sorted(found, key=lambda video: video.name))
    return videos, skipped + copies


def _work(plan: Plan, todo: Sequence[Stretch], pool: Pool) -> None:
    hours = sum(stretch.seconds for stretch in todo) / 3600
    begun, done = time.monotonic(), 0.0
    form = "{desc}: {percentage:3.0f}%|{bar}| {n:.2f}/{total:.2f} h of video [{elapsed}<{remaining}{postfix}]"
    with tqdm(total=hours, desc="preparing", bar_format=form, disable=not todo) as bar:
        for stretch, result in pool.run(partial(prepare_stretch, plan), todo):
            if isinstance(result, Crashed):
                write_manifest(plan, stretch, [], "it crashes the decoder")
            done += stretch.seconds
            bar.update(stretch.seconds / 3600)
            bar.set_postfix_str(f"{done / (time.monotonic() - begun):.1f} hours of video per hour")


def _tell(plan: Plan, videos: Sequence[Video], skipped: list[Skipped], begun: float) -> Outcome:
    """Write the index and the reports from the manifests alone: the same whichever run made them."""
    test_names = held_out(videos, plan.recipe.test_share)
    pairs: list[Pair] = []
    told: list[dict[str, Any]] = []
    kept: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    for video in videos:
        split = "test" if video.name in test_names else "train"
        for stretch in stretches(video):
            manifest = read_manifest(plan, stretch)
            assert manifest is not None
            if manifest["error"]:
                skipped.append(Skipped(video.name, manifest["error"], stretch.first * CLIP_SECONDS))
            for clip in manifest["clips"]:
                told.append({"video": video.name, "split": split, **clip})
                if clip["dropped"]:
                    dropped[clip["dropped"]] += 1
                    continue
                kept[split] += 1
                pairs.extend(_pairs(plan, stretch, clip, split))
    write_index(pairs, plan.output / "index.jsonl")
    _write_lines(plan.output / "clips.jsonl", told)
    lines = [asdict(each) for each in sorted(skipped, key=lambda each: (each.video, each.start or 0.0))]
    _write_lines(plan.output / "skipped.jsonl", lines)
    if plan.shards:
        _list_shards(plan.output, pairs)
    hours = sum(video.clips for video in videos) * CLIP_SECONDS / 3600
    seconds = time.monotonic() - begun
    return Outcome(plan.output / "index.jsonl", len(videos), hours, dict(kept), dict(dropped), len(skipped), seconds)


def _pairs(plan: Plan, stretch: Stretch, clip: dict[str, Any], split: str) -> Iterator[Pair]:
    sound = plan.member(stretch, clip["number"], "wav")
    for number in range(FRAMES_PER_CLIP):
        image = plan.member(stretch, clip["number"], f"{number}.jpg")
        yield Pair(image, sound, 0.0, CLIP_SECONDS, split, stretch.video.key, 1.0, clip["scene"])


def _list_shards(output: Path, pairs: Sequence[Pair]) -> None:
    """train.txt and test.txt for WebDataset's own readers, which take a list of shards."""
    for split in ("train", "test"):
        names = dict.fromkeys(pair.image.parent.name for pair in pairs if pair.split == split)
        with written_whole(output / "shards" / f"{split}.txt") as path:
            path.write_text("".join(f"{name}\n" for name in names))


def _write_lines(path: Path, lines: Sequence[dict[str, Any]]) -> None:
    with written_whole(path) as whole, whole.open("w") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


def _keep_settings(plan: Plan) -> None:
    path = plan.output / "prepare.json"
    settings = json.loads(json.dumps(plan.settings))
    if path.exists():
        before = json.loads(path.read_text())
        changed = sorted(key for key in {*before, *settings} if before.get(key) != settings.get(key))
        if changed:
            first = changed[0]
            raise PrepareError(
                f"{plan.output} was prepared with other settings ({', '.join(changed)}; {first} was "
                f"{before.get(first)!r}, is {settings.get(first)!r}): give them again, or name another folder"
            )
    with written_whole(path) as partial_path:
        partial_path.write_text(json.dumps(settings, indent=1) + "\n")


@contextmanager
def _alone(output: Path) -> Iterator[None]:
    """Two processes that prepare one folder would write over each other."""
    handle = os.open(output, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as exc:
        raise PrepareError(f"another process is preparing {output}") from exc
    finally:
        os.close(handle)

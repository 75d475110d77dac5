"""What a command is to do: jobs, the files that they take, and the files that come of them, checked before the work."""

import argparse
import glob
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from service.client.parsers import is_folder
from service.media.image_kind import MEDIA_TYPES

_PATTERN: Final = re.compile(r"[*?\[]")
_PHOTOGRAPHS: Final = frozenset(
    {".jpg", ".jpeg", ".jfif", ".png", ".webp", ".heic", ".heif", ".avif", ".tif", ".tiff", ".bmp", ".gif"}
)
_FORMATS: Final = {".jpg": "jpeg", **{f".{name}": name for name in MEDIA_TYPES}}
_SUFFIXES: Final[dict[str, str]] = {**{name: f".{name}" for name in MEDIA_TYPES}, "jpeg": ".jpg"}
_ANIMATIONS: Final = (".gif", ".webp", ".mp4")
_EXAMPLE: Final = "example:"
_ANIMATION_SIDE: Final = 640
_GAINS_AT_ONCE: Final = 4  # a service takes 16, unless its operator has set another bound

Source = Path | str  # a file, or the id of an example
Kind = Literal["image", "video", "preview", "still"]  # a still becomes a video, by a sound


class BadPlan(Exception):
    """What was asked for cannot be done; the message says why."""


@dataclass(frozen=True)
class Task:
    """One job. sources: the image or video, then sounds. outputs: of its first results, in their order."""

    kind: Kind
    sources: tuple[Source, ...]
    options: dict[str, Any]
    outputs: tuple[Path, ...]
    at_seconds: str | None = None


@dataclass(frozen=True)
class Plan:
    """tasks: all jobs. resumes: results that this command made before are left as they are.

    animation: where the results of all tasks together are written as one, in place of files of their own.
    """

    tasks: list[Task]
    resumes: bool = False
    animation: Path | None = None


def plan_images(options: argparse.Namespace) -> Plan:
    """The jobs of `stylize`; raises BadPlan."""
    if sum(value is not None for value in (options.gain_db, options.gains_db, options.sweep)) > 1:
        raise BadPlan("--gain-db, --gains-db and --sweep exclude each other")
    if options.sweep is not None:
        return _plan_sweep(options)
    if options.sound:
        return _plan_batch(options)
    image, sounds = _image_and_sounds(options)
    chosen = _image_format(options, image)
    output = _single_output(options, image, "-stylized", _SUFFIXES[chosen])
    gains = options.gains_db or [None]
    outputs = tuple(_with_gain(output, gain, len(gains)) for gain in gains)
    return Plan([Task("image", (image, *sounds), _image_options(options) | {"format": chosen}, outputs)])


def plan_video(options: argparse.Namespace) -> Plan:
    """The jobs of `stylize-video`; raises BadPlan."""
    video = _source(options.video)
    is_still = isinstance(video, str) or video.suffix.lower() in _PHOTOGRAPHS
    if is_still and (options.audio is None or options.preview):
        raise BadPlan(f"{video} is an image: name the sound that it is to follow by --audio, and no --preview")
    is_webm = isinstance(video, Path) and video.suffix.lower() == ".webm"
    suffix = ".jpg" if options.preview else ".webm" if is_webm else ".mp4"
    output = _single_output(options, video, "-preview" if options.preview else "-stylized", suffix)
    if output.suffix.lower() not in ((".jpg", ".jpeg") if options.preview else (suffix,)):
        what = "a preview is a JPEG" if options.preview else f"the result of {video} is {suffix[1:].upper()}"
        raise BadPlan(f"{what}; name it NAME{suffix}, not {output.name}")
    sources = (video,) if options.audio is None else (video, _source(options.audio))
    names = ("gain_db", "automation", "audio_gain_db", "smoothing_seconds", "strength", "max_side", "model")
    values = {name: value for name in names if (value := getattr(options, name)) is not None}
    if options.allow_partial:
        values["allow_partial"] = True
    at = None if options.preview in (None, "middle") else options.preview
    kind: Kind = "preview" if options.preview else "still" if is_still else "video"
    return Plan([Task(kind, sources, values, (output,), at)])


def check_outputs(plan: Plan, force: bool) -> None:
    """Make the folders of the results, and raise BadPlan where one cannot be written, or is there and not to be."""
    outputs = [output for task in plan.tasks for output in task.outputs]
    outputs = [plan.animation] if plan.animation else outputs
    seen: dict[Path, Task] = {}
    for task in plan.tasks:
        for output in task.outputs:
            if output in seen:
                first, second = (", ".join(map(str, one.sources)) for one in (seen[output], task))
                raise BadPlan(f"{output} would be the result of {first} and of {second}; rename one of them")
            seen[output] = task
    for folder in dict.fromkeys(output.parent for output in outputs):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise BadPlan(f"the folder {folder} cannot be made: {exc.strerror}") from exc
        if not os.access(folder, os.W_OK | os.X_OK):
            raise BadPlan(f"nothing can be written to the folder {folder}")
    if not force and not plan.resumes and (there := next((path for path in outputs if path.exists()), None)):
        raise BadPlan(f"{there} exists; --force overwrites it")


def _plan_batch(options: argparse.Namespace) -> Plan:
    images = [image for given in options.inputs for image in _photographs(given)]
    sounds = [_source(sound) for sound in options.sound]
    if options.output is None:
        raise BadPlan("say where the results go: -o FOLDER")
    folder = Path(options.output)
    if not is_folder(options.output) and (folder.exists() or folder.suffix):
        raise BadPlan(f"{options.output} is no folder; several results go into one: -o FOLDER/")
    gains, tasks = options.gains_db or [None], []
    for image in dict.fromkeys(images):
        chosen = options.format or _usual_format(image)
        for sound in dict.fromkeys(sounds):
            output = folder / f"{_stem(image)}-{_stem(sound)}{_SUFFIXES[chosen]}"
            outputs = tuple(_with_gain(output, gain, len(gains)) for gain in gains)
            tasks.append(Task("image", (image, sound), _image_options(options) | {"format": chosen}, outputs))
    return Plan(tasks, resumes=not options.force)


def _plan_sweep(options: argparse.Namespace) -> Plan:
    if options.sound:
        if len(options.inputs) > 1:
            raise BadPlan("--sweep takes one photograph")
        image, sounds = _source(options.inputs[0]), [_source(sound) for sound in options.sound]
    else:
        image, sounds = _image_and_sounds(options)
    target = Path(options.output) if options.output else None
    if target is None or target.suffix.lower() not in _ANIMATIONS:
        but = f", not {options.output}" if options.output else ""
        raise BadPlan(f"--sweep writes an animation: -o NAME.gif, NAME.webp or NAME.mp4{but}")
    values = {"max_side": _ANIMATION_SIDE} | _image_options(options) | {"format": "png"}
    parts = [options.sweep[first : first + _GAINS_AT_ONCE] for first in range(0, len(options.sweep), _GAINS_AT_ONCE)]
    tasks = [Task("image", (image, *sounds), values | {"gains_db": gains}, ()) for gains in parts]
    return Plan(tasks, animation=target)


def _image_and_sounds(options: argparse.Namespace) -> tuple[Source, list[Source]]:
    image, *sounds = options.inputs
    if Path(image).is_dir():
        raise BadPlan(f"{image} is a folder: name the sounds for all of its photographs by --sound FILE")
    if not sounds:
        raise BadPlan("the audio is missing: name one to four sounds behind the photograph, or use --sound")
    return _source(image), [_source(sound) for sound in sounds]


def _image_options(options: argparse.Namespace) -> dict[str, Any]:
    names = ("gain_db", "gains_db", "weights", "start_seconds", "strength", "max_side", "model", "metadata")
    return {name: value for name in names if (value := getattr(options, name)) is not None}


def _image_format(options: argparse.Namespace, image: Source) -> str:
    """What the results are, as --format or the name of the output says; raises BadPlan for a name that says another."""
    named = None
    if options.output and not is_folder(options.output):
        suffix = Path(options.output).suffix.lower()
        named = _FORMATS.get(suffix)
        if named is None:
            raise BadPlan(f"{options.output}: results are {_names_of_results()}, not {suffix or 'without a suffix'}")
        if options.format and options.format != named:
            raise BadPlan(f"--format {options.format} does not go with the name {options.output}")
    return str(options.format or named or _usual_format(image))


def _names_of_results() -> str:
    *others, last = sorted(_SUFFIXES.values())
    return f"{', '.join(others)} or {last}"


def _usual_format(image: Source) -> str:
    """The format of results that the service itself would choose, by the image's name: it is known before."""
    suffix = image.suffix.lower() if isinstance(image, Path) else ".jpg"
    if suffix in (".jpg", ".jpeg", ".jfif", ".heic", ".heif", ".avif"):
        return "jpeg"
    return "webp" if suffix == ".webp" else "png"


def _single_output(options: argparse.Namespace, source: Source, addition: str, suffix: str) -> Path:
    name = f"{_stem(source)}{addition}{suffix}"
    if options.output is None:
        return source.with_name(name) if isinstance(source, Path) else Path(name)
    return Path(options.output) / name if is_folder(options.output) else Path(options.output)


def _with_gain(output: Path, gain: float | None, count: int) -> Path:
    return output if count == 1 else output.with_name(f"{output.stem}{gain:+g}dB{output.suffix}")


def _stem(source: Source) -> str:
    return source.stem if isinstance(source, Path) else source.removeprefix(_EXAMPLE)


def _source(text: str) -> Source:
    """A file that is there, or an example; raises BadPlan."""
    if text.startswith(_EXAMPLE):
        return text
    path = Path(text)
    if not path.is_file():
        what = "no file fits" if _PATTERN.search(text) else "there is no file"
        raise BadPlan(f"{text} is a folder, not a file" if path.is_dir() else f"{what} {text}")
    return path


def _photographs(text: str) -> Sequence[Source]:
    """A photograph, those of a folder, or those that fit a pattern; raises BadPlan where there is none."""
    path = Path(text)
    if path.is_dir():
        found = sorted(one for one in path.iterdir() if one.is_file() and one.suffix.lower() in _PHOTOGRAPHS)
        if not found:
            raise BadPlan(f"the folder {text} holds no photograph")
        return found
    if _PATTERN.search(text) and not path.exists():
        found = sorted(Path(one) for one in glob.glob(text) if Path(one).is_file())  # noqa: PTH207 may be absolute
        if not found:
            raise BadPlan(f"no file fits {text}")
        return found
    return [_source(text)]

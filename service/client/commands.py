"""`python -m service stylize` and `stylize-video`: what people script with."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import httpx2 as httpx

from service.build import command_name
from service.client.local import LocalFailed, local_service
from service.client.remote import Failed, Job, run_job
from service.media.image_kind import MEDIA_TYPES

_DEFAULT_SERVER: Final = "http://127.0.0.1:8000"
_EXIT_INTERRUPTED: Final = 130


def main(command: str, arguments: Sequence[str]) -> int:
    """Run `stylize` or `stylize-video`: 0, 1 if the service refused or failed, 2 for bad arguments, 130 on Ctrl-C."""
    parser = _image_parser() if command == "stylize" else _video_parser()
    options = parser.parse_args(arguments)
    job = (_image_job if command == "stylize" else _video_job)(parser, options)
    for path in (path for _, path in job.files):
        if not path.is_file():
            parser.error(f"{path} is no file")
    if not options.force and (there := next((path for path in job.outputs if path.exists()), None)):
        parser.error(f"{there} exists; --force overwrites it")
    try:
        with ExitStack() as stack:
            server = stack.enter_context(local_service()) if options.local else options.server
            headers = {"Authorization": f"Bearer {options.key}"} if options.key else {}
            timeout = httpx.Timeout(60, write=600)
            client = stack.enter_context(httpx.Client(base_url=server, headers=headers, timeout=timeout))
            document = run_job(client, job, quiet=options.quiet)
    except (Failed, LocalFailed) as problem:
        print(f"service {command}: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"service {command}: cancelled", file=sys.stderr)
        return _EXIT_INTERRUPTED
    print(json.dumps(document, indent=2) if options.json else "\n".join(str(path) for path in job.outputs))
    return 0


def _image_parser() -> argparse.ArgumentParser:
    parser = _parser("stylize", "Restyle a photograph so that it looks like the place where the sounds are heard.")
    parser.add_argument("image", type=Path, help="JPEG, PNG, WebP, HEIC, AVIF, TIFF, BMP or GIF")
    parser.add_argument("audio", type=Path, nargs="+", help="one to four sounds, mixed by --weights")
    parser.add_argument("--gain-db", type=float, help="dB relative to the sound as given, -60 to 24 (default: 0)")
    parser.add_argument("--gains-db", type=_numbers, metavar="DB,DB,...", help="several gains: one result for each")
    parser.add_argument("--weights", type=_numbers, metavar="W,W,...", help="one for each sound (default: equal)")
    parser.add_argument("--start-seconds", type=float, help="where the used part begins (default: the loudest)")
    parser.add_argument("--metadata", choices=("keep", "strip", "no-location"), help="default: no-location")
    parser.add_argument(
        "--format", choices=tuple(MEDIA_TYPES), help="default: as --output says, else the kind of the image"
    )
    return parser


def _video_parser() -> argparse.ArgumentParser:
    parser = _parser("stylize-video", "Edit the volume of a video's soundtrack; the images follow what is heard.")
    parser.add_argument("video", type=Path, help="MP4, MOV, MKV, WebM, MPEG-TS or AVI")
    gain = parser.add_mutually_exclusive_group()
    gain.add_argument("--gain-db", type=float, help="dB relative to the soundtrack as given, -60 to 24 (default: 0)")
    gain.add_argument("--automation", type=_curve, metavar="S:DB,S:DB,...", help="a curve over time: seconds and dB")
    parser.add_argument("--audio", type=Path, help="a second sound to mix in; a silent video needs one")
    parser.add_argument("--audio-gain-db", type=float, help="of the second sound (default: 0)")
    parser.add_argument("--smoothing-seconds", type=float, help="over which the effect is averaged (default: 0.5)")
    parser.add_argument("--allow-partial", action="store_true", help="take a damaged file as far as it goes")
    return parser


def _parser(name: str, description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"{command_name()} {name}", description=description)
    parser.add_argument("-o", "--output", type=Path, help="result (default: beside the input, named NAME-stylized)")
    parser.add_argument("-f", "--force", action="store_true", help="overwrite results that exist")
    parser.add_argument("--strength", type=float, help="0 leaves it unchanged, 1 is the whole effect (default: 1)")
    parser.add_argument("--max-side", type=int, help="longest side of the result in pixels")
    parser.add_argument("--model", help="a bundle of the service (default: its own choice)")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--server", default=_DEFAULT_SERVER, help="address of the service (default: %(default)s)")
    where.add_argument("--local", action="store_true", help="start a service for this one job, and stop it again")
    parser.add_argument(
        "--key",
        type=_key,
        default=os.environ.get("ADIS_API_KEY", ""),
        help="API key; better in the variable ADIS_API_KEY, where other users of this machine cannot see it",
    )
    parser.add_argument("--json", action="store_true", help="print the finished job instead of the results' names")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar")
    return parser


def _image_job(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Job:
    if options.gain_db is not None and options.gains_db is not None:
        parser.error("--gain-db and --gains-db exclude each other")
    named = options.output.suffix[1:].lower().replace("jpg", "jpeg") if options.output else ""
    file_format = options.format or (named if named in MEDIA_TYPES else _usual_format(options.image))
    suffix = f".{file_format.replace('jpeg', 'jpg')}"
    output = options.output or options.image.with_name(f"{options.image.stem}-stylized{suffix}")
    gains = options.gains_db or [None]
    outputs = [
        output if len(gains) == 1 else output.with_name(f"{output.stem}{gain:+g}dB{output.suffix}") for gain in gains
    ]
    fields = _fields(options, "gain_db", "start_seconds", "strength", "max_side", "model", "metadata")
    fields |= {name: ",".join(map(str, given)) for name in ("gains_db", "weights") if (given := getattr(options, name))}
    files = [("image", options.image), *(("audio", path) for path in options.audio)]
    return Job("/stylize", files, fields | {"format": file_format}, outputs)


def _video_job(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Job:
    suffix = ".webm" if options.video.suffix.lower() == ".webm" else ".mp4"
    output = options.output or options.video.with_name(f"{options.video.stem}-stylized{suffix}")
    fields = _fields(options, "gain_db", "audio_gain_db", "smoothing_seconds", "strength", "max_side", "model")
    if options.automation:
        fields["automation"] = json.dumps(options.automation)
    if options.allow_partial:
        fields["allow_partial"] = "true"
    files = [("video", options.video)] + ([("audio", options.audio)] if options.audio else [])
    return Job("/stylize/video", files, fields, [output])


def _usual_format(image: Path) -> str:
    """The format of results that the service itself would choose, by the image's name: it is known before."""
    suffix = image.suffix.lower()
    if suffix in (".jpg", ".jpeg", ".jfif", ".heic", ".heif", ".avif"):
        return "jpeg"
    return "webp" if suffix == ".webp" else "png"


def _fields(options: argparse.Namespace, *names: str) -> dict[str, str]:
    values: dict[str, Any] = {name: getattr(options, name) for name in names}
    return {name: str(value) for name, value in values.items() if value is not None}


def _key(text: str) -> str:
    if not (text.isascii() and text.isprintable()):
        raise argparse.ArgumentTypeError("an API key has ASCII characters only, and no line's end")
    return text.strip()


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def _curve(text: str) -> list[list[float]]:
    return [[float(part) for part in point.split(":", 1)] for point in text.split(",")]

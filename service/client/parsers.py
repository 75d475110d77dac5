"""The options of the commands `stylize` and `stylize-video`, and how their values are read."""

import argparse
import os
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final, NoReturn

from service.build import command_name
from service.client.requests import DEFAULT_SERVER
from service.media.image_kind import MEDIA_TYPES

_NEGATIVE: Final = re.compile(r"-[\d.]")
_MOST_STEPS: Final = 200
_GAINS_DB: Final = (-60.0, 24.0)
_EXIT_CODES: Final = (
    "exit codes: 0 all results are there; 1 the service refused or failed, or none answers; 2 bad arguments, nothing "
    "was sent; 130 stopped by Ctrl-C"
)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong without all of its options before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n{self.prog} --help lists the options\n")


def image_parser() -> argparse.ArgumentParser:
    """The options of `stylize`."""
    parser = _parser("stylize", "Restyle photographs so that they look like the place where the sounds are heard.")
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="a photograph and one to four sounds, mixed by --weights; with --sound: photographs, folders of them and "
        "patterns such as 'photos/*.jpg'. example:NAME is one that the service makes itself",
    )
    parser.add_argument(
        "--sound",
        action="append",
        metavar="FILE",
        help="a sound, for every photograph; several of them give a result each",
    )
    parser.add_argument("--gain-db", type=_number, help="dB relative to the sound as given, -60 to 24 (default: 0)")
    parser.add_argument("--gains-db", type=_numbers, metavar="DB,DB,...", help="several gains: one result for each")
    parser.add_argument(
        "--sweep",
        type=_sweep,
        metavar="FROM:TO:STEP",
        help="an animation over the gain in dB, such as -30:24:3, written to -o NAME.gif, .webp or .mp4",
    )
    parser.add_argument("--weights", type=_numbers, metavar="W,W,...", help="one for each sound (default: equal)")
    parser.add_argument("--start-seconds", type=_number, help="where the used part begins (default: the loudest)")
    parser.add_argument("--metadata", choices=("keep", "strip", "no-location"), help="default: no-location")
    parser.add_argument(
        "--format", choices=tuple(MEDIA_TYPES), help="default: as --output says, else the kind of the image"
    )
    parser.add_argument("--jobs", type=_count, default=4, help="jobs handed in at a time (default: %(default)s)")
    return parser


def video_parser() -> argparse.ArgumentParser:
    """The options of `stylize-video`."""
    parser = _parser("stylize-video", "Edit the volume of a video's soundtrack; the images follow what is heard.")
    parser.add_argument(
        "video", help="MP4, MOV, MKV, WebM, MPEG-TS or AVI; or a photograph, which then follows --audio as a video"
    )
    gain = parser.add_mutually_exclusive_group()
    gain.add_argument("--gain-db", type=_number, help="dB relative to the soundtrack as given, -60 to 24 (default: 0)")
    gain.add_argument("--automation", type=_curve, metavar="S:DB,S:DB,...", help="a curve over time: seconds and dB")
    parser.add_argument("--audio", help="a second sound to mix in; a silent video or a photograph needs one")
    parser.add_argument("--audio-gain-db", type=_number, help="of the second sound (default: 0)")
    parser.add_argument("--smoothing-seconds", type=_number, help="over which the effect is averaged (default: 0.5)")
    parser.add_argument("--allow-partial", action="store_true", help="take a damaged file as far as it goes")
    parser.add_argument(
        "--preview",
        nargs="?",
        const="middle",
        type=_preview,
        metavar="SECONDS",
        help="one frame at five gains instead, as a JPEG; of the middle, or of that second",
    )
    return parser


def join_values(arguments: Sequence[str]) -> list[str]:
    """`--gains-db -30,-20` as `--gains-db=-30,-20`: else a value that begins with a minus is taken for an option."""
    joined: list[str] = []
    for before, argument in pairwise(["", *arguments]):
        if before.startswith("--") and "=" not in before and _NEGATIVE.match(argument):
            joined[-1] = f"{before}={argument}"
        else:
            joined.append(argument)
    return joined


def _parser(name: str, description: str) -> argparse.ArgumentParser:
    parser = _Parser(prog=f"{command_name()} {name}", description=description, epilog=_EXIT_CODES)
    parser.add_argument(
        "-o", "--output", help="result, or a folder for all (default: beside the input, named NAME-stylized)"
    )
    parser.add_argument("-f", "--force", action="store_true", help="make and overwrite results that exist")
    parser.add_argument("--strength", type=_number, help="0 leaves it unchanged, 1 is the whole effect (default: 1)")
    parser.add_argument("--max-side", type=_count, help="longest side of the result in pixels")
    parser.add_argument("--model", help="a bundle of the service (default: its own choice)")
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--server", type=_server, default=DEFAULT_SERVER, help="address of the service (default: %(default)s)"
    )
    where.add_argument("--local", action="store_true", help="start a service for this one command, and stop it again")
    parser.add_argument(
        "--key",
        type=_key,
        default=os.environ.get("ADIS_API_KEY", ""),
        help="API key; better in the variable ADIS_API_KEY, where other users of this machine cannot see it",
    )
    parser.add_argument("--json", action="store_true", help="print the finished jobs instead of the results' names")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar")
    return parser


def is_folder(output: str) -> bool:
    """Whether the name is meant as a folder: it is one, or ends with a slash."""
    return output.endswith(("/", os.sep)) or Path(output).is_dir()


def _server(text: str) -> str:
    """An address with its scheme, which may be left out."""
    address = text if "://" in text else f"http://{text}"
    if not re.match(r"https?://[^/]", address):
        raise argparse.ArgumentTypeError(f"{text!r} is no address of a service; write http://HOST:PORT")
    return address


def _key(text: str) -> str:
    if not (text.isascii() and text.isprintable()):
        raise argparse.ArgumentTypeError("an API key has ASCII characters only, and no line's end")
    return text.strip()


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from None


def _count(text: str) -> int:
    if not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def _numbers(text: str) -> list[float]:
    return [_number(part) for part in text.split(",")]


def _preview(text: str) -> str:
    return text if text == "middle" else str(_number(text))


def _curve(text: str) -> list[tuple[float, float]]:
    points = []
    for point in text.split(","):
        seconds, colon, gain = point.partition(":")
        if not colon:
            raise argparse.ArgumentTypeError(f"{point!r} is no point of a curve; write SECONDS:DB, such as 2.5:-12")
        points.append((_number(seconds), _number(gain)))
    return points


def _sweep(text: str) -> list[float]:
    """The gains of `FROM:TO:STEP`, TO included where a step meets it."""
    parts = text.split(":")
    if len(parts) != 3:
        raise argparse.ArgumentTypeError(f"{text!r} is no sweep; write FROM:TO:STEP, such as -30:24:3")
    first, last, step = map(_number, parts)
    if not (_GAINS_DB[0] <= min(first, last) and max(first, last) <= _GAINS_DB[1]):
        raise argparse.ArgumentTypeError(f"{text!r} leaves the gains from -60 to 24 dB")
    if step <= 0:
        raise argparse.ArgumentTypeError(f"{text!r}: the step must be above 0")
    count = int(abs(last - first) / step + 1e-6) + 1
    if not 2 <= count <= _MOST_STEPS:
        raise argparse.ArgumentTypeError(f"{text!r} has {count} steps; 2 to {_MOST_STEPS} are possible")
    return [round(first + (step if last > first else -step) * number, 6) for number in range(count)]

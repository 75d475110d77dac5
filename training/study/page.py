"""Write the study as one HTML file: images and sounds are inside, the methods' names are not."""

from __future__ import annotations

import base64
import io
import json
import string
import wave
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from training.data import media
from training.study.samples import SAMPLE_RATE_HZ, StudyError, draw_samples, make_results, write_sample_list

_TEMPLATE = Path(__file__).with_name("page.html")
_MOST_METHODS = 6


def read_methods(given: Sequence[str]) -> dict[str, Path]:
    """`NAME=PATH` of the command line; raises StudyError."""
    methods: dict[str, Path] = {}
    for text in given:
        name, sign, path = text.partition("=")
        if not (sign and name and path):
            raise StudyError(f"{text!r} is not NAME=PATH")
        if name in methods:
            raise StudyError(f"the method {name!r} is there twice")
        if not Path(path).exists():
            raise StudyError(f"{name}: there is no {path}")
        methods[name] = Path(path)
    return methods


def write_study(
    output: Path, index: Path, methods: Mapping[str, Path], count: int = 20, size: int = 320, seed: int = 0
) -> Path:
    """Write `study.html` for the raters, and `key.json` and `samples.jsonl` for those who evaluate; returns the page.

    methods: a checkpoint, or a folder of images, for each name. Raises StudyError, CheckpointError and MediaError.
    """
    if not 2 <= len(methods) <= _MOST_METHODS:
        raise StudyError(f"2 to {_MOST_METHODS} methods can be compared, not {len(methods)}")
    output.mkdir(parents=True, exist_ok=True)
    samples = draw_samples(index, count, seed)
    write_sample_list(samples, output / "samples.jsonl")
    results = make_results(methods, samples, size)
    rng = np.random.default_rng((seed, 1))
    letters = rng.permutation(list(string.ascii_lowercase))[: len(methods)]
    codes = {str(letter): name for letter, name in zip(letters, methods, strict=True)}
    study = "".join(rng.choice(list("0123456789abcdef"), 16))
    content = {
        "study": study,
        "samples": [
            {
                "name": sample.name,
                "source": _image(Image.fromarray(media.to_pixels(media.square(sample.image, size)))),
                "sound": _sound(sample.waveform),
                "results": {code: _image(results[name][number]) for code, name in codes.items()},
            }
            for number, sample in enumerate(samples)
        ],
    }
    key = {"study": study, "methods": codes, "samples": {sample.name: sample.scene for sample in samples}}
    (output / "key.json").write_text(json.dumps(key, indent=1))
    page = output / "study.html"
    # "<" cannot end the script that holds the data
    page.write_text(_TEMPLATE.read_text().replace("/*STUDY*/", json.dumps(content).replace("<", "\\u003c")))
    return page


def _image(image: Image.Image) -> str:
    """A data URI."""
    data = io.BytesIO()
    image.save(data, "WEBP", quality=92, method=4)
    return "data:image/webp;base64," + base64.b64encode(data.getvalue()).decode()


def _sound(waveform: Tensor) -> str:
    """A data URI of 16-bit WAV, at the level as recorded: loudness is part of what is judged."""
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        file.writeframes((waveform.clamp(-1, 1) * 32767).round().short().numpy().tobytes())
    return "data:audio/wav;base64," + base64.b64encode(data.getvalue()).decode()

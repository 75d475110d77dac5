"""Loaded by schemathesis: most forms get files that can be used, so that the cases reach what comes after."""

import random
import tempfile
from pathlib import Path
from typing import Any

import schemathesis

from tests.support.media import make_noise, make_photo, write_png, write_wav
from tests.support.video import Clip, noise_track, write_video

with tempfile.TemporaryDirectory() as folder:
    FILES = {
        "image": write_png(Path(folder) / "a.png", make_photo(64, 48)).read_bytes(),
        "audio": write_wav(Path(folder) / "a.wav", make_noise(1.0)).read_bytes(),
        "video": write_video(Path(folder) / "a.mp4", Clip(frames=4), noise_track(0.5)).read_bytes(),
    }


FIELDS = {"/stylize": ("image", "audio"), "/stylize/video": ("video",), "/uploads": ("file",)}
IN_PLACE = ("image", "image_id", "audio", "audio_id", "video", "video_id")  # a form has one of each pair


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """Every second form is one that is accepted, every fourth one that would be but for its values."""
    fields = FIELDS.get(context.operation.path)
    if not isinstance(body, dict) or fields is None or random.random() < 0.25:
        return body
    if "file" in fields:
        return {"file": FILES[random.choice(["image", "audio", "video"])]}
    files = {name: [FILES[name]] if name == "audio" else FILES[name] for name in fields}
    others = {name: value for name, value in body.items() if name not in IN_PLACE}
    return files if random.random() < 0.67 else others | files

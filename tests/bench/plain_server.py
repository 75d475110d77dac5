"""`python -m tests.bench.plain_server KIND BUNDLE PORT`: the same work behind LitServe, or a bare FastAPI route.

One image and one sound in, a PNG out, by this project's own decoders, engine and encoder, in one process that has the
model. There is no queue, no record, nothing on disk, no limit and no decoder_pool: the yardstick of what those cost.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import litserve
import uvicorn
from fastapi import FastAPI, Request, Response, UploadFile

from service.media.audio import read_window
from service.media.image_reader import ImageHeader, ReadPlan, read_image
from service.media.image_writer import encode_image
from service.media.limits import MediaLimits
from service.model.bundle import load_bundle
from service.model.engine import Engine
from service.schemas.requests import ImageRequest
from service.work.audio_input import window_of
from service.work.image_source import HeldSource
from service.work.image_stylization import encode_content, stylize_image

LIMITS = MediaLimits()


def stylize(engine: Engine, image: bytes, audio: bytes) -> bytes:
    """The PNG."""
    with tempfile.TemporaryDirectory() as folder:  # the decoders take files
        photo, sound = Path(folder) / "image", Path(folder) / "audio"
        photo.write_bytes(image)
        sound.write_bytes(audio)
        _, pixels = read_image(photo, LIMITS, ReadPlan())
        manifest = engine.manifest
        *_, report, waveform = read_window(sound, LIMITS, manifest.sample_rate_hz, manifest.clip_samples)
    request = ImageRequest()
    assert not isinstance(pixels, ImageHeader)
    seen = encode_content(engine, HeldSource(pixels), request.strength)
    (result,) = stylize_image(engine, seen, [window_of(report, waveform)], request, lambda _done, _total: None)
    content = encode_image(result.pixels, "png")
    result.heard()
    return content


class LitStylizer(litserve.LitAPI):
    """LitServe's four steps; the files cross to the worker's process as bytes."""

    def __init__(self, bundle: Path) -> None:
        super().__init__(api_path="/stylize")
        self._bundle = bundle

    def setup(self, device: str) -> None:
        self._engine = Engine(load_bundle(self._bundle))

    def decode_request(self, request: Request) -> tuple[bytes, bytes]:
        form: Any = request
        return form["image"].file.read(), form["audio"].file.read()

    def predict(self, x: tuple[bytes, bytes]) -> bytes:
        return stylize(self._engine, *x)

    def encode_response(self, output: bytes) -> Response:
        return Response(output, media_type="image/png")


def plain_app(bundle: Path) -> FastAPI:
    """One route, run in FastAPI's own threads."""
    engine, app = Engine(load_bundle(bundle)), FastAPI()

    @app.post("/stylize")
    def route(image: UploadFile, audio: UploadFile) -> Response:
        return Response(stylize(engine, image.file.read(), audio.file.read()), media_type="image/png")

    @app.get("/health")
    def health() -> str:
        return "ok"

    return app


def main() -> int:
    """Serve until the process is ended."""
    kind, bundle, port = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    if kind == "fastapi":
        uvicorn.run(plain_app(bundle), host="127.0.0.1", port=port, log_level="warning")
    else:
        server = litserve.LitServer(LitStylizer(bundle), accelerator="cpu", workers_per_device=1)
        server.run(host="127.0.0.1", port=port, generate_client_file=False, log_level="warning")
    return 0


if __name__ == "__main__":
    sys.exit(main())

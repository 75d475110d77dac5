"""The receipt of a result: everything that is needed to make it again."""

import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from typing import Any, Final

from service.build import build_version
from service.heard import Heard
from service.jobs.record import StoredInput
from service.model.engine import Engine
from service.schemas.requests import ImageRequest, VideoRequest
from service.work.image_stylization import Stylization

_PACKAGES: Final = ("numpy", "pillow", "pillow-heif", "av", "opencv-python-headless")


def image_receipt(
    stylization: Stylization, heard: Heard, request: ImageRequest, inputs: tuple[StoredInput, ...], sha256: str
) -> dict[str, Any]:
    """The receipt as JSON values. sha256: of the result's bytes, which a repetition on the same runtime gives again."""
    made = stylization.receipt.model_dump(mode="json")
    return made | _common(heard, request, inputs, sha256)


def video_receipt(
    engine: Engine,
    heard: Heard,
    request: VideoRequest,
    inputs: tuple[StoredInput, ...],
    sha256: str,
    reports: dict[str, Any],
) -> dict[str, Any]:
    """The same of a video. reports: what was measured on it."""
    made = {
        "model": engine.manifest.name,
        "model_version": engine.manifest.version,
        "model_sha256": engine.bundle.sha256,
        "provider": engine.provider,
        "runtime": engine.runtime,
        "service_version": build_version(),
    }
    return made | _common(heard, request, inputs, sha256) | reports


def _common(
    heard: Heard, request: ImageRequest | VideoRequest, inputs: tuple[StoredInput, ...], sha256: str
) -> dict[str, Any]:
    return {
        "windows": [window.model_dump(mode="json") for window in heard.windows],
        "loudness_dbfs": heard.loudness_dbfs,
        "parameters": request.model_dump(mode="json"),
        "inputs": [stored.model_dump(mode="json") for stored in inputs],
        "versions": dict(_versions()),
        "sha256": sha256,
    }


@cache
def _versions() -> Mapping[str, str]:
    """Looked up once: the packages' files are searched for it."""
    return {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}

"""The receipt of a result: everything that is needed to make it again."""

import platform
from importlib.metadata import version
from typing import Any

from service.jobs.record import StoredInput
from service.work.picture import Stylization
from service.work.requests import PictureRequest

_PACKAGES = ("numpy", "pillow", "av")


def write_receipt(
    stylization: Stylization, request: PictureRequest, inputs: tuple[StoredInput, ...], sha256: str
) -> dict[str, Any]:
    """The receipt as JSON values. sha256: of the result's bytes, which a repetition on the same runtime gives again."""
    heard = stylization.heard
    return {
        **stylization.receipt.model_dump(mode="json"),
        "windows": [window.model_dump(mode="json") for window in heard.windows],
        "loudness_dbfs": heard.loudness_dbfs,
        "parameters": request.model_dump(mode="json"),
        "inputs": [stored.model_dump(mode="json") for stored in inputs],
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        "sha256": sha256,
    }

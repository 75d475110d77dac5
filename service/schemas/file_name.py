"""Names under which results are downloaded, made of what clients called their files."""

import re
import unicodedata
from typing import Final
from urllib.parse import quote

from service.jobs.record import JobRecord

_MAX_NAME_BYTES: Final = 150
_MAX_PART_BYTES: Final = 80
_MAX_SOUNDS: Final = 4
_FORBIDDEN: Final = re.compile(r'[\\/:*?"<>|%\x00-\x1f\x7f]+')
_RESERVED: Final = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)", re.IGNORECASE)  # devices, on Windows
_SUFFIXES: Final = {"jpeg": "jpg", "quicktime": "mov", "x-matroska": "mkv"}
_ASCII: Final = re.compile(r"[^A-Za-z0-9._+()-]+")


def safe_name(given: str) -> str:
    """The name of a client's file without its folders, and without what a file system or a header cannot hold."""
    name = unicodedata.normalize("NFC", given).replace("\\", "/").rpartition("/")[2]
    # control and format characters, of which some turn the order in which a name is read
    name = "".join(char for char in name if unicodedata.category(char)[0] != "C")
    return _shorten(_FORBIDDEN.sub("_", name).strip(" ."), _MAX_NAME_BYTES)


def result_name(record: JobRecord, index: int) -> str:
    """Such as `photo-rain+6dB.png`; of several gains, numbered in their order: `photo-rain-02_+6dB.png`."""
    result = record.results[index]
    source = next(
        (_stem(one.name) for one in record.inputs if one.field in ("image", "video") and one.name), "stylized"
    )
    sounds = [_stem(one.name) for one in record.inputs if one.field == "audio" and one.name][:_MAX_SOUNDS]
    stem = "-".join(_shorten(part, _MAX_PART_BYTES) for part in (source, "+".join(sounds)) if part)
    gain = f"{result.gain_db:+g}dB"
    if record.kind == "preview":  # a sheet of all its frames, then these
        stem += f"-preview-{index}"
    elif record.parameters.get("automation") is not None:
        stem += "-stylized"
    elif len(record.results) > 1:
        order = sorted(range(len(record.results)), key=lambda one: (record.results[one].gain_db, one))
        stem += f"-{order.index(index) + 1:02d}_{gain}"
    else:
        stem += gain
    suffix = result.media_type.partition("/")[2]
    return f"{stem}.{_SUFFIXES.get(suffix, suffix)}"


def content_disposition(name: str) -> str:
    """The header's value (RFC 6266): the name in ASCII for old clients, and as it is (RFC 8187)."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = _ASCII.sub("_", plain).strip("_").lstrip("-")
    plain = f"result{plain}" if plain[:1] in ("", ".") else plain  # nothing of the name is in ASCII
    value = f'inline; filename="{plain}"'
    return value if plain == name else f"{value}; filename*=UTF-8''{quote(name, safe='!#$&+-.^_`|~')}"


def _stem(name: str) -> str:
    stem = (name.rpartition(".")[0] or name).strip(" .")
    return f"_{stem}" if _RESERVED.fullmatch(stem) else stem


def _shorten(text: str, most_bytes: int) -> str:
    """At most so many bytes of UTF-8, cut between characters."""
    return text.encode()[:most_bytes].decode("utf-8", "ignore").strip(" .")

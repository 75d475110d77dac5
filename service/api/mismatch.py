"""Say of a file that was refused in its field where it belongs: parts that are swapped, a video sent as an image."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from service.errors import MediaError, UnsupportedMedia
from service.jobs.record import StoredInput
from service.media.file_kind import FileKind, MediaKind, file_kind

_TAKES: Final[dict[str, tuple[MediaKind, ...]]] = {
    "image": ("image",),
    "audio": ("sound", "video or sound", "video"),
    "video": ("video", "video or sound"),
}
_NEEDS: Final = {"image": "an image", "audio": "a sound", "video": "a video"}
_HINTS: Final[dict[tuple[str, MediaKind], str]] = {
    ("image", "video"): "send videos to POST /stylize/video, as `video`",
    ("image", "video or sound"): "send videos to POST /stylize/video, as `video`, and sounds as `audio`",
    ("image", "sound"): "send sounds as `audio`",
    ("audio", "image"): "send images as `image`",
    ("video", "image"): "send images to POST /stylize, as `image`",
    ("video", "sound"): "send sounds as `audio`",
}


def explain_mismatch(
    error: UnsupportedMedia | MediaError, refused: StoredInput, files: Sequence[StoredInput], folder: Path
) -> UnsupportedMedia | MediaError:
    """The error to answer with: `error`, unless the file is of a kind that belongs elsewhere.

    files: all of the form's, which lie in `folder` under their hashes.
    """
    kind = _kind(refused, folder)
    if kind is None or kind.kind == "other" or kind.kind in _TAKES[refused.field]:
        return error
    for other in files:
        other_kind = None if other.field == refused.field else _kind(other, folder)
        if other_kind is not None and _is_swapped(refused.field, kind, other.field, other_kind):
            return UnsupportedMedia(
                f"the parts {refused.field!r} and {other.field!r} are swapped: {refused.field!r} is {_named(kind)} and "
                f"{other.field!r} is {_named(other_kind)}; send each in the other's place",
                field=refused.field,
            )
    hint = _HINTS[refused.field, kind.kind]
    return UnsupportedMedia(
        f"{refused.field!r} is {_named(kind)}, not {_NEEDS[refused.field]}; {hint}", field=refused.field
    )


def _is_swapped(field: str, kind: FileKind, other_field: str, other_kind: FileKind) -> bool:
    """Whether each would be taken in the other's field."""
    return kind.kind in _TAKES[other_field] and other_kind.kind in _TAKES[field]


def _kind(stored: StoredInput, folder: Path) -> FileKind | None:
    try:
        return file_kind(folder / stored.sha256)
    except OSError:
        return None


def _named(kind: FileKind) -> str:
    article = "an" if kind.kind == "image" else "a"
    return f"{article} {kind.kind} ({kind.name})"

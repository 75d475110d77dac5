"""What each kind of job is handed in as: the fields of its files and values, and how these are read."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from service.api.multipart import FileRule, FormRules, ReceivedForm
from service.errors import InvalidValue, MissingField
from service.kind import Kind
from service.schemas.requests import ImageRequest, PreviewRequest, VideoRequest
from service.settings import Settings
from service.uploads.repository import UploadField
from service.webhooks.request import FIELDS as WEBHOOK_FIELDS

Request = ImageRequest | VideoRequest

_MOST_VALUES: Final = 1000  # of one field: points of a curve, of which there may be more than of anything else


@dataclass(frozen=True)
class Form:
    """What one kind of job is handed in as.

    files: the fields of its files, and whether they are needed. Each has a twin, `image_id` and so on, that names a
    file which was uploaded before. one_of: two of them of which one is needed; the second needs audio, too. lists: the
    fields that hold several values.
    """

    kind: Kind
    model: type[ImageRequest] | type[VideoRequest]
    files: Mapping[UploadField, bool]
    lists: frozenset[str]
    one_of: tuple[UploadField, UploadField] | None = None

    def max_count(self, field: UploadField, settings: Settings) -> int:
        """How many files of that field are taken."""
        return settings.max_audio_parts if field == "audio" and self.kind == "image" else 1

    def rules(self, settings: Settings) -> FormRules:
        """How much of everything is taken."""
        sizes = file_sizes(settings)
        return FormRules(
            files={field: FileRule(sizes[field], self.max_count(field, settings)) for field in self.files},
            texts=frozenset({*self.model.model_fields, *WEBHOOK_FIELDS, *map(id_field, self.files)}),
            max_pause_seconds=settings.max_upload_pause_seconds,
            min_bytes_per_second=settings.min_upload_bytes_per_second,
            wanted=" or ".join(self.one_of or [])
            or " and ".join(field for field, needed in self.files.items() if needed),
        )


IMAGE: Final = Form("image", ImageRequest, {"image": True, "audio": True}, frozenset({"gains_db", "weights"}))
PREVIEW: Final = Form("preview", PreviewRequest, {"video": True, "audio": False}, frozenset({"automation"}))
VIDEO: Final = Form(
    "video",
    VideoRequest,
    {"video": False, "image": False, "audio": False},
    frozenset({"automation"}),
    one_of=("video", "image"),
)


def file_sizes(settings: Settings) -> dict[UploadField, int]:
    """The most bytes that a file of each field may have."""
    return {"image": settings.max_image_bytes, "audio": settings.max_audio_bytes, "video": settings.max_video_bytes}


def id_field(field: UploadField) -> str:
    """The field that names an upload in place of this one's file."""
    return f"{field}_id"


def read_ids(received: ReceivedForm, form: Form, settings: Settings) -> dict[UploadField, list[str]]:
    """The ids of uploads that the form names, by the field whose file each stands for.

    Raises InvalidValue where a field has both a file and an id, or too many ids, and MissingField where a needed one
    has neither.
    """
    ids: dict[UploadField, list[str]] = {}
    for field, is_needed in form.files.items():
        name = id_field(field)
        named = read_list(name, [text for other, text in received.texts if other == name])
        has_file = any(stored.field == field for stored in received.files)
        if named and has_file:
            raise InvalidValue(f"send the part {field!r} or {name}, not both", field=name)
        if is_needed and not named and not has_file:
            raise MissingField(
                f"the part {field!r} is missing; send a file with it, or name an upload by {name}", field=field
            )
        if len(named) > (most := form.max_count(field, settings)):
            raise InvalidValue(f"{name} names {len(named)} uploads; at most {most}", field=name)
        if named:
            ids[field] = [str(one) for one in named]
    if form.one_of is not None:
        given = {*ids, *(stored.field for stored in received.files)}
        _check_one_of(*form.one_of, given)
    return ids


def _check_one_of(first: UploadField, second: UploadField, given: Collection[str]) -> None:
    if first in given and second in given:
        raise InvalidValue(f"send {first} or {second}, not both", field=second)
    if first not in given and second not in given:
        raise MissingField(
            f"the part {first!r} is missing; send a file with it, or name an upload by {id_field(first)}; an "
            f"{second!r} does as well, with audio that drives it",
            field=first,
        )
    if second in given and "audio" not in given:
        raise MissingField(f"an {second} alone has nothing to follow; send a sound as 'audio'", field="audio")


def read_parameters(received: ReceivedForm, form: Form, defaults: Mapping[str, Any]) -> Request:
    """The form's values, checked against each other; raises InvalidValue."""
    values: dict[str, Any] = dict(defaults)
    not_of_the_model = WEBHOOK_FIELDS.keys() | set(map(id_field, form.files))
    for name in {name for name, _ in received.texts} - not_of_the_model:
        given = [text for other, text in received.texts if other == name]
        if name in form.lists:
            values[name] = read_list(name, given)
        elif len(given) > 1:
            raise InvalidValue(f"{name} is there {len(given)} times; send it once", field=name)
        else:
            values[name] = given[0].strip()
    try:
        return form.model.model_validate(values)
    except ValidationError as exc:
        raise _invalid(exc) from exc


def read_list(name: str, given: Sequence[str]) -> list[Any]:
    """A list comes as repeated fields, separated by commas, or as JSON; raises InvalidValue.

    It is refused before its values are looked at if it is longer than any may be: each costs time of everybody.
    """
    values: list[Any] = []
    for text in given:
        if text.lstrip().startswith("["):
            try:
                values += json.loads(text)
            except (ValueError, RecursionError) as exc:
                raise InvalidValue(f"{name} is not a JSON list: {exc}", field=name) from exc
        elif text.count(",") < _MOST_VALUES:
            values += [part.strip() for part in text.split(",")]
        else:
            raise _too_many(name)
        if len(values) > _MOST_VALUES:
            raise _too_many(name)
    return values


def _too_many(name: str) -> InvalidValue:
    return InvalidValue(f"{name} has more than {_MOST_VALUES} values", field=name)


def check_counts(parameters: Request, audio_count: int, settings: Settings) -> None:
    """What an image's lists may hold, given its audio clips and the settings; raises InvalidValue."""
    if isinstance(parameters, VideoRequest):
        return
    if len(parameters.gains) > settings.max_gains:
        raise InvalidValue(
            f"gains_db has {len(parameters.gains)} values; at most {settings.max_gains}", field="gains_db"
        )
    if parameters.weights is not None and len(parameters.weights) != audio_count:
        raise InvalidValue(
            f"weights has {len(parameters.weights)} values for {audio_count} sounds; send one for each", field="weights"
        )


def _invalid(error: ValidationError) -> InvalidValue:
    """Pydantic's first complaint, with the value that it is about."""
    first = error.errors(include_url=False, include_context=False)[0]
    location = [str(part) for part in first["loc"]]
    if not location:
        return InvalidValue(first["msg"].removeprefix("Value error, "))
    name = location[0]
    said = f"{name}: {first['msg'].removeprefix('Value error, ')}"
    given = "" if len(str(first["input"])) > 64 else f", not {str(first['input'])!r}"
    return InvalidValue(said + given, field=name)

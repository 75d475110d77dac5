"""The files of a job: probed and kept as they arrive, or taken from uploads that were kept before."""

import asyncio
import hashlib
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from starlette.concurrency import run_in_threadpool

from service.api.auth import Caller
from service.api.context import Context
from service.api.forms import id_field
from service.api.mismatch import explain_mismatch
from service.errors import ExampleNotFound, InvalidValue, MediaError, UnsupportedMedia
from service.examples.catalogue import EXAMPLES, PREFIX
from service.jobs.record import StoredInput
from service.uploads.repository import ProbeResult, Upload, UploadField, upload_not_found

_ID: Final = re.compile(r"[0-9a-f]{64}")
_KINDS: Final[dict[UploadField, str]] = {"image": "an image", "audio": "an audio clip", "video": "a video"}


@dataclass(frozen=True)
class JobInput:
    """A file of a job that did not come with it, and what probing found. source: an upload, or an example's file."""

    stored: StoredInput
    probed: ProbeResult
    source: Upload | Path


def check_id(text: str, field: str | None = None) -> str:
    """The text, if it can be an upload's id; raises InvalidValue."""
    if not _ID.fullmatch(text):
        raise InvalidValue(
            f"{text[:64]!r} is no id that POST /uploads gives: these have 64 hexadecimal digits", field=field
        )
    return text


async def find_uploads(context: Context, caller: Caller, ids: Mapping[UploadField, Sequence[str]]) -> list[JobInput]:
    """The examples and the caller's uploads of these ids, in their order; each upload lives anew.

    Raises InvalidValue, UploadNotFound, ExampleNotFound, and UnsupportedMedia where one is of a kind that the field
    does not take.
    """
    inputs: list[JobInput] = []
    for field, names in ids.items():
        for sha256 in names:
            if sha256.startswith(PREFIX):
                inputs.append(await _find_example(context, field, sha256))
                continue
            upload = await context.uploads.find(caller.key_id, check_id(sha256, id_field(field)), renew=True)
            if upload is None:
                raise upload_not_found(sha256, id_field(field))
            found: ProbeResult | None = getattr(upload.probed, field)
            if found is None:
                fields = " or ".join(map(id_field, upload.probed.fields))
                raise UnsupportedMedia(
                    f"the upload {sha256!r} is {_KINDS[upload.probed.kind]}, not {_KINDS[field]}; name it by {fields}",
                    field=id_field(field),
                )
            stored = StoredInput(field=field, sha256=sha256, bytes=upload.bytes, name=upload.name)
            inputs.append(JobInput(stored, found, upload))
    return inputs


async def _find_example(context: Context, field: UploadField, name: str) -> JobInput:
    example = EXAMPLES.get(name.removeprefix(PREFIX))
    if example is None:
        raise ExampleNotFound(f"there is no example {name[:64]!r}; GET /examples lists them", field=id_field(field))
    if example.field != field:
        raise UnsupportedMedia(
            f"{name} is {_KINDS[example.field]}, not {_KINDS[field]}; name it by {id_field(example.field)}",
            field=id_field(field),
        )

    content = await run_in_threadpool(example.path.read_bytes)
    sha256 = hashlib.sha256(content).hexdigest()
    probed = await context.probes.run("", partial(probes_of(context)[field], example.path))
    stored = StoredInput(field=field, sha256=sha256, bytes=len(content), name=example.file_name)
    return JobInput(stored, probed, example.path)


async def link_uploads(context: Context, job_id: str, folder: Path, inputs: Sequence[JobInput]) -> None:
    """Give the job the files of its uploads and examples; raises UploadNotFound, StorageUnavailable.

    folder: in which its uploads are received.
    """

    def link(stored: StoredInput, source: Upload | Path) -> None:
        if isinstance(source, Path):
            shutil.copyfile(source, folder / stored.sha256)
            for keep in context.storage.persist_tasks(job_id, {stored.sha256}):
                keep()
            return
        try:
            context.storage.link_input(source.folder, job_id, stored.sha256)
        except FileNotFoundError as exc:  # it was deleted meanwhile
            raise upload_not_found(stored.sha256, f"{stored.field}_id") from exc

    for one in inputs:
        await run_in_threadpool(link, one.stored, one.source)


async def probe_and_keep(
    files: Sequence[StoredInput], job_id: str, folder: Path, context: Context, caller: str
) -> list[ProbeResult]:
    """Probe every file while it is stored; raises the first one's error, in the order of the form.

    caller: whose share of the probes they take.

    All that keeps them goes on at the same time: the disk takes contents and names together, where one after the
    other waits for it five times (docs/log.md).
    """
    probes = probes_of(context)

    async def probe(stored: StoredInput) -> ProbeResult:
        try:
            return await context.probes.run(caller, partial(probes[stored.field], folder / stored.sha256))
        except (UnsupportedMedia, MediaError) as error:
            raise await run_in_threadpool(explain_mismatch, error, stored, files, folder) from error

    keep = context.storage.persist_tasks(job_id, {stored.sha256 for stored in files})
    outcomes = await asyncio.gather(*map(probe, files), *map(run_in_threadpool, keep), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return [outcome for outcome in outcomes if outcome is not None and not isinstance(outcome, BaseException)]


def probes_of(context: Context) -> dict[str, Callable[[Path], ProbeResult]]:
    """How a file of each field is probed."""
    pool = context.decoder_pool
    return {"image": pool.probe_image, "audio": pool.probe_audio, "video": pool.probe_video}

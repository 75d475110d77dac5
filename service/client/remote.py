"""Hand one job to a service, show how far it is, and save its results."""

import sys
import time
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2 as httpx
from tqdm import tqdm

_LOOK_AGAIN_SECONDS: Final = 0.25
_PATIENCE_SECONDS: Final = 60.0  # of a service that does not answer while a job runs


class Failed(Exception):
    """The service refused the job, failed on it, or is not there; the message is for people."""


@dataclass(frozen=True)
class Job:
    """Where to send what, and where the results go, one path each."""

    route: str
    files: list[tuple[str, Path]]
    fields: dict[str, str]
    outputs: list[Path]


def run_job(client: httpx.Client, job: Job, quiet: bool = False) -> dict[str, Any]:
    """Do all of it; returns the finished job. Interrupted, it cancels the job. Raises Failed."""
    key = uuid.uuid4().hex
    document = _submit(client, job, key)
    try:
        document = _follow(client, document, quiet)
        if document["state"] != "succeeded":
            raise Failed(_words(document["error"]) if document["error"] else f"the job was {document['state']}")
        for result, output in zip(document["results"], job.outputs, strict=True):
            _save(client, result["url"], output)
    except KeyboardInterrupt:
        client.delete(document["url"])
        raise
    for warning in document["warnings"] if not quiet else []:
        print(f"warning: {warning['detail']}", file=sys.stderr)
    return document


def _submit(client: httpx.Client, job: Job, key: str) -> dict[str, Any]:
    try:
        with ExitStack() as stack:
            files = [(field, (path.name, stack.enter_context(path.open("rb")))) for field, path in job.files]
            answer = client.post(job.route, files=files, data=job.fields, headers={"Idempotency-Key": key})
    except httpx.TransportError as exc:
        raise Failed(
            f"no service answers at {client.base_url} ({exc}); start one with `make serve`, or use --local"
        ) from exc
    return _document(answer)


def _follow(client: httpx.Client, document: dict[str, Any], quiet: bool) -> dict[str, Any]:
    """Poll until the job has ended."""
    progress, heard = document["progress"], time.monotonic()
    with tqdm(total=progress["total"], unit=f" {progress['unit']}", disable=quiet or None, delay=1) as bar:
        while document["state"] in ("queued", "running"):
            time.sleep(_LOOK_AGAIN_SECONDS)
            try:
                document = _document(client.get(document["url"]))
                heard = time.monotonic()
            except httpx.TransportError as exc:
                if time.monotonic() - heard > _PATIENCE_SECONDS:
                    raise Failed(f"the service does not answer any more: {exc}") from exc
            progress = document["progress"]
            bar.total = progress["total"]
            bar.set_description("waiting" if document["state"] == "queued" else "working")
            bar.update(progress["done"] - bar.n)
    return document


def _save(client: httpx.Client, url: str, output: Path) -> None:
    """Write the result; a file of that name is there whole or not at all."""
    partial = output.with_name(f".{output.name}.partial")
    try:
        with client.stream("GET", url, follow_redirects=True) as answer, partial.open("wb") as file:
            if answer.status_code != httpx.codes.OK:
                answer.read()
                _document(answer)
            for piece in answer.iter_bytes():
                file.write(piece)
        partial.replace(output)
    except (httpx.TransportError, OSError) as exc:
        raise Failed(f"{output} cannot be written: {exc}") from exc
    finally:
        partial.unlink(missing_ok=True)


def _document(answer: httpx.Response) -> dict[str, Any]:
    """The job in an answer; raises Failed with the words of a problem document."""
    try:
        document: dict[str, Any] = answer.json()
    except ValueError as exc:
        raise Failed(f"{answer.url} answers {answer.status_code}, and not as this service would") from exc
    if answer.is_error:
        raise Failed(_words(document))
    return document


def _words(problem: dict[str, Any]) -> str:
    field = f"{problem['field']}: " if problem.get("field") else ""
    detail = problem.get("detail", problem.get("title", "the service gave no reason"))
    return str(detail) if str(detail).startswith(field) else f"{field}{detail}"

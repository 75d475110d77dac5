"""A service, as a program sees it: hand in files, wait for the job, save its results."""

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self, Unpack

import httpx2 as httpx

from service.client.errors import NoService, Refused
from service.client.models import Job, Model, Result, Upload
from service.client.requests import (
    DEFAULT_SERVER,
    TRY_AGAIN,
    Form,
    ImageOptions,
    Media,
    VideoOptions,
    check,
    connection,
    finished,
    has_ended_badly,
    image_form,
    is_passing,
    look_pauses,
    read_document,
    sha256_of,
    still_form,
    unreachable,
    video_form,
)

Follow = Callable[[Job], None]


class Client:
    """A service at an address; a context manager. Methods raise ClientError, and OSError for files of one's own.

    key: an API key, where the service asks for one. patience_seconds: how long a service that is full, or a key's
    limit, is waited for before `Refused` is raised. It may be used by several threads.
    """

    def __init__(
        self,
        server: str = DEFAULT_SERVER,
        key: str | None = None,
        *,
        timeout_seconds: float = 60.0,
        patience_seconds: float = 0.0,
    ) -> None:
        self._http = httpx.Client(**connection(server, key, timeout_seconds))
        self._patience_seconds = patience_seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def upload(self, file: str | os.PathLike[str]) -> Upload:
        """Have the service keep a file, for any number of jobs; it is sent only if the service does not have it."""
        path = Path(file)
        known = self._get(f"/uploads/{sha256_of(path)}")
        if known.status_code != httpx.codes.NOT_FOUND:
            return read_document(known, Upload)
        return read_document(self._post(Form("/uploads", {}, [("file", path)]), {}), Upload)

    def stylize(self, image: Media, *audio: Media, **options: Unpack[ImageOptions]) -> Job:
        """Restyle an image by one to four audio clips, and wait until that is done."""
        return self.wait(self.submit(image_form(image, audio, options)))

    def stylize_video(self, video: Media, audio: Media | None = None, **options: Unpack[VideoOptions]) -> Job:
        """Edit the volume of a video's soundtrack, and have the frames follow; wait until that is done."""
        return self.wait(self.submit(video_form(video, audio, options)))

    def stylize_still(self, image: Media, audio: Media, **options: Unpack[VideoOptions]) -> Job:
        """Make a video of an image that follows the loudness of a sound; wait until that is done."""
        return self.wait(self.submit(still_form(image, audio, options)))

    def submit(self, form: Form, idempotency_key: str | None = None) -> Job:
        """Hand in a job, and do not wait for it.

        idempotency_key: the same key with the same form gives the same job, unless that one failed or was cancelled.
        """
        headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        answer = self._post(form, headers)
        job = read_document(answer, Job)
        if has_ended_badly(answer, job):
            self.delete(job)
            job = read_document(self._post(form, headers), Job)
        return job

    def job(self, job: Job) -> Job:
        """The job as it is now."""
        return read_document(self._get(job.url), Job)

    def wait(self, job: Job, follow: Follow = lambda _: None) -> Job:
        """The finished job; raises JobFailed. follow: called with the job as it goes on; what it raises ends that."""
        pauses, heard = look_pauses(), time.monotonic()
        while not job.ended:
            follow(job)
            time.sleep(next(pauses))
            try:
                job, heard = self.job(job), time.monotonic()
            except (NoService, Refused) as problem:
                if not is_passing(problem, time.monotonic() - heard):
                    raise
        follow(job)
        return finished(job)

    def delete(self, job: Job) -> None:
        """Cancel a job, or forget one that has ended, with its results."""
        try:
            self._http.delete(job.url)
        except httpx.TransportError as exc:
            raise unreachable(self._http.base_url, exc) from exc

    def read(self, result: Result) -> bytes:
        """The bytes of a result."""
        answer = self._get(result.url)
        check(answer)
        return answer.content

    def save(self, result: Result, path: str | os.PathLike[str]) -> None:
        """Write a result to a file, which is there whole or not at all."""
        target = Path(path)
        partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
        try:
            with self._http.stream("GET", result.url, follow_redirects=True) as answer, partial.open("wb") as file:
                if answer.is_error:
                    answer.read()
                    check(answer)
                for piece in answer.iter_bytes():
                    file.write(piece)
            partial.replace(target)
        except httpx.TransportError as exc:
            raise unreachable(self._http.base_url, exc) from exc
        finally:
            partial.unlink(missing_ok=True)

    def models(self) -> list[Model]:
        """The models that can be asked for."""
        answer = self._get("/models")
        check(answer)
        return [Model.model_validate(model) for model in answer.json()["models"]]

    def _get(self, url: str) -> httpx.Response:
        try:
            return self._http.get(url, follow_redirects=True)
        except httpx.TransportError as exc:
            raise unreachable(self._http.base_url, exc) from exc

    def _post(self, form: Form, headers: dict[str, str]) -> httpx.Response:
        """Send the form, again where the service says when to; raises Refused when patience is at its end."""
        began = time.monotonic()
        while True:
            try:
                check(answer := self._send(form, headers))
            except Refused as problem:
                pause = problem.retry_after or 1.0
                waited = time.monotonic() - began
                if problem.status not in TRY_AGAIN or waited + pause > self._patience_seconds:
                    raise
                time.sleep(pause)
            else:
                return answer

    def _send(self, form: Form, headers: dict[str, str]) -> httpx.Response:
        try:
            with ExitStack() as stack:
                files: list[Any] = [
                    (name, (path.name, stack.enter_context(path.open("rb")))) for name, path in form.files
                ]
                return self._http.post(
                    form.route, files=files, data=form.values, headers=headers, params=form.query or None
                )
        except httpx.TransportError as exc:
            raise unreachable(self._http.base_url, exc) from exc

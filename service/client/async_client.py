"""The same for programs that use asyncio."""

import asyncio
import os
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


class AsyncClient:
    """A service at an address; an asynchronous context manager. See `Client` for what its methods do and raise."""

    def __init__(
        self,
        server: str = DEFAULT_SERVER,
        key: str | None = None,
        *,
        timeout_seconds: float = 60.0,
        patience_seconds: float = 0.0,
    ) -> None:
        self._http = httpx.AsyncClient(**connection(server, key, timeout_seconds))
        self._patience_seconds = patience_seconds

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def upload(self, file: str | os.PathLike[str]) -> Upload:
        """Have the service keep a file, for any number of jobs; it is sent only if the service does not have it."""
        path = Path(file)
        known = await self._get(f"/uploads/{await asyncio.to_thread(sha256_of, path)}")
        if known.status_code != httpx.codes.NOT_FOUND:
            return read_document(known, Upload)
        return read_document(await self._post(Form("/uploads", {}, [("file", path)]), {}), Upload)

    async def stylize(self, image: Media, *audio: Media, **options: Unpack[ImageOptions]) -> Job:
        """Restyle an image by one to four audio clips, and wait until that is done."""
        return await self.wait(await self.submit(image_form(image, audio, options)))

    async def stylize_video(self, video: Media, audio: Media | None = None, **options: Unpack[VideoOptions]) -> Job:
        """Edit the volume of a video's soundtrack, and have the frames follow; wait until that is done."""
        return await self.wait(await self.submit(video_form(video, audio, options)))

    async def stylize_still(self, image: Media, audio: Media, **options: Unpack[VideoOptions]) -> Job:
        """Make a video of an image that follows the loudness of a sound; wait until that is done."""
        return await self.wait(await self.submit(still_form(image, audio, options)))

    async def submit(self, form: Form, idempotency_key: str | None = None) -> Job:
        """Hand in a job, and do not wait for it."""
        headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        answer = await self._post(form, headers)
        job = read_document(answer, Job)
        if has_ended_badly(answer, job):
            await self.delete(job)
            job = read_document(await self._post(form, headers), Job)
        return job

    async def job(self, job: Job) -> Job:
        """The job as it is now."""
        return read_document(await self._get(job.url), Job)

    async def wait(self, job: Job, follow: Callable[[Job], None] = lambda _: None) -> Job:
        """The finished job; raises JobFailed. follow: called with the job as it goes on."""
        loop, pauses = asyncio.get_running_loop(), look_pauses()
        heard = loop.time()
        while not job.ended:
            follow(job)
            await asyncio.sleep(next(pauses))
            try:
                job, heard = await self.job(job), loop.time()
            except (NoService, Refused) as problem:
                if not is_passing(problem, loop.time() - heard):
                    raise
        follow(job)
        return finished(job)

    async def delete(self, job: Job) -> None:
        """Cancel a job, or forget one that has ended, with its results."""
        try:
            await self._http.delete(job.url)
        except httpx.TransportError as exc:
            raise unreachable(self._http.base_url, exc) from exc

    async def read(self, result: Result) -> bytes:
        """The bytes of a result."""
        answer = await self._get(result.url)
        check(answer)
        return answer.content

    async def save(self, result: Result, path: str | os.PathLike[str]) -> None:
        """Write a result to a file, which is there whole or not at all."""
        content, target = await self.read(result), Path(path)
        partial = target.with_name(f".{target.name}.{os.getpid()}.partial")

        def write() -> None:
            try:
                partial.write_bytes(content)
                partial.replace(target)
            finally:
                partial.unlink(missing_ok=True)

        await asyncio.to_thread(write)

    async def models(self) -> list[Model]:
        """The models that can be asked for."""
        answer = await self._get("/models")
        check(answer)
        return [Model.model_validate(model) for model in answer.json()["models"]]

    async def _get(self, url: str) -> httpx.Response:
        try:
            return await self._http.get(url, follow_redirects=True)
        except httpx.TransportError as exc:
            raise unreachable(self._http.base_url, exc) from exc

    async def _post(self, form: Form, headers: dict[str, str]) -> httpx.Response:
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            try:
                check(answer := await self._send(form, headers))
            except Refused as problem:
                pause = problem.retry_after or 1.0
                if problem.status not in TRY_AGAIN or loop.time() - began + pause > self._patience_seconds:
                    raise
                await asyncio.sleep(pause)
            else:
                return answer

    async def _send(self, form: Form, headers: dict[str, str]) -> httpx.Response:
        try:
            with ExitStack() as stack:
                files: list[Any] = [
                    (name, (path.name, stack.enter_context(path.open("rb")))) for name, path in form.files
                ]
                return await self._http.post(
                    form.route, files=files, data=form.values, headers=headers, params=form.query or None
                )
        except httpx.TransportError as exc:
            raise unreachable(self._http.base_url, exc) from exc

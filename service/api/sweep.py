"""Remove files whose job or upload has expired."""

import asyncio
import logging
from typing import Final

from starlette.concurrency import run_in_threadpool

from service.jobs.submission_repository import SubmissionRepository
from service.storage.folder import Storage
from service.uploads.repository import UploadRepository

logger = logging.getLogger(__name__)

_PAUSE_SECONDS: Final = 600.0


async def sweep_for_ever(
    storage: Storage, submissions: SubmissionRepository, uploads: UploadRepository, lifetime_seconds: int
) -> None:
    """Sweep now and then. lifetime_seconds: of a job that has ended, and of an upload."""
    while True:
        try:
            await sweep(storage, submissions, uploads, lifetime_seconds)
        except Exception:
            logger.exception("the sweep of old files failed; it is tried again later")
        await asyncio.sleep(min(_PAUSE_SECONDS, lifetime_seconds))


async def sweep(
    storage: Storage, submissions: SubmissionRepository, uploads: UploadRepository, lifetime_seconds: int
) -> None:
    """Erase the files of jobs and uploads that are old and have no record."""
    await run_in_threadpool(storage.empty_trash)
    stale = await run_in_threadpool(lambda: list(storage.stale_jobs(lifetime_seconds)))
    if not stale:
        return
    have_record, are_uploads = await submissions.exists(stale), await uploads.living(stale)
    for folder, has_record, is_upload in zip(stale, have_record, are_uploads, strict=True):
        if not (has_record or is_upload):
            await run_in_threadpool(storage.erase, folder)

"""What becomes of received files whose request fails: nobody knows of them, so they are erased."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from redis.exceptions import OutOfMemoryError, RedisError
from starlette.concurrency import run_in_threadpool

from service.api.context import Context
from service.errors import StorageUnavailable, Unavailable

logger = logging.getLogger(__name__)

_RETRY_AFTER_SECONDS: Final = 60


@asynccontextmanager
async def erased_on_failure(context: Context, folder: str) -> AsyncIterator[None]:
    """Erase the folder if the block fails. Raises what the block raises, and Unavailable where nothing can be stored.

    folder: id of the job or upload to be.
    """
    try:
        yield
    except OutOfMemoryError:  # of a full Redis; nothing was written
        await discard(context, folder)
        raise
    except RedisError:
        raise  # the record may have been written all the same; then its files are needed, else they are swept up
    except OSError as exc:
        await discard(context, folder)
        logger.exception("an upload cannot be stored")
        raise Unavailable("the upload cannot be stored now; try again later", retry_after=_RETRY_AFTER_SECONDS) from exc
    except BaseException:
        await discard(context, folder)
        raise


async def discard(context: Context, folder: str) -> None:
    """Erase what was received in vain. What a store that is away keeps of it has no record, and is swept up."""
    try:
        await run_in_threadpool(context.storage.erase, folder)
    except StorageUnavailable:
        await run_in_threadpool(context.storage.release_scratch, folder)

"""Routes that tell how the service is: models, whether the process lives, whether everything that it needs answers."""

import asyncio
from collections.abc import Awaitable
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Query, Response
from redis.exceptions import RedisError

from service.api.address_rate import Limited
from service.api.auth import identify
from service.api.context import Context, Using
from service.api.descriptions import PROBLEMS
from service.api.problems import problem_response
from service.errors import Unavailable
from service.jobs.queue import QUEUES
from service.kind import Kind
from service.media.confinement import describe_confinement
from service.redis.connection import describe_redis
from service.schemas.documents import Model, Models, Status

router = APIRouter(tags=["service"], responses={503: PROBLEMS[503]})

_CHECK_SECONDS: Final = 3.0
_RETRY_AFTER_SECONDS: Final = 2
_AskedKind = Literal[Kind, "picture"]  # `picture` is what `image` was called before


@router.get("/models", dependencies=[Depends(identify)], responses={401: PROBLEMS[401]})
async def list_models(context: Using) -> Models:
    """The models that can be asked for, and what runs them; also those replaced that jobs still run on."""
    models: dict[tuple[str, str], Model] = {}
    for worker in await context.ready_workers(None):
        assert worker.runtime is not None
        for summary in worker.models:
            models.setdefault(
                (summary.name, summary.sha256),
                Model(
                    **summary.model_dump(),
                    default=summary.name == context.settings.default_model and not summary.replaced,
                    **worker.runtime.model_dump(),
                ),
            )
    return Models(models=list(models.values()))


@router.get("/healthz")
async def is_alive() -> Status:
    """The process lives."""
    return Status(status="ok")


@router.get(
    "/readyz", response_model=Status, responses={422: PROBLEMS[422], 429: PROBLEMS[429]}, dependencies=[Limited]
)
async def is_ready(
    context: Using,
    kind: Annotated[list[_AskedKind] | None, Query(description="of jobs; default: image")] = None,
) -> Status | Response:
    """Redis, the storage and a worker with its model answer; otherwise 503 with what does not.

    `checks` tells of the workers for every kind of job; only those for the kinds that are asked for are needed.
    `missing` names the checks that are needed and failed.
    """
    checks: dict[str, Awaitable[object]] = {
        "redis": describe_redis(context.client),
        "storage": context.storage_check.check(),
        "decoders": _describe_decoders(),
    }
    for one in QUEUES:
        checks[_worker_of(one)] = _describe_workers(context, one)
    said = await asyncio.gather(*(_check(check) for check in checks.values()))
    failed = {name for name, answer in zip(checks, said, strict=True) if answer.startswith("!")}
    answers = {name: answer.removeprefix("!") for name, answer in zip(checks, said, strict=True)}
    needed = {"redis", "storage", *(_worker_of(one) for one in kind or ["image"])}
    if missing := [name for name in checks if name in needed & failed]:
        detail = "; ".join(f"{name}: {answers[name]}" for name in missing)
        problem = Unavailable(detail, retry_after=_RETRY_AFTER_SECONDS)
        return problem_response(problem, more={"missing": missing, "checks": answers})
    return Status(status="ready", checks=answers)


def _worker_of(kind: _AskedKind) -> str:
    """The name of its check."""
    return "worker" if kind in ("image", "picture") else f"{kind} worker"


async def _check(check: Awaitable[object]) -> str:
    """What the check says, or `!` and what is wrong."""
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            said = await check
    except Unavailable as exc:
        return f"!{exc.detail}"
    except TimeoutError:
        return "!it does not answer in time"
    except (RedisError, OSError) as exc:
        return f"!{exc}"
    return said if isinstance(said, str) else "ok"


async def _describe_decoders() -> str:
    """What is closed to the processes that open foreign files on this host; needed by no check."""
    return describe_confinement()


async def _describe_workers(context: Context, kind: Kind) -> str:
    workers = await context.ready_workers(kind)
    providers = sorted({worker.runtime.provider for worker in workers if worker.runtime})
    return f"{len(workers)} on {', '.join(providers)}"

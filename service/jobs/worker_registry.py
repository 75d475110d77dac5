"""Who is at work: every worker says in Redis that it lives, which models it has, and what it runs them on.

The main process of a worker beats from the loop that takes messages, so a worker that is stuck falls silent; a pool
process adds what it runs on once its model is loaded, and the worker counts as ready from then on.
"""

import json
import math
import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from service.redis.connection import AsyncClient, Client
from service.redis.scripts import arguments, load_script

BEAT_SECONDS: Final = 2.0
_SILENCE_SECONDS: Final = 15  # after it a worker is taken for gone
_ENTRY_SECONDS: Final = 86_400  # an entry outlives its worker's silence: a machine may sleep and wake up
_BEAT: Final = load_script(Path(__file__).parent / "lua" / "beat.lua")


class ModelSummary(BaseModel):
    """A bundle that a worker has, as `GET /models` shows it.

    replaced: another of its name has taken its place, and only jobs that ran before still use it.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    version: str
    sha256: str
    license: str
    clip_seconds: float
    sample_rate_hz: int
    native_size: int
    size_multiple: int
    sounds: tuple[str, ...]
    training: dict[str, Any]
    replaced: bool = False


class Runtime(BaseModel):
    """What a worker runs its models on."""

    model_config = ConfigDict(frozen=True)

    provider: str
    runtime: str


class WorkerReport(BaseModel):
    """One live worker. runtime: None while its model is still loading. processes: jobs that it does at once.

    age_seconds: since its last heartbeat."""

    model_config = ConfigDict(frozen=True)

    id: str
    host: str
    pid: int
    models: tuple[ModelSummary, ...]
    queues: tuple[str, ...]
    runtime: Runtime | None = None
    processes: int = 1
    age_seconds: float = 0.0


class WorkerRegistration:
    """One worker's own entry."""

    def __init__(self, client: Client, worker: str) -> None:
        self._client = client
        self._worker = worker
        self._beat = client.register_script(_BEAT)
        self._entry, self._heartbeat = f"adis:worker:{worker}", f"adis:heartbeat:{worker}"
        self._refused = f"adis:refused:{worker}"

    def register(self, models: list[ModelSummary], queues: Sequence[str], processes: int = 1) -> None:
        """Say that the worker is there and does `processes` jobs at once; it counts from `announce_runtime` on."""
        fields = {
            "host": socket.gethostname(),
            "pid": str(os.getpid()),
            "models": _models_json(models),
            "queues": json.dumps(list(queues)),
            "processes": str(processes),
        }
        self._client.hset(self._entry, mapping=fields)
        self.beat()

    def update_models(self, models: list[ModelSummary]) -> None:
        """Say that the worker has other models now."""
        self._client.hset(self._entry, "models", _models_json(models))

    def refuse(self, sha256: str) -> None:
        """Called by a pool process that could not open a bundle which the worker offers."""
        self._client.sadd(self._refused, sha256)
        self._client.expire(self._refused, _ENTRY_SECONDS)

    def refused(self) -> set[str]:
        """The bundles (their SHA-256) that pool processes could not open."""
        return set(self._client.smembers(self._refused))

    def announce_runtime(self, runtime: Runtime) -> None:
        """Called by a pool process when its model is loaded."""
        self._client.hset(self._entry, "runtime", runtime.model_dump_json())

    def beat(self) -> bool:
        """Say that the worker lives; False if Redis has forgotten its entry."""
        return bool(self._beat(args=arguments(id=self._worker, silence=_SILENCE_SECONDS, lifetime=_ENTRY_SECONDS)))

    def deregister(self) -> None:
        """The worker stops."""
        self._client.delete(self._entry, self._heartbeat, self._refused)
        self._client.srem("adis:workers", self._worker)


def _models_json(models: list[ModelSummary]) -> str:
    return json.dumps([model.model_dump() for model in models])


async def live_workers(client: AsyncClient) -> list[WorkerReport]:
    """Every worker that was heard of lately, ready or not."""
    ids = sorted(await client.smembers("adis:workers"))
    async with client.pipeline(transaction=False) as pipe:
        for worker in ids:
            pipe.pttl(f"adis:heartbeat:{worker}")
            pipe.hgetall(f"adis:worker:{worker}")
        answers = await pipe.execute() if ids else []
    entries = dict(zip(ids, zip(answers[::2], answers[1::2], strict=True), strict=True))
    # a heartbeat that lasts longer than one can is from a clock that was put back; who lives beats again in two seconds
    live = {worker: (left_ms, fields) for worker, (left_ms, fields) in entries.items()
            if 0 <= left_ms <= _SILENCE_SECONDS * 1000 and "models" in fields}  # fmt: skip
    if silent := set(ids) - set(live):
        await client.srem("adis:workers", *silent)
    return [
        WorkerReport(
            id=worker,
            host=fields["host"],
            pid=int(fields["pid"]),
            models=json.loads(fields["models"]),
            queues=json.loads(fields["queues"]),
            runtime=json.loads(fields["runtime"]) if "runtime" in fields else None,
            processes=int(fields.get("processes", 1)),
            age_seconds=_SILENCE_SECONDS - left_ms / 1000,
        )
        for worker, (left_ms, fields) in live.items()
    ]


class WorkerRegistry:
    """The live workers as one API process knows them, so that not every request has to ask for them."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._known: list[WorkerReport] = []
        self._asked = -math.inf

    async def live(self, kept_seconds: float = 0.0) -> list[WorkerReport]:
        """As `live_workers` has them, or had them at most `kept_seconds` ago."""
        if time.monotonic() - self._asked > kept_seconds:
            asked = time.monotonic()
            self._known, self._asked = await live_workers(self._client), asked
        return self._known

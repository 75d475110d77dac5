"""The background task that delivers: takes what is due, posts it, and puts off what was not taken."""

import asyncio
import json
import logging
import random
from dataclasses import dataclass
from typing import Any, Final

from redis.exceptions import RedisError

from service.auth.keys import ApiKeyRepository
from service.errors import JobNotFound
from service.jobs.record import JobRecord
from service.jobs.submission_repository import SubmissionRepository
from service.redis.connection import AsyncClient
from service.schemas.documents import job_document
from service.settings import Settings
from service.webhooks.request import address_rules
from service.webhooks.schedule import Delivery, DeliveryState, Schedule
from service.webhooks.sender import NotDelivered, Sender
from service.webhooks.signing import SigningSecrets

logger = logging.getLogger(__name__)

MAX_ATTEMPTS: Final = 8
LEASE_SECONDS: Final = 60.0

_LOOK_SECONDS: Final = 1.0
_AT_ONCE: Final = 16
_GONE: Final = 410


@dataclass(frozen=True)
class Backoff:
    """How long to wait after a failed attempt: by default 5 s, 20 s, 80 s … 5.7 h, so eight attempts take 7.6 h.

    jitter: share of the time by which it is longer or shorter, so that those who failed together do not come together.
    """

    first_seconds: float = 5.0
    factor: float = 4.0
    jitter: float = 0.2

    def seconds(self, attempt: int, rng: random.Random) -> float:
        """After that attempt (from 1)."""
        return self.first_seconds * self.factor ** (attempt - 1) * rng.uniform(1 - self.jitter, 1 + self.jitter)


class Deliverer:
    """Use `run` as a task, in as many processes as there are."""

    def __init__(
        self,
        schedule: Schedule,
        submissions: SubmissionRepository,
        sender: Sender,
        secrets: SigningSecrets,
        rng: random.Random,
        backoff: Backoff | None = None,
    ) -> None:
        self._schedule = schedule
        self._submissions = submissions
        self._sender = sender
        self._secrets = secrets
        self._rng = rng
        self._backoff = backoff or Backoff()

    async def run(self) -> None:
        """Deliver for ever, some at once; what is under way when the task is cancelled is due again after its lease."""
        under_way: set[asyncio.Task[None]] = set()
        try:
            while True:
                delivery = await self._take() if len(under_way) < _AT_ONCE else None
                if delivery is not None:
                    task = asyncio.create_task(self._deliver(delivery))
                    under_way.add(task)
                    task.add_done_callback(under_way.discard)
                elif under_way:
                    await asyncio.wait(under_way, timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                else:
                    await asyncio.sleep(_LOOK_SECONDS)
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def deliver_due(self) -> int:
        """Deliver what is due now, one after the other; returns how many attempts that were."""
        count = 0
        while (delivery := await self._schedule.take()) is not None:
            await self._deliver(delivery)
            count += 1
        return count

    async def _take(self) -> Delivery | None:
        try:
            return await self._schedule.take()
        except (RedisError, OSError) as exc:
            logger.warning("Redis does not answer, so no webhook is delivered: %s", exc)
            return None

    async def _deliver(self, delivery: Delivery) -> None:
        """One attempt; never raises."""
        try:
            await self._attempt(delivery)
        except JobNotFound:
            pass  # erased meanwhile, and its delivery with it
        except Exception:
            logger.exception("the webhook of job %s is tried again later", delivery.job_id)

    async def _attempt(self, delivery: Delivery) -> None:
        record = await self._submissions.read(delivery.job_id)
        secrets = await self._secrets.of(record.api_key)
        status: int | None = None
        try:
            status = await self._sender.post(record.webhook_url or "", f"msg_{record.id}", message(record), secrets)
            came = f"answered {status}"
        except NotDelivered as exc:
            came = str(exc)
        state, next_seconds = self._judge(delivery.attempt, status)
        await self._schedule.settle(delivery, state, status, next_seconds)
        level = logging.INFO if state is DeliveryState.DELIVERED else logging.WARNING
        logger.log(level, "webhook of job %s, attempt %d: %s; %s", record.id, delivery.attempt, came, state.value)

    def _judge(self, attempt: int, status: int | None) -> tuple[DeliveryState, float]:
        """What comes next, and after how many seconds."""
        if status is not None and 200 <= status < 300:
            return DeliveryState.DELIVERED, 0.0
        if status == _GONE or attempt >= MAX_ATTEMPTS:
            return DeliveryState.FAILED, 0.0
        return DeliveryState.PENDING, self._backoff.seconds(attempt, self._rng)


def make_deliverer(client: AsyncClient, submissions: SubmissionRepository, settings: Settings) -> Deliverer | None:
    """The deliverer of one API process; None where nothing can be signed."""
    if settings.webhook_secret is None:
        return None
    schedule = Schedule(client, LEASE_SECONDS, MAX_ATTEMPTS)
    secrets = SigningSecrets(settings.webhook_secret.get_secret_value(), ApiKeyRepository(client))
    return Deliverer(schedule, submissions, Sender(address_rules(settings)), secrets, random.Random())


def message(record: JobRecord) -> str:
    """The body: the same in every attempt."""
    document = job_document(record, record.root_path).model_dump(mode="json", exclude={"webhook"})
    content: dict[str, Any] = {
        "type": f"job.{record.state.value}",
        "timestamp": document["finished_at"],
        "data": document,
    }
    return json.dumps(content)

"""The background task that delivers: takes what is due, posts it, and puts off what was not taken."""

import asyncio
import json
import logging
import random
from collections.abc import Sequence
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

LEASE_SECONDS: Final = 60.0
WAITS_SECONDS: Final = (5.0, 20.0, 80.0, 320.0, 1_280.0, 5_120.0, 20_480.0)  # after each failed attempt: 7.6 h in all
MAX_ATTEMPTS: Final = len(WAITS_SECONDS) + 1

_JITTER: Final = 0.2  # share by which a wait varies, so that those who failed together do not come together
_LOOK_SECONDS: Final = 1.0
_AT_ONCE: Final = 16
_GONE: Final = 410


class Deliverer:
    """Use `run` as a task, in as many processes as there are."""

    def __init__(
        self,
        schedule: Schedule,
        submissions: SubmissionRepository,
        sender: Sender,
        secrets: SigningSecrets,
        rng: random.Random,
        waits_seconds: Sequence[float] = WAITS_SECONDS,
    ) -> None:
        """waits_seconds: after each failed attempt but the last."""
        self._schedule = schedule
        self._submissions = submissions
        self._sender = sender
        self._secrets = secrets
        self._rng = rng
        self._waits_seconds = waits_seconds

    async def run(self) -> None:
        """Deliver for ever, some at once; what is under way when the task is cancelled is due again after its lease."""
        places = asyncio.Semaphore(_AT_ONCE)
        async with asyncio.TaskGroup() as under_way:
            while True:
                await places.acquire()
                if (delivery := await self._take()) is None:
                    places.release()
                    await asyncio.sleep(_LOOK_SECONDS)
                else:
                    under_way.create_task(self.deliver(delivery)).add_done_callback(lambda _: places.release())

    async def deliver(self, delivery: Delivery) -> None:
        """Make one attempt; never raises."""
        try:
            await self._attempt(delivery)
        except JobNotFound:
            pass  # erased meanwhile, and its delivery with it
        except Exception:
            logger.exception("the webhook of job %s is tried again later", delivery.job_id)

    async def _take(self) -> Delivery | None:
        try:
            return await self._schedule.take()
        except (RedisError, OSError) as exc:
            logger.warning("Redis does not answer, so no webhook is delivered: %s", exc)
            return None

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
        if status == _GONE or attempt > len(self._waits_seconds):
            return DeliveryState.FAILED, 0.0
        wait = self._waits_seconds[attempt - 1] * self._rng.uniform(1 - _JITTER, 1 + _JITTER)
        return DeliveryState.PENDING, wait


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

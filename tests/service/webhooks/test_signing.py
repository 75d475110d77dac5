"""Each API key has a webhook secret of its own: who knows one cannot forge the messages of another's jobs."""

import random
from base64 import b64decode
from dataclasses import replace
from ipaddress import ip_network

from standardwebhooks import Webhook, WebhookVerificationError

from service.auth.keys import ApiKeyRepository
from service.jobs.submission_repository import SubmissionRepository
from service.redis.connection import AsyncClient, Client
from service.webhooks.address import AddressRules
from service.webhooks.deliverer import LEASE_SECONDS, MAX_ATTEMPTS, Deliverer
from service.webhooks.schedule import Schedule
from service.webhooks.sender import Sender
from service.webhooks.signing import SigningSecrets, derive_secret
from tests.service.jobs.harness import TERMS, delete, new_job, submit, with_client
from tests.support.receiver import SECRET, Post, Receiver, running_receiver

RULES = AddressRules(allow_http=True, private_networks=(ip_network("127.0.0.0/8"),))


async def _deliver(client: AsyncClient) -> None:
    schedule = Schedule(client, LEASE_SECONDS, MAX_ATTEMPTS)
    submissions = SubmissionRepository(client, 100, TERMS.lifetime_seconds)
    secrets = SigningSecrets(SECRET, ApiKeyRepository(client))
    deliverer = Deliverer(schedule, submissions, Sender(RULES), secrets, random.Random(0))
    while (delivery := await schedule.take()) is not None:
        await deliverer.deliver(delivery)


def told(url: str, receiver: Receiver, key_id: str) -> Post:
    """The message of the end of a job of that key."""
    more = {"webhook_url": receiver.address, "webhook_events": "job.cancelled"}
    job_id, _ = submit(url, replace(new_job(), api_key=key_id, more=more))
    delete(url, job_id)
    with_client(url, _deliver)
    return receiver.posts[-1]


def is_signed_by(post: Post, secret: str) -> bool:
    try:
        Webhook(secret).verify(post.body, dict(post.headers))
    except WebhookVerificationError:
        return False
    return True


def create(url: str) -> str:
    return with_client(url, lambda client: ApiKeyRepository(client).create("Ada"))[0].id


def renew(url: str, key_id: str) -> int | None:
    return with_client(url, lambda client: ApiKeyRepository(client).renew_webhook(key_id))


def test_a_receiver_cannot_forge_the_messages_of_another(redis_url: str) -> None:
    first, second = create(redis_url), create(redis_url)
    with running_receiver() as receiver:
        post = told(redis_url, receiver, first)
    assert is_signed_by(post, derive_secret(SECRET, first, 0))
    assert not is_signed_by(post, derive_secret(SECRET, second, 0))
    assert not is_signed_by(post, SECRET)


def test_jobs_without_a_key_are_signed_by_the_services_own_secret(redis_url: str) -> None:
    with running_receiver() as receiver:
        assert is_signed_by(told(redis_url, receiver, ""), SECRET)


def test_a_renewed_secret_signs_beside_the_old_one_for_a_day(redis_url: str, client: Client) -> None:
    key_id = create(redis_url)
    old, new = derive_secret(SECRET, key_id, 0), derive_secret(SECRET, key_id, 1)
    assert renew(redis_url, key_id) == 1
    with running_receiver() as receiver:
        post = told(redis_url, receiver, key_id)
        assert (is_signed_by(post, old), is_signed_by(post, new)) == (True, True)
        client.hset(f"adis:access:key:{key_id}", "webhook_renewed", float(client.time()[0]) - 86_401)
        post = told(redis_url, receiver, key_id)
        assert (is_signed_by(post, old), is_signed_by(post, new)) == (False, True)
    assert renew(redis_url, "0" * 12) is None


def test_secrets_differ_by_key_root_and_generation_and_are_of_the_standards_form() -> None:
    other_root = SECRET.replace("c2Vj", "b3Ro")
    made = [
        derive_secret(*about) for about in ((SECRET, "a", 0), (SECRET, "b", 0), (SECRET, "a", 1), (other_root, "a", 0))
    ]
    assert len({*made, SECRET, other_root}) == 6
    assert {len(b64decode(secret.removeprefix("whsec_"))) for secret in made} == {32}
    assert derive_secret(SECRET, "a", 0) == made[0]

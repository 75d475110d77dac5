"""Keys open what they should, and Redis holds no secret."""

import time

import pytest

from service.auth.keys import ApiKeyRepository, Key, KeyLookup
from service.auth.rate_limit import take_token
from service.redis.connection import AsyncClient, Client
from tests.service.jobs.harness import with_client


def create(url: str, lifetime_seconds: float | None = None) -> tuple[Key, str]:
    return with_client(url, lambda client: ApiKeyRepository(client).create("Ada", lifetime_seconds=lifetime_seconds))


def look_up(url: str, token: str | None) -> KeyLookup:
    return with_client(url, lambda client: ApiKeyRepository(client).look_up(token))


def revoke(url: str, key_id: str) -> bool:
    return with_client(url, lambda client: ApiKeyRepository(client).revoke(key_id))


def take(url: str, key_id: str, per_minute: int, times: int = 1) -> list[float]:
    async def take_all(client: AsyncClient) -> list[float]:
        return [await take_token(client, key_id, per_minute) for _ in range(times)]

    return with_client(url, take_all)


def test_without_keys_none_is_found_and_none_exists(redis_url: str) -> None:
    assert look_up(redis_url, None) == look_up(redis_url, "adis_0_0") == KeyLookup(None, False)


def test_a_new_key_is_found_by_its_token_alone(redis_url: str) -> None:
    key, token = create(redis_url)
    _, other = create(redis_url)
    assert look_up(redis_url, token) == KeyLookup(key, True)
    mixed = f"{token.rpartition('_')[0]}_{other.rpartition('_')[2]}"
    for wrong in (None, "", key.id, token[:-1], token.upper(), f"{token} ", f"{token}\n", mixed):
        assert look_up(redis_url, wrong) == KeyLookup(None, True), wrong


def test_a_secret_has_at_least_128_random_bits_and_is_stored_nowhere(redis_url: str, client: Client) -> None:
    secrets = {create(redis_url)[1].rpartition("_")[2] for _ in range(20)}
    assert len(secrets) == 20
    assert all(len(bytes.fromhex(secret)) >= 16 for secret in secrets)
    stored = str([client.hgetall(name) for name in client.keys("adis:access:key:*")] + client.keys("*"))
    assert len(client.keys("adis:access:key:*")) == 20
    assert not [secret for secret in secrets if secret in stored]


def test_keys_never_leave_redis_by_themselves(redis_url: str, client: Client) -> None:
    create(redis_url, lifetime_seconds=100)
    assert {client.ttl(name) for name in client.keys("*")} == {-1}


def test_an_expired_key_opens_nothing_and_still_keeps_the_door_shut(redis_url: str) -> None:
    key, token = create(redis_url, lifetime_seconds=0.01)
    time.sleep(0.02)
    assert look_up(redis_url, token) == KeyLookup(None, True)
    assert key.expires is not None
    assert key.state(key.expires - 0.001) == "valid"
    assert key.state(key.expires) == "expired"


def test_a_revoked_key_opens_nothing(redis_url: str) -> None:
    first, token = create(redis_url)
    second, _ = create(redis_url)
    assert revoke(redis_url, first.id)
    assert look_up(redis_url, token) == KeyLookup(None, True)
    assert revoke(redis_url, second.id)
    assert look_up(redis_url, token) == KeyLookup(None, False)


def test_what_is_no_key_cannot_be_revoked(redis_url: str) -> None:
    assert not revoke(redis_url, "0" * 12)


def test_every_key_is_listed_with_its_state(redis_url: str) -> None:
    first, _ = create(redis_url)
    second, _ = create(redis_url)
    revoke(redis_url, first.id)
    listed = with_client(redis_url, lambda client: ApiKeyRepository(client).every())
    assert [(key.id, key.state(key.created)) for key in listed] == [(first.id, "revoked"), (second.id, "valid")]


@pytest.mark.parametrize("per_minute", [1, 3])
def test_a_bucket_holds_the_tokens_of_a_minute_and_no_more(redis_url: str, per_minute: int) -> None:
    *given, refused = take(redis_url, "a", per_minute, times=per_minute + 1)
    assert given == [0.0] * per_minute
    assert 0 < refused <= 60 / per_minute
    assert take(redis_url, "b", per_minute) == [0.0]


def pass_seconds(client: Client, seconds: float) -> None:
    """Have the bucket be as it will be then."""
    client.set("adis:rate:a", float(client.get("adis:rate:a")) - seconds, keepttl=True)


def test_an_empty_bucket_fills_again(redis_url: str, client: Client) -> None:
    *_, wait = take(redis_url, "a", 2, times=3)
    assert 0 < wait <= 30
    pass_seconds(client, 30)
    first, second = take(redis_url, "a", 2, times=2)
    assert first == 0 < second


def test_a_clock_that_was_an_hour_ahead_empties_a_bucket_which_then_fills(redis_url: str, client: Client) -> None:
    client.set("adis:rate:a", time.time() + 3600, px=7_200_000)
    (wait,) = take(redis_url, "a", 2)
    assert 0 < wait <= 30
    assert client.pttl("adis:rate:a") <= 60_000
    pass_seconds(client, wait)
    first, second = take(redis_url, "a", 2, times=2)
    assert first == 0 < second


def test_an_unused_bucket_is_forgotten_within_its_minute(redis_url: str, client: Client) -> None:
    take(redis_url, "a", 60)
    assert 0 < client.pttl("adis:rate:a") <= 60_000

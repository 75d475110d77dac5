"""`keys` makes, lists and revokes keys in the service's own data, and says what is wrong."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from service.settings import Settings
from service.standalone.bind_policy import UnsafeBindAddress, check_bind_address
from service.standalone.keys_command import main
from service.standalone.supervisor import only_one

TOKEN = re.compile(r"adis_([0-9a-f]{12})_([0-9a-f]{64})\n")

Output = pytest.CaptureFixture[str]


def settings(**values: Any) -> Settings:
    return Settings(**values, _env_file=None)


def created(capsys: Output, where: Settings, *options: str) -> tuple[str, str]:
    """Id and secret of a new key."""
    assert main(where, ["create", "Ada", *options]) == 0
    match = TOKEN.fullmatch(capsys.readouterr().out)
    assert match
    return match[1], match[2]


def test_keys_are_kept_while_no_service_runs_and_their_secrets_are_not(tmp_path: Path, capsys: Output) -> None:
    where = settings(data_dir=tmp_path / "data")
    first, secret = created(capsys, where, "--rate", "3", "--jobs", "0")
    second, _ = created(capsys, where, "--expires-days", "1")
    assert main(where, ["revoke", first]) == 0
    assert main(where, ["list"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in listed[1:]] == [[first, "revoked"], [second, "valid"]]
    assert re.search(r" never +3 +any +Ada$", listed[1])
    assert "never" not in listed[2]
    files = [path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert any(first.encode() in content for content in files)
    assert not any(secret.encode() in content for content in files)
    assert main(where, ["revoke", second]) == 0
    assert "requests need none any more" in capsys.readouterr().err


def test_the_server_that_a_command_started_stops_with_it(tmp_path: Path, capsys: Output) -> None:
    where = settings(data_dir=tmp_path / "data")
    created(capsys, where)
    assert not (tmp_path / "data" / "valkey" / "valkey.sock").exists()
    with only_one(where.data_dir):
        pass


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["create"],
        ["create", ""],
        ["create", "a\nb"],
        ["create", "x" * 65],
        ["create", "Ada", "--expires-days", "0"],
        ["create", "Ada", "--expires-days", "nan"],
        ["create", "Ada", "--rate", "-1"],
        ["create", "Ada", "--jobs", "1.5"],
    ],
)
def test_bad_arguments_make_no_key(tmp_path: Path, arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(settings(data_dir=tmp_path / "data"), arguments)
    assert not (tmp_path / "data").exists()


def test_an_unknown_id_and_a_redis_that_is_away_are_said(redis_url: str, tmp_path: Path, capsys: Output) -> None:
    assert main(settings(redis_url=redis_url), ["revoke", "0" * 12]) == 1
    assert "keys list" in capsys.readouterr().err
    assert main(settings(redis_url=f"unix://{tmp_path}/none.sock"), ["list"]) == 1
    assert "cannot be reached" in capsys.readouterr().err


def test_an_address_that_others_reach_wants_a_key(redis_url: str, capsys: Output) -> None:
    where = settings(host="0.0.0.0", redis_url=redis_url)
    with pytest.raises(UnsafeBindAddress, match="keys create"):
        asyncio.run(check_bind_address(where))
    key_id, _ = created(capsys, where)
    asyncio.run(check_bind_address(where))
    main(where, ["revoke", key_id])
    with pytest.raises(UnsafeBindAddress):
        asyncio.run(check_bind_address(where))
    for consent in ({"require_keys": True}, {"allow_anonymous": True}, {"host": "127.0.0.1"}):
        asyncio.run(check_bind_address(where.model_copy(update=consent)))


def test_a_keys_webhook_secret_is_shown_once_and_can_be_renewed(tmp_path: Path, capsys: Output) -> None:
    where = settings(data_dir=tmp_path / "data", webhook_secret="whsec_" + "c2VjcmV0" * 4)
    assert main(where, ["create", "Ada"]) == 0
    shown = capsys.readouterr()
    match = TOKEN.fullmatch(shown.out)
    assert match
    (first,) = re.findall(r"whsec_[A-Za-z0-9+/=]{44}", shown.err)
    assert main(where, ["renew-webhook", match[1]]) == 0
    second = capsys.readouterr().out.strip()
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/=]{44}", second)
    assert second != first
    assert main(where, ["list"]) == 0
    assert "whsec_" not in capsys.readouterr().out
    assert main(where, ["renew-webhook", "0" * 12]) == 1
    assert main(settings(data_dir=tmp_path / "data"), ["renew-webhook", match[1]]) == 2

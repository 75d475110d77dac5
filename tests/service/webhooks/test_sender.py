"""A message is posted once, signed, to the address that was checked, and what comes back is hardly looked at."""

import asyncio
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from service.webhooks.address import Address, AddressRules
from service.webhooks.sender import NotDelivered, Resolver, Sender, resolve
from tests.support.receiver import SECRET, running_receiver
from tests.support.running_service import free_port

LOOPBACK = AddressRules(allow_http=True, private_networks=(ip_network("127.0.0.0/8"), ip_network("::1/128")))
PUBLIC_ONLY = AddressRules(allow_http=True)


def post(
    url: str,
    rules: AddressRules = LOOPBACK,
    resolver: Resolver = resolve,
    tls: ssl.SSLContext | None = None,
    timeout_seconds: float = 15.0,
) -> int:
    return asyncio.run(Sender(rules, resolver, tls, timeout_seconds).post(url, "msg_1", '{"type": "x"}', [SECRET]))


def resolving_to(*addresses: str) -> Resolver:
    async def resolver(host: str, port: int) -> Sequence[Address]:
        return [ip_address(address) for address in addresses]

    return resolver


def test_a_message_is_signed_so_that_its_receiver_can_verify_it() -> None:
    with running_receiver(202) as receiver:
        assert post(f"{receiver.address}/hook?of=me") == 202
    (received,) = receiver.posts
    assert received.verified() == {"type": "x"}
    assert (received.path, received.headers["webhook-id"]) == ("/hook?of=me", "msg_1")
    assert received.headers["content-type"] == "application/json"
    assert received.headers["host"] == f"127.0.0.1:{receiver.port}"


def test_a_redirect_is_not_followed() -> None:
    with running_receiver(302, 307) as receiver:
        assert [post(receiver.address), post(receiver.address)] == [302, 307]
    assert [received.path for received in receiver.posts] == ["/", "/"]


def test_a_name_that_resolves_to_a_private_address_is_refused_before_it_is_connected_to() -> None:
    with running_receiver() as receiver:
        url = f"http://localhost:{receiver.port}/"
        with pytest.raises(NotDelivered, match="not a public address"):
            post(url, PUBLIC_ONLY)
        assert receiver.posts == []
        assert post(url) == 204  # it was there to be reached


@pytest.mark.parametrize("addresses", [["8.8.8.8", "127.0.0.1"], ["127.0.0.1", "8.8.8.8"], ["::ffff:127.0.0.1"]])
def test_one_private_address_among_public_ones_refuses_the_name(addresses: list[str]) -> None:
    with running_receiver() as receiver:
        with pytest.raises(NotDelivered, match="not a public address"):
            post(f"http://name.test:{receiver.port}/", PUBLIC_ONLY, resolving_to(*addresses))
        assert receiver.posts == []


def test_a_name_is_resolved_once_and_the_checked_address_is_dialled() -> None:
    asked: list[str] = []

    async def changing_its_mind(host: str, port: int) -> Sequence[Address]:
        asked.append(host)
        return [ip_address("127.0.0.1" if len(asked) == 1 else "10.0.0.1")]

    with running_receiver() as receiver:
        assert post(f"http://name.test:{receiver.port}/", resolver=changing_its_mind) == 204
    assert asked == ["name.test"]
    assert receiver.posts[0].headers["host"] == f"name.test:{receiver.port}"


def test_a_second_address_is_tried_where_nobody_listens_at_the_first() -> None:
    with running_receiver() as receiver:
        url = f"http://name.test:{receiver.port}/"
        assert post(url, resolver=resolving_to("127.0.0.2", "127.0.0.1")) == 204


def test_the_environments_proxy_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    with running_receiver() as receiver:
        assert post(receiver.address) == 204


def test_a_receiver_that_does_not_answer_in_time_has_not_been_told() -> None:
    with running_receiver() as receiver:
        receiver.answering.clear()
        with pytest.raises(NotDelivered, match="no answer within"):
            post(receiver.address, timeout_seconds=0.3)


@contextmanager
def streaming(begin: bytes, again: bytes, pause_seconds: float) -> Iterator[tuple[str, threading.Event]]:
    """A server that sends `begin`, then `again` for ever: its address, and an event for when it was hung up on."""
    hung_up = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                try:
                    connection.sendall(begin)
                    while True:
                        connection.sendall(again)
                        time.sleep(pause_seconds)
                except OSError:
                    hung_up.set()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/", hung_up
        finally:
            thread.join(60)


def test_an_answer_without_end_is_not_read() -> None:
    with streaming(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536, 0) as (url, hung_up):
        assert post(url) == 200
    assert hung_up.is_set()


def test_an_answer_that_drips_costs_no_more_than_the_whole_time() -> None:
    with (
        streaming(b"HTTP/1.1 200 OK\r\n", b"a: b\r\n", 0.05) as (url, hung_up),
        pytest.raises(NotDelivered, match="no answer within"),
    ):
        post(url, timeout_seconds=0.5)
    assert hung_up.is_set()


def test_nobody_listening_and_no_such_name_are_no_delivery() -> None:
    with pytest.raises(NotDelivered):
        post(f"http://127.0.0.1:{free_port()}/")
    with pytest.raises(NotDelivered):
        post("http://nobody.invalid/", resolver=resolving_to())


def test_tls_is_made_with_the_name_at_the_checked_address(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=hook.test"
    more = ["-addext", "subjectAltName=DNS:hook.test", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*make.split(), *more], check=True, capture_output=True)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    names: list[str | None] = []
    server.sni_callback = lambda _socket, name, _context: names.append(name)
    trusting, to_loopback = ssl.create_default_context(cafile=str(certificate)), resolving_to("127.0.0.1")
    with running_receiver(tls=server) as receiver:
        assert post(f"https://hook.test:{receiver.port}/", resolver=to_loopback, tls=trusting) == 204
        assert (names, receiver.posts[0].headers["host"]) == (["hook.test"], f"hook.test:{receiver.port}")
        with pytest.raises(NotDelivered, match="certificate"):
            post(f"https://other.test:{receiver.port}/", resolver=to_loopback, tls=trusting)
        with pytest.raises(NotDelivered, match="certificate"):
            post(f"https://hook.test:{receiver.port}/", resolver=to_loopback)
    assert len(receiver.posts) == 1

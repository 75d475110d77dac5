"""Connections of clients that send a byte now and then, or no end of a head, are closed by the API itself."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.processes import until
from tests.support.running_service import ROOT, free_port

HEAD_SECONDS = 2.0
PATIENCE_SECONDS = 60.0
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
FORM = b"POST /uploads HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"


@pytest.fixture(scope="module")
def port(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Of an API process."""
    number, folder = free_port(), tmp_path_factory.mktemp("slow")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ADIS_")} | {
        "ADIS_REDIS_URL": valkey_url,
        "ADIS_PORT": str(number),
        "ADIS_DATA_DIR": str(folder),
        "ADIS_MAX_UPLOAD_PAUSE_SECONDS": str(HEAD_SECONDS),
    }
    with subprocess.Popen([sys.executable, "-m", "service", "api"], cwd=ROOT, env=environment) as process:
        until(lambda: _answers(number) or process.poll() is not None or None)
        assert process.poll() is None
        yield number
        process.terminate()


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5):
            return True
    except OSError:
        return False


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)


def send_until_closed(connection: socket.socket, piece: bytes, pause_seconds: float = 0.1) -> float:
    """Send it again and again; how many seconds it took until the other side closed."""
    began = time.monotonic()
    connection.settimeout(pause_seconds)
    while time.monotonic() - began < PATIENCE_SECONDS:
        try:
            connection.sendall(piece)
            if connection.recv(65536) == b"":
                break
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - began


def assert_refused_as_too_large(connection: socket.socket) -> None:
    """It may have been closed while it sent, and the answer lost."""
    answer = b""
    with suppress(ConnectionResetError):
        answer = connection.recv(65536)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431")


def assert_still_serves(port: int) -> None:
    with connect(port) as good:
        good.sendall(GET + b"\r\n")
        assert good.recv(65536).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("begin", [GET, b"\r\n" + GET, b"GET /"])
def test_a_head_of_a_byte_now_and_then_is_cut_off(port: int, begin: bytes) -> None:
    with connect(port) as slow:
        slow.sendall(begin)
        assert HEAD_SECONDS / 2 < send_until_closed(slow, b"x") < PATIENCE_SECONDS
    assert_still_serves(port)


def test_empty_lines_before_a_request_are_no_way_around(port: int) -> None:
    with connect(port) as slow:
        slow.sendall(GET + b"\r\n")
        assert slow.recv(65536).startswith(b"HTTP/1.1 200")
        assert HEAD_SECONDS / 2 < send_until_closed(slow, b"\r\n") < PATIENCE_SECONDS


def test_a_connection_that_says_nothing_is_closed(port: int) -> None:
    with connect(port) as silent:
        assert silent.recv(1) == b""


def test_a_head_without_end_is_refused(port: int) -> None:
    with connect(port) as greedy:
        greedy.sendall(GET)
        with suppress(OSError):  # closed while we were sending
            for number in range(1000):
                greedy.sendall(f"X-{number}: {'x' * 1000}\r\n".encode())
            greedy.sendall(b"\r\n")  # or it would be cut off for its slowness
        assert_refused_as_too_large(greedy)
    assert_still_serves(port)


def test_a_body_that_nobody_reads_is_cut_off(port: int) -> None:
    """The answer is there, and the request is not over."""
    with connect(port) as slow:
        slow.sendall(GET.replace(b"GET", b"PUT") + b"Content-Length: 100000\r\n\r\n")
        assert slow.recv(65536).startswith(b"HTTP/1.1 405")
        assert HEAD_SECONDS / 2 < send_until_closed(slow, b"x") < PATIENCE_SECONDS


@pytest.mark.parametrize("piece", [b"X-Trailer: " + b"x" * 1000 + b"\r\n", b"x" * 1000], ids=["many", "one"])
def test_trailers_without_end_are_refused(port: int, piece: bytes) -> None:
    """The application waits for a body meanwhile, and would answer 408."""
    with connect(port) as greedy:
        greedy.sendall(FORM + b"Transfer-Encoding: chunked\r\n\r\n3\r\n--b\r\n0\r\nX: ")
        with suppress(OSError):  # closed while we were sending
            for _ in range(200):
                greedy.sendall(piece)
        assert_refused_as_too_large(greedy)
    assert_still_serves(port)


def test_a_body_in_chunks_of_a_byte_is_taken(port: int) -> None:
    with connect(port) as good:
        good.sendall(FORM + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n-\r\n" * 50_000 + b"0\r\nX: y\r\n\r\n")
        assert good.recv(65536).startswith(b"HTTP/1.1 422")


def test_several_requests_of_one_connection_are_answered(port: int) -> None:
    """Quick ones, pipelined ones, and ones whose head takes its time, with a pause before each."""
    with connect(port) as good:
        for _ in range(3):
            good.sendall(GET)
            time.sleep(HEAD_SECONDS / 8)
            good.sendall(b"\r\n")
            answer = b""
            while not answer.endswith(b"}"):
                answer += good.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200")
            time.sleep(HEAD_SECONDS / 8)
        good.sendall((GET + b"\r\n") * 2 + GET + b"Connection: close\r\n\r\n")
        answers = b""
        while piece := good.recv(65536):
            answers += piece
        assert answers.count(b"HTTP/1.1 200") == 3


def test_the_data_folder_stays_empty(port: int, tmp_path: Path) -> None:
    """An upload that trickles is no upload."""
    with connect(port) as slow:
        slow.sendall(FORM + b"Content-Length: 1000\r\n\r\n--b")
        assert send_until_closed(slow, b"x") < PATIENCE_SECONDS

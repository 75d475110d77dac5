"""The API listens where it is told, and takes as many connections as it may."""

import multiprocessing
import resource
import socket

import pytest

from service.api.server import raise_file_limit
from service.standalone.listener import address_of, bind


def test_every_address_of_ipv6_is_every_address_of_ipv4_too() -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    with bind("::", 0) as listener:
        port = listener.getsockname()[1]
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, port), timeout=10).close()
        assert address_of(listener) == f"http://[::1]:{port}"


def _soft_limit(told: "multiprocessing.SimpleQueue[tuple[int, int]]") -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    raise_file_limit()
    told.put(resource.getrlimit(resource.RLIMIT_NOFILE))


def test_it_may_open_as_many_files_as_its_user() -> None:
    processes = multiprocessing.get_context("spawn")
    told = processes.SimpleQueue()
    process = processes.Process(target=_soft_limit, args=(told,))
    process.start()
    soft, hard = told.get()
    process.join()
    assert soft == (65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536))

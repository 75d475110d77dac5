"""What decoders do on the worst of files; a decoder pool's process imports these by name."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from service.media.soundtrack_reader import TrackForm


def crash(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def bloat(*_: Any) -> None:
    bytearray(8 * 1024**3)


def spin(*_: Any) -> None:
    while True:
        pass


def sleep(*_: Any) -> None:
    time.sleep(600)


def crash_later(*_: Any) -> Iterator[Any]:
    """A soundtrack of 16 kHz, of which two seconds can be had."""
    yield TrackForm(16_000, 1, 0.0, "aac", 0)
    for _second in range(2):
        yield np.zeros((1, 16_000), np.float32)
    crash()


def connect(host: str, port: int) -> str:
    """What comes of a connection."""
    try:
        socket.create_connection((host, port), 5).close()
    except OSError as problem:
        return type(problem).__name__
    return "connected"


def run_program() -> str:
    """What comes of another program."""
    try:
        subprocess.run([sys.executable, "-c", ""], check=True)
    except OSError as problem:
        return type(problem).__name__
    return "ran"


def read_file(path: str) -> str:
    """What comes of reading it."""
    try:
        Path(path).read_bytes()
    except OSError as problem:
        return type(problem).__name__
    return "read"


def write_file(path: str) -> str:
    """What comes of a new file."""
    try:
        Path(path).write_bytes(b"x")
    except OSError as problem:
        return type(problem).__name__
    return "written"


def names_in_environment() -> list[str]:
    return sorted(os.environ)

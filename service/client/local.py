"""A service of one's own for one command: the same processes as `python -m service`, in a folder that goes again."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_READY: Final = re.compile(r"is ready: (http://\S+)")
_STOP_SECONDS: Final = 60.0
_LAST_LINES: Final = 20
_INFORMATION: Final = re.compile(r'^\S+ \S+ (INFO|DEBUG) |"level": ?"(info|debug)"')


class LocalFailed(Exception):
    """The service did not start; the message ends with what it said."""


@contextmanager
def local_service() -> Iterator[str]:
    """The address of a service that runs as long as the block; settings other than its place are the environment's."""
    with tempfile.TemporaryDirectory(prefix="adis-") as folder:
        log = Path(folder) / "log"
        own = {
            "HOST": "127.0.0.1",
            "PORT": "0",
            "DATA_DIR": f"{folder}/data",
            "STORAGE": "",
            "STOP_SECONDS": "0",
            "REQUIRE_KEYS": "false",
        }
        environment = {name: value for name, value in os.environ.items() if name != "ADIS_REDIS_URL"}
        environment |= {f"ADIS_{name}": value for name, value in own.items()}
        with log.open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "service"],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,  # Ctrl-C is for the command, which then stops the service
            )
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if found := _READY.search(line.decode()):
                    yield found[1]
                    return
            raise LocalFailed("\n".join(["the service did not start:", *reasons(log.read_text(errors="replace"))]))
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def reasons(log: str) -> list[str]:
    """The last lines of a log that may say why a service did not start: others that stop then say so at length."""
    lines = log.strip().splitlines()
    telling = [line for line in lines if not _INFORMATION.search(line)]
    return (telling or lines)[-_LAST_LINES:]

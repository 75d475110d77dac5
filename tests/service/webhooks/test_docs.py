"""The receiver that docs/webhooks.md shows takes what the service sends, and nothing else."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_network

from service.webhooks.address import AddressRules
from service.webhooks.sender import NotDelivered, Sender
from tests.support.processes import until
from tests.support.receiver import SECRET
from tests.support.running_service import ROOT, free_port

BODY = '{"type": "job.succeeded", "data": {"id": "a job"}}'
OTHER_SECRET = SECRET.replace("c2Vj", "b3Ro")


@contextmanager
def written_receiver(port: int) -> Iterator[subprocess.Popen[str]]:
    (code,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs/webhooks.md").read_text(), re.MULTILINE | re.DOTALL)
    assert "9000" in code
    process = subprocess.Popen(
        [sys.executable, "-c", code.replace("9000", str(port))],
        env=os.environ | {"ADIS_WEBHOOK_SECRET": SECRET},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.terminate()


def post(port: int, secret: str) -> int | None:
    """The answer, or None while nobody listens."""
    sender = Sender(AddressRules(allow_http=True, private_networks=(ip_network("127.0.0.0/8"),)))
    try:
        return asyncio.run(sender.post(f"http://127.0.0.1:{port}/", "msg_1", BODY, [secret]))
    except NotDelivered:
        return None


def test_the_receiver_of_the_documentation_verifies_what_it_is_sent() -> None:
    port = free_port()
    with written_receiver(port) as process:
        assert until(lambda: post(port, SECRET)) == 204
        assert post(port, OTHER_SECRET) == 401
        assert process.stdout is not None
        assert process.stdout.readline() == "job.succeeded a job\n"

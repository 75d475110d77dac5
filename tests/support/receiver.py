"""A real HTTP server on loopback that receives webhooks, for tests."""

import http.server
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from standardwebhooks import Webhook

SECRET = "whsec_" + "c2VjcmV0" * 4


@dataclass(frozen=True)
class Post:
    """One request. headers: names in small letters."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    def verified(self) -> dict[str, object]:
        """The message; raises WebhookVerificationError unless the signature is good."""
        message: dict[str, object] = Webhook(SECRET).verify(self.body, dict(self.headers))
        return message


@dataclass
class Receiver:
    """address: without a trailing slash. posts: what came. statuses: to answer with, in turn; 204 after the last.

    Statuses of 300 to 399 redirect to `/elsewhere`. Answers wait until `answering` is set.
    """

    port: int
    posts: list[Post] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    answering: threading.Event = field(default_factory=threading.Event)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def running_receiver(*statuses: int, tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """The server, as long as the block runs."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.posts.append(Post(self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            receiver.answering.wait(30)
            status = receiver.statuses.pop(0) if receiver.statuses else 204
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", f"{receiver.address}/elsewhere")
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    receiver = Receiver(server.server_port, statuses=list(statuses))
    receiver.answering.set()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.answering.set()
        server.shutdown()
        thread.join()
        server.server_close()

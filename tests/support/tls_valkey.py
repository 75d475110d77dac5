"""A real Valkey behind TLS, with a certificate of an authority that nobody knows. The wheel's server has no TLS."""

import asyncio
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.valkey import running_valkey


@contextmanager
def running_tls_valkey(folder: Path, name: str = "IP:127.0.0.1") -> Iterator[tuple[int, Path]]:
    """Yields its port on 127.0.0.1, and the certificate of its authority. name: that the certificate is for."""
    authority, certificate = make_certificate(folder, name)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, certificate.with_suffix(".key"))
    with running_valkey(folder) as url, _running_terminator(url.removeprefix("unix://").partition("?")[0], tls) as port:
        yield port, authority


@contextmanager
def _running_terminator(socket_path: str, tls: ssl.SSLContext) -> Iterator[int]:
    """Takes TLS off and passes everything on to the socket; yields its port."""
    loop = asyncio.new_event_loop()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_unix_connection(socket_path)
        with suppress(OSError, asyncio.CancelledError):
            await asyncio.gather(_pass_on(reader, server_writer), _pass_on(server_reader, writer))
        for one in (writer, server_writer):
            one.transport.abort()

    server = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls))
    loop.set_exception_handler(lambda *_: None)  # a handshake that a client breaks off is what is tested
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(_end(server), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def _end(server: asyncio.Server) -> None:
    server.close()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0.1)  # what was aborted is closed in the loop's next turns


def make_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """The certificate of an authority, and one that it has signed; each key lies beside its certificate."""
    authority, certificate = folder / "authority.pem", folder / "server.pem"
    new = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1"
    extensions = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign"]
    _openssl(new, "-subj", "/CN=authority", *_extensions(extensions), *_output(authority))
    signed = ["-CA", str(authority), "-CAkey", str(authority.with_suffix(".key"))]
    extensions = [f"subjectAltName={name}", "basicConstraints=critical,CA:FALSE"]
    _openssl(new, "-subj", "/CN=server", *signed, *_extensions(extensions), *_output(certificate))
    return authority, certificate


def _extensions(extensions: list[str]) -> list[str]:
    return [word for extension in extensions for word in ("-addext", extension)]


def _output(certificate: Path) -> list[str]:
    return ["-keyout", str(certificate.with_suffix(".key")), "-out", str(certificate)]


def _openssl(command: str, *more: str) -> None:
    subprocess.run(["openssl", *command.split(), *more], check=True, capture_output=True)

"""A decoder that a file has taken over finds no network, no other program, and no secret."""

import os
import platform
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.media.confinement import _program, describe_confinement, reduced_environment
from service.media.decoder_pool import DecoderPool
from service.media.landlock import READ, READ_AND_WRITE, landlock_version
from service.media.limits import MediaLimits
from tests.support.misbehaviour import connect, names_in_environment, read_file, run_program, write_file
from tests.support.running_service import ROOT

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"), reason="seccomp is Linux's"
)


@pytest.fixture
def pool() -> Iterator[DecoderPool]:
    with DecoderPool(MediaLimits(), kept=1) as opened:
        yield opened


def test_a_decoder_reaches_no_server(pool: DecoderPool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert connect("127.0.0.1", port) == "connected"
        assert pool._call("image", str, connect, "127.0.0.1", port) == "PermissionError"


def test_a_decoder_runs_no_program(pool: DecoderPool) -> None:
    assert run_program() == "ran"
    assert pool._call("image", str, run_program) == "PermissionError"
    assert pool._idle[0].is_confined


def test_a_decoder_knows_no_secret(pool: DecoderPool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "ADIS_WEBHOOK_SECRET", "ADIS_REDIS_URL", "SOME_TOKEN"):
        monkeypatch.setenv(name, "secret")
    names = pool._call("image", list[str], names_in_environment)
    assert not [name for name in names if name.startswith(("ADIS_", "AWS_")) or "TOKEN" in name]
    assert "PATH" in names


def test_a_decoder_opens_no_file_but_those_of_jobs(tmp_path: Path) -> None:
    own, other = tmp_path / "jobs", tmp_path / "other"
    for folder in (own, other):
        folder.mkdir()
        (folder / "file").write_bytes(b"x")
    (own / "link").symlink_to(other / "file")
    files = {str(own): READ, str(ROOT / "tests"): READ}
    with DecoderPool(MediaLimits(), kept=1, files=files) as pool:
        reads = {path: pool._call("image", str, read_file, str(path)) for path in (own / "file", other / "file")}
        if not pool._idle[0].files_closed:
            pytest.skip("this kernel has no Landlock")
        assert reads == {own / "file": "read", other / "file": "PermissionError"}
        for path in ("/etc/passwd", str(ROOT / "pyproject.toml"), str(own / "link"), f"/proc/{os.getpid()}/environ"):
            assert read_file(path) == "read", path
            assert pool._call("image", str, read_file, path) == "PermissionError", path
        for folder in (own, other, "/tmp"):
            assert pool._call("image", str, write_file, f"{folder}/new") == "PermissionError"
    with DecoderPool(MediaLimits(), kept=1, files=files | {str(own): READ_AND_WRITE}) as pool:
        assert pool._call("image", str, write_file, str(own / "new")) == "written"
        assert pool._call("image", str, write_file, str(other / "new")) == "PermissionError"


def test_what_is_closed_is_said(pool: DecoderPool) -> None:
    pool._call("image", str, run_program)
    assert ("closed: network and programs (seccomp)" in describe_confinement()) is pool._idle[0].is_confined
    assert ("other files (Landlock)" in describe_confinement().partition("open: ")[0]) is (landlock_version() > 0)


def test_what_python_needs_is_kept() -> None:
    given = {"PATH": "/bin", "LC_ALL": "C.UTF-8", "ADIS_PORT": "1", "PASSWORD": "x"}
    assert reduced_environment(given) == {"PATH": "/bin", "LC_ALL": "C.UTF-8"}


@pytest.mark.parametrize(
    ("architecture", "call", "refused"),
    [(7, 41, True), (7, 42, True), (7, 40, False), (7, 0x4000_0000, True), (7, 0x4000_0027, True), (8, 40, True)],
)
def test_the_filter_refuses_calls_other_architectures_and_x32(architecture: int, call: int, refused: bool) -> None:
    assert (_run(_program(7, (41, 42)), architecture, call) != 0x7FFF_0000) is refused


def _run(program: bytes, architecture: int, call: int) -> int:
    """What the kernel's interpreter returns for it, by the four instructions that are used."""
    steps = list(struct.iter_unpack("HBBI", program))
    place, loaded = 0, 0
    while True:
        code, if_true, if_false, operand = steps[place]
        place += 1
        if code == 0x20:
            loaded = {0: call, 4: architecture}[operand]
        elif code == 0x15:
            place += if_true if loaded == operand else if_false
        elif code == 0x35:
            place += if_true if loaded >= operand else if_false
        else:
            return int(operand)

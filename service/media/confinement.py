"""Take from a process that opens foreign files what it has no use for: the network, other programs, other processes.

A seccomp filter does it, for the rest of the process's life, where the kernel and the processor's architecture allow.
"""

import ctypes
import os
import platform
import signal
import struct
import sys
from collections.abc import Mapping
from typing import Final

from service.media.landlock import landlock_version

# What a decoder needs of its parent's environment: where Python and its libraries are, and how texts are written.
_KEPT_VARIABLES: Final = {
    *("PATH", "HOME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV"),
    *("PYTHONPATH", "PYTHONHOME", "PYTHONHASHSEED", "PYTHONDONTWRITEBYTECODE", "PYTHONWARNINGS"),
}
_REFUSED: Final[dict[str, tuple[int, tuple[int, ...]]]] = {  # architecture as audit knows it; numbers of system calls
    # socket, connect, accept, sendto, bind, listen, socketpair, accept4; execve, execveat; ptrace, process_vm_readv,
    # process_vm_writev, pidfd_getfd; mount, umount2, unshare, setns; add_key, request_key, keyctl; perf_event_open,
    # bpf, userfaultfd, io_uring_setup
    "x86_64": (
        0xC000_003E,
        (41, 42, 43, 44, 49, 50, 53, 288, 59, 322, 101, 310, 311, 438, 165, 166, 272, 308, 248, 249, 250, 298, 321,
         323, 425),
    ),
    "aarch64": (
        0xC000_00B7,
        (198, 203, 202, 206, 200, 201, 199, 242, 221, 281, 117, 270, 271, 438, 40, 39, 97, 268, 217, 218, 219, 241,
         280, 282, 425),
    ),
}  # fmt: skip
_LOAD, _JUMP_EQUAL, _JUMP_ABOVE, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _ERRNO = 0x7FFF_0000, 0x0005_0000
_X32_CALLS: Final = 0x4000_0000
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS, _PR_GET_SECCOMP, _PR_SET_SECCOMP, _FILTER_MODE = 1, 38, 21, 22, 2
_NOT_PERMITTED: Final = 1  # EPERM


def reduced_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What of it a decoder may see: no key, no password, no address of another service."""
    return {name: value for name, value in environment.items() if name in _KEPT_VARIABLES or name.startswith("LC_")}


def end_with_parent(parent: int) -> None:
    """Have the system kill this process, a fork of that one, when that one ends, however it does (on Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)


def refuse_system_calls() -> bool:
    """Refuse this thread, and those that it starts, the network and other programs; False if that is not possible."""
    known = _REFUSED.get(platform.machine())
    if sys.platform != "linux" or known is None or sys.maxsize < 2**32:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_ulong]
    instructions = _program(*known)
    code = ctypes.create_string_buffer(instructions, len(instructions))
    program = struct.pack("HL", len(instructions) // 8, ctypes.addressof(code))  # struct sock_fprog
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, None, 0, 0) != 0:
        return False
    return bool(libc.prctl(_PR_SET_SECCOMP, _FILTER_MODE, ctypes.create_string_buffer(program), 0, 0) == 0)


def describe_confinement() -> str:
    """What this system keeps from decoders."""
    known = sys.platform == "linux" and platform.machine() in _REFUSED and sys.maxsize > 2**32
    has_seccomp = known and ctypes.CDLL(None).prctl(_PR_GET_SECCOMP, 0, 0, 0, 0) >= 0
    kept = (("network and programs (seccomp)", has_seccomp), ("other files (Landlock)", landlock_version() > 0))
    closed = [what for what, is_closed in kept if is_closed]
    open_ = [what for what, is_closed in kept if not is_closed]
    return "; ".join(f"{word}: {', '.join(names)}" for word, names in (("closed", closed), ("open", open_)) if names)


def _program(architecture: int, calls: tuple[int, ...]) -> bytes:
    """Berkeley packet filter: an error for these calls, for other architectures and for x32; all else is allowed."""
    refuse = 5 + len(calls)  # the place of the last instruction; jumps count from the one behind them
    steps = [
        (_LOAD, 0, 0, 4),  # architecture
        (_JUMP_EQUAL, 0, refuse - 2, architecture),
        (_LOAD, 0, 0, 0),  # number of the call
        (_JUMP_ABOVE, refuse - 4, 0, _X32_CALLS),
        *((_JUMP_EQUAL, refuse - 5 - place, 0, call) for place, call in enumerate(calls)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _ERRNO | _NOT_PERMITTED),
    ]
    return b"".join(struct.pack("HBBI", *step) for step in steps)


def decoder_environment(more: Mapping[str, str]) -> dict[str, str]:
    """The environment of a decoder: what is left of this process's, and `more`."""
    return reduced_environment(os.environ) | dict(more)

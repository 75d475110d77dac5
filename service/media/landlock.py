"""Take the file system from this process, but for a few folders: Landlock, where the kernel has it (Linux 5.13).

Newer kernels also keep its signals from other processes. What was open before stays open.
"""

import ctypes
import os
import struct
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # system calls, the same on every architecture
_ASK_VERSION: Final = 1
_PATH_BENEATH: Final = 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14
_OF_FILES: Final = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE  # the others are of folders alone
_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # how many rights on files each version knows
_SCOPES_SINCE: Final = 6
_SCOPES: Final = 0b11  # abstract sockets, and signals, of processes outside
_PR_SET_NO_NEW_PRIVS: Final = 38

READ: Final = _EXECUTE | _READ_FILE | _READ_DIR
READ_AND_WRITE: Final = (1 << 16) - 1

# What Python and the libraries open when they are used for the first time.
_SYSTEM: Final = (
    *("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime", "/proc/self", "/proc/cpuinfo", "/proc/meminfo"),
    *("/sys/devices/system/cpu", "/dev/null", "/dev/zero", "/dev/urandom", "/dev/random"),
)


def system_paths() -> list[str]:
    """Where the interpreter, its packages, the system's libraries and this program lie.

    Packages may lie beside the interpreter's own folder: a user's, or those of another environment by a .pth file.
    """
    packages = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    return [*_SYSTEM, sys.prefix, sys.base_prefix, *packages, str(Path(__file__).parents[1])]


def landlock_version() -> int:
    """What the kernel has of it; 0 for nothing."""
    if sys.platform != "linux" or sys.maxsize < 2**32:
        return 0
    return max(0, int(ctypes.CDLL(None).syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _ASK_VERSION)))


def restrict_files(allowed: Mapping[str, int]) -> bool:
    """Refuse this thread, and those that it starts, all files but these; False if the kernel has no Landlock.

    allowed: rights (`READ`, `READ_AND_WRITE`) by path, of a folder for all that is below it. What is not there, or is
    another folder in its place later, stays closed.
    """
    version = landlock_version()
    if version < 1:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    handled = (1 << _RIGHTS.get(version, 16)) - 1
    attributes = struct.pack("=QQQ", handled, 0, _SCOPES if version >= _SCOPES_SINCE else 0)
    size = 24 if version >= _SCOPES_SINCE else 8
    ruleset = libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(size), 0)
    if ruleset < 0:
        return False
    try:
        _add_rules(libc, ruleset, allowed.items(), handled)
        if libc.prctl(_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), None, None, None) != 0:
            return False
        return bool(libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


def _add_rules(libc: ctypes.CDLL, ruleset: int, allowed: Iterable[tuple[str, int]], handled: int) -> None:
    for path, rights in allowed:
        with suppress(OSError):
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
            try:
                rights &= handled if Path(path).is_dir() else handled & _OF_FILES
                libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, place), 0)
            finally:
                os.close(place)

"""How glibc's malloc treats the large tensors of a step on a processor."""

from __future__ import annotations

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of <malloc.h>


def keep_freed_memory() -> bool:
    """Let the process keep what it frees for its next tensors; False where the C library is not glibc.

    Otherwise every tensor of more than 32 MiB is mapped anew and its pages zeroed by the kernel, in every step. The
    process stays as large as it was at its largest.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, -1))

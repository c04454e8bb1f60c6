"""Keeping freed memory, so that CPU training and inference do not fault their activations in anew each time.

PyTorch's CPU allocator asks malloc for every activation. glibc maps large ones afresh and hands them back
at once, so that each forward pass pays for zeroed pages. Keeping them made a training step of the
short-chunk CNN 1.3 to 1.5 times as fast on two cores, and embedding 1.5 times (`make bench`), for up to a
sixth more memory.
"""

import ctypes
import sys

_KEPT = 1 << 30  # bytes: blocks up to this size come from the heap, and as much may stay in it unused
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


def keep_freed_memory() -> None:
    """Make this process keep freed memory; does nothing where the C library is not glibc."""
    if sys.platform != "linux":
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # musl
        return
    mallopt(_M_MMAP_THRESHOLD, _KEPT)
    mallopt(_M_TRIM_THRESHOLD, _KEPT)


def keeping_environment() -> dict[str, str]:
    """The same for a process yet to be started, its threads included."""
    return {
        "MALLOC_MMAP_THRESHOLD_": str(_KEPT),
        "MALLOC_TRIM_THRESHOLD_": str(_KEPT),
        # Other threads' arenas cannot hold blocks of more than 64 MB: let them share the main one.
        "MALLOC_ARENA_MAX": "1",
    }

"""Who may write what while several jobs work on one store.

The folder `.NAME.locks` beside a local store NAME holds small files that jobs lock, each saying who did.

    store             shared by the jobs at work; alone for what changes the store under them
    create            held while a store or a teacher's group is being made
    teacher-<name>    one job per teacher
    blocks-<part>     byte N: whoever writes the block that starts at clip N

The locks are the operating system's (flock and lockf), which drops them when a process ends, however it
ends: after a kill nothing has to be cleared. Where there are none (a store at a URL, a file system without
locks) nothing keeps two jobs apart, and `sharing` says so.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TextIO
from urllib.parse import quote

from east.common.blocks import Block
from east.common.errors import RefusedError


def lock_folder(url: str) -> Path:
    """Where the locks of a local store lie: beside it, since inside it Zarr would take them for arrays."""
    path = Path(url).absolute()
    return path.with_name(f".{path.name}.locks")


@contextmanager
def sharing(url: str, teachers: Sequence[str]) -> Iterator[bool]:
    """Keep a store for a job that writes these teachers; jobs of other teachers may work beside it.

    Yields:
        Whether there are locks at all.

    Raises:
        RefusedError: Another job writes one of the teachers, or somebody changes the store as a whole.
    """
    with ExitStack() as held:
        taken = f"{url} is being repaired or grown"
        kept = [held.enter_context(_held(url, "store", fcntl.LOCK_SH, taken))]
        for name in teachers:
            taken = f"another job writes teacher {name} into {url}"
            kept.append(held.enter_context(_held(url, f"teacher-{name}", fcntl.LOCK_EX, taken)))
        yield all(kept)


@contextmanager
def alone(url: str, option: str) -> Iterator[None]:
    """Keep a store for an option that changes it as a whole.

    Raises:
        RefusedError: A job works on the store.
    """
    with _held(url, "store", fcntl.LOCK_EX, f"{option} needs {url} for itself, and a job works on it"):
        yield


@contextmanager
def creating(url: str) -> Iterator[None]:
    """Wait until nobody else makes the store or a group in it, and keep others from it."""
    if "://" in url:
        yield
        return
    with _open(url, "create") as file:
        _lock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def writing(url: str, part: str, block: Block) -> Iterator[None]:
    """Wait until nobody else writes this block of the audio or of a teacher, and keep others from it.

    A process holds one block of a part at a time: a record lock goes when any file on it is closed.
    """
    if "://" in url:
        yield
        return
    with _open(url, f"blocks-{part}") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX, 1, block.start)
        except OSError as error:
            _check_supported(error)
        yield


@contextmanager
def _held(url: str, name: str, kind: int, taken: str) -> Iterator[bool]:
    """Hold a lock that must be free now; yields whether there are locks at all."""
    if "://" in url:
        yield False
        return
    try:
        file = _open(url, name)
    except OSError as error:
        raise RefusedError(
            f"{lock_folder(url)} cannot be written ({error.strerror}): make it writable"
        ) from error
    with file:
        try:
            kept = _lock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RefusedError(
                f"{taken} ({file.readline().strip()}): wait for it or stop it; if its machine is gone, "
                f"delete {_path(url, name)}"
            ) from None
        _sign(file)
        yield kept


def _lock(file: TextIO, kind: int) -> bool:
    try:
        fcntl.flock(file, kind)
    except BlockingIOError:
        raise
    except OSError as error:
        _check_supported(error)
        return False
    return True


def _check_supported(error: OSError) -> None:
    if error.errno not in (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK):
        raise error


def _path(url: str, name: str) -> Path:
    return lock_folder(url) / quote(name, safe="")


def _open(url: str, name: str) -> TextIO:
    path = _path(url, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+", encoding="utf-8")


def _sign(file: TextIO) -> None:
    since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    file.truncate(0)
    file.write(f"host {socket.gethostname()}, process {os.getpid()}, since {since}\n")
    file.flush()

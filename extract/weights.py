"""Weights: where they lie, how they get there, and that they are what they claim to be."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from east.common.errors import RefusedError
from east.extract.teacher import PublishedWeights, TeacherInfo, Weights

RANDOM = "random"
RANDOM_SHA256 = "random-seed-0"  # stands where the hash of a file would
_PIP_TIMEOUT = 600  # seconds


def cache_folder() -> Path:
    """Folder of downloaded weights: `EAST_WEIGHTS`, or `east` in the user's cache folder."""
    import platformdirs

    return Path(os.environ.get("EAST_WEIGHTS") or platformdirs.user_cache_dir("east"))


def resolve_weights(info: TeacherInfo, choice: str | None) -> Weights:
    """Find the weights of a teacher, fetching the published ones if they are not there yet.

    Args:
        info: The teacher.
        choice: None for the published weights, "random", or the path of a file.

    Raises:
        RefusedError: They cannot be found or fetched, or are not what was published.
    """
    if choice == RANDOM:
        return Weights(RANDOM, None, RANDOM_SHA256)
    if choice is not None:
        path = Path(choice)
        if not path.is_file():
            raise RefusedError(f"the weights {info.name}={choice} are no file: give a path, or {RANDOM!r}")
        return Weights("file", path, sha256_of(path))
    path = cache_folder() / info.weights.filename
    if not path.is_file():
        _fetch(info, path)
    return Weights("published", path, _verified(info, path))


def sha256_of(path: Path) -> str:
    """Hash of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _verified(info: TeacherInfo, path: Path) -> str:
    found, expected = sha256_of(path), info.weights.sha256
    if found != expected:
        raise RefusedError(
            f"{path} is not the published file of {info.name}: its sha256 is {found}, published is "
            f"{expected}; delete it to fetch it again, or give your own with --weights {info.name}=PATH"
        )
    return found


def _fetch(info: TeacherInfo, path: Path) -> None:
    """Fetch a published file under a temporary name, check it, then give it its name."""
    scheme, _, address = info.weights.source.partition(":")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".fetch-") as folder:
        try:
            _FETCHERS[scheme](address, Path(folder))
        except _FetchError as error:
            raise RefusedError(_offline_line(info.weights, info.name, path, str(error))) from error
        fetched = Path(folder) / path.name
        if not fetched.is_file():
            raise RefusedError(_offline_line(info.weights, info.name, path, f"{path.name} did not come"))
        _verified(info, fetched)
        fetched.replace(path)


def _offline_line(published: PublishedWeights, name: str, path: Path, reason: str) -> str:
    return (
        f"the weights of {name} could not be fetched from {published.source} ({reason}): put "
        f"{published.filename} into {path.parent} yourself, or give --weights {name}=PATH"
    )


class _FetchError(Exception):
    """A fetch failed; the text is one line."""


def _pip_download(requirement: str, folder: Path) -> None:
    """Fetch one wheel with pip, so that the user's index, mirror and proxy settings hold."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--quiet", "--dest", str(folder), requirement]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PIP_TIMEOUT, check=False)  # noqa: S603
    except subprocess.TimeoutExpired as error:
        raise _FetchError(f"pip did not finish within {_PIP_TIMEOUT} s") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no message"]
        raise _FetchError(f"pip: {lines[-1].strip()}")


_FETCHERS: dict[str, Callable[[str, Path], None]] = {"pip": _pip_download}

"""Fetching one published file into a folder, under a temporary name."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from east.common.terminal import Advance, Reporter
from east.extract.teacher import PublishedFile

_PIP_TIMEOUT = 600  # seconds
_HTTP_TIMEOUT = 60  # seconds without an answer
_CHUNK = 1 << 20  # bytes


class DownloadError(Exception):
    """A file could not be fetched; the text is one line."""


@contextmanager
def download(file: PublishedFile, folder: Path, reporter: Reporter) -> Iterator[Path]:
    """Fetch a file; who wants to keep it moves it away before the block ends.

    It lies in a temporary folder inside `folder`, so that moving it is one renaming, and nothing of an
    interrupted download is ever taken for the file.

    Raises:
        DownloadError: It could not be fetched.
    """
    folder.mkdir(parents=True, exist_ok=True)
    scheme = file.source.partition(":")[0]
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as temporary:
        fetched = Path(temporary) / file.filename
        _FETCHERS[scheme](file, fetched, reporter)
        if not fetched.is_file():
            raise DownloadError(f"{file.filename} did not come")
        yield fetched


def _pip(file: PublishedFile, target: Path, reporter: Reporter) -> None:
    """Fetch one wheel with pip, so that the user's index, mirror and proxy settings hold."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--quiet", "--dest", str(target.parent)]
    command.append(file.source.partition(":")[2])
    reporter.say(f"fetching {file.filename} through pip")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PIP_TIMEOUT, check=False)  # noqa: S603
    except subprocess.TimeoutExpired as error:
        raise DownloadError(f"pip did not finish within {_PIP_TIMEOUT} s") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no message"]
        raise DownloadError(f"pip: {lines[-1].strip()}")


def _http(file: PublishedFile, target: Path, reporter: Reporter) -> None:
    """Fetch over HTTP(S); the usual proxy variables hold."""
    import requests

    reporter.say(f"fetching {file.source}")
    try:
        with requests.get(file.source, stream=True, timeout=_HTTP_TIMEOUT) as response:
            response.raise_for_status()
            megabytes = int(response.headers.get("Content-Length", 0)) // _CHUNK
            with target.open("wb") as out, reporter.progress("megabytes", megabytes) as advance:
                _write_chunks(response.iter_content(_CHUNK), out.write, advance)
    except requests.HTTPError as error:
        raise DownloadError(f"the server answers {error.response.status_code}") from error
    except requests.RequestException as error:
        raise DownloadError(f"no whole answer: {type(error).__name__}") from error


def _write_chunks(chunks: Iterator[bytes], write: Callable[[bytes], int], advance: Advance) -> None:
    for chunk in chunks:
        write(chunk)
        advance(1, "")


_FETCHERS: dict[str, Callable[[PublishedFile, Path, Reporter], None]] = {
    "pip": _pip,
    "https": _http,
    "http": _http,
}

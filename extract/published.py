"""The teachers' published weights: what they are, where they belong, and fetching them ahead of a job."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from east.common.errors import RefusedError
from east.common.terminal import Reporter
from east.extract.teachers import TEACHERS, find_teacher
from east.extract.weights import cache_folder, cached_path, hash_of, resolve_weights


def list_weights() -> Iterator[str]:
    """Lines about every published file: address, licence, and whether it is there."""
    yield f"weights belong into {cache_folder()} (EAST_WEIGHTS names another folder)"
    for name in TEACHERS.names():
        info = find_teacher(name).info
        yield f"{name}, licence {info.licences['weights']}:"
        for file in info.weights.files:
            path = cached_path(info, file)
            size = f", {file.size:,} bytes" if file.size else ""
            yield f"  {path} ({'there' if path.is_file() else 'not there'}) from {file.source}{size}"


def fetch(names: Sequence[str], sha256: str | None, reporter: Reporter) -> Iterator[str]:
    """Fetch the published weights of teachers where they are missing, and check them.

    Raises:
        RefusedError: There is no such teacher, or the weights cannot be had or are others.
    """
    if sha256 is not None and len(names) != 1:
        raise RefusedError("--sha256 is the hash of one file: name one teacher")
    for name in names:
        info = find_teacher(name).info
        weights = resolve_weights(info, sha256 and f"sha256:{sha256}", reporter)
        if weights.path is None:
            yield f"{name}: its weights come with {weights.sha256}"
            continue
        for file in info.weights.files:
            path = cached_path(info, file)
            yield f"{name}: {path}, sha256 {hash_of(path)}{'' if file.digest else ' (no hash is published)'}"

"""Weights: where they lie, and that they are what they claim to be."""

from __future__ import annotations

import hashlib
import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from east.common.errors import RefusedError
from east.common.terminal import Quiet, Reporter
from east.extract.download import DownloadError, download
from east.extract.teacher import PublishedFile, PublishedWeights, TeacherInfo, Weights

RANDOM = "random"
RANDOM_SHA256 = "random-seed-0"  # stands where the hash of a file would
_DIGESTS = ("sha256", "md5")


def cache_folder() -> Path:
    """Folder of downloaded weights: `EAST_WEIGHTS`, or `east` in the user's cache folder."""
    import platformdirs

    return Path(os.environ.get("EAST_WEIGHTS") or platformdirs.user_cache_dir("east"))


def cached_path(info: TeacherInfo, file: PublishedFile) -> Path:
    """Where a published file of a teacher lies once it is fetched."""
    return cache_folder() / info.name / file.filename


def resolve_weights(info: TeacherInfo, choice: str | None, reporter: Reporter | None = None) -> Weights:
    """Find the weights of a teacher, fetching the published ones if they are not there yet.

    Args:
        info: The teacher.
        choice: None for the published weights, "random", the path of a file or folder, or
            "sha256:HASH" for published weights whose file has that hash.
        reporter: Shows the progress of a download.

    Raises:
        RefusedError: They cannot be found or fetched, or are not what was published.
    """
    if choice == RANDOM:
        return Weights(RANDOM, None, RANDOM_SHA256)
    overruled = None
    if choice is not None and choice.partition(":")[0] in _DIGESTS:
        overruled = choice
    elif choice is not None:
        return _own(info, Path(choice))
    if not info.weights.files:
        return Weights("package", None, f"{info.packages[0]} {package_version(info.packages[0])}")
    for file in info.weights.files:
        _provide(info, file, overruled if file is info.weights.files[0] else None, reporter or Quiet())
    paths = {file.filename: cached_path(info, file) for file in info.weights.files}
    only = next(iter(paths.values()))
    return Weights("published", only if len(paths) == 1 else only.parent, _identity(info.weights, paths))


def hash_of(path: Path, kind: str = "sha256") -> str:
    """Hash of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def package_version(package: str) -> str:
    """Version of an installed package, or "unknown"."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def _own(info: TeacherInfo, path: Path) -> Weights:
    if path.is_file():
        return Weights("file", path, hash_of(path))
    if not path.is_dir():
        raise RefusedError(f"the weights {info.name}={path} are not there: give a path, or {RANDOM!r}")
    paths = {f.filename: path / f.filename for f in info.weights.files if f.identifies}
    missing = [name for name, file in paths.items() if not file.is_file()]
    if missing or not paths:
        raise RefusedError(f"the weights {info.name}={path}: the folder has no {' and no '.join(missing)}")
    return Weights("file", path, _identity(info.weights, paths))


def _identity(published: PublishedWeights, paths: dict[str, Path]) -> str:
    """The hash of the one file that identifies the weights, or of the list of several."""
    hashes = {f.filename: hash_of(paths[f.filename]) for f in published.files if f.identifies}
    if len(hashes) == 1:
        return next(iter(hashes.values()))
    lines = "".join(f"{found}  {name}\n" for name, found in sorted(hashes.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def _provide(info: TeacherInfo, file: PublishedFile, overruled: str | None, reporter: Reporter) -> None:
    """See that a published file is in the cache, checked: fetched under a temporary name, then renamed."""
    path = cached_path(info, file)
    own = f"give your own with --weights {info.name}=PATH"
    if path.is_file():
        wrong = _difference(info, file, path, overruled)
        if wrong:
            raise RefusedError(f"{path} {wrong}; delete it to fetch it again, or {own}")
        return
    try:
        with download(file, path.parent, reporter) as fetched:
            wrong = _difference(info, file, fetched, overruled)
            if wrong:
                raise RefusedError(f"{file.filename} from {file.source} {wrong}; or {own}")
            fetched.replace(path)
    except DownloadError as error:
        raise RefusedError(
            f"the weights of {info.name} could not be fetched from {file.source} ({error}): put "
            f"{file.filename} into {path.parent} yourself, or {own}"
        ) from error


def _difference(info: TeacherInfo, file: PublishedFile, path: Path, overruled: str | None) -> str | None:
    """What tells a file from the published one, in words; None where nothing does."""
    if overruled is None and file.size not in (None, path.stat().st_size):
        return f"is not the published file: it has {path.stat().st_size} bytes, published are {file.size}"
    expected = overruled or file.digest
    if expected is None:
        return None
    kind, _, value = expected.partition(":")
    found = hash_of(path, kind)
    if found == value:
        return None
    text = f"is not the published file: its {kind} is {found}, published is {value}"
    if info.weights.third_party:
        own = f"--weights {info.name}=sha256:{hash_of(path)}"
        text += f" according to a third party, which {own} overrules"
    return text

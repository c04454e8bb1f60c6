"""Published archives: their tables, what is missing after unpacking, and whether the counts agree."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath

from east.common.errors import RefusedError
from east.data.index import DatasetInfo, Index

_LONGEST_FIELD = 1 << 24  # characters; Python's default of 131,072 may be too little for a biography


def require_file(path: Path, info: DatasetInfo) -> None:
    """Refuse a root that lacks this file.

    Raises:
        RefusedError: Names the file and how to unpack the archive.
    """
    if not path.is_file():
        raise RefusedError(f"{path} is missing: {_mend(info)}")


def read_table(path: Path, info: DatasetInfo, delimiter: str = ",") -> Iterator[list[str]]:
    """The rows of a text table, its header among them.

    Raises:
        RefusedError: The file is missing or is no such table.
    """
    require_file(path, info)
    csv.field_size_limit(_LONGEST_FIELD)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            yield from csv.reader(file, delimiter=delimiter)
    except (UnicodeDecodeError, csv.Error) as error:
        raise RefusedError(f"{path} is not a table in UTF-8 ({error}): take the published file") from error


def check_unpacked(index: Index, info: DatasetInfo, optional: Collection[str] = ()) -> None:
    """Refuse a root that lacks audio files.

    Folders are listed instead of asking for every file: on a network mount, 16 or 156 answers instead of
    thousands.

    Args:
        index: The clips and the folder that they should be in.
        info: The data set.
        optional: Paths that may be missing, since they are of no use anyway.

    Raises:
        RefusedError: Names the first file or folder that is missing, and how to unpack the archive.
    """
    paths = [PurePosixPath(path) for path in index.paths if path not in optional]
    listed = {folder: _names(index.root / folder) for folder in {path.parent for path in paths}}
    missing = [path for path in paths if path.name not in listed[path.parent]]
    if missing:
        way = [index.root / part for part in (*reversed(missing[0].parents), missing[0])]
        first = next((part for part in way if not part.exists()), way[-1])
        counted = f"{len(missing):,} of {len(index):,} audio files are"
        raise RefusedError(f"{first} is missing ({counted}): {_mend(info)}")


def deviation(what: str, found: Mapping[str, int], published: Mapping[str, int]) -> tuple[str, ...]:
    """A remark where counts are not the published ones, none where they are."""
    if all(found.get(name, 0) == n for name, n in published.items()):
        return ()
    here = ", ".join(f"{found.get(name, 0):,} {name}" for name in published)
    there = ", ".join(f"{n:,} {name}" for name, n in published.items())
    return (f"{what}: {here}, but published are {there}",)


def _names(folder: Path) -> frozenset[str]:
    try:
        return frozenset(path.name for path in folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()


def _mend(info: DatasetInfo) -> str:
    return f"{info.layout}; `extract datasets` says what to download"

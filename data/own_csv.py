"""Bring your own audio: a CSV file with a path and a label (or several) per clip."""

import csv
import os
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from east.common.errors import RefusedError
from east.data.index import DatasetInfo, Index, Task, check_relative, one_hot
from east.data.splits import TEST, TRAIN, UNUSED, VALID, hash_share

Row = dict[str, str]


class OwnCsv:
    """Reads a CSV file with `path` (relative to the file's folder) and `label` or `labels`.

    `label` holds one class, `labels` several, separated by ";"; empty means unlabelled. Optional are `id`,
    `split` ("train", "valid", "test" or empty: unused) and `fold` (1, 2, ...). A `split` column counts before
    folds; without both, 80/10/10 by a hash of the id, so a clip stays in its split as the collection grows.
    """

    info: ClassVar[DatasetInfo] = DatasetInfo(
        name="csv",
        task="either",
        max_seconds=30.0,
        layout="ROOT is a CSV file of your own with the columns path and label (or labels)",
        licence="yours",
    )

    def index(self, root: Path) -> Index:
        """See `Dataset.index`; `root` is the CSV file itself."""
        rows = _read(root)
        task, classes, labels = _labels(root, rows)
        ids = tuple(row.get("id") or row["path"] for row in rows)
        folds = _folds(root, rows)
        given, protocols, remarks = _splits(root, rows, ids, folds)
        return Index(
            dataset=self.info.name,
            task=task,
            classes=classes,
            ids=ids,
            paths=tuple(row["path"] for row in rows),
            labels=labels,
            folds=folds,
            given=given,
            protocols=protocols,
            max_seconds=self.info.max_seconds,
            root=root.parent,
            remarks=remarks,
        )


def _read(path: Path) -> list[Row]:
    if not path.is_file():
        raise RefusedError(f"{path} is no file: for the data set csv, ROOT is a CSV file, not a folder")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets write a byte order mark
            reader = csv.DictReader(file, restval="")
            rows = [{key: value.strip() for key, value in row.items() if key} for row in reader]
            columns = reader.fieldnames or []
    except (UnicodeDecodeError, csv.Error) as error:
        raise RefusedError(f"{path} is not a CSV file in UTF-8: {error}") from error
    if "path" not in columns:
        raise RefusedError(f"{path} has no column 'path': its first line must name the columns")
    if ("label" in columns) == ("labels" in columns):
        raise RefusedError(f"{path} needs either a column 'label' (one class) or 'labels' (a;b;c)")
    if not rows:
        raise RefusedError(f"{path} has a header but no clips")
    for row in rows:
        _check_inside(row["path"], path.parent)
    return rows


def _check_inside(relative: str, root: Path) -> None:
    """A manifest may come from somebody else: no path in it, and no link, leaves the manifest's folder."""
    check_relative(relative, root)
    real, base = os.path.realpath(root / relative), os.path.realpath(root)
    if os.path.commonpath([real, base]) != base:
        raise RefusedError(f"audio path {relative!r} leads out of {root} through a link: copy the file there")


def _labels(path: Path, rows: list[Row]) -> tuple[Task, tuple[str, ...], npt.NDArray[np.int8]]:
    task: Task = "multi-class" if "label" in rows[0] else "multi-label"
    column, separator = ("label", "\0") if task == "multi-class" else ("labels", ";")
    tags = [{tag.strip() for tag in row[column].split(separator)} - {""} for row in rows]
    classes = tuple(sorted(set[str]().union(*tags)))
    if len(classes) < (2 if task == "multi-class" else 1):
        raise RefusedError(
            f"{path} names {len(classes)} class(es) in {column!r}: there is nothing to tell apart"
        )
    if task == "multi-class":
        number = {name: i for i, name in enumerate(classes)}
        return task, classes, one_hot(np.array([number[min(t)] if t else -1 for t in tags]), len(classes))
    labels = np.array([[name in t for name in classes] for t in tags]).astype(np.int8)
    labels[[not t for t in tags]] = -1
    return task, classes, labels


def _folds(path: Path, rows: list[Row]) -> npt.NDArray[np.int8]:
    folds = [row.get("fold", "") or "-1" for row in rows]
    for number, fold in enumerate(folds, start=2):
        if fold != "-1" and not (fold.isdecimal() and 1 <= int(fold) <= 100):
            raise RefusedError(f"{path} line {number}: fold {fold!r} is not a number from 1 to 100")
    return np.array(folds, dtype=np.int8)


def _splits(
    path: Path, rows: list[Row], ids: tuple[str, ...], folds: npt.NDArray[np.int8]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """The split column, the protocols it allows, and what to tell the user."""
    nothing = (UNUSED,) * len(rows)
    if "split" in rows[0]:
        given = tuple(row["split"] for row in rows)
        for number, split in enumerate(given, start=2):
            if split not in (TRAIN, VALID, TEST, UNUSED):
                raise RefusedError(
                    f"{path} line {number}: split {split!r} is not train, valid, test or empty"
                )
        return given, ("given",), ()
    n = int(folds.max())
    if n >= 3:
        return nothing, (f"{n - 2}-1-1", f"{n - 1}-1"), ()
    if n == 2:
        return nothing, ("1-1",), ()
    given = tuple(_hashed_split(i) for i in ids)
    counts = ", ".join(f"{given.count(name)} {name}" for name in (TRAIN, VALID, TEST))
    return given, ("hashed",), (f"no split or fold column: split by a hash of the id into {counts}",)


def _hashed_split(clip_id: str) -> str:
    share = hash_share(clip_id)
    return TRAIN if share < 0.8 else VALID if share < 0.9 else TEST

"""What a data set answers: its clips in order, their labels, folds and published splits."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import numpy.typing as npt

from east.common.errors import RefusedError

Task = Literal["multi-class", "multi-label"]


@dataclass(frozen=True)
class Download:
    """One file to fetch.

    Attributes:
        url: Where it is published.
        size: How big it is, for a person ("7.2 GiB").
        checksum: As its publisher gives it ("sha1 ade154..."), "" where there is none.
    """

    url: str
    size: str
    checksum: str = ""


@dataclass(frozen=True)
class DatasetInfo:
    """What is known of a data set before it is read.

    Attributes:
        name: Name on the command line.
        task: "multi-class", "multi-label", or "either".
        max_seconds: Longest clip it declares; longer audio is cut.
        layout: How to unpack it and what ROOT then is, for a person.
        licence: Licence of audio and annotations.
        downloads: What to fetch; empty where there is nothing to fetch.
    """

    name: str
    task: str
    max_seconds: float
    layout: str
    licence: str
    downloads: tuple[Download, ...] = ()


@dataclass(frozen=True)
class Index:
    """All clips of a data set, in its own order.

    Attributes:
        dataset: Name of the data set.
        task: What a student is to learn.
        classes: Names of the classes.
        ids: Unique ids, one per clip.
        paths: Audio files relative to `root`, with forward slashes.
        labels: 1 present, 0 absent, -1 unknown, (clip, class) int8.
        folds: 1-based folds, -1 where there are none, (clip,) int8.
        given: The published split of every clip ("train", "valid", "test", ""), all "" where there is none.
        protocols: Names of the evaluation protocols it supports, default first; see `split_for`.
        max_seconds: Longest clip.
        root: Folder that `paths` are relative to.
        remarks: What a user should be told about this index.
    """

    dataset: str
    task: Task
    classes: tuple[str, ...]
    ids: tuple[str, ...]
    paths: tuple[str, ...]
    labels: npt.NDArray[np.int8]
    folds: npt.NDArray[np.int8]
    given: tuple[str, ...]
    protocols: tuple[str, ...]
    max_seconds: float
    root: Path
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.ids:
            raise RefusedError(f"data set {self.dataset!r} at {self.root} has no clips")
        twice = [i for i, count in Counter(self.ids).items() if count > 1]
        if twice:
            raise RefusedError(f"{self.root}: the clip id {twice[0]!r} occurs twice: make ids unique")
        for path in self.paths:
            check_relative(path, self.root)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def sha256(self) -> str:
        """Hash of all rows, sorted by id: equal for equal clips, labels, folds and splits in any order."""
        order = sorted(range(len(self)), key=lambda i: self.ids[i])
        digest = hashlib.sha256()
        for i in order:
            row = [self.ids[i], self.paths[i], int(self.folds[i]), self.given[i], self.labels[i].tolist()]
            digest.update(json.dumps(row).encode())
        return digest.hexdigest()

    def first(self, n: int) -> Index:
        """The index of the first `n` clips alone; all classes stay."""
        return self.take(range(min(n, len(self))))

    def take(self, rows: Sequence[int]) -> Index:
        """The index of these clips alone, in this order; all classes stay."""
        return replace(
            self,
            ids=tuple(self.ids[row] for row in rows),
            paths=tuple(self.paths[row] for row in rows),
            labels=self.labels[list(rows)],
            folds=self.folds[list(rows)],
            given=tuple(self.given[row] for row in rows),
        )

    def cut(self, max_seconds: float) -> Index:
        """The same index with another longest clip."""
        return replace(self, max_seconds=max_seconds)


class Dataset(Protocol):
    """A data set plug-in: knows its published layout and nothing else."""

    info: ClassVar[DatasetInfo]

    def index(self, root: Path) -> Index:
        """Read the annotations at `root`.

        Raises:
            RefusedError: Something is missing or malformed; names the file and the mend.
        """
        ...


def check_relative(path: str, root: Path) -> None:
    """Refuse an audio path that is not plainly below its root.

    Raises:
        RefusedError: The path is absolute or climbs out with "..".
    """
    pure = PurePosixPath(path)
    if not path or pure.is_absolute() or ".." in pure.parts or "\0" in path:
        raise RefusedError(f"audio path {path!r} leaves its root {root}: use paths below that folder")


def one_hot(targets: npt.NDArray[Any], n_classes: int) -> npt.NDArray[np.int8]:
    """Class numbers (clip,) to label rows (clip, class) int8; a negative number is an unlabelled clip."""
    labels: npt.NDArray[np.int8] = (targets[:, None] == np.arange(n_classes)).astype(np.int8)
    labels[targets < 0] = -1
    return labels

"""ESC-50: environmental sounds, five published folds (Piczak, ACM Multimedia 2015)."""

import csv
from pathlib import Path
from typing import ClassVar

import numpy as np

from east.common.errors import RefusedError
from east.data.archive import require_file
from east.data.index import DatasetInfo, Download, Index, one_hot


class Esc50:
    """Reads `meta/esc50.csv`; any subset of its rows works (ESC-10 is one).

    The classes are the categories that occur, in the order of their published target numbers.
    """

    info: ClassVar[DatasetInfo] = DatasetInfo(
        name="esc50",
        task="multi-class",
        max_seconds=5.0,
        layout="ROOT must be ESC-50 as published, unzipped: the folder that holds audio/ and meta/",
        licence="CC BY-NC 3.0 (the ESC-10 subset CC BY 3.0)",
        downloads=(Download("https://github.com/karolpiczak/ESC-50/archive/master.zip", "about 600 MB"),),
    )
    columns: ClassVar[tuple[str, ...]] = ("filename", "fold", "target", "category")
    n_folds: ClassVar[int] = 5

    def index(self, root: Path) -> Index:
        """See `Dataset.index`."""
        rows = self._rows(root / "meta" / "esc50.csv")
        categories = {int(row["target"]): row["category"] for row in rows}
        order = {target: number for number, target in enumerate(sorted(categories))}
        targets = np.array([order[int(row["target"])] for row in rows])
        return Index(
            dataset=self.info.name,
            task="multi-class",
            classes=tuple(categories[target] for target in sorted(categories)),
            ids=tuple(Path(row["filename"]).stem for row in rows),
            paths=tuple(f"audio/{row['filename']}" for row in rows),
            labels=one_hot(targets, len(categories)),
            folds=np.array([int(row["fold"]) for row in rows], dtype=np.int8),
            given=("",) * len(rows),
            protocols=("3-1-1", "4-1"),
            max_seconds=self.info.max_seconds,
            root=root,
        )

    def _rows(self, path: Path) -> list[dict[str, str]]:
        require_file(path, self.info)
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        missing = [column for column in self.columns if not rows or column not in rows[0]]
        if missing:
            raise RefusedError(f"{path} has no rows or no column {missing[0]!r}: take the published file")
        for number, row in enumerate(rows, start=2):
            numeric = row["target"].isdecimal() and row["fold"].isdecimal()
            if not numeric or not 1 <= int(row["fold"]) <= self.n_folds:
                raise RefusedError(f"{path} line {number}: fold must be 1 to 5 and target a number")
        return rows

"""FMA: 8,000 tracks of 30 s of eight balanced genres (Defferrard et al., ISMIR 2017)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import ClassVar

import numpy as np

from east.common.errors import RefusedError
from east.data.archive import check_unpacked, deviation, read_table
from east.data.index import DatasetInfo, Download, Index, one_hot
from east.data.splits import TEST, TRAIN, VALID

_URL = "https://os.unil.cloud.switch.ch/fma"
_SUBSET, _SPLIT, _GENRE = ("set", "subset"), ("set", "split"), ("track", "genre_top")


class FmaSmall:
    """Reads `fma_metadata/tracks.csv`, which has two header rows; a clip's id is its track number."""

    info: ClassVar[DatasetInfo] = DatasetInfo(
        name="fma-small",
        task="multi-class",
        max_seconds=30.0,
        layout="unzip both in one folder; ROOT is that folder, which then holds fma_metadata/ and fma_small/",
        licence="metadata CC BY 4.0; every track under the licence that its artist chose",
        downloads=(
            Download(f"{_URL}/fma_metadata.zip", "342 MiB", "sha1 f0df49ffe5f2a6008d7dc83c6915b31835dfe733"),
            Download(f"{_URL}/fma_small.zip", "7.2 GiB", "sha1 ade154f733639d52e35e32f5593efe5be76c6d70"),
        ),
    )
    splits: ClassVar[dict[str, str]] = {"training": TRAIN, "validation": VALID, "test": TEST}
    published: ClassVar[dict[str, int]] = {TRAIN: 6_400, VALID: 800, TEST: 800, "genres": 8}
    # Of a second or two, or of nothing at all.
    short: ClassVar[tuple[int, ...]] = (98565, 98567, 98569, 99134, 108925, 133297)

    def index(self, root: Path) -> Index:
        """See `Dataset.index`."""
        rows = self._read(root / "fma_metadata" / "tracks.csv")
        genres = sorted({genre for _, _, genre in rows})
        given = tuple(split for _, split, _ in rows)
        counts = {**Counter(given), "genres": len(genres)}
        remarks = self._known({track for track, _, _ in rows}) + deviation("clips", counts, self.published)
        index = Index(
            dataset=self.info.name,
            task="multi-class",
            classes=tuple(genres),
            ids=tuple(str(track) for track, _, _ in rows),
            paths=tuple(_path(track) for track, _, _ in rows),
            labels=one_hot(np.array([genres.index(genre) for _, _, genre in rows]), len(genres)),
            folds=np.full(len(rows), -1, dtype=np.int8),
            given=given,
            protocols=("given",),
            max_seconds=self.info.max_seconds,
            root=root,
            remarks=remarks,
        )
        check_unpacked(index, self.info, optional=[_path(track) for track in self.short])
        return index

    def _read(self, path: Path) -> list[tuple[int, str, str]]:
        """Track number, split and genre of every track of the subset."""
        rows = read_table(path, self.info)
        header = list(zip(next(rows, []), next(rows, []), strict=False))
        missing = [" ".join(column) for column in (_SUBSET, _SPLIT, _GENRE) if column not in header]
        if missing:
            raise RefusedError(f"{path} has no column {missing[0]!r} in its two header rows")
        subset, split, genre = (header.index(column) for column in (_SUBSET, _SPLIT, _GENRE))
        found = []
        for number, row in enumerate(rows, start=3):
            if len(row) != len(header):
                raise RefusedError(f"{path} row {number} has {len(row)} of {len(header)} columns")
            if row[subset] != "small":  # also the third row, which names the index
                continue
            if not (row[0].isdecimal() and row[split] in self.splits and row[genre]):
                raise RefusedError(f"{path} row {number}: a track needs a number, a known split and a genre")
            found.append((int(row[0]), self.splits[row[split]], row[genre]))
        return found

    def _known(self, tracks: set[int]) -> tuple[str, ...]:
        short = ", ".join(str(track) for track in self.short if track in tracks)
        return (f"known to be short or empty, and kept as they are: tracks {short}",) if short else ()


def _path(track: int) -> str:
    number = f"{track:06d}"
    return f"fma_small/{number[:3]}/{number}.mp3"

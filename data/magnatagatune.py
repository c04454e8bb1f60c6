"""MagnaTagATune: 29 s of music, tagged by the players of a game (Law et al., ISMIR 2009)."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from east.common.errors import RefusedError
from east.data.archive import check_unpacked, deviation, read_table
from east.data.index import DatasetInfo, Download, Index
from east.data.splits import TEST, TRAIN, VALID, split_for

_URL = "https://mirg.city.ac.uk/datasets/magnatagatune"


class MagnaTagATune:
    """Reads `annotations_final.csv`: the most frequent of its tags by name, no synonyms merged.

    The classes stand by falling number of clips; of tags with equally many, the one whose column stands first
    in the file comes first, also where only one of them is among the most frequent. A clip without any of
    these tags has all labels 0; the protocol "clean" leaves it out.
    """

    info: ClassVar[DatasetInfo] = DatasetInfo(
        name="magnatagatune",
        task="multi-label",
        max_seconds=29.2,
        layout="join the parts (cat mp3.zip.00? > mp3.zip) and unzip them beside annotations_final.csv; "
        "ROOT is that folder, which then holds 0/ to 9/ and a/ to f/ too",
        licence="CC BY-NC-SA 3.0",
        downloads=(
            Download(f"{_URL}/annotations_final.csv", "about 20 MB"),
            Download(f"{_URL}/mp3.zip.001", "about 1.1 GB"),
            Download(f"{_URL}/mp3.zip.002", "about 1.1 GB"),
            Download(f"{_URL}/mp3.zip.003", "about 0.8 GB"),
        ),
    )
    n_classes: ClassVar[int] = 50
    rows: ClassVar[dict[str, int]] = {"clips": 25_863, "tags": 188}
    folders: ClassVar[dict[str, str]] = {
        **dict.fromkeys("0123456789ab", TRAIN),
        "c": VALID,
        **dict.fromkeys("def", TEST),
    }
    # Usable clips. The list that the literature's "clean" counts come from (the MTAT_split of Lee et al.,
    # 2017) also leaves out clips under 29.1 s, which an index cannot see.
    published: ClassVar[dict[str, dict[str, int]]] = {
        "full": {TRAIN: 18_706, VALID: 1_825, TEST: 5_329},
        "clean": {TRAIN: 15_244, VALID: 1_529, TEST: 4_332},
    }
    empty: ClassVar[tuple[str, ...]] = (
        "6/norine_braun-now_and_zen-08-gently-117-146.mp3",
        "8/jacob_heringman-josquin_des_prez_lute_settings-19-gintzler__pater_noster-204-233.mp3",
        "9/american_baroque-dances_and_suites_of_rameau_and_couperin-25-"
        "le_petit_rien_xiveme_ordre_couperin-88-117.mp3",
    )

    def index(self, root: Path) -> Index:
        """See `Dataset.index`."""
        tags, ids, paths, present = self._read(root / "annotations_final.csv")
        # Stable: of equally frequent tags, the one that stands first in the file.
        chosen = np.argsort(-present.sum(axis=0), kind="stable")[: self.n_classes]
        index = Index(
            dataset=self.info.name,
            task="multi-label",
            classes=tuple(tags[tag] for tag in chosen),
            ids=tuple(ids),
            paths=tuple(paths),
            labels=present[:, chosen].astype(np.int8),
            folds=np.full(len(ids), -1, dtype=np.int8),
            given=tuple(self.folders[path[0]] for path in paths),
            protocols=("full", "clean"),
            max_seconds=self.info.max_seconds,
            root=root,
        )
        check_unpacked(index, self.info, optional=self.empty)
        return replace(index, remarks=self._remarks(index, len(tags)))

    def _read(self, path: Path) -> tuple[list[str], list[str], list[str], npt.NDArray[np.bool_]]:
        """Tags, ids, paths, and which clip has which tag, (clip, tag)."""
        rows = read_table(path, self.info, delimiter="\t")
        header = next(rows, [])
        if not {"clip_id", "mp3_path"} < set(header) or len(set(header)) < len(header):
            raise RefusedError(f"{path} needs the columns clip_id, mp3_path and one per tag, each once")
        clip_id, mp3_path = header.index("clip_id"), header.index("mp3_path")
        columns = [i for i in range(len(header)) if i not in (clip_id, mp3_path)]
        ids, paths, present = [], [], []
        for number, row in enumerate(rows, start=2):
            if len(row) != len(header) or not {row[i] for i in columns} <= {"0", "1"}:
                raise RefusedError(f"{path} line {number}: every tag of a clip must be 0 or 1")
            if row[mp3_path][:1] not in self.folders:
                raise RefusedError(f"{path} line {number}: mp3_path must begin with 0 to 9 or a to f")
            ids.append(row[clip_id])
            paths.append(row[mp3_path])
            present.append(np.array([row[i] == "1" for i in columns]))
        shape = (len(ids), len(columns))
        return [header[i] for i in columns], ids, paths, np.array(present, dtype=np.bool_).reshape(shape)

    def _remarks(self, index: Index, n_tags: int) -> tuple[str, ...]:
        # Only the three files that are known to be empty are looked at: 25,863 would take minutes on a
        # network mount, and any other empty file is found when it is decoded.
        empty = {path for path in self.empty if path in index.paths and not _size(index.root / path)}
        usable = np.array([path not in empty for path in index.paths])
        remarks = list(deviation("annotations_final.csv", {"clips": len(index), "tags": n_tags}, self.rows))
        if empty:
            remarks.append(
                f"{usable.sum():,} of {len(index):,} clips are usable: {len(empty)} mp3s are empty"
            )
        for protocol, counts in self.published.items():
            found = Counter(split_for(protocol, 1, index)[usable].tolist())
            remarks += deviation(f"usable clips of protocol {protocol}", found, counts)
        return tuple(remarks)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
